"""Kills one of several MPI ranks at a random time, again and again: ``nox -s faults -- ranks --count 100``.

Each time all ranks must end within ten seconds with an exit status other than 0, and the next run goes on from the
checkpoint. When a run has come to its end, its weights must be those of a run that nobody disturbed.
"""

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import environment

RUNS = Path(__file__).parents[1] / "mpi_runs.py"
MPIEXEC = Path(sys.executable).parent / "mpiexec"
LIMIT = 10.0  # seconds from the death of a rank to the end of all


def start(folder: Path, ranks: int) -> subprocess.Popen[str]:
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-P", RUNS, "long", folder]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), bufsize=1
    )


def processes(run: subprocess.Popen[str]) -> list[int]:
    """Of the ranks, as the first of them tells."""
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith("[mpi] ranks"):
            return [int(number) for number in re.findall(r":(\d+)", line)]
    raise RuntimeError("the ranks ended before they began")


def kill(folder: Path, ranks: int, rng: random.Random, longest: float) -> tuple[float, bool]:
    """Seconds from the death of a rank to the end of all, and whether the run had come to its end before."""
    run = start(folder, ranks)
    victim = rng.choice(processes(run))
    time.sleep(rng.uniform(0, longest))
    with contextlib.suppress(ProcessLookupError):  # it has come to its end
        os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    run.communicate(timeout=LIMIT)
    return time.monotonic() - killed, run.returncode == 0


def finish(folder: Path, ranks: int) -> str:
    """What a run finds that goes on from where it stands, undisturbed."""
    run = start(folder, ranks)
    output, errors = run.communicate(timeout=300)
    if run.returncode:
        raise RuntimeError(errors)
    return output.splitlines()[-1]


def campaign(count: int, ranks: int, seed: int) -> list[float]:
    """Seconds from each death to the end of all ranks; AssertionError where a resumed run finds other weights."""
    rng, seconds = random.Random(seed), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "whole").mkdir()
        began = time.monotonic()
        expected = finish(folder / "whole", ranks)
        longest = time.monotonic() - began
        number = 0
        while len(seconds) < count:
            current = folder / str(number)
            current.mkdir(exist_ok=True)
            took, ended = kill(current, ranks, rng, longest)
            if not ended:
                seconds.append(took)
            if ended or len(seconds) == count:
                assert finish(current, ranks) == expected, f"run {number}, after {len(seconds)} kills"
                number += 1
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills (default: %(default)s)")
    parser.add_argument("--ranks", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    options = parser.parse_args()
    seconds = campaign(options.count, options.ranks, options.seed)
    print(f"{len(seconds)} kills of one of {options.ranks} ranks: all ended within {max(seconds):.1f} s, same weights")


if __name__ == "__main__":
    main()
