"""Products of matrices, and the linear layer."""

from typing import TYPE_CHECKING

from fastnn.autograd import Operation, track
from fastnn.dispatch import run

from .arithmetic import promote

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

MATMUL = Operation(
    "matmul",
    a=lambda g, b: run("matmul", g, b, transpose_b=True),
    b=lambda g, a: run("matmul", a, g, transpose_a=True),
)
LINEAR = Operation(
    "linear",
    x=lambda g, weight: run("matmul", g, weight),
    weight=lambda g, x: run("matmul", g, x, transpose_a=True),
    bias=lambda g: run("sum", g, axis=0),
)


def matmul(a: "Tensor", b: "Tensor") -> "Tensor":
    """Product of matrices (m, k) and (k, n); a vector stands for one row of `a`, or one column of `b`.

    >>> import fastnn as fn
    >>> matmul(fn.tensor([[1.0, 2.0]]), fn.tensor([3.0, 4.0]))
    tensor([11.])
    """
    a, b = promote(a, b)
    if a._array.ndim == 2 and b._array.ndim == 2:
        return track(MATMUL, run("matmul", a, b), (a, b))
    if a._array.ndim not in (1, 2) or b._array.ndim not in (1, 2):
        raise ValueError(f"[matmul] a is {a.shape} and b is {b.shape}: only matrices and vectors can be multiplied")
    rows, columns = a.shape[:-1], b.shape[1:]
    a = a if a._array.ndim == 2 else a.reshape(1, -1)
    b = b if b._array.ndim == 2 else b.reshape(-1, 1)
    return matmul(a, b).reshape(rows + columns)


def dot(a: "Tensor", b: "Tensor") -> "Tensor":
    """Sum of the products of two vectors' elements; ValueError for what is no vector.

    >>> import fastnn as fn
    >>> dot(fn.tensor([1.0, 2.0]), fn.tensor([3.0, 4.0]))
    tensor(11.)
    """
    return _of_ranks("dot", a, b, (1, 1))


def mv(a: "Tensor", b: "Tensor") -> "Tensor":
    """Product of a matrix (m, k) and a vector (k,); ValueError for what has other ranks."""
    return _of_ranks("mv", a, b, (2, 1))


def mm(a: "Tensor", b: "Tensor") -> "Tensor":
    """Product of two matrices (m, k) and (k, n); ValueError for what has other ranks."""
    return _of_ranks("mm", a, b, (2, 2))


def _of_ranks(operation: str, a: "Tensor", b: "Tensor", ranks: tuple[int, int]) -> "Tensor":
    a, b = promote(a, b)
    if (a.ndim, b.ndim) != ranks:
        raise ValueError(f"[{operation}] a is {a.shape} and b is {b.shape}: needs {ranks} dimensions, or use matmul")
    return matmul(a, b)


def linear(x: "Tensor", weight: "Tensor", bias: "Tensor | None" = None) -> "Tensor":
    """A linear layer, ``x @ weight.T + bias``: `x` (..., inputs), `weight` (outputs, inputs), `bias` (outputs,).

    >>> import fastnn as fn
    >>> linear(fn.tensor([[1.0, 2.0]]), fn.tensor([[3.0, 4.0]]), fn.tensor([-1.0]))
    tensor([[10.]])
    """
    if x.ndim not in (0, 2):
        y = linear(x.reshape(-1, x.shape[-1]), weight, bias)
        return y.reshape(x.shape[:-1] + y.shape[1:])
    operands = (x, weight) if bias is None else (x, weight, bias)
    return track(LINEAR, run("linear", *operands), operands)
