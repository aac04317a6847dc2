"""New Tensors: from values, filled, counted up."""

import math
import operator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import devices, exchange
from fastnn.autograd import Operation, track
from fastnn.dispatch import constant, device_of, run, wrap

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

FLOAT32, FLOAT64, INT64, INT32, UINT8, BOOL = DTYPES = tuple(
    map(np.dtype, ("float32", "float64", "int64", "int32", "uint8", "bool"))
)
TO_DEVICE = Operation("to", x=lambda g, device: run("transfer", g, device=device))
_DEFAULTS: dict[str, np.dtype[Any]] = {"f": FLOAT32, "i": INT64, "u": INT64, "b": BOOL}  # of Python's numbers, by kind


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> "Tensor":
    """A Tensor of `data`: numbers, nested sequences, an array (shared where it can be, not copied), a Tensor, or what
    has ``__cuda_array_interface__`` (copied, on the device).

    Floats become float32, integers int64. Arrays keep their dtype where it is float32, float64, int64, int32, uint8 or
    bool; other integers become int64. Raises TypeError for other dtypes, and ValueError for numbers that an integer
    dtype does not hold as they are.

    >>> tensor([[1.0, 2.0]])
    tensor([[1., 2.]])
    >>> a = np.zeros(2)
    >>> t = tensor(a)
    >>> a[0] = 7.0
    >>> t
    tensor([7., 0.], dtype=float64)
    """
    if hasattr(data, "_storage"):
        result = run("cast", data) if dtype is None else run("cast", data, dtype=dtype_of("tensor", dtype).name)
    elif exchange.has_array_interface(data):
        result = wrap(exchange.from_array_interface(data, "tensor"))
        result = result if dtype is None else run("cast", result, dtype=dtype_of("tensor", dtype).name)
    else:
        result = wrap(as_array(data, dtype))
    return made_on("tensor", device, result, requires_grad)


def from_numpy(array: np.ndarray[Any, Any]) -> "Tensor":
    """A Tensor that shares the memory of `array`; TypeError where it cannot, and `tensor` would make a copy.

    >>> a = np.zeros(2, np.float32)
    >>> t = from_numpy(a)
    >>> a[0] = 7.0
    >>> t
    tensor([7., 0.])
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"[from_numpy] array is a {type(array).__name__}, not a NumPy array: use fastnn.tensor(...)")
    if array.dtype not in DTYPES or not array.flags.aligned:
        raise TypeError(f"[from_numpy] array of {array.dtype} cannot be shared: use fastnn.tensor(array), which copies")
    return tensor(array)


def as_array(data: Any, dtype: Any = None, operation: str = "tensor") -> np.ndarray[Any, Any]:
    """`data` as an array a kernel can read, of one of DTYPES: itself where that is possible."""
    array = np.asarray(data)
    if array.dtype.kind not in _DEFAULTS or (array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8)):
        raise TypeError(
            f"[{operation}] dtype {array.dtype} is not supported: use float32, float64, an integer type or bool"
        )
    if dtype is not None:
        wanted = dtype_of(operation, dtype)
    elif hasattr(data, "__array__"):
        native = array.dtype.newbyteorder("=")
        wanted = native if native in DTYPES else INT64
    else:
        wanted = _DEFAULTS[array.dtype.kind]
    if wanted.kind in "iu" and not np.can_cast(array.dtype, wanted):
        _check_fits(operation, array, wanted)
    array = array.astype(wanted, copy=False)
    return array if array.flags.aligned else np.require(array, requirements="A")


def dtype_of(operation: str, dtype: Any) -> np.dtype[Any]:
    """`dtype` as one of those that Tensors have; TypeError for any other."""
    with suppress(TypeError):  # from NumPy, where it knows no such dtype
        wanted: np.dtype[Any] = np.dtype(dtype)
        if wanted in DTYPES:
            return wanted
    raise TypeError(
        f"[{operation}] dtype = {dtype!r} is not supported: use float32, float64, int64, int32, uint8 or bool"
    )


def _check_fits(operation: str, array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> None:
    """Raises ValueError where a number of `array` would not be the same as integer `dtype`."""
    limits = np.iinfo(dtype)
    for value in (array.min().item(), array.max().item()) if array.size else ():  # NaN is both
        if not limits.min <= value <= limits.max:
            raise ValueError(f"[{operation}] {value} does not fit {dtype}, which holds {limits.min} to {limits.max}")
    if array.dtype.kind == "f":
        cut = array[array != np.trunc(array)]
        if cut.size:
            raise ValueError(f"[{operation}] {cut.flat[0]} does not fit {dtype}: round it first, or use float32")


def with_grad(result: Any, requires_grad: bool) -> "Tensor":
    """`result`, a new leaf."""
    if requires_grad:
        if result._array.dtype.kind != "f":
            raise TypeError(f"[requires_grad] a gradient needs a floating-point tensor, not {result._array.dtype}")
        result.requires_grad = True
    tensor: Tensor = result
    return tensor


def to_device(x: "Tensor", device: str) -> "Tensor":
    """`x` on a `device` that can be used; `x` itself where it is there."""
    if (old := device_of(x)) == device:
        return x
    return track(TO_DEVICE, run("transfer", x, device=device), (x,), device=old)


def made_on(operation: str, device: Any, result: "Tensor", requires_grad: bool) -> "Tensor":
    """`result`, a new leaf, on `device` (None: where it is)."""
    if device is not None and (place := devices.resolve(operation, device)) != device_of(result):
        result = run("transfer", result, device=place)
    return with_grad(result, requires_grad)


def shape_of(operation: str, sizes: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape given as ``(2, 3)``, as ``2, 3``, or by the keyword `size`."""
    if size is not None:
        if sizes:
            raise TypeError(f"[{operation}] the shape is given twice, as {sizes} and as size = {size}: give one")
        sizes = (size,)
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    try:
        shape = tuple(map(operator.index, sizes))
    except TypeError:
        raise TypeError(f"[{operation}] size {sizes} must be integers, or one tuple of them") from None
    if any(size < 0 for size in shape):
        raise ValueError(f"[{operation}] shape {shape} has a negative size")
    return shape


def full(
    size: Any, fill_value: float, *, dtype: Any = None, requires_grad: bool = False, device: str | None = None
) -> "Tensor":
    """A Tensor of shape `size` filled with `fill_value`; dtype that of the value, float32 for floats.

    >>> full((2,), 3.5)
    tensor([3.5000, 3.5000])
    """
    number = as_number("full", fill_value, dtype, devices.resolve("full", device))
    return _filled(shape_of("full", (size,)), number, requires_grad)


def zeros(
    *sizes: Any, size: Any = None, dtype: Any = None, requires_grad: bool = False, device: str | None = None
) -> "Tensor":
    """Zeros of shape `size` (a tuple, or the numbers themselves), float32 unless `dtype` says otherwise.

    >>> zeros(2, 3).shape
    (2, 3)
    """
    number = constant(0, _chosen("zeros", dtype, FLOAT32), devices.resolve("zeros", device))
    return _filled(shape_of("zeros", sizes, size), number, requires_grad)


def ones(
    *sizes: Any, size: Any = None, dtype: Any = None, requires_grad: bool = False, device: str | None = None
) -> "Tensor":
    """Ones of shape `size` (a tuple, or the numbers themselves), float32 unless `dtype` says otherwise.

    >>> ones((2,))
    tensor([1., 1.])
    """
    number = constant(1, _chosen("ones", dtype, FLOAT32), devices.resolve("ones", device))
    return _filled(shape_of("ones", sizes, size), number, requires_grad)


def zeros_like(x: "Tensor", *, dtype: Any = None, requires_grad: bool = False) -> "Tensor":
    """Zeros of the shape and dtype of `x`."""
    number = constant(0, _chosen("zeros_like", dtype, x.dtype), device_of(x))
    return _filled(x.shape, number, requires_grad)


def ones_like(x: "Tensor", *, dtype: Any = None, requires_grad: bool = False) -> "Tensor":
    """Ones of the shape and dtype of `x`."""
    number = constant(1, _chosen("ones_like", dtype, x.dtype), device_of(x))
    return _filled(x.shape, number, requires_grad)


def _chosen(operation: str, dtype: Any, default: np.dtype[Any]) -> np.dtype[Any]:
    return default if dtype is None else dtype_of(operation, dtype)


def _filled(shape: tuple[int, ...], number: "Tensor", requires_grad: bool) -> "Tensor":
    # A kernel fills it, so that a replayed step starts from a new one.
    return with_grad(run("cast", number, shape=shape), requires_grad)


def as_number(operation: str, value: Any, dtype: Any = None, device: str = "cpu") -> "Tensor":
    """One number as a constant of `dtype`, or of the dtype that Python's numbers of its kind have."""
    array = np.asarray(value)
    array = as_array(array, _DEFAULTS.get(array.dtype.kind) if dtype is None else dtype, operation)
    if array.ndim:
        raise ValueError(f"[{operation}] value has shape {array.shape}: one number is needed")
    number: Tensor = constant(array.item(), array.dtype, device)
    return number


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    device: str | None = None,
) -> "Tensor":
    """Numbers from `start` (0 where only one is given) up to, not including, `end`; int64, or float32 among floats.

    >>> arange(3)
    tensor([0, 1, 2])
    >>> arange(0.0, 1.0, 0.5)
    tensor([0.0000, 0.5000])
    """
    if end is None:
        start, end = 0, start
    if not all(math.isfinite(value) for value in (start, end, step)) or step == 0:
        raise ValueError(f"[arange] start = {start}, end = {end}, step = {step} is no finite range")
    array = np.arange(start, end, step)
    wanted = _DEFAULTS.get(array.dtype.kind) if dtype is None else dtype
    return made_on("arange", device, wrap(as_array(array, wanted, "arange")), requires_grad)
