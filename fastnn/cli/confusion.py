"""Confusion matrices in a terminal."""

from collections.abc import Sequence

from fastnn import tabular
from fastnn.dispatch import Array
from fastnn.metrics import confusion_matrix

_MOST = 20  # classes; more do not fit beside each other


def show(truth: Array, predicted: Array, names: Sequence[str]) -> None:
    """Print which of the classes `names` were predicted as which, by number; nothing where there are many."""
    if len(names) > _MOST:
        return
    counts = confusion_matrix(truth, predicted, len(names))
    numbers = list(map(str, range(len(names))))
    rows = [[f"{i} {name}", *map(str, row)] for i, (name, row) in enumerate(zip(names, counts, strict=True))]
    print("\ntrue classes in rows, predicted ones in columns:")
    print(*tabular.text([["", *numbers], *rows], "<" + ">" * len(names)), sep="\n")
