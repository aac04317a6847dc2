"""The catalogue: everything that an argument may be and should not, by a label that makes it again."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from kernels.sampling import Array
from kernels.test_layouts import backwards, broadcast, byte_swapped, fortran, read_only, sliced, transposed, unaligned

import fastnn as fn
from fastnn import _core

Arguments = dict[str, Any]
Make = Callable[[Arguments, str], Any]


class Boom(Exception):
    """What a hostile object raises; it may reach the caller as it is."""


class Hostile:
    """A number that cannot be had, and that cannot even be shown."""

    def __index__(self) -> int:
        raise Boom

    __float__ = __bool__ = __len__ = __iter__ = __array__ = __repr__ = __index__


class Liar:
    """What is no number says that it is one, of the wrong type."""

    def __index__(self) -> Any:
        return "1"

    def __float__(self) -> Any:
        return "1"


class Subclass(np.ndarray):
    """An array whose Python side is in nobody's way but its own."""

    def __getitem__(self, key: Any) -> Any:
        raise Boom

    def __len__(self) -> int:
        raise Boom


# ---- anything at all --------------------------------------------------------------------------------------------

_VALUES: dict[str, Callable[[], Any]] = {
    repr(value)[:40]: lambda value=value: value
    for value in (
        *(None, ..., NotImplemented, int, True, False, 0, 1, 2, 3, -1, -2, 127, 255, 256, 257),
        *(2**31 - 1, 2**31, 2**32, 2**44, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**400),
        *(-(2**31), -(2**31) - 1, -(2**63), -(2**63) - 1, 0.0, -0.0, 0.5, 1.0, 1.9, -1.5, 1e-320, 1e39, -1e39, 1e308),
        *(float("nan"), float("inf"), float("-inf"), 1j, Decimal("0.9"), Decimal("NaN"), Fraction(9, 10)),
        *("", "1", "q", "mean", "mean ", "mean\0", "\ud800", "relu", "float16", ">f4", "float32", "O", "ü", "i8,f4"),
        *(
            b"mean",
            b"\xff",
            bytearray(b"\2\3"),
            (),
            [],
            {},
            set(),
            (0,),
            [0],
            (0, 0),
            (0, 1),
            (1, 2, 3),
            (-1,),
            (1,) * 9,
        ),
        *((2**62, 2**62), (2**40,), (0, 2**62), (1.5,), [None], ["0"], {0}, {0: 0}, range(2), [[0]], [0.0], (1e9,)),
        *(
            np.int8(1),
            np.int64(-1),
            np.uint64(2**64 - 1),
            np.float16(1),
            np.float32(0.9),
            np.float64(1),
            np.longdouble(1),
        ),
        *(
            np.float64("nan"),
            np.complex64(1),
            np.bool_(True),
            np.str_("mean"),
            np.bytes_(b"mean"),
            np.datetime64(1, "s"),
        ),
        *(np.float32, np.dtype("float64"), np.dtype(">i4"), np.dtype([("x", "f4")]), np.dtype("V4"), np.dtype("U")),
    )
}
_VALUES |= {
    "10**5000": lambda: 10**5000,  # which Python refuses to print
    "'q' * 10**6": lambda: "q" * 10**6,
    "array(1)": lambda: np.array(1),
    "array([1])": lambda: np.array([1]),
    "array(1.7)": lambda: np.array(1.7),
    "array([0, 1])": lambda: np.array([0, 1]),
    "array(None)": lambda: np.array(None),
    "[float32(0.9)]": lambda: [np.float32(0.9)],
    "generator": lambda: (i for i in (0,)),
    "iterator of itself": lambda: _endless(),
    "object": object,
    "Hostile": Hostile,
    "[Hostile]": lambda: [Hostile()],
    "Liar": Liar,
    "Tensor": lambda: fn.tensor(1.5),
    "Slot(0.5)": lambda: _core.Slot(0.5),
    "Slot(nan)": lambda: _core.Slot(float("nan")),
    "[Slot]": lambda: [_core.Slot(1.0)],
    "Slot": lambda: _core.Slot,
    "function": lambda: len,
    "function that raises": lambda: _raise,
    "memoryview": lambda: memoryview(bytearray(8)),
    "[arrays]": lambda: [np.zeros(1), np.zeros(2)],
    "[array of 1]": lambda: [np.zeros(1)],
    "(array, array)": lambda: (np.zeros(()), np.zeros((2, 3), np.float32)),
}


def _endless() -> Iterator[int]:
    while True:
        yield 0
        raise Boom


def _raise() -> None:
    raise Boom


# ---- arrays made of the valid one -------------------------------------------------------------------------------


def _filled(value: float) -> Callable[[Array], Array]:
    def fill(x: Array) -> Array:
        if x.dtype.kind in "iu":
            limits = np.iinfo(x.dtype)
            return np.full_like(x, {np.inf: limits.max, -np.inf: limits.min}.get(value, limits.max // 2))
        return np.full_like(x, value)

    return fill


def _mapped(x: Array) -> Array:
    if not x.size:
        return x
    with TemporaryFile() as file:
        x.tofile(file)
        return np.memmap(file, x.dtype, "r", shape=x.shape)


def _windows(x: Array) -> Array:
    """Elements that share memory, in that of `x`: no step is longer than before."""
    steps = [max(-x.itemsize, min(step, x.itemsize)) for step in x.strides]
    return np.lib.stride_tricks.as_strided(x, x.shape, steps)


def _tall(x: Array) -> Array:
    """A first axis beyond all memory."""
    return np.broadcast_to(x.ravel()[:1].reshape((1,) * x.ndim), (2**40, *x.shape[1:])) if x.ndim and x.size else x


def _grown(axis: int, by: int) -> Callable[[Array], Array]:
    def grow(x: Array) -> Array:
        shape = list(x.shape)
        if shape:
            shape[axis] = max(0, shape[axis] + by)
        return np.resize(x, shape)

    return grow


_DTYPES = (
    "float16 float32 float64 longdouble complex64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool object S4 U4"
)

_ARRAYS: dict[str, Callable[[Array], Any]] = {
    **{f"astype {name}": lambda x, name=name: _cast(x, name) for name in _DTYPES.split()},
    "dates": lambda x: np.zeros(x.shape, "datetime64[s]"),
    "records": lambda x: np.zeros(x.shape, [("x", x.dtype)]),
    "field of records": lambda x: np.zeros(x.shape, [("x", x.dtype), ("y", "u1")])["x"],
    "void": lambda x: np.zeros(x.shape, "V4"),
    "byte-swapped": byte_swapped,
    "unaligned": unaligned,
    "read-only": read_only,
    "fortran": fortran,
    "transposed": transposed,
    "backwards": backwards,
    "sliced": sliced,
    "broadcast first": broadcast(0),
    "broadcast last": broadcast(-1),
    "windows": _windows,
    "beyond memory": _tall,
    "nan": _filled(np.nan),
    "inf": _filled(np.inf),
    "-inf": _filled(-np.inf),
    "bytes 0xff": lambda x: np.frombuffer(b"\xff" * x.nbytes, np.uint8).copy().view(x.dtype).reshape(x.shape),
    "no dimension": lambda x: x.ravel()[0].reshape(()) if x.size else np.zeros((), x.dtype),
    "flat": lambda x: x.ravel(),
    "one more dimension": lambda x: x[None],
    "one more at the end": lambda x: x[..., None],
    "9 dimensions": lambda x: x.reshape((1,) * (9 - x.ndim) + x.shape),
    "64 dimensions": lambda x: x.reshape((1,) * (64 - x.ndim) + x.shape),
    "first axis longer": _grown(0, 1),
    "first axis shorter": _grown(0, -1),
    "last axis longer": _grown(-1, 1),
    "last axis shorter": _grown(-1, -1),
    "first axis empty": lambda x: x[:0] if x.ndim else np.zeros(0, x.dtype),
    "last axis empty": lambda x: x[..., :0] if x.ndim else np.zeros(0, x.dtype),
    "empty and huge": lambda x: np.zeros((0, 2**40), x.dtype),
    "subclass": lambda x: x.view(Subclass),
    "matrix": lambda x: np.asmatrix(x) if x.ndim == 2 else x.view(np.recarray),
    "masked": lambda x: np.ma.masked_array(x, np.ones(x.shape, bool)),
    "memory map": _mapped,
    "list": lambda x: x.tolist(),
    "bytes": lambda x: x.tobytes(),
    "memoryview of it": lambda x: memoryview(x),
    "list of it": lambda x: [x],
    "pair of it": lambda x: (x, x),
    "tensor of it": lambda x: fn.tensor(x) if x.dtype in (np.float32, np.float64, np.int64) else None,
}


def _cast(x: Array, name: str) -> Array:
    with np.errstate(all="ignore"):
        return np.zeros(x.shape, name) if name in ("S4", "U4") else x.astype(name)


# ---- several at once --------------------------------------------------------------------------------------------


def variants(arguments: Arguments, name: str) -> dict[str, Make]:
    """What can be put in the place of argument `name`: values of all kinds, what becomes of it where it is an array,
    and memory that is another argument's."""
    makes: dict[str, Make] = {label: lambda a, n, value=value: value() for label, value in _VALUES.items()}
    if isinstance(arguments.get(name), np.ndarray):
        makes |= {label: lambda a, n, of=of: of(a[n]) for label, of in _ARRAYS.items()}
    elif isinstance(arguments.get(name), list | tuple):
        makes |= {"itself twice": lambda a, n: list(a[n]) * 2, "with None": lambda a, n: [*a[n], None]}
    for other, x in arguments.items():
        if other != name and isinstance(x, np.ndarray):
            makes[f"the same as {other}"] = lambda a, n, other=other: a[other]
            makes[f"a view of {other}"] = lambda a, n, other=other: a[other][...]
            if x.ndim and x.size:
                makes[f"a part of {other}"] = lambda a, n, other=other: a[other][1:]
                makes[f"{other} turned"] = lambda a, n, other=other: a[other].T
                makes[f"{other} backwards"] = lambda a, n, other=other: a[other][::-1]
    return makes
