"""Contenders take turns: their results are compared, then timed round by round, and their times become ratios.

A contender is a library at a number of threads, in a process of its own, or the machine's limit at it.
"""

import contextlib
import os
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .peers import Array

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = __package__  # "benchmarks" in a checkout, "fastnn.benchmarks" where it is installed
LIMIT = "limit"

SETTLE = 0.05
"""Seconds between blocks: thread pools go on spinning after their last call, OpenBLAS for up to 2**26 cycles."""

BLOCK = 0.1
"""Seconds that a block of calls lasts at least, so that caches filled by another contender do not count."""


class Failed(Exception):
    """A contender cannot do what it was asked; the message goes into the report."""


class Task(Protocol):
    """What is measured: kernels.Case, train.Problem or process.Run. `flops` and `bytes` are those of one call.

    `bytes` must at least be read and written, and lie on `memory` different bytes.
    """

    @property
    def name(self) -> str: ...
    @property
    def flops(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def memory(self) -> int: ...
    @property
    def steps(self) -> int:
        """How many steps a call makes; times are quoted for one."""

    def disagreement(self, result: "tuple[Array, ...]") -> str | None:
        """What is wrong with a contender's results beyond rounding."""


class Contender(Protocol):
    name: str
    threads: int

    def load(self, task: Task) -> "tuple[Array, ...] | None":
        """Prepares a task; its results, or None where there is nothing to compare. May raise `Failed`."""

    def run(self, calls: int) -> tuple[float, float]:
        """Seconds on the clock, and of processors, for a number of calls."""


@dataclass
class Row:
    """What was measured of one task; `seconds` per step, one for each round, by contender ("torch/2")."""

    name: str
    flops: float
    bytes: float
    seconds: dict[str, list[float]] = field(default_factory=dict)
    processors: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def key(contender: Contender) -> str:
    return f"{contender.name}/{contender.threads}"


def measure(
    task: Task,
    contenders: Iterable[Contender],
    rounds: int,
    block: float = BLOCK,
    pause: Callable[[float], None] = time.sleep,
) -> Row:
    """Loads a task into every contender, compares the results, then times A B C A B C ..., a block each.

    A contender whose results differ is timed all the same and the row says so; one that fails is left out by name.
    """
    row = Row(task.name, task.flops / task.steps, task.bytes / task.steps)
    ready: list[tuple[Contender, int]] = []
    for contender in contenders:
        try:
            result = contender.load(task)
            ready.append((contender, calibrate(contender, block)))
        except Failed as failure:
            row.notes[key(contender)] = str(failure)
            continue
        if result is not None and (difference := task.disagreement(result)):
            row.notes[key(contender)] = difference
    processors: dict[str, list[float]] = {}
    for _ in range(rounds):
        for contender, calls in ready:
            pause(SETTLE)
            wall, cpu = contender.run(calls)
            row.seconds.setdefault(key(contender), []).append(wall / calls / task.steps)
            processors.setdefault(key(contender), []).append(cpu / wall)
    row.processors = {name: statistics.median(used) for name, used in processors.items()}
    return row


def calibrate(contender: Contender, block: float) -> int:
    """How many calls last for `block` seconds, found by growing; the first ones warm up."""
    calls = 1
    while True:
        wall, _ = contender.run(calls)
        if wall >= block:
            return calls
        calls = int(calls * min(100.0, max(2.0, 1.2 * block / wall)))


class Worker:
    """A contender in a process of its own, so that thread pools and allocators do not meet."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self._process = subprocess.Popen(
            python_command(f"from {PACKAGE}.worker import main; main({name!r}, {threads})"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | library_environment(threads),
        )

    def opened(self) -> None:
        """Waits until the library is imported; raises `Failed` where it cannot be."""
        self._answer()

    def load(self, task: Task) -> "tuple[Array, ...] | None":
        result: tuple[Array, ...] | None = self._ask("load", task)
        return result

    def run(self, calls: int) -> tuple[float, float]:
        seconds: tuple[float, float] = self._ask("run", calls)
        return seconds

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # what a process that has ended was still to be told
                pipe.close()
        self._process.wait()

    def _ask(self, method: str, argument: Any) -> Any:
        assert self._process.stdin is not None
        try:
            pickle.dump((method, argument), self._process.stdin, protocol=5)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed("its process has ended") from None
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        try:
            succeeded, value = pickle.load(self._process.stdout)
        except EOFError:
            raise Failed(f"its process ended with status {self._process.wait()}") from None
        if not succeeded:
            raise Failed(value)
        return value


def python_command(code: str) -> list[str]:
    """A Python that finds this package; in a checkout an installed fastnn comes before the one there, which is not
    compiled.
    """
    path = f"import sys; sys.path.append({str(ROOT)!r}); " if PACKAGE == "benchmarks" else ""
    return [sys.executable, "-P", "-c", path + code]


def library_environment(threads: int) -> dict[str, str]:
    """What libraries read when they are loaded: threads for BLAS and OpenMP, and JAX shall leave a GPU alone."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return dict.fromkeys(names, str(threads)) | {"JAX_PLATFORMS": "cpu"}


def open_workers(names: Sequence[str], threads: Sequence[int]) -> tuple[list[Worker], dict[str, str]]:
    """A worker for every library and thread count, and the libraries left out, with the reason."""
    workers, opened, left_out = [Worker(name, count) for name in names for count in threads], [], {}
    for worker in workers:
        try:
            worker.opened()
            opened.append(worker)
        except Failed as failure:
            left_out[worker.name] = str(failure)
            worker.close()
    return opened, left_out


# ---- what a row says ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quartiles:
    low: float
    median: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low, median, high)


def best(row: Row, name: str) -> str | None:
    """The key of a library at its best thread count, by the median."""
    keys = [k for k in row.seconds if k.rpartition("/")[0] == name]
    return min(keys, key=lambda k: statistics.median(row.seconds[k]), default=None)


def ratio(row: Row, slower: str, faster: str) -> Quartiles:
    """Of the times of two contenders, round by round."""
    return quartiles([a / b for a, b in zip(row.seconds[slower], row.seconds[faster], strict=True)])


def share_of_limit(row: Row, contender: str) -> Quartiles | None:
    """The time that the machine's limit takes at the same number of threads, divided by the contender's."""
    limit = f"{LIMIT}/{contender.rpartition('/')[2]}"
    return ratio(row, limit, contender) if limit in row.seconds else None
