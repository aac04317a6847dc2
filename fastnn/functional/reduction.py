"""Sums, means, extrema along axes. `dim`/`keepdim` are PyTorch's names, `axis`/`keepdims` NumPy's; either will do."""

import math
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from fastnn.autograd import Operation, track
from fastnn.dispatch import constant, device_of, run, wrap

from .arithmetic import as_computed, as_floating, cast, divide, maximum, minimum, where
from .creation import INT64
from .shape import axis_of, cat, clone

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

Axis = int | tuple[int, ...] | list[int] | None


class Extremum(NamedTuple):
    """Largest or smallest elements along an axis, and where they stand."""

    values: "Tensor"
    indices: "Tensor"


SUM = Operation("sum", x=lambda g, shape, axis: _spread(g, shape, axis))
MEAN = Operation("mean", x=lambda g, shape, axis, count: _spread(run("divide", g, count), shape, axis))
NORM = Operation("norm", x=lambda g, x, y, axis: _norm_share(g, x, y, axis))
EXTREMUM = Operation("extremum", x=lambda g, x, y, axis: _extremum_share(g, x, y, axis))


def _kept(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with the reduced axes at 1."""
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    reduced = {a % len(shape) for a in axes} if shape else set()
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def _spread(g: "Tensor", shape: tuple[int, ...], axis: Axis) -> "Tensor":
    """`g`, the gradient of a reduction, repeated along the reduced axes of `shape`."""
    kept: Tensor = wrap(g._array.reshape(_kept(shape, axis)), g._storage)
    return run("cast", kept, shape=shape)


def _norm_share(g: "Tensor", x: "Tensor", y: "Tensor", axis: Axis) -> "Tensor":
    """0 where the norm is 0: of the directions in which it grows there, none comes before another."""
    return run("multiply", x, where(y == 0.0, 0.0, divide(g, y)).reshape(_kept(x.shape, axis)))


def _extremum_share(g: "Tensor", x: "Tensor", y: "Tensor", axis: Axis) -> "Tensor":
    """Equal elements share the gradient evenly."""
    kept = _kept(x.shape, axis)
    chosen = (x == y.reshape(kept)).to(g.dtype)
    return chosen * (g.reshape(kept) / run("sum", chosen, axis=axis, keepdims=True))


def _axis(operation: str, dim: Axis, axis: Axis) -> int | tuple[int, ...] | None:
    axis = dim if axis is None else axis
    try:
        if axis is None:
            return None
        return tuple(map(index, axis)) if isinstance(axis, (tuple, list)) else index(axis)
    except TypeError:
        raise TypeError(f"[{operation}] dim = {axis!r} must be an integer, or a tuple of them") from None


def sum(
    x: "Tensor",
    dim: Axis = None,
    keepdim: bool = False,
    *,
    axis: Axis = None,
    keepdims: bool = False,
    dtype: Any = None,
) -> "Tensor":
    """Sum over `dim` (None: all); integers and bool give int64.

    >>> import fastnn as fn
    >>> sum(fn.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, keepdims=True)
    tensor([[3.],
            [7.]])
    """
    axis = _axis("sum", dim, axis)
    if dtype is not None:
        x = cast(x, dtype)
    elif x.dtype.kind in "iu" and x.dtype != INT64:
        x = cast(x, INT64)
    y = run("sum", x, axis=axis, keepdims=keepdim or keepdims)
    return track(SUM, y, (x,), shape=x._array.shape, axis=axis)


def mean(
    x: "Tensor", dim: Axis = None, keepdim: bool = False, *, axis: Axis = None, keepdims: bool = False
) -> "Tensor":
    """Mean over `dim` (None: all), floating point only.

    >>> import fastnn as fn
    >>> mean(fn.tensor([[1.0, 2.0], [3.0, 4.0]]), 0)
    tensor([2., 3.])
    """
    if x.dtype.kind != "f":
        raise TypeError(f"[mean] x is {x.dtype}: the mean needs floating point, use x.float()")
    axis = _axis("mean", dim, axis)
    y = run("mean", x, axis=axis, keepdims=keepdim or keepdims)
    if not x.requires_grad:
        return y
    shape = x._array.shape
    count = math.prod(n for n, kept in zip(shape, _kept(shape, axis), strict=True) if kept == 1)
    divisor = constant(count, x._array.dtype, device_of(x))
    return track(MEAN, y, (x,), shape=shape, axis=axis, count=divisor)


def norm(
    x: "Tensor",
    p: Any = 2,
    dim: Axis = None,
    keepdim: bool = False,
    *,
    axis: Axis = None,
    keepdims: bool = False,
) -> "Tensor":
    """Euclidean length over `dim` (None: all): the root of the sum of squares. `p` is 2 or "fro".

    >>> import fastnn as fn
    >>> norm(fn.tensor([3.0, -4.0]))
    tensor(5.)
    """
    if p not in (2, "fro"):
        raise ValueError(f"[norm] p = {p!r} must be 2: for 1 use abs(x).sum(), for infinity abs(x).amax()")
    axis, x = _axis("norm", dim, axis), as_floating("norm", x)
    squares = run("sum", run("multiply", x, x), axis=axis, keepdims=keepdim or keepdims)
    return track(NORM, run("sqrt", squares), (x,), axis=axis)


def cumsum(x: "Tensor", dim: int | None = None, *, axis: int | None = None) -> "Tensor":
    """Sums of the elements up to each along `dim`; integers and bool give int64.

    Each pass adds what stands 1, 2, 4, ... places before, so that there are log2(n) of them (Hillis and Steele, "Data
    parallel algorithms", 1986).

    >>> import fastnn as fn
    >>> cumsum(fn.arange(5), 0)
    tensor([ 0,  1,  3,  6, 10])
    """
    dim = dim if axis is None else axis
    if dim is None:
        raise TypeError("[cumsum] dim is missing: name the axis to sum along")
    y = clone(as_computed("cumsum", x))
    dim = axis_of("cumsum", "dim", dim, y.shape)
    before, n, distance = (slice(None),) * dim, y.shape[dim], 1
    while distance < n:
        first, rest, earlier = slice(distance), slice(distance, None), slice(n - distance)
        y = cat((y[*before, first], y[*before, rest] + y[*before, earlier]), dim)
        distance *= 2
    return y


def amax(
    x: "Tensor", dim: Axis = None, keepdim: bool = False, *, axis: Axis = None, keepdims: bool = False
) -> "Tensor":
    """Largest elements over `dim`, values only; equal elements share the gradient evenly. Integers give int64."""
    axis, x = _axis("amax", dim, axis), as_computed("amax", x)
    return track(EXTREMUM, run("max", x, axis=axis, keepdims=keepdim or keepdims), (x,), axis=axis)


def amin(
    x: "Tensor", dim: Axis = None, keepdim: bool = False, *, axis: Axis = None, keepdims: bool = False
) -> "Tensor":
    """Smallest elements over `dim`, values only; equal elements share the gradient evenly. Integers give int64."""
    axis, x = _axis("amin", dim, axis), as_computed("amin", x)
    return track(EXTREMUM, run("min", x, axis=axis, keepdims=keepdim or keepdims), (x,), axis=axis)


@overload
def max(x: "Tensor", dim: "Tensor | None" = None) -> "Tensor": ...
@overload
def max(
    x: "Tensor", dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False
) -> Extremum: ...
def max(x: Any, dim: Any = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The largest element; along `dim` the largest and their indices; with a Tensor for `dim`, elementwise `maximum`.

    >>> import fastnn as fn
    >>> max(fn.tensor([[1.0, 5.0]]), 1).indices
    tensor([1])
    """
    if hasattr(dim, "_storage"):
        return maximum(x, dim)
    dim = dim if axis is None else axis
    if dim is None:
        return amax(x)
    return Extremum(amax(x, dim, keepdim or keepdims), argmax(x, dim, keepdim or keepdims))


@overload
def min(x: "Tensor", dim: "Tensor | None" = None) -> "Tensor": ...
@overload
def min(
    x: "Tensor", dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False
) -> Extremum: ...
def min(x: Any, dim: Any = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The smallest element; along `dim` the smallest and their indices; with a Tensor for `dim`, `minimum`."""
    if hasattr(dim, "_storage"):
        return minimum(x, dim)
    dim = dim if axis is None else axis
    if dim is None:
        return amin(x)
    return Extremum(amin(x, dim, keepdim or keepdims), argmin(x, dim, keepdim or keepdims))


def argmax(
    x: "Tensor", dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False
) -> "Tensor":
    """Index (int64) of the first largest element over `dim` (None: of the flattened tensor).

    >>> import fastnn as fn
    >>> argmax(fn.tensor([[0.1, 0.9], [0.8, 0.2]]), axis=1)
    tensor([1, 0])
    """
    return run("argmax", as_computed("argmax", x), axis=dim if axis is None else axis, keepdims=keepdim or keepdims)


def argmin(
    x: "Tensor", dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False
) -> "Tensor":
    """Index (int64) of the first smallest element over `dim` (None: of the flattened tensor)."""
    return run("argmin", as_computed("argmin", x), axis=dim if axis is None else axis, keepdims=keepdim or keepdims)
