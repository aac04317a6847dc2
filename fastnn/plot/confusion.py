"""Confusion matrices: which classes a model takes for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn import metrics

from .figure import INK, SMALL, Path, new_figure, title, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

_MOST_NUMBERED = 20  # classes; of more, cells are too small for numbers, and only some classes are named


def confusion_matrix(
    truth: "ArrayLike", predicted: "ArrayLike", classes: Sequence[str] = (), path: Path | None = None
) -> "Figure":
    """How many examples of each class (a row) were predicted as which (a column), shaded by their share of the row.

    `truth` and `predicted` are class indices (n,), and `classes` the names of all classes, numbers without. Cells
    without examples are empty. `path` is where the figure is also written. ValueError for shapes that differ or are
    empty, and for what is not the index of a class.

    >>> figure = confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], ["bag", "coat"])
    >>> figure.axes[0].get_title(loc="left")
    '3 of 4 right, 75.0%'
    """
    counts = metrics.confusion_matrix(truth, predicted, len(classes) or None)
    return written(_draw(counts, list(classes) or list(map(str, range(len(counts))))), path)


def _draw(counts: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]", names: Sequence[str]) -> "Figure":
    n, right = len(names), int(np.trace(counts))
    numbered = n <= _MOST_NUMBERED
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = max(3.2, 0.48 * n) if numbered else 7.0
    margin = 0.075 * max(map(len, names)) + 0.5  # inches, for the names

    figure = new_figure(side + margin, side + margin)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    title(axes, f"{right:,} of {counts.sum():,} right, {right / counts.sum():.1%}")
    axes.set_xlabel("predicted class", color=INK)
    axes.set_ylabel("true class", color=INK)
    ticks = range(0, n, -(-n // _MOST_NUMBERED))
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [names[i] for i in ticks])
    axes.tick_params(colors=INK, length=0, labelsize=SMALL)
    axes.spines[:].set_visible(False)
    for i, j in np.argwhere(counts) if numbered else ():
        color = "white" if share[i, j] > 0.65 else INK  # either has a contrast of 3.7 or more there
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=SMALL, color=color)
    return figure
