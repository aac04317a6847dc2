"""How far a kernel may be from the exact result: bounds derived from the rounding of each operation.

A bound takes the call in wider arithmetic (`Exact`) and gives, per result, the largest absolute error of each element.
Notation of Higham, Accuracy and Stability of Numerical Algorithms, chapter 3: u is the unit roundoff, and k roundings
in a row lose at most gamma(k) = k u / (1 - k u), relative to the sum of magnitudes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import reference
from kernels.sampling import Array

# The dtype that stands for exact. Where long double is no wider than double (Windows, ARM Macs), the reference rounds
# as the kernel may, and the bound doubles.
WIDE = {"float32": np.dtype(np.float64), "float64": np.dtype(np.longdouble)}
SLACK = 1 if np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant else 2


@dataclass
class Exact:
    """A call in wide arithmetic: operands, scalars and results."""

    dtype: str
    arrays: dict[str, Array]
    scalars: dict[str, Any]
    results: tuple[Array, ...]

    def __getitem__(self, operand: str) -> Array:
        return self.arrays[operand]

    @property
    def u(self) -> float:
        return SLACK * float(np.finfo(self.dtype).eps) / 2

    @property
    def tiny(self) -> float:
        return float(np.finfo(self.dtype).smallest_subnormal)

    def gamma(self, roundings: float) -> float:
        return roundings * self.u / (1 - roundings * self.u)

    def accumulated(self, roundings: float, norm: Array) -> Array:
        """Error of sums whose terms' magnitudes add up to `norm`: none where all is integer and small."""
        whole = all(np.array_equal(x, np.trunc(x)) for x in self.arrays.values())
        exact = norm * self.u < 1 if whole else np.zeros_like(norm, bool)
        return np.where(exact, 0, self.gamma(roundings) * norm + roundings * self.tiny)

    def ulps(self, count: float) -> Array:
        """`count` units in the last place of the first result."""
        below_largest = np.nextafter(np.finfo(self.dtype).max, 0, dtype=self.dtype)
        near = np.minimum(np.abs(self.results[0]), below_largest).astype(self.dtype)
        return SLACK * count * np.spacing(near).astype(WIDE[self.dtype])


Bound = Callable[[Exact], tuple[Array, ...]]


def depth(n: int) -> int:
    """Additions in a row in the sum of a row of n elements: 16 lanes and 4 folds, of blocks of 4096, then of blocks."""
    return math.ceil(min(n, 4096) / 16) + 4 + (depth(math.ceil(n / 4096)) if n > 4096 else 0)


def depth_across(n: int) -> int:
    """The same along another axis than the last: chunks of 256 in order, and the chunks."""
    return min(n, 256) + math.ceil(n / 256)


def ulp(count: float) -> Bound:
    return lambda e: (e.ulps(count),)


def relative(roundings: float) -> Bound:
    """Every result after so many roundings without cancellation."""
    return lambda e: tuple(e.gamma(roundings) * np.abs(r) + roundings * e.tiny for r in e.results)


# ---- products -------------------------------------------------------------------------------------------------


def matmul(e: Exact) -> tuple[Array, ...]:
    a = e["a"].T if e.scalars.get("transpose_a") else e["a"]
    b = e["b"].T if e.scalars.get("transpose_b") else e["b"]
    norm = abs(e.scalars.get("alpha", 1.0)) * (np.abs(a) @ np.abs(b))
    if "out" in e.arrays:
        norm = norm + np.abs(e.scalars["beta"] * e["out"])
    # k products, alpha rounded and applied, beta likewise, the sum of both.
    whole = e.scalars.get("alpha", 1.0) == 1.0 and "out" not in e.arrays
    error = e.accumulated(a.shape[1], norm) if whole else e.gamma(a.shape[1] + 5) * norm + 5 * e.tiny
    if "y" in e.arrays:  # the derivative is at most 1, and known to a few roundings of 1
        error = error + e.gamma(5) * norm + 5 * e.tiny
    return (error,) * len(e.results)


def linear(e: Exact) -> tuple[Array, ...]:
    norm = np.abs(e["x"]) @ np.abs(e["weight"]).T + (np.abs(e["bias"]) if "bias" in e.arrays else 0)
    before = e.accumulated(e["x"].shape[1] + 1, norm)
    activation = e.scalars.get("activation")
    if activation in (None, "relu"):
        return (before,)
    slope = {"sigmoid": 0.25, "tanh": 1.0, "gelu": 1.13}[activation]
    z = e["x"] @ e["weight"].T + e.arrays.get("bias", 0)
    inner = Exact(e.dtype, {"x": z}, {}, e.results)
    return (slope * before + {"sigmoid": sigmoid, "tanh": tanh, "gelu": gelu}[activation](inner)[0],)


# ---- activations ----------------------------------------------------------------------------------------------


def sigmoid(e: Exact) -> tuple[Array, ...]:
    return (e.ulps(3),)


def tanh(e: Exact) -> tuple[Array, ...]:
    return (e.ulps(3),)


def gelu(e: Exact) -> tuple[Array, ...]:
    """Phi within 4 u of 1, times x."""
    return (e.gamma(8) * np.abs(e.results[0]) + 4 * e.u * np.abs(e["x"]) + 4 * e.tiny,)


def tanh_backward(e: Exact) -> tuple[Array, ...]:
    return (np.abs(e["grad"]) * e.gamma(3) * (1 + e["y"] ** 2) + 3 * e.tiny,)


def gelu_backward(e: Exact) -> tuple[Array, ...]:
    """Phi within 4 u; the density loses 4 roundings and, by its rounded exponent, x**2."""
    x, grad = np.abs(e["x"]), np.abs(e["grad"])
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (grad * e.u * (8 + x * density * (8 + x * x)) + 8 * e.tiny,)


# ---- reductions and softmax -----------------------------------------------------------------------------------


def reduction(e: Exact) -> tuple[Array, ...]:
    x, axis = e["x"], e.scalars.get("axis")
    norm = np.sum(np.abs(x), axis=axis, keepdims=e.scalars.get("keepdims", False))
    n = x.size // max(norm.size, 1)
    last = range(x.ndim) if axis is None else sorted(a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis))
    across = bool(last) and math.prod(x.shape[last[-1] + 1 :]) > 1
    return (e.accumulated(max(depth(n), depth_across(n)) if across else depth(n), norm),)


def mean(e: Exact) -> tuple[Array, ...]:
    n = e["x"].size // max(e.results[0].size, 1)
    return (reduction(e)[0] / n + e.gamma(1) * np.abs(e.results[0]) + e.tiny,)


def _shifted(x: Array, axis: int) -> Array:
    return np.abs(x - np.max(x, axis=axis, keepdims=True))


def _long_sum(n: int) -> int:
    """The additions in a row beyond the 8 that the figures for softmax have room for, up to 64 classes."""
    return max(depth(n) - 8, 0)


def softmax(e: Exact) -> tuple[Array, ...]:
    """Relative (4 + |x - max|) 2**-23 in float32, and what a long sum adds."""
    axis = e.scalars["axis"]
    error = e.u * (8 + 2 * _shifted(e["x"], axis) + _long_sum(e["x"].shape[axis]))
    return (error * e.results[0] + e.tiny,)


def softmax_backward(e: Exact) -> tuple[Array, ...]:
    axis, y, grad = e.scalars["axis"], np.abs(e["y"]), np.abs(e["grad"])
    dot = np.sum(grad * y, axis=axis, keepdims=True)
    return (e.gamma(depth(y.shape[axis]) + 3) * y * (grad + dot) + 3 * e.tiny,)


def log_softmax(e: Exact) -> tuple[Array, ...]:
    """The shift and the difference round; the logarithm's 2 ULP, and 8 u relative of its argument."""
    axis = e.scalars["axis"]
    shifted = _shifted(e["x"], axis)
    log_sum = np.abs(e.results[0] + shifted)
    return (e.u * (8 + 2 * shifted + 6 * log_sum + _long_sum(e["x"].shape[axis])),)


def log_softmax_backward(e: Exact) -> tuple[Array, ...]:
    axis = e.scalars["axis"]
    total = np.sum(np.abs(e["grad"]), axis=axis, keepdims=True)
    n = e["y"].shape[axis]
    return (e.gamma(depth(n) + 7) * np.exp(e["y"]) * total + 2 * e.u * np.abs(e["grad"]) + 8 * e.tiny,)


# ---- losses ---------------------------------------------------------------------------------------------------


def cross_entropy(e: Exact) -> tuple[Array, ...]:
    """Per class: weighted target times ``log(sum) - shifted``, both at least 0, so that nothing cancels.

    Of the gradient: probability minus target within 4 * 2**-23 (float32), scaled by the target's weight.
    """
    logits, target = e["logits"], e["target"]
    n, classes = logits.shape
    weight = e.arrays.get("weight", np.ones(classes))
    smoothing, ignored = e.scalars.get("label_smoothing", 0.0), e.scalars.get("ignore_index", -100)
    keep = target != ignored if target.ndim == 1 else np.ones(n, bool)
    q = np.zeros((n, classes), logits.dtype)
    q[...] = target if target.ndim == 2 else reference.one_hot(np.where(keep, target, 0), classes, dtype="float64")
    wq = ((1 - smoothing) * q + smoothing / classes) * weight * keep[:, None]
    shifted = _shifted(logits, 1)
    log_sum = np.log(np.sum(np.exp(-shifted), 1, keepdims=True))
    magnitude = np.sum(wq * (log_sum + shifted), 1)
    long_sum = _long_sum(classes)
    loss = e.u * (np.sum(wq * (8 + long_sum + 4 * log_sum + 2 * shifted), 1) + (depth(classes) + 6) * magnitude)
    total, p = wq.sum(1, keepdims=True), np.exp(-shifted - log_sum)
    grad = e.u * (8 * np.maximum(total, wq) + long_sum * p * total + 4 * wq)
    if smoothing or "weight" in e.arrays or target.ndim == 2:  # the target's own rounding, and that of its sum
        grad = grad + e.gamma(depth(classes) + 6) * (p * total + wq)
    reduction = e.scalars.get("reduction", "mean")
    if reduction == "none":
        return (loss, grad)[: len(e.results)]
    scale = 1.0
    if reduction == "mean":
        scale = 1 / float(np.sum((q * weight).sum(1)[keep]) if target.ndim == 1 else n)
    loss = scale * (loss.sum() + e.gamma(2 * depth(n) + 4) * magnitude.sum())
    grad = scale * grad + e.gamma(depth(n) + 4) * np.abs(e.results[-1])
    return (loss, grad)[: len(e.results)]


def squared_error(e: Exact) -> tuple[Array, ...]:
    n = 1 if e.scalars.get("reduction") == "none" else max(e["target"].size, 1)
    extra = 4 if n == 1 else depth(n) + 5
    return tuple(e.gamma(extra if i == 0 else 5) * np.abs(r) + 5 * e.tiny for i, r in enumerate(e.results))


# ---- updates --------------------------------------------------------------------------------------------------


def sgd(e: Exact) -> tuple[Array, ...]:
    """Roundings counted along the longest path to the parameter: 5 to the velocity, 4 more, and the scalars' own."""
    lr, momentum, dampening, decay = (e.scalars.get(k, 0.0) for k in ("lr", "momentum", "dampening", "weight_decay"))
    g = np.abs(e["grad"]) + abs(decay) * np.abs(e["param"])
    velocity = abs(momentum) * np.abs(e["velocity"]) + abs(1 - dampening) * g if "velocity" in e.arrays else g
    step = g + (1 + abs(momentum)) * velocity
    bounds = {"param": e.gamma(14) * (abs(lr) * step) + 2 * e.u * np.abs(e["param"]), "velocity": e.gamma(8) * velocity}
    return tuple(bounds[name] + 14 * e.tiny for name in ("param", "velocity") if name in e.arrays)


def matmul_sgd(e: Exact) -> tuple[Array, ...]:
    """The update's own error, for a gradient as large as its terms together, and what it makes of the gradient's."""
    a = e["a"].T if e.scalars["transpose_a"] else e["a"]
    b = e["b"].T if e.scalars["transpose_b"] else e["b"]
    norm = np.abs(a) @ np.abs(b)
    own = sgd(Exact(e.dtype, e.arrays | {"grad": norm}, e.scalars, e.results))
    through = e.accumulated(a.shape[1], norm)
    factors = (abs(e.scalars["lr"]) * (1 + abs(e.scalars.get("momentum", 0.0))), 1.0)
    return tuple(bound + 2 * factor * through for bound, factor in zip(own, factors, strict=False))


def adam(e: Exact) -> tuple[Array, ...]:
    s, beta1, beta2 = e.scalars, e.scalars["beta1"], e.scalars["beta2"]
    decay = 0.0 if s["decoupled"] else s["weight_decay"]
    g = np.abs(e["grad"]) + abs(decay) * np.abs(e["param"])
    average = e.gamma(8) * (beta1 * np.abs(e["exp_avg"]) + (1 - beta1) * g) + 8 * e.tiny
    square = e.gamma(12) * (beta2 * e["exp_avg_sq"] + (1 - beta2) * g * g) + 12 * e.tiny
    _, m, v = e.results
    root, scale = np.sqrt(v), math.sqrt(s["correction2"])
    denominator = root / scale + s["eps"]
    loss = np.maximum(np.sqrt(v + square) - root, root - np.sqrt(np.maximum(v - square, 0))) / scale
    loss = loss + e.gamma(8) * denominator
    least = np.maximum(denominator - loss, 0)
    quotient = average / least + np.abs(m) * loss / (denominator * least)
    step = abs(s["lr"] / s["correction1"]) * (quotient + e.gamma(6) * np.abs(m) / denominator)
    return step + 6 * e.u * np.abs(e["param"]), average, square


# ---- random numbers -------------------------------------------------------------------------------------------


def normal(e: Exact) -> tuple[Array, ...]:
    """In float64, by quotients of two polynomials with 8 terms of one sign; then one rounding, here and there."""
    z = np.abs(e.results[0] - e.scalars["mean"])
    wide = np.finfo(np.float64).eps * (24 * z + 2 * np.abs(e.results[0]))
    return (wide + (e.ulps(1) if e.dtype == "float32" else 0),)
