"""What the kernels of this package share."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:  # importing numpy.typing takes as long as importing all of fastnn
    Array = np.ndarray
Axis = int | tuple[int, ...] | None


def give(result: Any, out: Array | None) -> Array:
    """`result`, or `out` filled with it."""
    if out is None:
        return np.asarray(result)
    out[...] = result
    return out


def give_both(results: tuple[Array, Array], out: tuple[Array, Array] | None) -> tuple[Array, Array]:
    """`results`, or the two arrays of `out` filled with them."""
    return results if out is None else (give(results[0], out[0]), give(results[1], out[1]))


def require_elements(name: str, x: Array, axis: Axis) -> None:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    if any(x.shape[a] == 0 for a in axes):
        raise ValueError(f"[{name}] nothing to reduce: x has shape {x.shape}, axis is {axis}")


def check_labels(name: str, labels: Array, classes: int, ignore_index: int | None = None) -> None:
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[{name}] labels must be integers, not {labels.dtype}")
    bad = (labels < 0) | (labels >= classes)
    if ignore_index is not None:
        bad &= labels != ignore_index
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(f"[{name}] target[{i}] = {labels[i]} is not a class index: logits has {classes} classes")
