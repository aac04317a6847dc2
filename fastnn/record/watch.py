"""What the code of a step can reach beside Tensors: counters, lists, generators, settings. A step may not change them.

Starting from the model and the optimizer, this follows attributes, containers and methods, and of functions the
variables they close over, their defaults and the globals they name. What shows no state (files, clocks, objects of
other languages) is compared by identity alone.
"""

import functools
import io
import itertools
import operator
import random
import sys
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any

import numpy as np

from fastnn.dispatch import Handle

_PLAIN = frozenset((bool, int, str, bytes, type(None), type(...)))
# Of this package, what belongs to a step; the rest is beside it.
_CLOSED, _OPEN = ("fastnn.", "numpy"), ("fastnn.nn.", "fastnn.optim", "fastnn.models", "fastnn.data.")
_MOST_OWNERS, _MOST_VALUES, _DEPTH = 1000, 8000, 8
_LONG = 256  # items of a container that is compared whole
_SMALL, _SAMPLE = 65536, 4096  # bytes of an array that is compared whole, and about as many of a larger one


@dataclass
class Sight:
    """What was seen: values in a form that can be compared, by the object they belong to and a name."""

    values: dict[tuple[int, str], Any] = field(default_factory=dict)
    owners: dict[int, object] = field(default_factory=dict)

    def change(self, later: "Sight") -> str | None:
        """The first difference, in words."""
        if self.values == later.values:
            return None
        return next(filter(None, map(self._change_of, [*self.values, *later.values], itertools.repeat(later))), None)

    def change_in(self, later: "Sight") -> str | None:
        """The first difference among what was seen later; that may be less."""
        return next(filter(None, map(self._change_of, later.values, itertools.repeat(later))), None)

    def is_as(self, later: "Sight") -> bool:
        """Whether nothing changed but what a run itself changes from step to step, and generators of random numbers."""
        return self.values == later.values or all(
            self.values.get(key) == later.values.get(key)
            for key in self.values.keys() | later.values.keys()
            if key[0] and key[1] not in getattr(type(self.owners.get(key[0])), "_advances", ())
        )

    def _change_of(self, key: tuple[int, str], later: "Sight") -> str | None:
        before, after = self.values.get(key), later.values.get(key)
        if before == after:
            return None
        name = _name(self.owners.get(key[0], later.owners.get(key[0])), key[1])
        if isinstance(after, _Iterator):
            return f"{name} is an iterator, and how far it has come cannot be compared"
        return f"{name} changed during the step"


def look(roots: Iterable[object]) -> Sight:
    """What can be reached from `roots`, and the states of the global random generators."""
    sight = look_at(roots)
    sight.values[0, "the state of random"] = random.getstate()
    if "numpy.random" in sys.modules:
        numbers = np.random.get_state(legacy=False)  # noqa: NPY002
        sight.values[0, "the state of np.random"] = _Look().freeze(numbers, 0)
    return sight


def look_at(roots: Iterable[object]) -> Sight:
    """What can be reached from `roots`."""
    sight, looking = Sight(), _Look()
    values, owners, pending = sight.values, sight.owners, looking.pending
    pending += roots
    for owner in pending:  # which grows meanwhile
        number = id(owner)
        if number not in owners and len(owners) < _MOST_OWNERS:
            owners[number] = owner
            for name, value in _places(owner, looking):
                values[number, name] = value if type(value) in _PLAIN else looking.freeze(value, 0)
    return sight


def _name(owner: object, name: str) -> str:
    if owner is None or name.startswith("the global "):
        return name
    if isinstance(owner, FunctionType):
        return f"{name} of {owner.__name__}()"
    kind = (owner if isinstance(owner, type) else type(owner)).__name__
    return f"{name} of a {kind}" if name == "the class" else f"{kind}.{name}"


# ---- where values are -----------------------------------------------------------------------------------------------


def _places(owner: Any, looking: "_Look") -> Iterator[tuple[str, Any]]:
    """What belongs to `owner`, by name; its classes become pending."""
    if isinstance(owner, FunctionType):
        yield from _of_function(owner)
    elif isinstance(owner, type):
        for name, value in list(vars(owner).items()):
            if not name.startswith("__") or isinstance(value, FunctionType):
                yield name, value
        looking.pending += [kind for kind in owner.__mro__[1:] if looking.is_users(kind)]
    else:
        yield "the class", type(owner)
        attributes, beside = getattr(owner, "__dict__", None), getattr(type(owner), "_unwatched", ())
        if isinstance(attributes, dict):
            yield from [item for item in attributes.items() if item[0] not in beside]
        if looking.is_users(type(owner)):
            yield from _in_slots(owner)


def _of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function keeps or names: closed-over variables, defaults, attributes and globals."""
    code, names = function.__code__, _names(function.__code__)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue
    yield "a default", (function.__defaults__, function.__kwdefaults__)
    yield from list(function.__dict__.items())
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            for attribute in names:
                if attribute in vars(value):
                    yield f"{name}.{attribute}", vars(value)[attribute]
        else:
            yield f"the global {name}", value


@functools.lru_cache(maxsize=4096)
def _names(code: CodeType) -> tuple[str, ...]:
    """The names of globals and attributes in `code`, and in the functions defined inside; strings may be names too."""
    inner = (name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part))
    strings = (part for part in code.co_consts if isinstance(part, str) and part.isidentifier())
    return tuple(dict.fromkeys((*code.co_names, *strings, *inner)))


def _in_slots(owner: object) -> Iterator[tuple[str, Any]]:
    for kind in type(owner).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(owner, name):
                yield name, getattr(owner, name)


def is_users(thing: Any) -> bool:
    """Whether a class or function comes from neither Python nor this package nor NumPy; a class of this package does in
    part where a function from elsewhere was put into it.
    """
    module = _module(thing)
    if isinstance(thing, type) and module.startswith("fastnn."):
        return any(callable(value) and _is_users_module(_module(value)) for value in list(vars(thing).values()))
    return _is_users_module(module)


def _module(thing: Any) -> str:
    return str(getattr(thing, "__module__", None))


@functools.lru_cache(maxsize=1024)
def _is_users_module(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in ("fastnn", "numpy", "builtins", "None") and top not in sys.stdlib_module_names


# ---- values in a form that can be compared --------------------------------------------------------------------------


class _Is:
    """Equal to the same object only, which it holds: so no other takes its place in memory."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Is) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


class _Iterator:
    """Equal to nothing: how far an iterator has come cannot be seen."""


class _Look:
    """Freezes values; the objects and functions among them become `pending`."""

    def __init__(self) -> None:
        self.pending: list[object] = []
        self._values = 0
        self._are_users: dict[int, bool] = {}

    def is_users(self, kind: type) -> bool:
        """`is_users`, asked once for each class."""
        known = self._are_users.get(id(kind))
        if known is None:
            known = self._are_users[id(kind)] = is_users(kind)
        return known

    def freeze(self, value: Any, depth: int) -> Any:
        if type(value) in _PLAIN:
            return value
        self._values += 1
        if depth > _DEPTH or self._values > _MOST_VALUES:
            return None
        return _frozen(value, self, depth + 1)


@functools.singledispatch
def _frozen(value: Any, looking: _Look, depth: int) -> Any:
    """What can be compared of `value`."""
    kind = type(value)
    if hasattr(kind, "__next__") and not hasattr(value, "__dict__"):
        left = operator.length_hint(value, -1)
        return _Iterator() if left < 0 else (_Is(value), left)
    if kind.__module__.startswith("numpy.random"):
        return looking.freeze(_generator_state(value), depth)
    ours_beside = kind.__module__.startswith(_CLOSED) and not kind.__module__.startswith(_OPEN)
    if looking.is_users(kind) or (hasattr(value, "__dict__") and not ours_beside):
        looking.pending.append(value)
    return _Is(value), _buffer(value)


def _generator_state(value: Any) -> Any:
    """Of NumPy's generators; they are not registered, because that would import them."""
    if hasattr(value, "get_state"):
        return value.get_state(legacy=False)
    return getattr(getattr(value, "bit_generator", value), "state", None)


def _buffer(value: Any) -> bytes | None:
    """The bytes of a small bytearray, array.array or number of ctypes."""
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return None
    return view.tobytes() if view.nbytes <= _SMALL else None


@_frozen.register(float)
@_frozen.register(complex)
@_frozen.register(itertools.count)
def _(value: Any, looking: _Look, depth: int) -> Any:
    return repr(value)  # tells -0.0 from 0.0, and NaN is NaN


@_frozen.register
def _(value: Handle, looking: _Look, depth: int) -> Any:
    return _Is(value), _Is(getattr(value, "_storage", None)), value.requires_grad


@_frozen.register(list)
@_frozen.register(tuple)
@_frozen.register(deque)
def _(value: Any, looking: _Look, depth: int) -> Any:
    return len(value), [looking.freeze(item, depth) for item in _some(value)]


@_frozen.register
def _(value: dict, looking: _Look, depth: int) -> Any:  # type: ignore[type-arg]
    items = _some(value.items())
    return len(value), [(looking.freeze(key, depth), looking.freeze(item, depth)) for key, item in items]


@_frozen.register(set)
@_frozen.register(frozenset)
def _(value: Any, looking: _Look, depth: int) -> Any:
    return len(value), {item if type(item) in _PLAIN else id(item) for item in itertools.islice(value, _LONG)}


def _some(items: Any) -> Iterable[Any]:
    """All of a short container; of a long one the first and the last."""
    if len(items) <= _LONG:
        return list(items)
    return [item for end in (items, reversed(items)) for item in itertools.islice(end, _LONG // 2)]


@_frozen.register
def _(value: np.ndarray, looking: _Look, depth: int) -> Any:
    """A small array whole; of a large one which it is, and elements spread over it."""
    if value.nbytes <= _SMALL:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.memmap):
        return _Is(value)  # elements may be far away
    most = max(2, int((_SAMPLE / value.itemsize) ** (1 / value.ndim)))
    return _Is(value), value[tuple([slice(None, None, max(1, n // most)) for n in value.shape])].tobytes()


@_frozen.register
def _(value: np.generic, looking: _Look, depth: int) -> Any:
    return value.dtype.str, value.tobytes()


@_frozen.register
def _(value: random.Random, looking: _Look, depth: int) -> Any:
    return _Is(value) if isinstance(value, random.SystemRandom) else value.getstate()


@_frozen.register
def _(value: FunctionType, looking: _Look, depth: int) -> Any:
    if is_users(value):
        looking.pending.append(value)
    return _Is(value)


@_frozen.register
def _(value: type, looking: _Look, depth: int) -> Any:
    if any(map(looking.is_users, value.__mro__)):
        looking.pending.append(value)
    return _Is(value)


@_frozen.register(ModuleType)
@_frozen.register(io.IOBase)
def _(value: Any, looking: _Look, depth: int) -> Any:
    return _Is(value)


@_frozen.register(BuiltinMethodType)
@_frozen.register(MethodWrapperType)
def _(value: Any, looking: _Look, depth: int) -> Any:
    """A method of a built-in type, say a generator's."""
    return _Is(value) if isinstance(value.__self__, ModuleType) else looking.freeze(value.__self__, depth)


def _parts(kind: type, *names: str) -> None:
    """What matters of a `kind` are these attributes."""

    @_frozen.register(kind)
    def _(value: Any, looking: _Look, depth: int) -> Any:
        return [looking.freeze(getattr(value, name), depth) for name in names]


_parts(MethodType, "__func__", "__self__")
_parts(staticmethod, "__func__")
_parts(classmethod, "__func__")
_parts(property, "fget", "fset")
_parts(functools.partial, "func", "args", "keywords")


@_frozen.register(weakref.ref)
def _(value: Any, looking: _Look, depth: int) -> Any:
    return looking.freeze(value(), depth)


@_frozen.register(ContextVar)
def _(value: Any, looking: _Look, depth: int) -> Any:
    return looking.freeze(value.get(None), depth)
