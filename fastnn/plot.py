"""Pictures: curves of a training run, and grids of images with what a model says of them.

Figures are made without pyplot, so they need no display, touch nobody's backend and stay with whoever asked for them.
"""

import math
import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by every common kind of colour vision (Okabe and Ito, "Color universal design", 2008).
_BLUE, _VERMILLION, _INK, _GREY = "#0072B2", "#D55E00", "#222222", "#8A8A8A"
_STYLES: dict[str, dict[str, Any]] = {  # of a curve, by the prefix of its name
    "train": {"color": _BLUE, "linestyle": "-", "marker": "o"},
    "val": {"color": _VERMILLION, "linestyle": "--", "marker": "s"},
}
_METRICS = {"loss": "Loss", "acc": "Accuracy"}  # shown first, under these names


def history(history: Mapping[str, Sequence[float]], path: str | os.PathLike[str] | None = None) -> "Figure":
    """Curves over the epochs: a panel for the loss, one for the accuracy, one for each other metric that was logged.

    `history` maps names to one number per epoch; ``train_<metric>`` and ``val_<metric>`` share the panel of the metric,
    and the last value of each stands in the legend. `path` is where the figure is also written (PNG, PDF or SVG, by its
    ending). ValueError where there is no such metric, ImportError without matplotlib.

    >>> figure = history({"train_loss": [0.9, 0.5], "val_loss": [0.8, 0.6], "val_acc": [0.7, 0.8]})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Accuracy']
    """
    panels: dict[str, dict[str, Sequence[float]]] = {metric: {} for metric in _METRICS}
    for name, values in history.items():
        prefix, _, metric = name.partition("_")
        if prefix in _STYLES and metric and metric != "seconds" and np.isfinite(values).any():
            panels.setdefault(metric, {})[prefix] = values
    panels = {metric: curves for metric, curves in panels.items() if curves}
    if not panels:
        raise ValueError(f"[plot.history] history has no train_ or val_ metric to draw: it has {list(history)}")

    figure = new_figure(width=4.4 * len(panels), height=3.3)
    for axes, (metric, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw_curves(axes, _METRICS.get(metric, metric.replace("_", " ").capitalize()), curves)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _draw_curves(axes: "Axes", title: str, curves: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for prefix, values in curves.items():
        y = np.asarray(values, float)
        measured = np.flatnonzero(np.isfinite(y))  # an epoch without validation has NaN
        name = {"train": "training", "val": "validation"}[prefix]
        axes.plot(
            measured + 1,
            y[measured],
            label=f"{name} ({y[measured[-1]]:.3g})",
            linewidth=2,
            markersize=5,
            markevery=max(1, len(measured) // 10),
            **_STYLES[prefix],
        )
    axes.set_title(title, loc="left", fontweight="bold", color=_INK)
    axes.set_xlabel("epoch", color=_INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.margins(x=0.04, y=0.12)
    axes.grid(axis="y", color="#E4E4E4")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GREY)
    axes.tick_params(colors=_INK, length=0)
    axes.legend(frameon=False, labelcolor=_INK)


def images(
    pixels: ArrayLike,
    titles: Sequence[str] = (),
    *,
    predicted: Sequence[str] | None = None,
    nrows: int | None = None,
    ncols: int = 8,
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """A grid of grey images under their titles; with `predicted`, the wrong ones are framed and marked.

    `pixels` is (n, height, width) or (n, 1, height, width), dark at its smallest value. `titles` names them (the true
    classes, where `predicted` names those a model chose); fewer titles than images are no error. Images beyond
    ``nrows * ncols`` are left out; without `nrows` all are shown. `path` is where the figure is also written.

    >>> figure = images(np.zeros((3, 28, 28)), ["coat", "bag", "shirt"], predicted=["coat", "bag", "coat"], ncols=3)
    >>> figure.axes[2].get_title()
    '✗ coat\\nis shirt'
    """
    grid = np.asarray(pixels)
    if grid.ndim == 4 and grid.shape[1] == 1:
        grid = grid[:, 0]
    if grid.ndim != 3 or 0 in grid.shape:
        raise ValueError(f"[plot.images] pixels has shape {grid.shape}, expected (n, height, width), none of them zero")
    if predicted is not None and not len(titles) == len(predicted) == len(grid):
        raise ValueError(f"[plot.images] {len(grid)} images, {len(titles)} titles and {len(predicted)} predictions")
    rows = nrows or math.ceil(len(grid) / ncols)
    lines = 2 if predicted is not None else 1 + max((title.count("\n") for title in titles), default=-1)

    figure = new_figure(width=1.25 * ncols, height=(1.25 + 0.2 * lines) * rows)
    cells = figure.subplots(rows, ncols, squeeze=False).ravel()
    for i, axes in enumerate(cells):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if i >= len(grid):
            continue
        axes.imshow(grid[i], cmap="gray")
        if predicted is None:
            axes.set_title(titles[i] if i < len(titles) else "", fontsize=9, color=_INK)
        elif predicted[i] == titles[i]:
            axes.set_title(f"\n{predicted[i]}", fontsize=9, color=_INK)
        else:
            axes.set_title(f"✗ {predicted[i]}\nis {titles[i]}", fontsize=9, color=_VERMILLION, fontweight="bold")
            axes.spines[:].set(visible=True, color=_VERMILLION, linewidth=3)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, which needs no display, and which notebooks can show.

    ImportError without matplotlib.

    >>> new_figure(3.5, 2.5).axes
    []
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("[plot] pictures need matplotlib: pip install matplotlib") from None

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")

    def png() -> bytes:
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()

    # What a notebook asks for; pyplot would otherwise have to be imported for it to show a figure.
    setattr(figure, "_repr_png_", png)  # noqa: B010
    return figure
