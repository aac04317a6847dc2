"""`python -m benchmarks.gpu`: what has to be seen on a real GPU, in one go, with a short table last.

It builds fastnn with CUDA, runs the tests of tests/devices on the GPU in the place of their stand-in, trains the
published runs there, lets compute-sanitizer look over its shoulder, and times kernels and training steps beside
PyTorch, in float32 and with products in TF32 and bfloat16. A stage that fails is told and the next one runs. Needs
nvcc, pip and what fastnn is built with; nvidia-cublas for the lower precisions; PyTorch with CUDA where it is to be
compared.
"""

import argparse
import dataclasses
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .harness import ROOT, Row, Task, measure, open_workers, ratio
from .kernels import EPSILON, Case, make_cases
from .machine import commit, machine, versions
from .peers import PEERS as KNOWN
from .peers.cuda_ import Cuda
from .report import Results, rows_of, summarise
from .train import WORKLOADS, Problem, beyond_rounding, make_problem

BASE = "fastnn cuda"
PEERS = ("fastnn cuda launched", "torch cuda graphs", "torch cuda compiled", "torch cuda")
UNITS = {"tf32": 2.0**-10, "bf16": 2.0**-7}
"""By how much the precisions below float32 change a factor at most, relatively; contenders have their names too."""
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
TIMED = ("x W^T", "dY W", "dY^T x", "sgd update", "relu")
"""Kernels that are timed, by the beginnings of their names: those that read no labels, which the CPU checks."""


@dataclasses.dataclass
class Stage:
    """A command, and what came of it: "passed", or why not."""

    name: str
    command: list[str]
    needs: str | None = None  # a program
    outcome: str = "not run"
    seconds: float = 0.0

    def run(self, environment: dict[str, str], log: Path, limit: float) -> None:
        """Runs the command, its output into `log`."""
        if self.needs is not None and shutil.which(self.needs) is None:
            self.outcome = f"left out: no {self.needs}"
            return
        started = time.perf_counter()
        with log.open("w") as file:
            try:
                status = subprocess.run(
                    self.command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, timeout=limit
                ).returncode
                self.outcome = "passed" if status == 0 else f"failed with status {status}: {log}"
            except subprocess.TimeoutExpired:
                self.outcome = f"not finished in {limit:.0f} s: {log}"
        self.seconds = time.perf_counter() - started


def stages(site: Path) -> Iterator[Stage]:
    """All but the timing; `site` is where fastnn is installed to."""
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--upgrade"]
    yield Stage("build", [*pip, "-Ccmake.define.FASTNN_CUDA=ON", f"--target={site}", str(ROOT)], needs="nvcc")
    tests = [sys.executable, "-P", "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    for what in ("kernels", "tensors", "engine", "training", "precision"):
        yield Stage(what, [*tests, f"tests/devices/test_{what}.py"])
    apart = ["env", "FASTNN_CUDA_RESIDENT=0", *tests]
    yield Stage("launched", [*apart, "tests/devices/test_engine.py", "tests/devices/test_training.py"])
    verify = "import sys; from fastnn.cli import main; sys.exit(main(['verify', '--device', 'cuda']))"
    yield Stage("published runs", [sys.executable, "-P", "-c", verify])
    for tool in TOOLS:
        sanitizer = ["compute-sanitizer", f"--tool={tool}", "--error-exitcode=9", "--target-processes=all"]
        some = ["tests/devices/test_kernels.py", "tests/devices/test_engine.py", "-k", "float32 or many_steps"]
        # What stays on chip is moved there before it is written.
        alone = ["env", "FASTNN_CUDA_RESIDENT=0"] if tool == "initcheck" else []
        yield Stage(tool, [*alone, *sanitizer, *tests, *some], needs="compute-sanitizer")


def environment(site: Path) -> dict[str, str]:
    """For processes that shall find the fastnn in `site`, and test the GPU."""
    return os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT / 'tests'}", "FASTNN_TEST_DEVICE": "cuda"}


@dataclasses.dataclass
class Repeated:
    """A kernel as contenders on a GPU call it, many times over."""

    case: Case

    memory: ClassVar[int] = 0
    steps: ClassVar[int] = Cuda.REPEATS

    @property
    def name(self) -> str:
        return self.case.name

    @property
    def flops(self) -> int:
        return self.case.flops * self.steps

    @property
    def bytes(self) -> int:
        return self.case.bytes * self.steps

    def start(self, peer: Any) -> Any:
        """The results of a first call, and the repeated one."""
        return self.case.start(peer)

    def disagreement(self, result: Any) -> str | None:
        """As of the kernel itself."""
        return self.case.disagreement(result)


@dataclasses.dataclass
class Rounded:
    """A workload whose products round their factors to `precision`."""

    problem: Problem
    precision: str

    @property
    def name(self) -> str:
        return f"{self.problem.name} {self.precision}"

    @property
    def flops(self) -> int:
        return self.problem.flops

    @property
    def bytes(self) -> int:
        return self.problem.bytes

    @property
    def memory(self) -> int:
        return self.problem.memory

    @property
    def steps(self) -> int:
        return self.problem.steps

    def start(self, peer: Any) -> Any:
        """As of the workload itself."""
        return self.problem.start(peer)

    def disagreement(self, result: Any) -> str | None:
        """From losses in float64 they may differ by the rounding of factors."""
        terms, unit = self.problem.workload.terms, UNITS[self.precision]
        return beyond_rounding(result[0], self.problem.expected, terms, unit)


def rounded(case: Case, precision: str) -> Case:
    """A product whose factors are rounded: each of its k terms is off by up to 2 u + u^2 more, with u the unit."""
    unit = UNITS[precision]

    def tolerance(*arrays: Any, **scalars: Any) -> tuple[Any, ...]:
        (bound,) = case.tolerance(*arrays, **scalars)
        k = case.flops / (2 * bound.size)
        return (bound * (1 + (2 * unit + unit**2) / (k * EPSILON)),)

    return dataclasses.replace(case, name=f"{case.name} {precision}", tolerance=tolerance)


def tasks(workloads: Sequence[str]) -> Iterator[tuple[str, Task]]:
    """Training steps, then kernels: what is appended to the names of contenders ("", " tf32" ...), and the task."""
    for name in workloads:
        problem = make_problem(WORKLOADS[name])
        yield "", problem
        yield from ((f" {precision}", Rounded(problem, precision)) for precision in UNITS)
    for make in make_cases():
        case = make()
        if not case.name.startswith(TIMED):
            continue
        yield "", Repeated(case)
        if case.flops:
            yield from ((f" {precision}", Repeated(rounded(case, precision))) for precision in UNITS)


def contenders(precision: str) -> list[str]:
    """Those that make products in `precision`, "" or one of `UNITS` with a space before it."""
    return [BASE + precision, *(name + precision for name in PEERS if name + precision in KNOWN)]


def timed(workloads: Sequence[str], rounds: int) -> tuple[list[Row], dict[str, str]]:
    """Times of all tasks, each contender in its turn; and the contenders that are missing."""
    names = {precision: contenders(precision) for precision in ("", *(f" {name}" for name in UNITS))}
    workers, left_out = open_workers(list(itertools.chain(*names.values())), [1])
    rows = []
    try:
        for precision, task in tasks(workloads):
            print(f"{task.name} ...", file=sys.stderr, flush=True)
            rows.append(measure(task, [worker for worker in workers if worker.name in names[precision]], rounds))
    finally:
        for worker in workers:
            worker.close()
    return rows, left_out


def card() -> dict[str, str]:
    """What the driver and the compiler say of themselves."""
    asked = "name,driver_version,memory.total,power.limit"
    commands = {"card": ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"], "nvcc": ["nvcc", "--version"]}
    told = {}
    for name, command in commands.items():
        found = shutil.which(command[0]) is not None
        lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines() if found else []
        told[name] = lines[-1].strip() if lines else f"no {command[0]}"
    return told


def table(results: Results) -> str:
    """What came of it, short."""
    lines = [f"{results['gpu']['card']}; {results['gpu']['nvcc']}", ""]
    lines += [f"{stage['name']:<16} {stage['outcome']} ({stage['seconds']:.0f} s)" for stage in results["stages"]]
    lines += [f"{name}: left out, {why}" for name, why in results["left_out"].items()]
    rows = rows_of(results)
    if rows:
        lines += ["", f"{'':<44}{BASE:>14}" + "".join(f"{name:>22}" for name in PEERS)]
    for row in rows:
        lines += [_line(row), *(f"  (!) {who}: {note}" for who, note in row.notes.items())]
    return "\n".join(lines)


def base_of(row: Row) -> str:
    """fastnn, in the precision in which the task was measured."""
    return next(
        (BASE + rest for rest in ("", *(f" {name}" for name in UNITS)) if f"{BASE}{rest}/1" in row.seconds), BASE
    )


def _line(row: Row) -> str:
    """A task: the time of fastnn, how many times as long others take, and what was reached."""
    base = base_of(row)
    own = f"{base}/1"
    if own not in row.seconds:
        return f"{row.name:<44}not measured"
    seconds = statistics.median(row.seconds[own])
    keys = [f"{name}{base.removeprefix(BASE)}/1" for name in PEERS]
    cells = [f"{ratio(row, key, own).median:.2f}x" if key in row.seconds else "-" for key in keys]
    reached = f"{row.flops / seconds / 1e12:.2f} TFLOP/s" if row.flops else f"{row.bytes / seconds / 1e9:.0f} GB/s"
    return f"{row.name:<44}{seconds * 1e6:>11.2f} us" + "".join(f"{cell:>22}" for cell in cells) + f"  {reached}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stages and the timing; 0 where nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all results there")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu", help="logs and the build (%(default)s)")
    parser.add_argument("--only", nargs="*", metavar="STAGE", help="stages to run; `timing` is one (default: all)")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that a stage may take (%(default)s)")
    parser.add_argument("--rounds", type=int, default=11, help="turns of every contender (%(default)s)")
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS), metavar="W")
    options = parser.parse_args(arguments)
    site = options.out / "site"
    options.out.mkdir(parents=True, exist_ok=True)
    ran = []
    for stage in stages(site):
        if options.only is None or stage.name in options.only:
            print(f"{stage.name} ...", file=sys.stderr, flush=True)
            stage.run(environment(site), options.out / f"{stage.name.replace(' ', '-')}.log", options.limit)
            ran.append(stage)
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    if options.only is None or "timing" in options.only:
        os.environ["PYTHONPATH"] = str(site)  # of the workers
        rows, left_out = timed(options.workloads, options.rounds)
    results: Results = {
        "what": "gpu",
        "base": BASE,
        "gpu": card(),
        "machine": machine(),
        "versions": versions([BASE, *PEERS]),
        "commit": commit(),
        "rounds": options.rounds,
        "stages": [dataclasses.asdict(stage) for stage in ran],
        "left_out": left_out,
        "rows": [dataclasses.asdict(row) | {"summary": summarise(row, base_of(row))} for row in rows],
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    return int(any(stage.outcome.startswith(("failed", "not finished")) for stage in ran))


if __name__ == "__main__":
    sys.exit(main())
