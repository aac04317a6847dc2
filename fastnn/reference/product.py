"""Products."""

import numpy as np  # noqa: F401 (the examples)

from fastnn.reference._common import Array, give
from fastnn.reference.activation import gelu, relu, sigmoid, tanh


def matmul(
    a: Array,
    b: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Product of two matrices, ``beta * out + alpha * op(a) @ op(b)``.

    `op(a)` is (m, k), `op(b)` (k, n), the result (m, n). `beta` other than 0 needs `out`. Transposed views such as
    ``a.T`` are read in place.

    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    a, b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    product = a.dtype.type(alpha) * (a @ b)
    if beta != 0:
        if out is None:
            raise ValueError("[matmul] beta needs out")
        product = product + out.dtype.type(beta) * out
    return give(product, out)


def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | None = None,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """A linear layer, ``activation(x @ weight.T + bias)``.

    `x` is (n, inputs), `weight` (outputs, inputs), `bias` (outputs,); `activation` is None, "relu", "sigmoid",
    "tanh" or "gelu".

    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([-20.0]), "relu")
    array([[0.]])
    """
    y = x @ weight.T
    if bias is not None:
        y = y + bias
    if activation is not None:
        y = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh, "gelu": gelu}[activation](y)
    return give(y, out)
