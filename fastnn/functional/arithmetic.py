"""Elementwise arithmetic, comparisons and functions, with broadcasting; how dtypes meet."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.autograd import Operation, track
from fastnn.dispatch import Handle, constant, device_of, dtype_name, not_a_tensor, run

from .creation import BOOL, FLOAT32, FLOAT64, INT32, INT64, UINT8, tensor

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

Value = Any  # a Tensor, a number or a NumPy array

_ARITHMETIC = (FLOAT32, FLOAT64, INT64)
_LIMITS = {BOOL: (1, 0), UINT8: (0, 2**8 - 1), INT32: (-(2**31), 2**31 - 1), INT64: (-(2**63), 2**63 - 1)}


def promote(a: Value, b: Value) -> "tuple[Tensor, Tensor]":
    """Both operands as Tensors of one dtype, by PyTorch's rules: floating point over integer, then the wider one.

    A number never widens a Tensor within its kind, unless it does not fit, and neither does a Tensor without
    dimensions.
    """
    try:
        if a._array.dtype is b._array.dtype:  # nearly always: NumPy makes each dtype once
            return a, b
    except AttributeError:
        pass
    if not hasattr(a, "_storage"):
        if not hasattr(b, "_storage"):
            a = tensor(a)
        elif isinstance(a, (int, float, np.generic)):
            return _with_number(b, a)[::-1]
        else:
            a = _from_array(a)
    if not hasattr(b, "_storage"):
        if isinstance(b, (int, float, np.generic)):
            return _with_number(a, b)
        b = _from_array(b)
    x, y = a._array.dtype, b._array.dtype
    if x == y:
        return a, b
    if x.kind == y.kind and (a._array.ndim == 0) != (b._array.ndim == 0):
        dtype = x if a._array.ndim else y
    elif (x.kind == "f") != (y.kind == "f"):
        dtype = x if x.kind == "f" else y
    else:
        dtype = np.promote_types(x, y)
    return cast(a, dtype), cast(b, dtype)


def _with_number(x: "Tensor", number: Any) -> "tuple[Tensor, Tensor]":
    number = number.item() if isinstance(number, np.generic) else number
    dtype = x._array.dtype
    if isinstance(number, float) and dtype.kind != "f":
        dtype = FLOAT32
    elif not isinstance(number, (int, float)):
        raise _no_operand(number)
    elif dtype.kind != "f" and not isinstance(number, bool):
        (low, high), (lowest, highest) = _LIMITS[dtype], _LIMITS[INT64]
        if not lowest <= number <= highest:
            raise ValueError(f"[arithmetic] {number} does not fit int64: use x.double()")
        dtype = dtype if low <= number <= high else INT64
    return cast(x, dtype), constant(number, dtype, device_of(x))


def _from_array(value: Any) -> "Tensor":
    if not isinstance(value, np.ndarray):
        raise _no_operand(value)
    return tensor(value)


def _no_operand(value: Any) -> TypeError:
    return TypeError(f"[arithmetic] an operand must be a Tensor, a number or an array, not {type(value).__name__}")


def _operands(a: Value, b: Value) -> "tuple[Tensor, Tensor]":
    """Operands of arithmetic; the small integers and bool compute as int64."""
    a, b = promote(a, b)
    if a._array.dtype not in _ARITHMETIC:
        a, b = cast(a, INT64), cast(b, INT64)
    return a, b


def as_computed(operation: str, x: "Tensor") -> "Tensor":
    """`x` in a dtype that kernels compute in: the small integers and bool as int64."""
    try:
        return x if x._array.dtype in _ARITHMETIC else cast(x, INT64)
    except AttributeError:
        raise not_a_tensor(operation, x) from None


def as_floating(operation: str, x: "Tensor") -> "Tensor":
    """`x`, integers and bool as float32."""
    try:
        return x if x._array.dtype.kind == "f" else cast(x, FLOAT32)
    except AttributeError:
        raise not_a_tensor(operation, x) from None


CAST = Operation("cast", x=lambda g, dtype: run("cast", g, dtype=dtype))
ADD = Operation("add", a=lambda g: g, b=lambda g: g)
SUBTRACT = Operation("subtract", a=lambda g: g, b=lambda g: run("negative", g))
MULTIPLY = Operation("multiply", a=lambda g, b: run("multiply", g, b), b=lambda g, a: run("multiply", g, a))
DIVIDE = Operation("divide", a=lambda g, b: run("divide", g, b), b=lambda g, y, b: -(g * y / b))
POWER = Operation(
    "power",
    a=lambda g, a, b: where(b == 0.0, 0.0, g * b * a ** (b - 1)),  # x ** 0 is 1, also at 0 and infinity
    b=lambda g, a, b, y: _exponent_share(g, a, b, y),
)
SQUARE = Operation("square", x=lambda g, x: run("multiply", g, run("add", x, x)))
MAXIMUM = Operation("maximum", a=lambda g, a, b: _share(g, a > b, a == b), b=lambda g, a, b: _share(g, b > a, a == b))
MINIMUM = Operation("minimum", a=lambda g, a, b: _share(g, a < b, a == b), b=lambda g, a, b: _share(g, b < a, a == b))
WHERE = Operation(
    "where",
    condition=None,
    a=lambda g, condition: run("where", condition, g, constant(0, g.dtype, device_of(g))),
    b=lambda g, condition: run("where", condition, constant(0, g.dtype, device_of(g)), g),
)
NEGATIVE = Operation("negative", x=lambda g: run("negative", g))
ABS = Operation("abs", x=lambda g, x: run("multiply", g, run("sign", x)))
SQRT = Operation("sqrt", x=lambda g, y: run("divide", g, run("add", y, y)))
EXP = Operation("exp", x=lambda g, y: run("multiply", g, y))
LOG = Operation("log", x=lambda g, x: run("divide", g, x))
CLAMP = Operation("clamp", x=lambda g, x, y: run("where", run("equal", x, y), g, constant(0, g.dtype, device_of(g))))


def _share(g: "Tensor", wins: "Tensor", ties: "Tensor") -> "Tensor":
    """The gradient of an operand of a maximum: all of it where it wins, half of it where both are equal."""
    return where(wins, g, where(ties, g * 0.5, 0.0))


def _exponent_share(g: "Tensor", a: "Tensor", b: "Tensor", y: "Tensor") -> "Tensor":
    """The gradient of an exponent: the powers of 0 are 0 on one side of b = 0 and infinite on the other."""
    share = g * y * log(a)
    return where(a == 0.0, where(b >= 0.0, 0.0, share), share)


def cast(x: "Tensor", dtype: Any) -> "Tensor":
    """`x` as `dtype`; `x` itself where it has that already.

    >>> import fastnn as fn
    >>> cast(fn.tensor([1, 0]), "float64")
    tensor([1., 0.], dtype=float64)
    """
    dtype = np.dtype(dtype)
    if not isinstance(x, Handle):
        raise not_a_tensor("cast", x)
    old = x._array.dtype
    if dtype == old:
        return x
    y = run("cast", x, dtype=dtype_name(dtype))
    return track(CAST, y, (x,), dtype=dtype_name(old)) if dtype.kind == "f" else y


def add(a: Value, b: Value) -> "Tensor":
    """``a + b``."""
    a, b = _operands(a, b)
    return track(ADD, run("add", a, b), (a, b))


def subtract(a: Value, b: Value) -> "Tensor":
    """``a - b``."""
    a, b = _operands(a, b)
    return track(SUBTRACT, run("subtract", a, b), (a, b))


def multiply(a: Value, b: Value) -> "Tensor":
    """``a * b``."""
    a, b = _operands(a, b)
    return track(MULTIPLY, run("multiply", a, b), (a, b))


def divide(a: Value, b: Value) -> "Tensor":
    """``a / b``; integers divide as float32.

    >>> import fastnn as fn
    >>> fn.tensor([1, 2]) / 4
    tensor([0.2500, 0.5000])
    """
    a, b = promote(a, b)
    a, b = as_floating("divide", a), as_floating("divide", b)
    return track(DIVIDE, run("divide", a, b), (a, b))


def power(a: Value, b: Value) -> "Tensor":
    """``a ** b``; a square is a product, the power 0.5 a square root.

    >>> import fastnn as fn
    >>> fn.tensor([1.0, 3.0]) ** 2
    tensor([1., 9.])
    """
    if b.__class__ is int or b.__class__ is float:
        if b == 2:
            a, _ = _operands(a, a)
            return track(SQUARE, run("multiply", a, a), (a,))
        if b == 0.5:
            return sqrt(a)
    a, b = _operands(a, b)
    return track(POWER, run("power", a, b), (a, b))


def maximum(a: Value, b: Value) -> "Tensor":
    """The larger of `a` and `b`; equal elements share the gradient evenly.

    >>> import fastnn as fn
    >>> maximum(fn.tensor([-1.0, 2.0]), 0.0)
    tensor([0., 2.])
    """
    a, b = _operands(a, b)
    return track(MAXIMUM, run("maximum", a, b), (a, b))


def minimum(a: Value, b: Value) -> "Tensor":
    """The smaller of `a` and `b`; equal elements share the gradient evenly."""
    a, b = _operands(a, b)
    return track(MINIMUM, run("minimum", a, b), (a, b))


def where(condition: "Tensor", a: Value, b: Value) -> "Tensor":
    """`a` where `condition`, a Tensor of bool, holds, else `b`.

    >>> import fastnn as fn
    >>> where(fn.tensor([True, False]), 1.0, fn.tensor([5.0, 6.0]))
    tensor([1., 6.])
    """
    a, b = promote(a, b)
    return track(WHERE, run("where", condition, a, b), (condition, a, b))


def equal(a: Value, b: Value) -> "Tensor":
    """``a == b`` as bool."""
    return run("equal", *promote(a, b))


def not_equal(a: Value, b: Value) -> "Tensor":
    """``a != b`` as bool."""
    return run("not_equal", *promote(a, b))


def less(a: Value, b: Value) -> "Tensor":
    """``a < b`` as bool."""
    return run("less", *promote(a, b))


def less_equal(a: Value, b: Value) -> "Tensor":
    """``a <= b`` as bool."""
    return run("less_equal", *promote(a, b))


def greater(a: Value, b: Value) -> "Tensor":
    """``a > b`` as bool."""
    return run("greater", *promote(a, b))


def greater_equal(a: Value, b: Value) -> "Tensor":
    """``a >= b`` as bool."""
    return run("greater_equal", *promote(a, b))


def negative(x: "Tensor") -> "Tensor":
    """``-x``."""
    x = as_computed("negative", x)
    return track(NEGATIVE, run("negative", x), (x,))


def abs(x: "Tensor") -> "Tensor":
    """``|x|``; the gradient at 0 is 0."""
    x = as_computed("abs", x)
    return track(ABS, run("abs", x), (x,))


def sign(x: "Tensor") -> "Tensor":
    """-1, 0 or 1, without gradient."""
    return run("sign", as_computed("sign", x))


def sqrt(x: "Tensor") -> "Tensor":
    """Square root; NaN below 0."""
    x = as_floating("sqrt", x)
    return track(SQRT, run("sqrt", x), (x,))


def exp(x: "Tensor") -> "Tensor":
    """Exponential function.

    >>> import fastnn as fn
    >>> exp(fn.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    x = as_floating("exp", x)
    return track(EXP, run("exp", x), (x,))


def log(x: "Tensor") -> "Tensor":
    """Natural logarithm; -inf at 0, NaN below."""
    x = as_floating("log", x)
    return track(LOG, run("log", x), (x,))


def clamp(x: "Tensor", min: float | None = None, max: float | None = None) -> "Tensor":
    """`x` cut to the numbers [`min`, `max`]; where it is cut, the gradient is 0.

    >>> import fastnn as fn
    >>> clamp(fn.tensor([-2.0, 0.5, 2.0]), -1.0, 1.0)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if not isinstance(x, Handle):
        raise not_a_tensor("clamp", x)
    if min is None and max is None:
        raise ValueError("[clamp] min and max are both None: there is nothing to cut at")
    y = x
    for name, kernel, bound in (("min", "maximum", min), ("max", "minimum", max)):
        if bound is None:
            continue
        if not isinstance(bound, (int, float, np.generic)):
            raise TypeError(f"[clamp] {name} is a {type(bound).__name__}, not a number: use fastnn.{kernel}(x, {name})")
        y = run(kernel, *_operands(y, bound))
    return track(CLAMP, y, (x,))
