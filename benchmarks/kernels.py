"""Single kernels on the shapes of training: products, softmax with cross-entropy, update, activation, gather."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from .peers import Array, Peer

# batch x inputs x outputs: a hidden layer, two large squares, the ten columns of a classifier, small ones.
SHAPES = (
    "256x784x256",
    "1024x1024x1024",
    "512x512x512",
    "256x784x10",
    "256x256x256",
    "128x128x128",
    "64x64x64",
    "32x32x32",
)

# Sides of square products, for the rate over the size.
SIDES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)

EPSILON = 2.0**-23


@dataclass(frozen=True)
class Case:
    """A kernel of fastnn.reference on arrays; `bytes` must at least be read and written, on `memory` of them."""

    name: str
    kernel: str
    arrays: "tuple[Array, ...]"
    flops: int
    bytes: int
    tolerance: "Callable[..., tuple[Any, ...]]"
    scalars: dict[str, Any] = field(default_factory=dict)

    steps: ClassVar[int] = 1

    @property
    def memory(self) -> int:
        return sum(array.nbytes for array in self.arrays) if self.kernel == "sgd_update" else self.bytes

    def start(self, peer: "Peer") -> "tuple[tuple[Array, ...], Callable[[], Any]]":
        """The results of a first call, copied, and the call, which may work in place on arrays of its own."""
        call = peer.kernel(self.kernel, tuple(array.copy() for array in self.arrays), self.scalars)
        return tuple(np.array(result) for result in call()), call

    def disagreement(self, result: "tuple[Array, ...]") -> str | None:
        """What is wrong beyond rounding, against NumPy in float64."""
        from .peers.numpy_ import Numpy

        wide = tuple(a.astype(np.float64) if a.dtype == np.float32 else a for a in self.arrays)
        expected = Numpy(1).kernel(self.kernel, wide, self.scalars)()
        allowed = self.tolerance(*self.arrays, **self.scalars)
        for got, want, bound in zip(result, expected, allowed, strict=True):
            excess = float(np.max(np.abs(got - want) / bound))
            if not excess <= 1:
                return f"results differ by {excess:.1e} times what rounding allows"
        return None


def make_cases(shapes: tuple[str, ...] = SHAPES) -> list[Callable[[], Case]]:
    """The cases as functions, so that the arrays of one case are in memory at a time."""
    products = [lambda shape=shape, which=which: _product(shape, which) for shape in shapes for which in PRODUCTS]
    return [
        *products,
        lambda: _cross_entropy(65536, 10),
        lambda: _cross_entropy(256, 32000),
        lambda: _sgd_update(1 << 20),
        lambda: _relu(1 << 20),
        lambda: _gather(60000, 784, 8192),
    ]


def make_squares(sides: tuple[int, ...] = SIDES) -> list[Callable[[], Case]]:
    """The forward product of layers with as many rows as inputs and outputs."""
    return [lambda side=side: _product(f"{side}x{side}x{side}", "x W^T") for side in sides]


PRODUCTS = ("x W^T", "dY W", "dY^T x")


def _product(shape: str, which: str) -> Case:
    """One of the three products of a linear layer: forward, gradient of its input, gradient of its weight."""
    batch, inputs, outputs = map(int, shape.split("x"))
    rng = np.random.default_rng(0)
    x, weight, grad = (
        rng.standard_normal(sides, np.float32) for sides in ((batch, inputs), (outputs, inputs), (batch, outputs))
    )
    flops, traffic = 2 * batch * inputs * outputs, 4 * (x.size + weight.size + grad.size)
    name = f"{which} {shape}"
    if which == "x W^T":
        return Case(name, "linear", (x, weight), flops, traffic, _linear_rounding)
    arrays, scalars = {"dY W": ((grad, weight), {}), "dY^T x": ((grad, x), {"transpose_a": True})}[which]
    return Case(name, "matmul", arrays, flops, traffic, _product_rounding, scalars)


def _linear_rounding(x: "Array", weight: "Array") -> tuple[Any, ...]:
    return _product_rounding(x, weight.T)


def _product_rounding(a: "Array", b: "Array", transpose_a: bool = False) -> tuple[Any, ...]:
    """An inner product of k terms is off by at most k EPSILON times the sum of their magnitudes."""
    a = np.abs(a.T if transpose_a else a)
    return (a.shape[1] * EPSILON * (a @ np.abs(b)),)


def _cross_entropy(rows: int, classes: int) -> Case:
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((rows, classes), np.float32)
    target = rng.integers(0, classes, rows)
    name = f"softmax + cross-entropy with gradient {rows}x{classes}"
    traffic = 2 * logits.nbytes + target.nbytes
    return Case(name, "cross_entropy_with_grad", (logits, target), 0, traffic, _cross_entropy_rounding)


def _cross_entropy_rounding(logits: "Array", target: "Array") -> tuple[Any, ...]:
    """exp is off by its argument's rounding and 2 units, the sum over classes by one unit a term, as is the mean."""
    n, classes = logits.shape
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    p = np.exp(shifted)
    p /= p.sum(1, keepdims=True)
    grad = p * (classes + 4 - shifted) * EPSILON
    grad[np.arange(n), target] += EPSILON
    return (n + classes) * EPSILON * (1 - shifted.min()), grad / n


def _sgd_update(size: int) -> Case:
    rng = np.random.default_rng(0)
    arrays = tuple(rng.standard_normal((3, size), np.float32))
    scalars = {"lr": 1e-3, "momentum": 0.9}
    return Case(f"sgd update with momentum, {size}", "sgd_update", arrays, 0, 5 * 4 * size, _sgd_rounding, scalars)


def _sgd_rounding(param: "Array", grad: "Array", velocity: "Array", lr: float, momentum: float) -> tuple[Any, ...]:
    """Each of the four operations rounds once, and the constants once."""
    moved = np.abs(velocity) + np.abs(grad)
    return 4 * EPSILON * (np.abs(param) + moved), 4 * EPSILON * moved


def _relu(size: int) -> Case:
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    return Case(f"relu, {size}", "relu", (x,), 0, 2 * x.nbytes, _exact)


def _exact(x: "Array") -> tuple[Any, ...]:
    return (np.finfo(x.dtype).tiny,)


def _gather(rows: int, columns: int, count: int) -> Case:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (rows, columns), np.uint8)
    indices = rng.permutation(rows)[:count]
    traffic = count * (columns * (1 + 4) + 8)
    name = f"gather of uint8 as float32, {count} of {rows}x{columns}"
    return Case(name, "gather", (data, indices), 0, traffic, _gather_rounding, {"divisor": 255.0})


def _gather_rounding(data: "Array", indices: "Array", divisor: float) -> tuple[Any, ...]:
    return (2 * EPSILON * 255 / divisor,)
