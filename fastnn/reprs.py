"""Representations: what an object was made with, as it would be typed."""

import inspect
import os
from collections.abc import Mapping
from typing import Any

_LONGEST = 60  # characters of a value
_EMPTY = inspect.Parameter.empty


def arguments(thing: object) -> dict[str, str]:
    """The arguments of the constructor that `thing` keeps under their names, but for those at their defaults.

    >>> class Layer:
    ...     def __init__(self, width, bias=True, name=None):
    ...         self.width, self.bias, self.name = width, bias, name
    >>> arguments(Layer(3, name="first"))
    {'width': '3', 'name': "'first'"}
    """
    given = {}
    kept = getattr(thing, "__dict__", {})
    for name, parameter in inspect.signature(type(thing).__init__).parameters.items():
        if name not in kept or (parameter.default is not _EMPTY and _is_same(kept[name], parameter.default)):
            continue
        if (text := short(kept[name])) is not None:
            given[name] = text
    return given


def call(thing: object) -> str:
    """``Name(argument=value, ...)``, of the `arguments` of `thing`."""
    return with_arguments(type(thing).__name__, arguments(thing))


def with_arguments(name: str, given: Mapping[str, str]) -> str:
    """``name(argument=value, ...)``.

    >>> with_arguments("SGD", {"lr": "0.1"})
    'SGD(lr=0.1)'
    """
    return f"{name}({', '.join(f'{name}={value}' for name, value in given.items())})"


def _is_same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


def short(value: Any) -> str | None:
    """`value` in a few words, a function by its name; None where it has no words of its own.

    >>> short([1, 2]), short(len), short(object())
    ('[1, 2]', '<built-in function len>', None)
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{value.dtype} {tuple(value.shape)}>"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    text = repr(value)
    if f" at {id(value):#x}" in text:  # no words of its own
        return getattr(value, "__qualname__", None)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
