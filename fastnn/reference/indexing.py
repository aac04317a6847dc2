"""Rows and elements by index.

Indices are of any integer dtype; those below 0 count from the end, as in NumPy. Beyond: IndexError.
"""

import numpy as np

from fastnn.reference._common import Array, check_labels, give


def gather(
    data: Array,
    indices: Array,
    *,
    divisor: float = 1.0,
    dtype: str | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Rows of `data`: ``data[indices] / divisor``.

    `dtype` None keeps that of `data`, but float16, and uint8 with a divisor, become float32. Only these two change
    dtype: each number becomes itself, and NaN becomes quiet and keeps its payload.

    >>> gather(np.array([[0, 255], [51, 102]], np.uint8), np.array([1]), divisor=255.0)
    array([[0.2, 0.4]], dtype=float32)
    """
    if dtype is None:
        converts = data.dtype == np.float16 or (data.dtype == np.uint8 and divisor != 1)
        dtype = "float32" if converts else str(data.dtype)
    rows = data[indices].astype(np.dtype(dtype))
    return give(rows if divisor == 1 else rows / rows.dtype.type(divisor), out)


def scatter_add(
    grad: Array, indices: Array, *, num_rows: int, out: Array | None = None, num_threads: int | None = None
) -> Array:
    """Gradient of ``gather``: zeros of `num_rows` rows, to which each row of `grad` is added at its index, in order."""
    result = np.zeros((num_rows, *grad.shape[1:]), grad.dtype)
    np.add.at(result, indices, grad)
    return give(result, out)


def pick(x: Array, rows: Array, columns: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``x[rows, columns]`` of a matrix, element by element."""
    return give(x[rows, columns], out)


def pick_backward(
    grad: Array,
    rows: Array,
    columns: Array,
    *,
    shape: tuple[int, int],
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Gradient of ``pick``: zeros of `shape`, to which each element of `grad` is added at its place, in order."""
    result = np.zeros(shape, grad.dtype)
    np.add.at(result, (rows, columns), grad)
    return give(result, out)


def one_hot(
    labels: Array,
    num_classes: int,
    *,
    dtype: str = "float32",
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """A row per label with 1 at its class, (n, num_classes).

    >>> one_hot(np.array([1]), 3)
    array([[0., 1., 0.]], dtype=float32)
    """
    check_labels("one_hot", labels, num_classes)
    return give(np.eye(num_classes, dtype=dtype)[labels], out)
