"""What a section of the book may leave behind: methods put into classes of `d2l`, open pictures. Both are undone."""

import inspect
from collections.abc import Iterator

import pytest

import fastnn as fn
from fastnn.integrations import d2l

_CLASSES = [value for value in vars(d2l).values() if inspect.isclass(value) and value.__module__.startswith("fastnn.")]


@pytest.fixture(autouse=True)
def _classes_stay_as_they_are() -> Iterator[None]:
    before = [dict(vars(kind)) for kind in _CLASSES]
    yield
    for kind, attributes in zip(_CLASSES, before, strict=True):
        for name in set(vars(kind)) - set(attributes):
            delattr(kind, name)
        for name, value in attributes.items():
            if vars(kind)[name] is not value:
                setattr(kind, name, value)


@pytest.fixture
def plt() -> Iterator[object]:
    """pyplot without a display, and without the pictures of others."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    with matplotlib.rc_context():
        yield pyplot
        pyplot.close("all")


@pytest.fixture(autouse=True)
def _numbers_are_drawn_from_one_seed() -> None:
    fn.manual_seed(0)
