"""Classes that grow over several cells: arguments kept as attributes, and methods added later."""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def add_to_class(Class: type) -> Callable[[T], T]:
    """A decorator that makes a function a method of `Class`, and of the objects there are already.

    >>> class Dog:
    ...     sound = "wuff"
    >>> rex = Dog()
    >>> @add_to_class(Dog)
    ... def bark(self, times):
    ...     return self.sound * times
    >>> rex.bark(2)
    'wuffwuff'
    """

    def add(method: T) -> T:
        setattr(Class, method.__name__, method)  # type: ignore[attr-defined]
        return method

    return add


class HyperParameters:
    """What keeps the arguments of its constructor."""

    hparams: dict[str, Any]

    def save_hyperparameters(self, ignore: Sequence[str] = ()) -> None:
        """Keep the arguments of the method that calls this as attributes, and all together in the dict `hparams`.

        Left out are those named in `ignore` or with an underscore in front.

        >>> class Model(HyperParameters):
        ...     def __init__(self, lr, data, _debug=False):
        ...         self.save_hyperparameters(ignore=["data"])
        >>> Model(0.1, data=[1, 2, 3]).hparams
        {'lr': 0.1}
        """
        names, variadic, keywords, given = inspect.getargvalues(sys._getframe(1))
        names = [*names[1:], *filter(None, [variadic, keywords])]
        self.hparams = {name: given[name] for name in names if name not in ignore and not name.startswith("_")}
        for name, value in self.hparams.items():
            setattr(self, name, value)
