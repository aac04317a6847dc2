"""Pictures by matplotlib's pyplot, which notebooks show under the cell; they are made without a display as well."""

from collections.abc import Sequence
from itertools import chain, cycle, repeat
from typing import Any

import numpy as np

from fastnn.plot import notebook


def pyplot() -> Any:
    """``matplotlib.pyplot``, imported when it is needed; the book's ``d2l.plt``."""
    try:
        import matplotlib.pyplot
    except ImportError:
        raise ImportError("[d2l] pictures need matplotlib: pip install matplotlib") from None
    return matplotlib.pyplot


def use_svg_display() -> None:
    """Show pictures as SVG in a notebook; elsewhere there is nothing to show them in."""
    if notebook() is not None:
        from matplotlib_inline import backend_inline

        backend_inline.set_matplotlib_formats("svg")


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Make the pictures to come `figsize` inches large."""
    use_svg_display()
    pyplot().rcParams["figure.figsize"] = figsize


def set_axes(
    axes: Any,
    xlabel: str | None,
    ylabel: str | None,
    xlim: Sequence[float] | None,
    ylim: Sequence[float] | None,
    xscale: str,
    yscale: str,
    legend: Sequence[str],
) -> None:
    """Label and scale the axes of a picture; None leaves them to matplotlib."""
    settings = {"xlabel": xlabel, "ylabel": ylabel, "xscale": xscale, "yscale": yscale, "xlim": xlim, "ylim": ylim}
    axes.set(**{name: value for name, value in settings.items() if value is not None})
    if legend:
        axes.legend(legend)
    axes.grid()


def plot(
    X: Any,
    Y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: Sequence[str] = (),
    xlim: Sequence[float] | None = None,
    ylim: Sequence[float] | None = None,
    xscale: str = "linear",
    yscale: str = "linear",
    fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
    figsize: tuple[float, float] = (3.5, 2.5),
    axes: Any = None,
) -> None:
    """Draw curves into `axes`, or into pyplot's current ones.

    `X` and `Y` are Tensors, arrays or lists of numbers, or several of them; one `X` serves every `Y`, and without `Y`
    the curves are those of `X` over 0, 1, ... `fmts` are matplotlib's formats of the curves in turn.

    >>> plot(np.arange(3), [np.arange(3), np.arange(3) ** 2], "x", legend=["x", "square"])  # doctest: +SKIP
    """
    xs, ys = _curves(X), [] if Y is None else _curves(Y)
    if Y is None:
        xs, ys = [np.arange(len(curve)) for curve in xs], xs
    elif len(xs) not in (1, len(ys)):
        raise ValueError(f"[plot] X has {len(xs)} curves and Y has {len(ys)}: give one X, or one for each")
    set_figsize(figsize)
    axes = pyplot().gca() if axes is None else axes
    axes.clear()
    for x, y, fmt in zip(xs if len(xs) == len(ys) else repeat(xs[0]), ys, cycle(fmts), strict=False):
        axes.plot(x, y, fmt)
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def _curves(values: Any) -> list[Any]:
    """One curve or several as arrays."""
    several = len(values) > 0 and np.ndim(values[0]) > 0
    return [np.asarray(curve) for curve in values] if several else [np.asarray(values)]


def show_images(
    imgs: Any, num_rows: int, num_cols: int, titles: Sequence[str] | None = None, scale: float = 1.5
) -> Any:
    """A grid of images (height, width), Tensors or arrays, under their titles; returns the axes, one after the other.

    `scale` is the side of each in inches.
    """
    figsize = (num_cols * scale, num_rows * scale)
    _, grid = pyplot().subplots(num_rows, num_cols, figsize=figsize, squeeze=False)
    cells = grid.ravel()
    for cell in cells:
        cell.set_axis_off()
    for cell, image, title in zip(cells, imgs, chain(titles or (), repeat("")), strict=False):
        cell.imshow(np.asarray(image), cmap="gray")
        cell.set_title(title)
    return cells
