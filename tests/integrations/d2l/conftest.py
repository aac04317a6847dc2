"""What a section of the book may leave behind: methods put into classes of `d2l`, open pictures. Both are undone."""

import inspect
import sys
from collections.abc import Iterator

import pytest

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
def plt(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """pyplot without a display, and without the pictures of others."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    with matplotlib.rc_context():
        yield pyplot
        pyplot.close("all")


@pytest.fixture(autouse=True)
def _no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None
