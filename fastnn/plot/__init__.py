"""Pictures: curves of a training run, confusion matrices, images with what a model says of them, and weights.

All take plain arrays and give a figure of matplotlib, which notebooks show; `path` is where it is also written (PNG,
PDF or SVG, by its ending). Figures are made without pyplot, so they need no display, touch nobody's backend and stay
with whoever asked for them. Colours are told apart by every common kind of colour vision; without colour, lines differ
by their style and areas by their lightness.
"""

from .confusion import confusion_matrix
from .curves import history
from .figure import new_figure
from .grid import images, weights
from .live import INTERVAL, Live, notebook

__all__ = ["INTERVAL", "Live", "confusion_matrix", "history", "images", "new_figure", "notebook", "weights"]
