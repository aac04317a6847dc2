"""The campaign of random calls: `python -m faults.calls` makes a million, best under the address sanitizer.

Each takes a kernel, shapes from 0 on, dtypes, layouts and scalars at random; every other one has arguments of the
catalogue of malformed ones, or results of earlier calls in their place; some are recorded and run as a program. A call
gives a result or an exception that users know; whatever ends the process is a finding.
`nox -s "sanitize_module(address)" -- python -m faults.calls` has a sanitizer watch.
"""

import argparse
import contextlib
import json
import mmap
import os
import random
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from kernels.cases import CASES
from kernels.sampling import Array

from fastnn import _core, kernels
from faults.arguments import MOST_MEMORY, REFUSALS, _address_space, watched
from faults.entries import Arguments
from faults.malformed import Boom, variants

RESULTS = 20  # that are kept, to be operands of later calls


class Caller:
    """Makes calls; one is given by its number, the seed, and the results of the calls before it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.results: list[Array] = []
        self.accepted = 0

    def problem(self, number: int) -> str | None:
        """What is wrong with what a call does, or None."""
        draw = random.Random(f"{self.seed} {number}")
        case = draw.choice(CASES)
        call = case.seeded(draw.randrange(2**32), large=draw.random() < 0.02)
        arguments = call.arrays | call.scalars
        if draw.random() < 0.5:
            self._spoil(draw, arguments)
        if draw.random() < 0.3:
            arguments["num_threads"] = draw.choice((1, 2, 3))
        try:
            if draw.random() < 0.1:
                result = self._recorded(draw, case.kernel, arguments)
            else:
                result = getattr(kernels, case.kernel)(**arguments)
        except (*REFUSALS, Boom):
            return None
        except Exception as error:
            return f"{case}: {error!r:.300}"
        self.accepted += 1
        self.results += [x for x in (result if isinstance(result, tuple) else (result,)) if isinstance(x, np.ndarray)]
        del self.results[:-RESULTS]
        return None

    def _spoil(self, draw: random.Random, arguments: Arguments) -> None:
        for _ in range(draw.choice((1, 1, 2))):
            name = draw.choice(list(arguments))
            if self.results and draw.random() < 0.3:
                arguments[draw.choice([name, "out"])] = draw.choice(self.results)
            else:
                label, make = draw.choice(list(variants(arguments, name).items()))
                # What is spoiled already may be beyond it; and a file for each would take the most time.
                with contextlib.suppress(Exception):
                    arguments[name] = make(arguments, name) if label != "memory map" else arguments[name]

    def _recorded(self, draw: random.Random, kernel: str, arguments: Arguments) -> Any:
        """The same in a program, after itself or beside an elementwise call of what it gives."""
        program, results = _core.Program([]), []

        def record() -> None:
            for _ in range(draw.choice((1, 2))):
                results.append(getattr(_core, kernel)(**arguments))
            if isinstance(results[-1], np.ndarray) and results[-1].dtype.kind == "f":
                results.append(_core.exp(results[-1]))

        program.record(record)
        program.run(draw.choice((0, 1, 3)))
        return results[-1]


# ---- the child and the parent -----------------------------------------------------------------------------------


def _child(progress: Path, seed: int, first: int, count: int) -> None:
    """Makes the calls from number `first` on: the present number stands in `progress`; prints lines of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MOST_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    np.seterr(all="ignore")
    caller = Caller(seed)
    with open(progress, "r+b") as file, mmap.mmap(file.fileno(), 8) as number:
        for i in range(first, count):
            number[:] = i.to_bytes(8, "little")
            if (problem := caller.problem(i)) is not None:
                print(json.dumps([i, problem]), flush=True)
    print(json.dumps(caller.accepted))


def campaign(count: int, seed: int = 0, crashes: int = 20) -> tuple[int, dict[int, str]]:
    """How many calls of the last child gave a result, and what was wrong, by the number of the call."""
    findings: dict[int, str] = {}
    first = 0
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder, "progress")
        progress.write_bytes(bytes(8))
        while crashes > 0:
            child = [sys.executable, "-P", "-W", "ignore", "-m", "faults.calls", "--child", str(progress)]
            options = [f"--seed={seed}", f"--first={first}", f"--count={count}"]
            end, lines = watched([*child, *options], progress)
            *found, accepted = (*map(json.loads, lines), *([] if end is None else [0]))
            findings |= dict(found)
            if end is None:
                return accepted, findings
            at = int.from_bytes(progress.read_bytes(), "little")
            findings[at] = end
            first, crashes = at + 1, crashes - 1
    return 0, findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.calls", description=__doc__.splitlines()[0])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=1_000_000, help="calls")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.child is not None:
        _child(options.child, options.seed, options.first, options.count)
        return 0
    accepted, findings = campaign(options.count, options.seed)
    for number, problem in findings.items():
        print(f"call {number}: {problem}")
    sanitized = "asan" in os.environ.get("LD_PRELOAD", "")
    print(f"{options.count} calls{' under the address sanitizer' if sanitized else ''}, {accepted} with a result, "
          f"{len(findings)} findings")  # fmt: skip
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
