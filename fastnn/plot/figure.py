"""What all pictures share: figures that need no display, colours, and files."""

import os
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by every common kind of colour vision (Okabe and Ito, "Color universal design", 2008).
BLUE, VERMILLION = "#0072B2", "#D55E00"
INK, GREY = "#222222", "#8A8A8A"
SMALL = 9  # points, of text in a grid of images

Path = str | os.PathLike[str]


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


def title(axes: "Axes", text: str) -> None:
    """Put `text` above the left end of `axes`."""
    axes.set_title(text, loc="left", fontweight="bold", color=INK)


def written(figure: "Figure", path: Path | None) -> "Figure":
    """`figure`, written to `path` where there is one."""
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
