"""What the code of a step can reach beside Tensors: counters, lists, generators, settings. A step may not change them.

Starting from the model and the optimizer, this follows attributes, containers, methods, and of functions the variables
they close over, their defaults and the globals they name. What has no visible state (files, clocks, objects of other
languages) is compared by identity alone.
"""

import functools
import io
import itertools
import operator
import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from fastnn.dispatch import Handle

_PLAIN = frozenset((bool, int, str, bytes, type(None), type(...)))
_FLOATING = frozenset((float, complex))
_CLOSED, _OPEN = ("fastnn.", "numpy"), ("fastnn.nn.", "fastnn.optim", "fastnn.models")
_MOST_OWNERS, _MOST_VALUES, _LONG, _DEPTH = 1000, 8000, 256, 8
_SMALL = 4096  # bytes of an array that is compared whole


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
        sight.values[0, "the state of np.random"] = _Look()._freeze(numbers, 0)
    return sight


def look_at(roots: Iterable[object]) -> Sight:
    """What can be reached from `roots`."""
    return _Look().follow(roots)


class _Look:
    def __init__(self) -> None:
        self._pending: list[object] = []
        self._values = 0

    def follow(self, roots: Iterable[object]) -> Sight:
        sight, self._pending = Sight(), list(roots)
        values, owners = sight.values, sight.owners
        for owner in self._pending:  # which grows meanwhile
            number = id(owner)
            if number not in owners and len(owners) < _MOST_OWNERS:
                owners[number] = owner
                for name, value in self._places(owner):
                    values[number, name] = value if type(value) in _PLAIN else self._freeze(value, 0)
        return sight

    def _places(self, owner: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(owner, FunctionType):
            yield from _of_function(owner)
        elif isinstance(owner, type):
            for name, value in list(vars(owner).items()):
                if not name.startswith("__") or isinstance(value, FunctionType):
                    yield name, value
            self._pending += [base for base in owner.__mro__[1:] if _is_users(base)]
        else:
            attributes = getattr(owner, "__dict__", None)
            if isinstance(attributes, dict):
                yield from list(attributes.items())
            if _is_users(type(owner)):
                yield from _in_slots(owner)
                self._pending.append(type(owner))

    def _freeze(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind in _FLOATING:
            return repr(value)  # tells -0.0 from 0.0, and NaN is NaN
        self._values += 1
        if depth > _DEPTH or self._values > _MOST_VALUES:
            return None
        if isinstance(value, Handle):
            return _Is(value), _Is(getattr(value, "_storage", None)), value.requires_grad
        if isinstance(value, (dict, list, tuple, set, frozenset, deque)):
            return self._freeze_container(value, depth + 1)
        if isinstance(value, np.ndarray):
            return _freeze_array(value)
        if isinstance(value, np.generic):
            return value.dtype.str, value.tobytes()
        if (state := _generator_state(value)) is not None:
            return self._freeze(state, depth + 1)
        if isinstance(value, (staticmethod, classmethod, MethodType)):
            return self._freeze(value.__func__, depth + 1), self._freeze(getattr(value, "__self__", None), depth + 1)
        if isinstance(value, property):
            return [self._freeze(f, depth + 1) for f in (value.fget, value.fset)]
        if isinstance(value, functools.partial):
            return [self._freeze(part, depth + 1) for part in (value.func, value.args, value.keywords)]
        return self._freeze_object(value, depth)

    def _freeze_container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return len(value), [(self._freeze(k, depth), self._freeze(v, depth)) for k, v in _some(value.items())]
        if isinstance(value, (set, frozenset)):
            return len(value), {item if type(item) in _PLAIN else id(item) for item in _some(value)}
        return len(value), [self._freeze(item, depth) for item in _some(value)]

    def _freeze_object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if isinstance(value, (FunctionType, type)):
            if _is_users(value):
                self._pending.append(value)
        elif isinstance(value, ModuleType | io.IOBase):
            pass
        elif hasattr(kind, "__next__") and not hasattr(value, "__dict__"):
            left = operator.length_hint(value, -1)
            if isinstance(value, itertools.count):
                return repr(value)
            return _Iterator() if left < 0 else (_Is(value), left)
        elif (owner := getattr(value, "__self__", None)) is not None and not isinstance(owner, ModuleType):
            return self._freeze(owner, depth + 1)  # a method of a built-in type, say a generator's
        elif _is_users(kind) or kind.__module__.startswith(_OPEN) or not kind.__module__.startswith(_CLOSED):
            self._pending.append(value)
        return _Is(value)


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
    """The names of globals and attributes in `code`, and in the functions defined inside."""
    inner = (name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part))
    return tuple(dict.fromkeys((*code.co_names, *inner)))


def _in_slots(owner: object) -> Iterator[tuple[str, Any]]:
    for kind in type(owner).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(owner, name):
                yield name, getattr(owner, name)


@functools.lru_cache(maxsize=1024)
def _is_users_module(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in ("fastnn", "numpy", "builtins", "None") and top not in sys.stdlib_module_names


def _is_users(thing: Any) -> bool:
    """Whether a class or function comes from neither Python nor this package nor NumPy."""
    return _is_users_module(str(getattr(thing, "__module__", None)))


def _freeze_array(array: np.ndarray[Any, Any]) -> Any:
    """A small array whole; of a large one which it is, and elements spread over it."""
    if array.nbytes <= _SMALL:
        return array.dtype.str, array.shape, array.tobytes()
    most = max(2, int((_SMALL / array.itemsize) ** (1 / array.ndim)))
    return _Is(array), array[tuple([slice(None, None, max(1, n // most)) for n in array.shape])].tobytes()


def _generator_state(value: Any) -> Any:
    if isinstance(value, random.Random):
        return value.getstate() if type(value) is not random.SystemRandom else None
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, np.random.RandomState):
        return value.get_state(legacy=False)
    return value.state if isinstance(value, np.random.BitGenerator) else None


def _some(items: Any) -> Iterable[Any]:
    """All of a short container; of a long one the first and the last."""
    if len(items) <= _LONG:
        return list(items)
    first = itertools.islice(items, _LONG // 2)
    last = itertools.islice(reversed(items), _LONG // 2) if hasattr(items, "__reversed__") else ()
    return [*first, *last]


def _name(owner: object, name: str) -> str:
    if owner is None or name.startswith("the global "):
        return name
    if isinstance(owner, FunctionType):
        return f"{name} of {owner.__name__}()"
    return f"{(owner if isinstance(owner, type) else type(owner)).__name__}.{name}"
