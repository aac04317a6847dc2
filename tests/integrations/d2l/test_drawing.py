"""Pictures: curves and images, drawn by pyplot without a display."""

import sys
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn.integrations import d2l

x, y = np.arange(3.0), np.arange(3.0) ** 2


@pytest.mark.parametrize(
    ("given", "curves"),
    [
        ((x, y), [(x, y)]),
        ((fn.tensor(x), [fn.tensor(y), fn.tensor(-y)]), [(x, y), (x, -y)]),
        (([0, 1, 2], [0, 1, 4]), [(x, y)]),
        (([x, 2 * x], [y, -y]), [(x, y), (2 * x, -y)]),
        ((y,), [(x, y)]),
        (([y, x],), [(x, y), (x, x)]),
        ((x, np.stack([y] * 5)), [(x, y)] * 5),
    ],
)
def test_curves_are_given_alone_or_together(plt: Any, given: tuple[Any, ...], curves: list[Any]) -> None:
    d2l.plot(*given)
    drawn = [line.get_xydata() for line in plt.gca().lines]
    np.testing.assert_array_equal(drawn, [np.stack(curve, axis=1) for curve in curves])


def test_a_plot_has_its_labels_and_takes_the_place_of_the_one_before(plt: Any) -> None:
    d2l.plot(x, y)
    d2l.plot(x, [x, y + 1], "x", "f(x)", ["line", "square"], [0, 2], [1, 5], yscale="log", figsize=(6, 3))
    axes = plt.gca()
    assert len(axes.lines) == 2
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("x", "f(x)", "log")
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 2), (1, 5))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["line", "square"]
    assert plt.rcParams["figure.figsize"] == [6, 3]


def test_a_plot_goes_where_it_is_told(plt: Any) -> None:
    _, (left, right) = plt.subplots(1, 2)
    d2l.plot(x, y, axes=left)
    assert (len(left.lines), len(right.lines)) == (1, 0)


def test_curves_must_pair(plt: Any) -> None:
    with pytest.raises(ValueError, match=r"\[plot\] X has 2 curves and Y has 3: give one X, or one for each"):
        d2l.plot([x, x], [y, y, y])


def test_images_stand_in_a_grid_under_their_titles(plt: Any) -> None:
    images = fn.tensor(np.arange(5 * 6.0).reshape(5, 2, 3))
    cells = d2l.show_images(images, 2, 3, titles=["a", "b"], scale=2)
    assert cells.shape == (6,)
    assert [cell.get_title() for cell in cells] == ["a", "b", "", "", "", ""]
    assert [len(cell.images) for cell in cells] == [1, 1, 1, 1, 1, 0]
    np.testing.assert_array_equal(cells[4].images[0].get_array(), images[4])
    assert plt.gcf().get_size_inches().tolist() == [6, 4]


def test_pyplot_is_at_hand(plt: Any) -> None:
    assert d2l.plt is plt
    with pytest.raises(AttributeError, match="has no attribute 'pltt'"):
        d2l.pltt  # noqa: B018


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"\[d2l\] pictures need matplotlib: pip install matplotlib"):
        d2l.plot(x, y)


def test_svg_is_for_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = pytest.importorskip("matplotlib_inline.backend_inline")
    asked: list[str] = []
    monkeypatch.setattr(backend, "set_matplotlib_formats", asked.append)
    d2l.use_svg_display()
    assert asked == []
    monkeypatch.setattr("fastnn.integrations.d2l.drawing.notebook", object)
    d2l.use_svg_display()
    assert asked == ["svg"]
