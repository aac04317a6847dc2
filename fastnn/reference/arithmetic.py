"""Arithmetic, elementwise with broadcasting: float32, float64 and int64 (division and functions: floating point only).

`out` may be one of the operands.
"""

import numpy as np

from fastnn.reference._common import Array, give


def add(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a + b``."""
    return give(np.add(a, b), out)


def subtract(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a - b``."""
    return give(np.subtract(a, b), out)


def multiply(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a * b``."""
    return give(np.multiply(a, b), out)


def divide(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a / b``, floating point only."""
    with np.errstate(all="ignore"):
        return give(np.divide(a, b), out)


def maximum(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """The larger of `a` and `b`; NaN where either is NaN."""
    return give(np.maximum(a, b), out)


def minimum(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """The smaller of `a` and `b`; NaN where either is NaN."""
    return give(np.minimum(a, b), out)


def equal(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a == b`` as bool."""
    return give(np.equal(a, b), out)


def not_equal(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a != b`` as bool."""
    return give(np.not_equal(a, b), out)


def less(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a < b`` as bool."""
    return give(np.less(a, b), out)


def less_equal(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a <= b`` as bool."""
    return give(np.less_equal(a, b), out)


def greater(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a > b`` as bool."""
    return give(np.greater(a, b), out)


def greater_equal(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a >= b`` as bool."""
    return give(np.greater_equal(a, b), out)


def where(condition: Array, a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """`a` where `condition` (bool) holds, else `b`."""
    return give(np.where(condition, a, b), out)


def negative(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``-x``."""
    return give(np.negative(x), out)


def abs(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``|x|``."""
    return give(np.abs(x), out)


def sign(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """-1, 0 or 1; NaN for NaN."""
    return give(np.sign(x), out)


def sqrt(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """Square root; NaN below 0."""
    with np.errstate(all="ignore"):
        return give(np.sqrt(x), out)


def cast(
    x: Array,
    *,
    dtype: str | None = None,
    shape: tuple[int, ...] | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """A contiguous copy of `x` as `dtype`, broadcast to `shape`; what is not given is as in `out`, or else as in `x`.

    Any dtype to any: floating point to integer cuts toward zero (out of range: unspecified), to bool is ``x != 0``.

    >>> cast(np.array([1, 2]), dtype="float32", shape=(2, 2))
    array([[1., 2.],
           [1., 2.]], dtype=float32)
    """
    like = x if out is None else out
    y = np.broadcast_to(x, like.shape if shape is None else shape)
    with np.errstate(invalid="ignore"):
        y = y.astype(like.dtype if dtype is None else np.dtype(dtype), order="C")
    if out is not None and y.dtype != out.dtype:
        raise TypeError(f"[cast] out is {out.dtype} but the result is {y.dtype}")
    if out is not None and y.shape != out.shape:
        raise ValueError(f"[cast] out has shape {out.shape} but the result has {y.shape}")
    return give(y, out)
