"""Curves of a training run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import BLUE, GREY, INK, VERMILLION, Path, new_figure, title, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES: dict[str, dict[str, Any]] = {  # of a curve, by the prefix of its name
    "train": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "val": {"color": VERMILLION, "linestyle": "--", "marker": "s"},
}
_METRICS = {"loss": "Loss", "acc": "Accuracy"}  # shown first, under these names


def history(history: Mapping[str, Sequence[float]], path: Path | None = None) -> "Figure":
    """Curves over the epochs: a panel for the loss, one for the accuracy, one for each other metric that was logged.

    `history` maps names to one number per epoch; ``train_<metric>`` and ``val_<metric>`` share the panel of the metric,
    and the last value of each stands in the legend. Numbers that are not finite are left out. `path` is where the
    figure is also written. ValueError where there is no such metric, ImportError without matplotlib.

    >>> figure = history({"train_loss": [0.9, 0.5], "val_loss": [0.8, 0.6], "val_acc": [0.7, 0.8]})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Accuracy']
    """
    panels: dict[str, dict[str, Sequence[float]]] = {metric: {} for metric in _METRICS}
    for name, values in history.items():
        prefix, _, metric = name.partition("_")
        if prefix in _STYLES and metric and metric != "seconds" and len(values):
            panels.setdefault(metric, {})[prefix] = values
    panels = {metric: curves for metric, curves in panels.items() if curves}
    if not panels:
        raise ValueError(f"[plot.history] history has no train_ or val_ metric to draw: it has {list(history)}")

    figure = new_figure(width=4.4 * len(panels), height=3.3)
    for axes, (metric, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, _METRICS.get(metric, metric.replace("_", " ").capitalize()), curves)
    return written(figure, path)


def _draw(axes: "Axes", metric: str, curves: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for prefix, values in curves.items():
        y = np.asarray(values, float)
        measured = np.flatnonzero(np.isfinite(y))  # an epoch without validation has NaN
        last = y[measured[-1]] if len(measured) else y[-1]
        name = {"train": "training", "val": "validation"}[prefix]
        axes.plot(
            measured + 1,
            y[measured],
            label=f"{name} ({last:.3g})",
            linewidth=2,
            markersize=5,
            markevery=max(1, len(measured) // 10),
            **_STYLES[prefix],
        )
    title(axes, metric)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.margins(x=0.04, y=0.12)
    axes.grid(axis="y", color="#E4E4E4")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.tick_params(colors=INK, length=0)
    axes.legend(frameon=False, labelcolor=INK, handlelength=3)  # long enough to show the dashes
