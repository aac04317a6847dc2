"""Grids of small pictures: examples with what a model says of them, and weights."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .figure import INK, SMALL, VERMILLION, Path, new_figure, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

_SIDE = 1.25  # inches of a cell
_LINE = 0.2  # inches of a line of text
_SHOWN = 0.995  # share of the weights between the ends of the scale: a few large ones would leave the rest grey


def images(
    pixels: "ArrayLike",
    titles: Sequence[str] = (),
    *,
    predicted: Sequence[str] | None = None,
    nrows: int | None = None,
    ncols: int = 8,
    path: Path | None = None,
) -> "Figure":
    """A grid of grey images under their titles; with `predicted`, the wrong ones are framed and marked.

    `pixels` is (n, height, width) or (n, 1, height, width), dark at its smallest value. `titles` names them (the true
    classes, where `predicted` names those a model chose); fewer titles than images are no error. Images beyond
    ``nrows * ncols`` are left out; without `nrows` all are shown. `path` is where the figure is also written.
    ValueError for other shapes, and for titles and predictions that are not as many as the images.

    >>> figure = images(np.zeros((3, 28, 28)), ["coat", "bag", "shirt"], predicted=["coat", "bag", "coat"], ncols=3)
    >>> figure.axes[2].get_title()
    '✗ coat\\nis shirt'
    >>> figure.get_suptitle()
    '2 of 3 right. Framed: what the model says, and what it is'
    """
    grid = np.asarray(pixels)
    if grid.ndim == 4 and grid.shape[1] == 1:
        grid = grid[:, 0]
    if grid.ndim != 3 or 0 in grid.shape:
        raise ValueError(f"[plot.images] pixels has shape {grid.shape}, expected (n, height, width), none of them zero")
    if predicted is not None and not len(titles) == len(predicted) == len(grid):
        raise ValueError(f"[plot.images] {len(grid)} images, {len(titles)} titles and {len(predicted)} predictions")
    grid = grid[: nrows * ncols] if nrows else grid
    lines = 2 if predicted is not None else 1 + max((title.count("\n") for title in titles), default=-1)

    figure, cells = _cells(len(grid), nrows, ncols, lines, header=predicted is not None)
    for i, (axes, picture) in enumerate(zip(cells, grid, strict=False)):
        axes.imshow(picture, cmap="gray")
        if predicted is None:
            axes.set_title(titles[i] if i < len(titles) else "", fontsize=SMALL, color=INK)
        elif predicted[i] == titles[i]:
            axes.set_title(f"\n{predicted[i]}", fontsize=SMALL, color=INK)
        else:
            text = f"✗ {predicted[i]}\nis {titles[i]}"
            axes.set_title(text, fontsize=SMALL, color=VERMILLION, fontweight="bold")
            axes.spines[:].set(visible=True, color=VERMILLION, linewidth=3)
    if predicted is not None:
        right = sum(said == true for said, true in zip(predicted[: len(grid)], titles, strict=False))
        framed = ". Framed: what the model says, and what it is" if right < len(grid) else ""
        figure.suptitle(f"{right} of {len(grid)} right{framed}", x=0.01, ha="left", fontsize=SMALL + 1, color=INK)
    return written(figure, path)


def weights(
    weight: "ArrayLike",
    shape: tuple[int, int] | None = None,
    titles: Sequence[str] = (),
    *,
    nrows: int | None = None,
    ncols: int | None = None,
    path: Path | None = None,
) -> "Figure":
    """The weights of a first layer as images, one for each of its outputs: dark below 0, grey at 0, bright above.

    `weight` is (outputs, height * width), such as ``model.net[1].weight``, and `shape` the (height, width) of an input,
    None: a square. `titles` names the outputs, the classes of softmax regression for instance. All have the scale that
    stands beside them, which ends where 99.5% of the weights do. Outputs beyond ``nrows * ncols`` are left out; without
    `nrows` all are shown, and `ncols` is 8, of more than 32 outputs 16. `path` is where the figure is also written.
    ValueError for other shapes, and for numbers that are not finite.

    >>> figure = weights(np.eye(4), titles=["left", "right"], ncols=4)
    >>> [axes.get_title() for axes in figure.axes[:4]]
    ['left', 'right', '', '']
    """
    rows = np.asarray(weight)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"[plot.weights] weight has shape {rows.shape}, expected (outputs, inputs), none of them zero")
    side = math.isqrt(rows.shape[1])
    height, width = (side, side) if shape is None else shape
    if height * width != rows.shape[1]:
        raise ValueError(f"[plot.weights] shape = {shape} is not that of {rows.shape[1]} inputs: give (height, width)")
    if not np.isfinite(rows).all():
        raise ValueError("[plot.weights] weight has numbers that are not finite")
    columns = ncols or (8 if len(rows) <= 32 else 16)
    rows = rows[: nrows * columns] if nrows else rows
    sizes = np.abs(rows)
    limit = float(np.quantile(sizes, _SHOWN)) or float(sizes.max()) or 1.0

    figure, cells = _cells(len(rows), nrows, columns, lines=1 if len(titles) else 0)
    for i, (axes, row) in enumerate(zip(cells, rows, strict=False)):
        # Of all colours this map is told apart best, and grey is its middle.
        image = axes.imshow(row.reshape(height, width), cmap="cividis", vmin=-limit, vmax=limit)
        axes.set_title(titles[i] if i < len(titles) else "", fontsize=SMALL, color=INK)
    beyond = "both" if sizes.max() > limit else "neither"
    bar = figure.colorbar(image, ax=cells, shrink=0.9, aspect=30, pad=0.01, extend=beyond)
    bar.ax.tick_params(labelsize=SMALL, labelcolor=INK, length=0)
    bar.outline.set_visible(False)
    return written(figure, path)


def _cells(count: int, nrows: int | None, ncols: int, lines: int, header: bool = False) -> "tuple[Figure, list[Axes]]":
    """A figure with at least `count` empty cells, unless `nrows` says how many, under `lines` of text each."""
    nrows, side = nrows or math.ceil(count / ncols), min(_SIDE, 10 / ncols)
    figure = new_figure(side * ncols, (side + _LINE * lines) * nrows + (_LINE * 1.5 if header else 0))
    cells: list[Axes] = list(figure.subplots(nrows, ncols, squeeze=False).ravel())
    for axes in cells:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure, cells
