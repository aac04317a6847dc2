"""Activations and softmax."""

from typing import TYPE_CHECKING

from fastnn.autograd import Operation, track
from fastnn.dispatch import run

from .arithmetic import as_floating

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

RELU = Operation("relu", x=lambda g, y: run("relu_backward", g, y))
SIGMOID = Operation("sigmoid", x=lambda g, y: run("sigmoid_backward", g, y))
TANH = Operation("tanh", x=lambda g, y: run("tanh_backward", g, y))
GELU = Operation("gelu", x=lambda g, x: run("gelu_backward", g, x))
SOFTMAX = Operation("softmax", x=lambda g, y, axis: run("softmax_backward", g, y, axis=axis))
LOG_SOFTMAX = Operation("log_softmax", x=lambda g, y, axis: run("log_softmax_backward", g, y, axis=axis))


def relu(x: "Tensor") -> "Tensor":
    """``max(x, 0)``; the gradient at 0 is 0.

    >>> import fastnn as fn
    >>> relu(fn.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    x = as_floating("relu", x)
    return track(RELU, run("relu", x), (x,))


def sigmoid(x: "Tensor") -> "Tensor":
    """``1 / (1 + exp(-x))``, without overflow.

    >>> import fastnn as fn
    >>> sigmoid(fn.tensor([0.0, -1000.0]))
    tensor([0.5000, 0.0000])
    """
    x = as_floating("sigmoid", x)
    return track(SIGMOID, run("sigmoid", x), (x,))


def tanh(x: "Tensor") -> "Tensor":
    """Hyperbolic tangent."""
    x = as_floating("tanh", x)
    return track(TANH, run("tanh", x), (x,))


def gelu(x: "Tensor") -> "Tensor":
    """``x * (1 + erf(x / sqrt(2))) / 2`` (Hendrycks and Gimpel, 2016)."""
    x = as_floating("gelu", x)
    return track(GELU, run("gelu", x), (x,))


def softmax(x: "Tensor", dim: int = -1, *, axis: int | None = None) -> "Tensor":
    """``exp(x) / sum(exp(x))`` along `dim`, without overflow.

    >>> import fastnn as fn
    >>> softmax(fn.tensor([[0.0, 0.0], [1000.0, 0.0]]))
    tensor([[0.5000, 0.5000],
            [1.0000, 0.0000]])
    """
    axis = dim if axis is None else axis
    x = as_floating("softmax", x)
    return track(SOFTMAX, run("softmax", x, axis=axis), (x,), axis=axis)


def log_softmax(x: "Tensor", dim: int = -1, *, axis: int | None = None) -> "Tensor":
    """The logarithm of `softmax`, without underflow."""
    axis = dim if axis is None else axis
    x = as_floating("log_softmax", x)
    return track(LOG_SOFTMAX, run("log_softmax", x, axis=axis), (x,), axis=axis)
