"""`python -m benchmarks.scaling`: training on one and on two MPI ranks, and sums over ranks beside MPI's own.

Each rank has one thread. Runs of one rank and of two take turns; medians over the rounds are quoted. Both cut a batch
into two shards, so they do the same arithmetic and find the same weights.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from .machine import commit, machine, versions

WORKLOADS = {
    "softmax 784-10, batch 1024": ([], 1024, 40),
    "MLP 784-256-10, batch 256": ([256], 256, 100),
    "MLP 784-256-10, batch 1024": ([256], 1024, 40),
    "MLP 784-512-512-10, batch 1024": ([512, 512], 1024, 20),
    "MLP 784-512-512-10, batch 4096": ([512, 512], 4096, 5),
}
LENGTHS = (1_000, 10_000, 100_000, 669_706, 5_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each number of ranks (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results; a .md goes beside it")
    parser.add_argument("--worker", choices=["train", "sum"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        answer = {"train": _train, "sum": _sum}[options.worker]()
        if answer is not None:
            print(json.dumps(answer))
        return
    seconds: dict[str, dict[str, list[float]]] = {name: {"1": [], "2": []} for name in WORKLOADS}
    sums: dict[str, dict[str, list[float]]] = {str(length): {} for length in LENGTHS}
    for _ in range(options.rounds):
        for ranks in ("1", "2"):
            for name, value in _launch(ranks, "train").items():
                seconds[name][ranks].append(value)
        for length, ways in _launch("2", "sum").items():
            for way, value in ways.items():
                sums[length].setdefault(way, []).append(value)
    results = {"machine": machine(), "versions": versions(["numpy", "fastnn", "mpi4py", "mpich"]), "commit": commit()}
    results |= {"rounds": options.rounds, "train": seconds, "sum": sums}
    text = render(results)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(text + "\n")


def render(results: dict) -> str:
    """Both tables."""
    median = statistics.median
    lines = ["| a training step | one rank | two ranks | ratio |", "| --- | ---: | ---: | ---: |"]
    for name, ranks in results["train"].items():
        ratio = median(a / b for a, b in zip(ranks["1"], ranks["2"], strict=True))
        one, two = (1e3 * median(ranks[n]) for n in ("1", "2"))
        lines.append(f"| {name} | {one:.3f} ms | {two:.3f} ms | {ratio:.2f} |")
    lines += ["", "| a sum over two ranks | by memory | by messages | MPI's own |", "| ---: | ---: | ---: | ---: |"]
    for length, ways in results["sum"].items():
        cells = " | ".join(f"{1e6 * median(ways[way]):.1f} us" for way in ("memory", "messages", "own"))
        lines.append(f"| {int(length):,} float32 | {cells} |")
    return "\n".join(lines)


def _launch(ranks: str, worker: str) -> dict:
    mpiexec = Path(sys.executable).parent / "mpiexec"
    command = [mpiexec, "-n", ranks, sys.executable, "-m", "benchmarks.scaling", "--worker", worker]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    answer: dict = json.loads(result.stdout.splitlines()[-1])
    return answer


def _train() -> dict[str, float] | None:
    """Seconds of a step of each workload, on the ranks that take part."""
    import fastnn as fn

    found = {}
    for name, (hiddens, batch, steps) in WORKLOADS.items():
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((batch * steps, 784), np.float32), rng.integers(0, 10, batch * steps)
        model = fn.MLP(10, hiddens, lr=0.01) if hiddens else fn.SoftmaxRegression(10, lr=0.01)
        trainer = fn.Trainer(4, num_threads=1, progress=False, seed=0, strategy="mpi", shards=2)
        history = trainer.fit(model, fn.ArrayData(X, y, batch_size=batch))
        found[name] = min(history["train_seconds"][1:]) / steps
    return found if trainer.rank == 0 else None


def _sum() -> dict[str, dict[str, float]] | None:
    """Seconds of a sum over the ranks, for each length and each way."""
    from mpi4py import MPI

    from fastnn.all_reduce import AllReduce

    comm = MPI.COMM_WORLD
    nodes = [[(rank, rank + 1)] for rank in range(comm.size)]
    by_memory, by_messages = (AllReduce(comm, nodes, comm.size, by_memory=here) for here in (True, False))
    own = AllReduce(comm, nodes, None, by_memory=False)
    found = {}
    for length in LENGTHS:
        flat = np.ones(length, np.float32)
        ways = {"memory": by_memory, "messages": by_messages, "own": own}
        found[str(length)] = {way: _seconds(comm, partial(reduce, flat)) for way, reduce in ways.items()}
    return found if comm.rank == 0 else None


def _seconds(comm, call: Callable[[], object]) -> float:
    """The median of some blocks of calls."""
    calls = 1
    blocks: list[float] = []
    for number in range(8):
        comm.Barrier()
        started = time.perf_counter()
        for _ in range(calls):
            call()
        seconds = (time.perf_counter() - started) / calls
        if number < 2:
            calls = comm.bcast(max(3, int(0.02 / seconds)))
        else:
            blocks.append(seconds)
    return statistics.median(blocks)


if __name__ == "__main__":
    main()
