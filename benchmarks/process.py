"""Whole processes: importing a library, softmax regression from start to exit, and sizes on the disk."""

import importlib.metadata
import os
import pickle
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .harness import PACKAGE, Failed, Row, library_environment, python_command, quartiles
from .peers.numpy_ import NumpyTraining
from .train import WORKLOADS, Problem, beyond_rounding, make_problem

if TYPE_CHECKING:
    from .peers import Array

EPOCHS = 10
MODULES = {"sklearn": "sklearn.neural_network"}
"""What a contender imports where it is not called like that."""

DISTRIBUTIONS = {"jax": ("jax", "jaxlib"), "sklearn": ("scikit-learn",)}
"""What a contender brings to the disk besides NumPy and SciPy, where it is not called like that."""


@dataclass(frozen=True)
class Run:
    """A process for each contender that runs its code and may print a loss."""

    name: str
    codes: dict[str, str]
    check: Callable[[float], str | None] | None = None

    flops: ClassVar[int] = 0
    bytes: ClassVar[int] = 0
    memory: ClassVar[int] = 0
    steps: ClassVar[int] = 1

    def disagreement(self, result: "tuple[Array, ...]") -> str | None:
        return self.check(float(result[0])) if self.check else None


@dataclass
class Command:
    """A contender that is started anew for every call."""

    name: str
    threads: int
    _arguments: list[str] = field(default_factory=list)

    def load(self, task: Any) -> "tuple[Array, ...] | None":
        if self.name not in task.codes:
            raise Failed("does not take part")
        self._arguments = python_command(task.codes[self.name])
        printed = self._start()
        return (np.array(float(printed)),) if printed else None

    def run(self, calls: int) -> tuple[float, float]:
        before, start = os.times(), time.perf_counter()
        for _ in range(calls):
            self._start()
        wall, after = time.perf_counter() - start, os.times()
        return wall, sum(after[2:4]) - sum(before[2:4])

    def _start(self) -> str:
        environment = os.environ | library_environment(self.threads)
        done = subprocess.run(self._arguments, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(done.stderr.strip().splitlines()[-1])
        return done.stdout.strip()


def imports(names: list[str]) -> Run:
    return Run("import", {name: f"import {MODULES.get(name, name)}" for name in names})


def softmax_regression(names: list[str], threads: int, folder: Path, problem: Problem | None = None) -> Run:
    """Softmax regression (W2), ten epochs, validation left out; the losses of the last epoch are compared."""
    problem = make_problem(WORKLOADS["W2"]) if problem is None else problem
    path = folder / "problem.pickle"
    path.write_bytes(pickle.dumps(problem, protocol=5))

    training = NumpyTraining(problem, "float64")
    for epoch in range(EPOCHS):
        losses = training.epoch(problem.shuffled(epoch))
    terms = EPOCHS * problem.steps * problem.workload.terms  # the roundings of all steps add up in the weights

    def check(loss: float) -> str | None:
        return beyond_rounding(np.array(loss), losses.mean(), terms)

    codes = {
        name: f"from {PACKAGE}.worker import train_file; train_file({name!r}, {threads}, {str(path)!r}, {EPOCHS})"
        for name in names
    }
    return Run(f"softmax regression, {EPOCHS} epochs, {problem.source}", codes, check)


def beyond(row: Row, name: str, other: str, threads: int) -> list[str]:
    """How much longer one contender takes than another, in a sentence; none where one of them did not run."""
    first, second = (row.seconds.get(f"{contender}/{threads}", []) for contender in (name, other))
    if not (first and second):
        return []
    more = quartiles([1000 * (a - b) for a, b in zip(first, second, strict=True)])
    return [f"{row.name}: {name} takes {more.median:.0f} ms ({more.low:.0f} to {more.high:.0f}) beyond {other}."]


def installed_megabytes(name: str) -> float | None:
    """What the distributions of a contender take on the disk; None where one is not installed."""
    size = 0
    for distribution in DISTRIBUTIONS.get(name, (name,)):
        try:
            files = importlib.metadata.files(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        size += sum(path.stat().st_size for path in (Path(str(file.locate())) for file in files) if path.exists())
    return size / 1e6
