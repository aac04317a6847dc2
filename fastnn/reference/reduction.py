"""Reductions along axes."""

import numpy as np

from fastnn.reference._common import Array, Axis, give, require_elements


def sum(
    x: Array,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Sum over `axis` (None: all). float32, float64; int64 and bool give int64.

    >>> sum(np.array([[1.0, 2.0], [3.0, 4.0]]), 1, keepdims=True)
    array([[3.],
           [7.]])
    """
    return give(np.sum(x, axis=axis, keepdims=keepdims), out)


def mean(
    x: Array,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Sum over `axis` divided by the number of elements, floating point only."""
    require_elements("mean", x, axis)
    return give(np.mean(x, axis=axis, keepdims=keepdims), out)


def max(
    x: Array,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Largest element over `axis`; NaN where there is one."""
    require_elements("max", x, axis)
    return give(np.max(x, axis=axis, keepdims=keepdims), out)


def min(
    x: Array,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Smallest element over `axis`; NaN where there is one."""
    require_elements("min", x, axis)
    return give(np.min(x, axis=axis, keepdims=keepdims), out)


def argmax(
    x: Array,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Index (int64) of the first largest element over `axis`; of the first NaN where there is one."""
    require_elements("argmax", x, axis)
    return give(np.argmax(x, axis=axis, keepdims=keepdims), out)


def argmin(
    x: Array,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Index (int64) of the first smallest element over `axis`; of the first NaN where there is one."""
    require_elements("argmin", x, axis)
    return give(np.argmin(x, axis=axis, keepdims=keepdims), out)
