"""Products."""

import numpy as np

from fastnn.reference._common import Array, give
from fastnn.reference.activation import (
    gelu,
    gelu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from fastnn.reference.update import sgd_update


def matmul(
    a: Array,
    b: Array,
    y: Array | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    backward: str | None = None,
    precision: str | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Product of two matrices, ``beta * out + alpha * op(a) @ op(b)``.

    `op(a)` is (m, k), `op(b)` (k, n), the result (m, n). `beta` other than 0 needs `out`. Transposed views such as
    ``a.T`` are read in place. With `backward` "relu", "sigmoid", "tanh" or "gelu" the product is the gradient of that
    activation's result, and what comes out is that of its input; `y` (m, n) is the result, for gelu the input.

    With `precision` "tf32" or "bf16", for float32 on a GPU, `a` and `b` are rounded to 10 or 7 bits of mantissa first.

    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    a, b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    product = a.dtype.type(alpha) * (_rounded(a, precision) @ _rounded(b, precision))
    if beta != 0:
        if out is None:
            raise ValueError("[matmul] beta needs out")
        product = product + out.dtype.type(beta) * out
    if backward is not None and y is not None:
        product = _BACKWARD[backward](product, y)
    return give(product, out)


def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | None = None,
    *,
    precision: str | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """A linear layer, ``activation(x @ weight.T + bias)``.

    `x` is (n, inputs), `weight` (outputs, inputs), `bias` (outputs,); `activation` is None, "relu", "sigmoid",
    "tanh" or "gelu". `precision` is that of `x` and `weight`: see `matmul`.

    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([-20.0]), "relu")
    array([[0.]])
    """
    y = _rounded(x, precision) @ _rounded(weight, precision).T
    if bias is not None:
        y = y + bias
    if activation is not None:
        y = _FORWARD[activation](y)
    return give(y, out)


_BITS = {None: 23, "float32": 23, "tf32": 10, "bf16": 7}


def _rounded(x: Array, precision: str | None) -> Array:
    """float32 with as many bits of mantissa as `precision` has, to nearest, ties to even."""
    if (dropped := 23 - _BITS[precision]) == 0:
        return x
    words = np.ascontiguousarray(x).view(np.uint32)
    up = words + np.uint32((1 << (dropped - 1)) - 1) + ((words >> np.uint32(dropped)) & np.uint32(1))
    return np.where(np.isfinite(x), (up & np.uint32(-(1 << dropped) % 2**32)).view(np.float32), x)


_FORWARD = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh, "gelu": gelu}
_BACKWARD = {
    "relu": relu_backward,
    "sigmoid": sigmoid_backward,
    "tanh": tanh_backward,
    "gelu": gelu_backward,
}


def matmul_sgd_update(
    param: Array,
    a: Array,
    b: Array,
    velocity: Array | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    precision: str | None = None,
    num_threads: int | None = None,
) -> None:
    """``sgd_update(param, matmul(a, b))`` in one pass: the gradient is not kept.

    >>> param = np.ones((1, 1))
    >>> matmul_sgd_update(param, np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), lr=0.5)
    >>> param
    array([[-4.5]])
    """
    sgd_update(
        param,
        matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b, precision=precision),
        velocity,
        lr=lr,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
    )
