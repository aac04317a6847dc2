"""The seam: the one place where Tensors reach kernels, and so the one place where a step can be recorded.

All arithmetic of training goes through `run`: forward, backward, gradient accumulation, clipping, optimizer, metrics.
What leaves the world of kernels (a printed loss, a NumPy array) goes through `escape`.
"""

import copyreg
import functools
import itertools
import math
import operator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, overload

import numpy as np

from fastnn import _core, devices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:  # importing numpy.typing takes as long as importing all of fastnn
    Array = np.ndarray

Slot = _core.Slot
copyreg.pickle(Slot, lambda slot: (Slot, (slot.value,)))  # a copy is a Slot of its own
Advance = Callable[[int], Mapping[Slot, Sequence[float]]]
next_serial = itertools.count(1).__next__
_next_constant = itertools.count(-1, -1).__next__


class Storage:
    """Memory that Tensors share: the array that owns it, a serial number that is never reused, and a version.

    Every write through `run` adds 1 to `version`. Serial numbers grow with time; those of cached constants are
    negative.
    """

    __slots__ = ("__weakref__", "array", "serial", "version")

    def __init__(self, array: Array, serial: int | None = None) -> None:
        self.array = array
        self.serial = next_serial() if serial is None else serial
        self.version = 0


class Handle:
    """What the seam sees of a Tensor: a view of an array, and the storage which that view is part of."""

    __slots__ = ("__weakref__", "_array", "_node", "_storage", "grad", "requires_grad")

    _array: Array
    _storage: Storage
    _node: Any
    grad: Any
    requires_grad: bool


T = TypeVar("T", bound=Handle)
Value = TypeVar("Value")


class Observer(Protocol):
    """What a recorder is told while it is active."""

    def kernel(
        self,
        kernel: str | Callable[..., Any],
        operands: tuple[Any, ...],
        scalars: dict[str, Any],
        results: tuple[Any, ...],
        writes: tuple[Any, ...],
    ) -> None:
        """`kernel` ran: it gave `results`, and changed `writes`, which were there before."""

    def escape(self, what: str) -> None:
        """A value left for Python."""

    def varies(self, what: str, within_epoch: bool) -> None:
        """Python reads something of the run that the next step finds changed, or the next epoch."""

    def before_step(self, callback: "Advance") -> None:
        """`callback` sets Slots and has to run before each repetition of this step."""

    def gradient(self, leaf: Any) -> None:
        """`leaf` got a gradient that this step made."""

    def log(self, name: str, value: Any) -> None:
        """`value` is to be read after each repetition of this step."""


class State(threading.local):
    """Of each thread: the active recorder, whether operations are put on the tape, and the precision of products."""

    recorder: Observer | None = None
    grad_enabled: bool = True
    precision: str | None = None  # while a trainer is at work; else the process's


state = State()

_PRODUCTS = frozenset(("matmul", "linear", "matmul_sgd_update"))
_precision = "float32"  # of the process

_functions = vars(_core)
_array_of = operator.attrgetter("_array")
_new = object.__new__
_tensor_class: Any = None

# What a kernel without result changes of its operands: param, and velocity where it is given; param and moments.
_IN_PLACE: dict[str, Callable[[tuple[Any, ...]], tuple[Any, ...]]] = {
    "sgd_update": lambda operands: operands[:1] if operands[-1] is None else operands[::2],
    "matmul_sgd_update": lambda operands: operands[:1] if operands[-1] is None else operands[::3],
    "adam_update": lambda operands: (operands[0], operands[2], operands[3]),
}


def register(tensor_class: type) -> None:
    """Makes results instances of `tensor_class`, which stands below this module."""
    global _tensor_class
    _tensor_class = tensor_class


def wrap(array: Array, storage: Storage | None = None) -> Any:
    """A Tensor of `array`, without history; `storage` where the array is a view of memory that has one."""
    tensor = _new(_tensor_class)
    tensor._array = array
    if storage is None:  # Storage(array), without the call: this is run for every result of every kernel
        storage = _new(Storage)
        storage.array = array
        storage.serial = next_serial()
        storage.version = 0
    tensor._storage = storage
    tensor.requires_grad = False
    tensor.grad = None
    tensor._node = None
    return tensor


@overload
def run(
    kernel: Literal["cross_entropy_with_grad", "mse_loss_with_grad"], *operands: T | None, **scalars: Any
) -> tuple[T, T]: ...
@overload
def run(kernel: str, *operands: T | None, out: T | None = None, **scalars: Any) -> T: ...
def run(kernel: str, *operands: Any, out: Any = None, **scalars: Any) -> Any:
    """Runs a kernel on Tensors; its results are Tensors without history.

    `scalars` are the kernel's keyword arguments: numbers, Slots, shapes, names. `out` receives the result and is
    returned. In-place kernels return None.
    """
    try:
        arrays: Any = tuple(map(_array_of, operands))
    except AttributeError:
        if not all(operand is None or isinstance(operand, Handle) for operand in operands):
            raise not_a_tensor(kernel, *operands) from None
        arrays = [None if operand is None else operand._array for operand in operands]
    if devices.is_used and kernel in _PRODUCTS:
        scalars = _in_precision(arrays[0]) | scalars
    recorder = state.recorder
    try:
        if out is None:
            array = _functions[kernel](*arrays, **scalars)
        else:
            _functions[kernel](*arrays, out=out._array, **scalars)
    except TypeError as error:
        raise _explained(error, kernel, arrays, scalars) from None
    if out is not None:
        out._storage.version += 1
        if recorder is not None:
            recorder.kernel(kernel, operands, scalars, (out,), (out,))
        return out
    if array is None:
        writes = _IN_PLACE[kernel](operands)
        for operand in writes:
            operand._storage.version += 1
        if recorder is not None:
            recorder.kernel(kernel, operands, scalars, (), writes)
        return None
    if array.__class__ is tuple:
        results = tuple(map(wrap, array))
        if recorder is not None:
            recorder.kernel(kernel, operands, scalars, results, ())
        return results
    result = wrap(array)
    if recorder is not None:
        recorder.kernel(kernel, operands, scalars, (result,), ())
    return result


def set_float32_matmul_precision(precision: str) -> None:
    """How products of float32 on a GPU may round their factors: not ("float32"), to "tf32" or to "bf16".

    That is for the whole process, gradients included, but for trainers with a precision of their own. Sums and results
    are float32 all the same. With "float32", the default, they have the bits of the CPU; "tf32" has 10 bits of mantissa
    and "bf16" 7, which tensor cores multiply many times as fast. The CPU rounds nothing, and products of float64 are
    as ever. Raises ValueError for other names, and DeviceError where no GPU or no cuBLASLt is found.

    >>> set_float32_matmul_precision("float32")
    >>> get_float32_matmul_precision()
    'float32'
    """
    global _precision
    _precision = devices.require_precision("set_float32_matmul_precision", precision)


def get_float32_matmul_precision() -> str:
    """The latest `set_float32_matmul_precision`, or in a trainer's run its own precision."""
    return state.precision or _precision


@contextmanager
def precision_of_products(precision: str | None) -> Iterator[None]:
    """Products in this thread are made in `precision`, None: the one that is set now, whatever is set meanwhile."""
    before, state.precision = state.precision, precision or get_float32_matmul_precision()
    try:
        yield
    finally:
        state.precision = before


def _in_precision(array: Array) -> dict[str, str]:
    """What a product is told of which `array` is a factor, or its result."""
    precision = get_float32_matmul_precision()
    is_rounded = precision != "float32" and array.dtype == np.float32 and _core.device_of(array) != "cpu"
    return {"precision": precision} if is_rounded else {}


def _explained(error: TypeError, kernel: str, arrays: Sequence[Any], scalars: dict[str, Any]) -> TypeError:
    """`error` in the words of `fastnn.kernels`, which is imported only now: it takes long, and few programs need it."""
    from fastnn import kernels

    return kernels.explained(error, kernel, arrays, scalars)


def not_a_tensor(operation: str, *operands: Any) -> TypeError:
    """The error for the first of `operands` that is no Tensor."""
    kind = next((type(x).__name__ for x in operands if x is not None and not isinstance(x, Handle)), "nothing")
    return TypeError(f"[{operation}] takes Tensors, not {kind}: use fastnn.tensor(...)")


def call(function: Callable[..., tuple[Array, ...]], *operands: Any) -> tuple[Any, ...]:
    """Runs a Python function on arrays as if it were a kernel: arrays in (read-only), a tuple of new arrays out."""
    synchronize()
    arrays = function(*[read_only(operand._array) for operand in operands])
    places = {device_of(operand) for operand in operands} - {"cpu"}
    for place in places:  # there is one device
        arrays = tuple([_core.transfer(array, device=place) for array in arrays])
    results = tuple(map(wrap, arrays))
    if state.recorder is not None:
        state.recorder.kernel(function, operands, {}, results, ())
    return results


def read_only(array: Array) -> Array:
    """A view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


@contextmanager
def unrecorded() -> Iterator[Observer | None]:
    """What is done inside is no part of a step that is being recorded; gives the recorder that waits outside."""
    recorder, state.recorder = state.recorder, None
    try:
        yield recorder
    finally:
        state.recorder = recorder


def escape(what: str, waits: bool = True) -> None:
    """Tells an active recorder that a value leaves the world of kernels, by `what`; it is there when this returns,
    unless `waits` is False.
    """
    if state.recorder is not None:
        state.recorder.escape(what)
    if waits:
        synchronize()


def synchronize() -> None:
    """Waits until Python may look at what a device has made."""
    if devices.is_used:
        _core.synchronize()


def device_of(x: Any) -> str:
    """The device on which the memory of a Tensor or an array lies."""
    return _core.device_of(getattr(x, "_array", x)) if devices.is_used else "cpu"


def copy_of(array: Array) -> Array:
    """A contiguous copy on the device of `array`."""
    copy: Array = array.copy(order="C") if device_of(array) == "cpu" else _core.cast(array)
    return copy


def varies(what: str, within_epoch: bool = True) -> None:
    """Tells an active recorder that `what`, which is read now, is another in each step, or in each epoch."""
    if state.recorder is not None:
        state.recorder.varies(what, within_epoch)


class Varying(Generic[Value]):
    """An attribute that is another in each step, or in each epoch, and tells so when it is read.

    The value itself is kept under the same name with an underscore before it.
    """

    def __init__(self, documentation: str, within_epoch: bool = True) -> None:
        self.__doc__ = documentation
        self._within_epoch = within_epoch

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Varying[Value]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> "Value | Varying[Value]":
        if instance is None:
            return self
        varies(self._name, self._within_epoch)
        value: Value = getattr(instance, f"_{self._name}")
        return value

    def __set__(self, instance: object, value: Value) -> None:
        setattr(instance, f"_{self._name}", value)


def before_step(callback: Advance) -> None:
    """Calls ``callback(1)`` now, and again before each replay of a step that is being recorded.

    For what sets Slots (a learning rate, Adam's corrections, the step of random numbers): those are read when kernels
    run, so that a replayed step sees new values. ``callback(n)`` goes `n` steps on at once; it gives the values that
    Slots have in each of them, and leaves out those that stay as they are set.
    """
    if state.recorder is None:
        callback(1)
    else:
        state.recorder.before_step(callback)


def constant(value: float, dtype: np.dtype[Any], device: str = "cpu") -> Any:
    """A Python number as a Tensor of no dimension; read-only, cached.

    >>> constant(2, np.dtype("float32"))
    tensor(2.)
    """
    return _constant(value, dtype, value == 0 and math.copysign(1.0, value) < 0, device)


@functools.lru_cache(maxsize=256)
def dtype_name(dtype: Any) -> str:
    """What kernels call a dtype. Cached, because NumPy takes longer to say it than a small kernel to run."""
    name: str = np.dtype(dtype).name
    return name


@functools.lru_cache(maxsize=1024)
def _constant(value: float, dtype: np.dtype[Any], negative_zero: bool, device: str) -> Any:
    """`negative_zero` keeps -0.0 apart from 0.0, which is equal to it."""
    array = np.array(value, dtype)
    if device != "cpu":
        array = _core.transfer(array, device=device)
    array.flags.writeable = False
    return wrap(array, Storage(array, _next_constant()))
