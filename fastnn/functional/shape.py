"""Views of other shapes, and joining: nothing is computed, a copy is made where no view will do."""

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnn.autograd import Operation, Rule, track
from fastnn.dispatch import Array, Handle, constant, device_of, not_a_tensor, run, wrap

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

RESHAPE = Operation(
    "reshape", x=lambda g, shape: view_of(g, g._array.reshape(shape)) if _flat(g) else reshape(g, shape)
)
TRANSPOSE = Operation("transpose", x=lambda g, axes: view_of(g, g._array.transpose(axes)))
CLONE = Operation("clone", x=lambda g: g)


def _flat(x: "Tensor") -> bool:
    return x._array.flags.c_contiguous


def view_of(x: "Tensor", array: Array) -> "Tensor":
    """`array`, a view of the array of `x`, as a Tensor that shares its storage."""
    tensor: Tensor = wrap(array, x._storage)
    return tensor


def _tensor(operation: str, x: "Tensor") -> "Tensor":
    if not isinstance(x, Handle):
        raise not_a_tensor(operation, x)
    return x


def axis_of(operation: str, name: str, dim: int, shape: tuple[int, ...]) -> int:
    """Axis `dim` of `shape`, counted from the front; IndexError where there is no such axis."""
    if not -len(shape) <= dim < len(shape):
        raise IndexError(f"[{operation}] {name} = {dim} is not an axis of shape {shape}")
    return operator.index(dim) % len(shape)


def clone(x: "Tensor") -> "Tensor":
    """A contiguous copy.

    >>> import fastnn as fn
    >>> x = fn.zeros(1)
    >>> y = clone(x)
    >>> x += 1
    >>> y
    tensor([0.])
    """
    return track(CLONE, run("cast", x), (x,))


def reshape(x: "Tensor", *shape: Any) -> "Tensor":
    """The elements of `x` in another shape, where one side may be -1; a view where `x` is contiguous, else a copy.

    >>> import fastnn as fn
    >>> reshape(fn.arange(4), -1, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    if not _tensor("reshape", x)._array.flags.c_contiguous:
        x = clone(x)
    try:
        array = x._array.reshape(shape)
    except ValueError:
        raise ValueError(f"[reshape] shape {shape} does not hold the elements of {x.shape}") from None
    return track(RESHAPE, view_of(x, array), (x,), shape=x._array.shape)


def flatten(x: "Tensor", start_dim: int = 0, end_dim: int = -1) -> "Tensor":
    """Axes `start_dim` to `end_dim` made one.

    >>> import fastnn as fn
    >>> flatten(fn.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    shape = _tensor("flatten", x)._array.shape or (1,)  # without an axis it becomes one of length 1
    first, last = axis_of("flatten", "start_dim", start_dim, shape), axis_of("flatten", "end_dim", end_dim, shape)
    if first > last:
        raise ValueError(f"[flatten] start_dim = {start_dim} comes after end_dim = {end_dim} in shape {shape}")
    return reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def transpose(x: "Tensor", dim0: int, dim1: int) -> "Tensor":
    """A view with two axes exchanged."""
    shape = _tensor("transpose", x)._array.shape
    dim0, dim1 = axis_of("transpose", "dim0", dim0, shape), axis_of("transpose", "dim1", dim1, shape)
    axes = list(range(len(shape)))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return track(TRANSPOSE, view_of(x, x._array.transpose(axes)), (x,), axes=axes)  # an exchange is its own inverse


def unsqueeze(x: "Tensor", dim: int) -> "Tensor":
    """A view with an axis of length 1 put in at `dim`.

    >>> import fastnn as fn
    >>> unsqueeze(fn.zeros(3), -1).shape
    (3, 1)
    """
    rank = _tensor("unsqueeze", x)._array.ndim + 1
    if not -rank <= dim < rank:
        raise IndexError(f"[unsqueeze] dim = {dim} is not an axis: the result has {rank}")
    dim %= rank
    return reshape(x, (*x.shape[:dim], 1, *x.shape[dim:]))


def squeeze(x: "Tensor", dim: int | None = None) -> "Tensor":
    """A view without the axes of length 1, or without `dim` if that has length 1.

    >>> import fastnn as fn
    >>> squeeze(fn.zeros(3, 1)).shape
    (3,)
    """
    shape = _tensor("squeeze", x)._array.shape
    dropped = range(len(shape)) if dim is None else (axis_of("squeeze", "dim", dim, shape),)
    return reshape(x, tuple(n for i, n in enumerate(shape) if n != 1 or i not in dropped))


def cat(tensors: "Sequence[Tensor]", dim: int = 0, *, axis: int | None = None) -> "Tensor":
    """Tensors joined along `dim`.

    >>> import fastnn as fn
    >>> cat((fn.zeros(1, 2), fn.ones(1, 2)))
    tensor([[0., 0.],
            [1., 1.]])
    """
    dim = dim if axis is None else axis
    tensors = list(tensors)
    if not tensors:
        raise ValueError("[cat] tensors is empty: there is nothing to join")
    first = tensors[0]
    dim = axis_of("cat", "dim", dim, _tensor("cat", first).shape)
    for i, tensor in enumerate(tensors):
        sides = zip(_tensor("cat", tensor).shape, first.shape, strict=False)
        if tensor.ndim != first.ndim or any(n != m for j, (n, m) in enumerate(sides) if j != dim):
            raise ValueError(f"[cat] tensors[{i}] is {tensor.shape} but tensors[0] is {first.shape}; dim = {dim}")
        if tensor.dtype != first.dtype:
            raise TypeError(f"[cat] tensors[{i}] is {tensor.dtype} but tensors[0] is {first.dtype}")
    total = sum(tensor.shape[dim] for tensor in tensors)
    y = run(
        "cast", constant(0, first.dtype, device_of(first)), shape=(*first.shape[:dim], total, *first.shape[dim + 1 :])
    )
    start = 0
    rules: dict[str, Rule] = {}
    for i, tensor in enumerate(tensors):
        part = (slice(None),) * dim + (slice(start, start + tensor.shape[dim]),)
        run("cast", tensor, out=view_of(y, y._array[part]))
        rules[f"tensors[{i}]"] = _part_rule(part)
        start += tensor.shape[dim]
    return track(Operation("cat", **rules), y, tuple(tensors))


def _part_rule(part: tuple[slice, ...]) -> Rule:
    return lambda g: view_of(g, g._array[part])


def stack(tensors: "Sequence[Tensor]", dim: int = 0, *, axis: int | None = None) -> "Tensor":
    """Tensors of one shape joined along a new axis `dim`.

    >>> import fastnn as fn
    >>> stack([fn.zeros(2), fn.ones(2)], 1)
    tensor([[0., 1.],
            [0., 1.]])
    """
    dim = dim if axis is None else axis
    return cat([unsqueeze(_tensor("stack", tensor), dim) for tensor in tensors], dim)
