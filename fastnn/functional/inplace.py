"""In place: arithmetic and fills that write into the memory of their first operand."""

from typing import TYPE_CHECKING, Any

from fastnn import random as counters
from fastnn.dispatch import constant, device_of, dtype_name, run, state

from .arithmetic import Value, add, as_computed, cast, divide, multiply, promote, subtract
from .creation import FLOAT32, INT64, as_number
from .random import check_interval, check_spread

if TYPE_CHECKING:
    from fastnn.tensor import Tensor


def writable(operation: str, x: "Tensor") -> "Tensor":
    """`x`; RuntimeError where a change would go past the tape."""
    if x.requires_grad and state.grad_enabled:
        raise RuntimeError(
            f"[{operation}] the tensor requires a gradient and cannot be changed in place: "
            "do it under no_grad(), or on .data"
        )
    return x


def _assign(operation: str, kernel: str, x: "Tensor", other: Value) -> "Tensor":
    """``x = x (kernel) other`` in the memory of x; integers wrap around."""
    writable(operation, x)
    a, b = promote(x, other)
    own, dtype = x._array.dtype, a._array.dtype
    if own.kind == "f":
        return run(kernel, a, b, out=x) if dtype == own else run(kernel, x, cast(b, own), out=x)
    if kernel == "divide" and dtype.kind != "f":
        dtype = FLOAT32
    if dtype.kind == "f" or (own.kind == "b" and dtype != own):
        raise TypeError(f"[{operation}] the result is {dtype} and cannot be written into {own}")
    a, b = as_computed(operation, a), as_computed(operation, b)
    return run(kernel, a, b, out=x) if own == INT64 else run("cast", run(kernel, a, b), out=x)


def _update(operation: str, kernel: str, function: Any, x: "Tensor", other: Value) -> "Tensor":
    """``x op= other``: a new Tensor where a gradient flows through, which in place would lose its past."""
    if state.grad_enabled and (
        (x.requires_grad and x._node is not None)
        or (not x.requires_grad and hasattr(other, "_storage") and other.requires_grad)
    ):
        result: Tensor = function(x, other)
        return result
    return _assign(operation, kernel, x, other)


def iadd(x: "Tensor", other: Value) -> "Tensor":
    """``x += other``."""
    return _update("+=", "add", add, x, other)


def isub(x: "Tensor", other: Value) -> "Tensor":
    """``x -= other``."""
    return _update("-=", "subtract", subtract, x, other)


def imul(x: "Tensor", other: Value) -> "Tensor":
    """``x *= other``."""
    return _update("*=", "multiply", multiply, x, other)


def itruediv(x: "Tensor", other: Value) -> "Tensor":
    """``x /= other``."""
    return _update("/=", "divide", divide, x, other)


def add_(x: "Tensor", other: Value) -> "Tensor":
    """``x += other`` in place."""
    return _assign("add_", "add", x, other)


def sub_(x: "Tensor", other: Value) -> "Tensor":
    """``x -= other`` in place."""
    return _assign("sub_", "subtract", x, other)


def mul_(x: "Tensor", other: Value) -> "Tensor":
    """``x *= other`` in place."""
    return _assign("mul_", "multiply", x, other)


def div_(x: "Tensor", other: Value) -> "Tensor":
    """``x /= other`` in place."""
    return _assign("div_", "divide", x, other)


def fill_(x: "Tensor", value: Any) -> "Tensor":
    """Sets all elements to `value`."""
    return run("cast", as_number("fill_", value, writable("fill_", x)._array.dtype, device_of(x)), out=x)


def zero_(x: "Tensor") -> "Tensor":
    """Sets all elements to 0."""
    zero: Tensor = constant(0, writable("zero_", x)._array.dtype, device_of(x))
    return run("cast", zero, out=x)


def normal_(x: "Tensor", mean: float = 0.0, std: float = 1.0) -> "Tensor":
    """Fills with normally distributed random numbers; ValueError where `std` is below 0 or no number.

    >>> import fastnn as fn
    >>> w = fn.zeros(2, requires_grad=True)
    >>> w.data.normal_(0, 0.01).shape
    (2,)
    """
    check_spread("normal_", std)
    return _fill_random("normal_", "normal", x, mean=mean, std=std)


def uniform_(x: "Tensor", low: float = 0.0, high: float = 1.0) -> "Tensor":
    """Fills with random numbers from [low, high); ValueError unless these are finite and in order."""
    check_interval("uniform_", low=low, high=high)
    return _fill_random("uniform_", "uniform", x, low=low, high=high)


def _fill_random(operation: str, kernel: str, x: "Tensor", **parameters: float) -> "Tensor":
    writable(operation, x)
    numbers = counters.counters(counters.Purpose.USER)
    return run(kernel, shape=x.shape, dtype=dtype_name(x.dtype), out=x, **parameters, **numbers)
