"""Softmax along an axis, and its gradient."""

import numpy as np

from fastnn.reference._common import Array, give, require_elements


def softmax(x: Array, axis: int = -1, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``exp(x - max) / sum(exp(x - max))`` along `axis`; NaN in a slice that has NaN, +inf or only -inf.

    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    require_elements("softmax", x, axis)
    with np.errstate(invalid="ignore"):
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
        return give(e / np.sum(e, axis=axis, keepdims=True), out)


def softmax_backward(
    grad: Array, y: Array, axis: int = -1, *, out: Array | None = None, num_threads: int | None = None
) -> Array:
    """``y * (grad - sum(grad * y))`` along `axis`, with `y` the forward's result."""
    return give(y * (grad - np.sum(grad * y, axis=axis, keepdims=True)), out)


def log_softmax(x: Array, axis: int = -1, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``(x - max) - log(sum(exp(x - max)))`` along `axis`."""
    require_elements("log_softmax", x, axis)
    with np.errstate(invalid="ignore"):
        shifted = x - np.max(x, axis=axis, keepdims=True)
        return give(shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True)), out)


def log_softmax_backward(
    grad: Array, y: Array, axis: int = -1, *, out: Array | None = None, num_threads: int | None = None
) -> Array:
    """``grad - exp(y) * sum(grad)`` along `axis`, with `y` the forward's result."""
    return give(grad - np.exp(y) * np.sum(grad, axis=axis, keepdims=True), out)
