"""Activations and their gradients."""

import math
from collections.abc import Callable

import numpy as np

from fastnn.reference._common import Array, give

_erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])


def relu(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``max(x, 0)``; NaN stays NaN."""
    return give(np.maximum(x, x.dtype.type(0)), out)


def sigmoid(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``1 / (1 + exp(-x))``, without overflow."""
    e = np.exp(-np.abs(x))
    return give(np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype), out)


def tanh(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """Hyperbolic tangent."""
    return give(np.tanh(x), out)


def gelu(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``x * (1 + erf(x / sqrt(2))) / 2``."""
    return give((x * (0.5 * (1 + _erf(x * math.sqrt(0.5))))).astype(x.dtype), out)


def relu_backward(grad: Array, y: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """`grad` where `y`, the forward's result (or its input), is above 0, else 0."""
    return give(np.where(y > 0, grad, y.dtype.type(0)), out)


def sigmoid_backward(grad: Array, y: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``grad * y * (1 - y)`` with `y` the forward's result."""
    return give(grad * (y * (1 - y)), out)


def tanh_backward(grad: Array, y: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``grad * (1 - y * y)`` with `y` the forward's result."""
    return give(grad * (1 - y * y), out)


def gelu_backward(grad: Array, x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``grad * (Phi(x) + x * phi(x))`` with `x` the forward's input, Phi and phi the standard normal's."""
    cdf = 0.5 * (1 + _erf(x * math.sqrt(0.5)))
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return give((grad * (cdf + x * density)).astype(x.dtype), out)
