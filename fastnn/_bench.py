"""`fastnn bench`: speed of kernels and of training steps on this machine, beside NumPy doing the same.

NumPy is here for orientation: it is on every machine. Comparisons with other libraries are made in benchmarks/.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

import fastnn as fn
from fastnn import kernels
from fastnn.dispatch import Array

SHAPES = ("784-10@256", "784-256-10@256", "784-256-10@32", "784-512-512-10@128", "64-64-64-10@64")

BLOCK = 0.02
"""Seconds that a block of calls lasts at least."""

ROUNDS = 5
"""Blocks, or epochs, of which the best counts: whatever else the machine does only adds to them."""


@dataclass(frozen=True)
class Shape:
    """The widths of a network from its inputs to its classes, and the batch: ``784-256-10@256``."""

    widths: tuple[int, ...]
    batch: int

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """The shape written as `text`; ValueError otherwise.

        >>> Shape.parse("784-256-10@64")
        Shape(widths=(784, 256, 10), batch=64)
        """
        try:
            widths, _, batch = text.partition("@")
            shape = cls(tuple(map(int, widths.split("-"))), int(batch))
        except ValueError:
            shape = cls((), 0)
        if len(shape.widths) < 2 or min(*shape.widths, shape.batch) < 1:
            raise ValueError(f"{text!r} is no shape: write inputs-hidden-...-classes@batch, as in 784-256-10@256")
        return shape

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.widths))}@{self.batch}"


@dataclass(frozen=True)
class Result:
    """Seconds of one call (a kernel) or one step (training), and the floating-point operations of its products."""

    kind: str
    name: str
    flops: int
    seconds: float
    numpy_seconds: float

    def row(self) -> str:
        """A line under `HEADER`."""
        speed = f"{self.flops / self.seconds / 1e9:9.1f}" if self.flops else f"{'':9}"
        micro, numpy_micro = self.seconds * 1e6, self.numpy_seconds * 1e6
        return f"{self.name:<40} {micro:10.1f} {speed} {numpy_micro:10.1f} {self.numpy_seconds / self.seconds:8.2f}x"


HEADER = f"{'':<40} {'us':>10} {'GFLOP/s':>9} {'NumPy us':>10} {'faster':>9}"


Case = tuple[str, int, Callable[[], object], Callable[[], object]]


def bench_kernels(shapes: list[Shape]) -> Iterator[Result]:
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
    for name, flops, ours, numpys in cases:
        if name not in done:
            done.add(name)
            yield Result("kernel", name, flops, *_compare(ours, numpys))


def _layer(batch: int, i: int, o: int) -> Iterator[Case]:
    """The products of a layer of `i` inputs and `o` outputs, and its update."""
    x, dx, y, dy, weight, dw = (_normal(*size) for size in [(batch, i)] * 2 + [(batch, o)] * 2 + [(o, i)] * 2)
    bias = _normal(o)
    yield (
        f"linear          ({batch}, {i}) ({o}, {i})",
        2 * batch * i * o,
        lambda: kernels.linear(x, weight, bias, out=y),
        lambda: np.add(np.matmul(x, weight.T, out=y), bias, out=y),
    )
    yield (
        f"matmul dY W     ({batch}, {o}) ({o}, {i})",
        2 * batch * i * o,
        lambda: kernels.matmul(dy, weight, out=dx),
        lambda: np.matmul(dy, weight, out=dx),
    )
    yield (
        f"matmul dY^T x   ({batch}, {o}) ({batch}, {i})",
        2 * batch * i * o,
        lambda: kernels.matmul(dy, x, transpose_a=True, out=dw),
        lambda: np.matmul(dy.T, x, out=dw),
    )
    yield (
        f"sgd_update      {o * i}",
        0,
        lambda: kernels.sgd_update(weight, dw, lr=1e-9),
        lambda: np.subtract(weight, np.float32(1e-9) * dw, out=weight),
    )


def _ends(batch: int, inputs: int, classes: int) -> Iterator[Case]:
    """The loss of a batch, and the gathering of one."""
    rng = np.random.default_rng(0)
    logits, labels = _normal(batch, classes), rng.integers(0, classes, batch)
    yield (
        f"cross_entropy   ({batch}, {classes}) with gradient",
        0,
        lambda: kernels.cross_entropy_with_grad(logits, labels),
        lambda: _numpy_cross_entropy(logits, labels),
    )
    pixels, rows = rng.integers(0, 256, (20 * batch, inputs), np.uint8), rng.permutation(20 * batch)[:batch]
    yield (
        f"gather          {batch} rows of {inputs} uint8",
        0,
        lambda: kernels.gather(pixels, rows, divisor=255.0),
        lambda: pixels[rows] / np.float32(255),
    )


def _normal(*size: int) -> Array:
    return np.random.default_rng(0).standard_normal(size, np.float32)


def bench_training(shapes: list[Shape]) -> Iterator[Result]:
    """Steps of an MLP (softmax regression without hidden layers) on shuffled batches, gathered, with SGD."""
    for shape in shapes:
        inputs, classes = shape.widths[0], shape.widths[-1]
        rng = np.random.default_rng(0)
        rows = shape.batch * max(8, min(256, 16384 // shape.batch))
        X, y = rng.standard_normal((rows, inputs), np.float32), rng.integers(0, classes, rows)
        forward = sum(2 * shape.batch * i * o for i, o in pairwise(shape.widths))
        flops = 3 * forward - 2 * shape.batch * inputs * shape.widths[1]  # no gradient of the inputs is needed
        seconds = _fastnn_step(shape, X, y)
        yield Result("training", f"step {shape}", flops, seconds, _numpy_step(shape, X, y))


def _fastnn_step(shape: Shape, X: Array, y: Array) -> float:
    hiddens, classes = list(shape.widths[1:-1]), shape.widths[-1]
    model = fn.MLP(classes, hiddens, lr=0.01) if hiddens else fn.SoftmaxRegression(classes, lr=0.01)
    data = fn.ArrayData(X, y, batch_size=shape.batch)
    history = fn.Trainer(max_epochs=1 + ROUNDS, progress=False, seed=0).fit(model, data)
    return min(history["train_seconds"][1:]) / (len(X) // shape.batch)


def _numpy_step(shape: Shape, X: Array, y: Array) -> float:
    rng = np.random.default_rng(0)
    layers = [
        (rng.standard_normal((o, i), np.float32) / np.float32(math.sqrt(i)), np.zeros(o, np.float32))
        for i, o in pairwise(shape.widths)
    ]
    lr = np.float32(0.01)

    def epoch() -> None:
        order = rng.permutation(len(X))
        for start in range(0, len(X), shape.batch):
            rows = order[start : start + shape.batch]
            activations = [X[rows]]
            for weight, bias in layers:
                h = activations[-1] @ weight.T + bias
                activations.append(h if weight is layers[-1][0] else np.maximum(h, 0))
            _, grad = _numpy_cross_entropy(activations[-1], y[rows])
            for depth in reversed(range(len(layers))):
                weight, bias = layers[depth]
                weight_grad, bias_grad = grad.T @ activations[depth], grad.sum(0)
                if depth:
                    grad = (grad @ weight) * (activations[depth] > 0)
                weight -= lr * weight_grad
                bias -= lr * bias_grad

    epoch()
    return min(_block(epoch) for _ in range(ROUNDS)) / (len(X) // shape.batch)


def _numpy_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    n = len(logits)
    shifted = logits - logits.max(1, keepdims=True)
    grad = np.exp(shifted)
    total = grad.sum(1, keepdims=True)
    grad /= total
    loss = (np.log(total[:, 0]) - shifted[np.arange(n), labels]).mean()
    grad[np.arange(n), labels] -= 1
    grad /= n
    return loss, grad


def _compare(ours: Callable[[], object], numpys: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a call of each in its best block; the two take turns."""
    blocks = [(_block(ours), _block(numpys)) for _ in range(ROUNDS)]
    return min(ours for ours, _ in blocks), min(numpys for _, numpys in blocks)


def _block(function: Callable[[], object]) -> float:
    """Seconds of a call, from as many as `BLOCK` takes."""
    calls, start = 0, time.perf_counter()
    while True:
        function()
        calls += 1
        if (seconds := time.perf_counter() - start) >= BLOCK:
            return seconds / calls
