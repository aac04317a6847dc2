"""Indexing: slices are views; rows by index, elements by pairs of indices and masks are copies."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.autograd import Operation, track
from fastnn.dispatch import constant, device_of, dtype_name, escape, run, wrap

from .creation import as_array, tensor, to_device
from .shape import reshape, view_of

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

SLICE = Operation("slice", x=lambda g, shape, key: _placed(g, shape, key))
GATHER = Operation(
    "gather",
    data=lambda g, indices, num_rows: run("scatter_add", g, indices, num_rows=num_rows),
    indices=None,
)
PICK = Operation(
    "pick",
    x=lambda g, rows, columns, shape: run("pick_backward", g, rows, columns, shape=shape),
    rows=None,
    columns=None,
)


def _placed(g: "Tensor", shape: tuple[int, ...], key: Any) -> "Tensor":
    """Zeros of `shape` with `g` at `key`."""
    full: Tensor = run("cast", constant(0, g._array.dtype, device_of(g)), shape=shape)
    run("cast", g, out=view_of(full, full._array[key]))
    return full


def getitem(x: "Tensor", key: Any) -> "Tensor":
    """``x[key]``: integers and slices give a view; an array of row numbers, a pair of them, or a mask a copy.

    >>> import fastnn as fn
    >>> x = fn.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x[0], x[[1, 0]], x[range(2), fn.tensor([1, 0])], x[x > 2.0]
    (tensor([1., 2.]), tensor([[3., 4.], [1., 2.]]), tensor([2., 3.]), tensor([3., 4.]))
    """
    parts = key if isinstance(key, tuple) else (key,)
    if not any(_is_array(part) for part in parts):
        key = _whole(parts)
        return track(SLICE, view_of(x, x._array[key]), (x,), shape=x._array.shape, key=key)
    indices = [_index("getitem", part) for part in parts]
    if _is_mask(indices):
        return _masked(x, indices[0])
    if len(indices) == 1:
        return _rows(x, indices[0])
    if len(indices) == 2 and x._array.ndim == 2:
        rows, columns = indices
        return track(PICK, run("pick", x, rows, columns), (x, rows, columns), shape=x._array.shape)
    raise IndexError(
        f"[getitem] {len(indices)} index arrays for shape {x.shape}: use one array of rows, or two for the elements "
        "of a matrix"
    )


def _whole(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """`parts` with an ellipsis, so that NumPy gives a view for one element as well, not a number."""
    return parts if any(part is Ellipsis for part in parts) else (*parts, ...)


def _is_array(part: Any) -> bool:
    return hasattr(part, "_storage") or isinstance(part, (list, range, np.ndarray))


def _index(operation: str, part: Any) -> "Tensor":
    if not _is_array(part):
        raise IndexError(f"[{operation}] index {part!r} beside an index array: index in two steps")
    if hasattr(part, "_storage"):
        index: Tensor = part
        return index
    return tensor(part, dtype="int64" if isinstance(part, list) and np.size(part) == 0 else None)


def _is_mask(indices: "list[Tensor]") -> bool:
    return len(indices) == 1 and indices[0]._array.dtype.kind == "b"


def _rows(x: "Tensor", indices: "Tensor") -> "Tensor":
    if indices._array.ndim != 1:
        return _rows(x, reshape(indices, -1)).reshape(indices.shape + x.shape[1:])
    return track(GATHER, run("gather", x, indices), (x, indices), num_rows=x._array.shape[0])


def _masked(x: "Tensor", mask: "Tensor") -> "Tensor":
    """Elements (or rows) where `mask` holds; how many these are is a value that leaves for Python."""
    row = _row_shape("getitem", x, mask)
    escape("a boolean mask")
    indices: Tensor = wrap(np.flatnonzero(mask._array))
    return _rows(x if mask._array.ndim == 1 else reshape(x, (mask._array.size, *row)), indices)


def _row_shape(operation: str, x: "Tensor", mask: "Tensor") -> tuple[int, ...]:
    """Shape of what stands in `x` at each element of `mask`."""
    rank = mask._array.ndim
    if mask.shape != x.shape[:rank]:
        raise IndexError(f"[{operation}] mask is {mask.shape} but the tensor {x.shape}")
    return x.shape[rank:]


def setitem(x: "Tensor", key: Any, value: Any) -> None:
    """``x[key] = value`` in place, for slices and masks; `value` is broadcast to the shape of ``x[key]``.

    >>> import fastnn as fn
    >>> x = fn.arange(4)
    >>> x[x > 1] = fn.tensor([8, 9])
    >>> x
    tensor([0, 1, 8, 9])
    """
    source = value if hasattr(value, "_storage") else wrap(as_array(value, x._array.dtype, "setitem"))
    source = to_device(source, device_of(x))
    parts = key if isinstance(key, tuple) else (key,)
    if not any(_is_array(part) for part in parts):
        run("cast", source, out=view_of(x, x._array[_whole(parts)]))
        return
    indices = [_index("setitem", part) for part in parts]
    if not _is_mask(indices):
        raise IndexError("[setitem] only slices and masks can be assigned to: use where, or a mask of the rows")
    if source.dtype != x.dtype:
        source = run("cast", source, dtype=dtype_name(x.dtype))
    _set_masked(x, indices[0], source)


def _set_masked(x: "Tensor", mask: "Tensor", source: "Tensor") -> None:
    row = _row_shape("setitem", x, mask)
    chosen = view_of(mask, mask._array[(..., *(None for _ in row))])
    if _broadcasts(source.shape, (1, *row)):
        run("where", chosen, source, x, out=x)
        return
    escape("a boolean mask")
    count = int(np.count_nonzero(mask._array))
    if not _broadcasts(source.shape, (count, *row)):
        raise ValueError(f"[setitem] value is {source.shape}, but the mask chooses {(count, *row)}: give one or all")
    if count:
        order: Tensor = wrap(np.maximum(np.cumsum(mask._array, dtype=np.int64) - 1, 0))  # which row, where it holds
        run("where", chosen, reshape(_rows(source, order), mask.shape + source.shape[1:]), x, out=x)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def one_hot(labels: "Tensor", num_classes: int, dtype: Any = "float32") -> "Tensor":
    """A row per label with 1 at its class, (n, num_classes).

    >>> import fastnn as fn
    >>> one_hot(fn.tensor([1]), 3)
    tensor([[0., 1., 0.]])
    """
    return run("one_hot", labels, num_classes=num_classes, dtype=dtype_name(dtype))
