"""`fastnn bench kernels`: speed of kernels on this machine, beside other libraries doing the same.

For orientation, in one process. Comparisons that bear quoting, each library in a process of its own and its results
checked, are made in benchmarks/.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn.dispatch import Array

from .peers import Kernel, kernels_of

SHAPES = ("784-10@256", "784-256-10@256", "784-256-10@32", "784-512-512-10@128", "64-64-64-10@64")

BLOCK = 0.02
"""Seconds that a block of calls lasts at least."""

SETTLE = 0.03
"""Seconds before a block, in which the threads of the library before stop spinning."""

ROUNDS = 5
"""Blocks of which the best counts: whatever else the machine does only adds to them."""


@dataclass(frozen=True)
class Shape:
    """The widths of a network from its inputs to its classes, and the batch: ``784-256-10@256``.

    Or batch x inputs x ... x classes: ``256x784x10``.
    """

    widths: tuple[int, ...]
    batch: int

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """The shape written as `text`; ValueError otherwise.

        >>> Shape.parse("784-256-10@64")
        Shape(widths=(784, 256, 10), batch=64)
        >>> print(Shape.parse("64x784x10"))
        784-10@64
        """
        try:
            widths, _, batch = text.partition("@")
            sides = text.split("x") if "x" in text else [batch, *widths.split("-")]
            shape = cls(tuple(map(int, sides[1:])), int(sides[0]))
        except ValueError:
            shape = cls((), 0)
        if len(shape.widths) < 2 or min(*shape.widths, shape.batch) < 1:
            raise ValueError(f"{text!r} is no shape: write 784-256-10@256 or 256x784x256")
        return shape

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.widths))}@{self.batch}"


@dataclass(frozen=True)
class Result:
    """Seconds of one call of a kernel, and the floating-point operations of its products."""

    name: str
    flops: int
    seconds: float
    peers: dict[str, float]
    """Seconds of other libraries."""
    way: str = ""
    """How a product goes about its shape (`fastnn.kernels.explain_product`)."""

    def row(self) -> str:
        """A line under `header`."""
        speed = f"{self.flops / self.seconds / 1e9:9.1f}" if self.flops else f"{'':9}"
        versus = [f"{seconds * 1e6:10.1f} {seconds / self.seconds:8.2f}x" for seconds in self.peers.values()]
        return " ".join([f"{self.name:<36} {self.seconds * 1e6:10.1f}", speed, *versus, f" {self.way}"]).rstrip()


def header(peers: Sequence[str]) -> str:
    """The names of a table's columns."""
    return " ".join([f"{'':<36} {'us':>10} {'GFLOP/s':>9}", *(f"{f'{peer} us':>10} {'faster':>9}" for peer in peers)])


def installed(peers: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Those that can be timed, and why others cannot.

    >>> installed(["numpy", "abacus"])
    (['numpy'], {'abacus': "No module named 'fastnn._bench.abacus_'"})
    """
    found, missing = [], {}
    for peer in peers:
        try:
            kernels_of(peer)
            found.append(peer)
        except ImportError as error:
            missing[peer] = str(error)
    return found, missing


@dataclass(frozen=True)
class Case:
    """A kernel on arrays; every library calls it on copies of its own."""

    name: str
    kernel: str
    arrays: tuple[Array, ...]
    scalars: dict[str, Any]
    flops: int = 0

    def start(self, library: str) -> Kernel:
        return kernels_of(library)[self.kernel](*(array.copy() for array in self.arrays), **self.scalars)

    @property
    def way(self) -> str:
        """What a product chose for its shape."""
        if self.kernel == "linear":
            return kernels.explain_product(*self.arrays, transpose_b=True, linear=True)
        return kernels.explain_product(*self.arrays, **self.scalars) if self.kernel == "matmul" else ""


def bench_kernels(shapes: Sequence[Shape], against: Sequence[str]) -> Iterator[Result]:
    """The products of every layer, forward and backward, and what surrounds them; each size once."""
    cases = (
        case
        for shape in shapes
        for part in (
            *(_layer(shape.batch, i, o) for i, o in pairwise(shape.widths)),
            _ends(shape.batch, shape.widths[0], shape.widths[-1]),
        )
        for case in part
    )
    done = set()
    for case in cases:
        if case.name not in done:
            done.add(case.name)
            seconds = _compare({library: case.start(library) for library in ("fastnn", *against)})
            yield Result(case.name, case.flops, seconds.pop("fastnn"), seconds, case.way)


def _layer(batch: int, i: int, o: int) -> Iterator[Case]:
    """The products of a layer of `i` inputs and `o` outputs, and its update."""
    x, y_grad, weight, weight_grad = (_normal(*size) for size in ((batch, i), (batch, o), (o, i), (o, i)))
    flops = 2 * batch * i * o
    yield Case(f"x W^T {batch}x{i}x{o}", "linear", (x, weight), {}, flops)
    yield Case(f"dY W {batch}x{i}x{o}", "matmul", (y_grad, weight), {}, flops)
    yield Case(f"dY^T x {batch}x{i}x{o}", "matmul", (y_grad, x), {"transpose_a": True}, flops)
    momentum = {"lr": 1e-9, "momentum": 0.9}
    yield Case(f"sgd_update {o * i}", "sgd_update", (weight, weight_grad, np.zeros_like(weight)), momentum)


def _ends(batch: int, inputs: int, classes: int) -> Iterator[Case]:
    """The loss of a batch, and the gathering of one."""
    rng = np.random.default_rng(0)
    logits, labels = _normal(batch, classes), rng.integers(0, classes, batch)
    yield Case(f"cross_entropy {batch}x{classes} with gradient", "cross_entropy_with_grad", (logits, labels), {})
    pixels, rows = rng.integers(0, 256, (20 * batch, inputs), np.uint8), rng.permutation(20 * batch)[:batch]
    yield Case(f"gather {batch} rows of {inputs} uint8", "gather", (pixels, rows), {"divisor": 255.0})


def _normal(*size: int) -> Array:
    return np.random.default_rng(0).standard_normal(size, np.float32)


def _compare(calls: dict[str, Kernel]) -> dict[str, float]:
    """Seconds of a call of each library in its best block; they take turns."""
    blocks = [{library: _block(call) for library, call in calls.items()} for _ in range(ROUNDS)]
    return {library: min(block[library] for block in blocks) for library in calls}


def _block(function: Callable[[], object]) -> float:
    """Seconds of a call, from as many as `BLOCK` takes."""
    time.sleep(SETTLE)
    calls, start = 0, time.perf_counter()
    while True:
        function()
        calls += 1
        if (seconds := time.perf_counter() - start) >= BLOCK:
            return seconds / calls
