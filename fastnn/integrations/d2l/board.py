"""ProgressBoard: curves that grow while a model learns."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np

from fastnn import plot

from .hyperparameters import HyperParameters


class Point(NamedTuple):
    """A point of a curve."""

    x: float
    y: float


class ProgressBoard(HyperParameters):
    """Curves drawn point by point: in a notebook under the cell that draws, elsewhere only kept.

    `data` holds the points of each curve by its label. `figure` makes a picture of them, anywhere. In a notebook, and
    with `display`, the picture is renewed twice a second at most, and once more when the cell ends.

    `ls` and `colors` are the line styles and colours of the curves in turn, the other arguments those of the axes.
    `fig` or `axes` (matplotlib) is what is drawn into instead of a new figure.

    >>> board = ProgressBoard(xlabel="epoch")
    >>> for i in range(5):
    ...     board.draw(i, 10 * i, "loss", every_n=2)
    >>> board.data
    {'loss': [Point(x=0.5, y=5.0), Point(x=2.5, y=25.0)]}
    """

    xlim: Any
    ylim: Any
    fig: Any
    axes: Any
    ls: Sequence[str]
    colors: Sequence[str]
    figsize: tuple[float, float]
    display: bool

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        xlim: Sequence[float] | None = None,
        ylim: Sequence[float] | None = None,
        xscale: str = "linear",
        yscale: str = "linear",
        ls: Sequence[str] = ("-", "--", "-.", ":"),
        colors: Sequence[str] = ("C0", "C1", "C2", "C3"),
        fig: Any = None,
        axes: Any = None,
        figsize: tuple[float, float] = (3.5, 2.5),
        display: bool = True,
    ) -> None:
        self.save_hyperparameters()
        self.data: dict[str, list[Point]] = {}
        self._waiting: dict[str, list[Point]] = {}  # for others, to become one point together
        self._live = plot.Live()

    def draw(self, x: float, y: float, label: str, every_n: int = 1) -> None:
        """Add a number to the curve `label`; `every_n` of them become one point, their mean."""
        waiting = self._waiting.setdefault(label, [])
        waiting.append(Point(float(x), float(y)))
        if len(waiting) < every_n:
            return
        self.data.setdefault(label, []).append(Point(*np.mean(waiting, axis=0).tolist()))
        waiting.clear()
        if self.display:
            self._live.show(self.figure)

    def figure(self) -> Any:
        """The curves so far as a figure of matplotlib: ``board.figure().savefig("loss.png")``."""
        if self.fig is None:
            self.fig = self.axes.figure if self.axes is not None else plot.new_figure(*self.figsize)
        axes = self.axes or (self.fig.axes or [self.fig.subplots()])[0]
        axes.clear()
        for (label, points), style, color in zip(self.data.items(), cycle(self.ls), cycle(self.colors), strict=False):
            axes.plot(*np.array(points).T, linestyle=style, color=color, label=label)
        settings = {name: getattr(self, name) for name in ("xlabel", "ylabel", "xscale", "yscale", "xlim", "ylim")}
        axes.set(**{name: value for name, value in settings.items() if value is not None})
        if self.data:
            axes.legend()
        return self.fig

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the points, and pictures of its own."""
        return {**vars(self), "fig": None, "axes": None, "_live": plot.Live()}
