"""How far two computations of one network in floating point may be apart."""

from typing import Any

import numpy as np

import fastnn as fn
from fastnn import nn

Array = np.ndarray[Any, Any]

SLOPES = {nn.ReLU: 1.0, nn.Sigmoid: 0.25, nn.Tanh: 1.0, nn.GELU: 1.13}


def unit(net: nn.Module) -> float:
    """Half the distance from 1 to the next number of the dtype that `net` computes in."""
    return float(np.finfo(next(iter(net.parameters())).dtype).eps) / 2


def bounds(net: nn.Module, rows: Array, divisor: float | None = None) -> tuple[Array, Array]:
    """What `net` gives for `rows` in double precision, and how far a result in its own dtype may be from that.

    A sum of k products, in any order, fused or not, is within k u / (1 - k u) of the sum of their magnitudes (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1). Each layer magnifies the error that comes to it, by
    its weights or by the largest slope of its activation. `divisor` is that of uint8.
    """
    u = unit(net)
    x: Array = rows.astype(np.float64)
    error = np.zeros_like(x)
    if divisor is not None:
        x /= divisor
        error = u * x
    for layer in leaves(net):
        if isinstance(layer, nn.Linear):
            w = layer.weight.numpy().astype(np.float64)
            b = np.zeros(len(w)) if layer.bias is None else layer.bias.numpy().astype(np.float64)
            k = (w.shape[1] + 1) * u
            error = error @ abs(w).T + k / (1 - k) * ((abs(x) + error) @ abs(w).T + abs(b))
            x = x @ w.T + b
        elif isinstance(layer, nn.Flatten):
            x, error = (np.asarray(layer(fn.tensor(array))) for array in (x, error))
        elif isinstance(layer, nn.Softmax):
            x, error = softmax(x, error, u)
        elif not isinstance(layer, nn.Dropout):
            # The largest error of an activation that was measured is 5.5 u, of onnxruntime's tanh.
            own = 0.0 if isinstance(layer, nn.ReLU) else 8 * u * np.maximum(1, abs(x))
            x = layer(fn.tensor(x)).numpy()
            error = SLOPES[type(layer)] * error + own
    return x, error


def softmax(logits: Array, error: Array, u: float) -> tuple[Array, Array]:
    """Probabilities (n, classes) and their error: relative ones add up, from the logits, exp, the sum and the quotient.

    The rounding of ``x - max`` is an absolute error of the exponent. What is computed there was measured to be within
    ``8 + below`` of u for 50 classes; a sum of k elements may add k.
    """
    below = logits.max(1, keepdims=True) - logits
    shares = np.exp(-below)
    probabilities = shares / shares.sum(1, keepdims=True)
    relative = np.expm1(2 * error.max(1, keepdims=True)) + (8 + logits.shape[1] + below) * u
    return probabilities, probabilities * relative + np.finfo(np.float32).tiny


def leaves(module: nn.Module) -> list[nn.Module]:
    """The layers of a network in order."""
    children = list(module.children())
    return [leaf for child in children for leaf in leaves(child)] if children else [module]
