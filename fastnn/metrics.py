"""How good predictions are: what `Model.evaluate` measures of a regression, and confusion matrices."""

from typing import Any

import numpy as np

from . import _core
from .dispatch import Array


def mean_squared_error(y: Array, predicted: Array) -> float:
    """Mean of ``(y - predicted) ** 2`` over equal shapes, computed in float64; ValueError where shapes differ.

    >>> mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    2.0
    """
    return float(_core.mean(_errors(y, predicted) ** 2))


def r2_score(y: Array, predicted: Array) -> float:
    """The share of the variance of `y` that `predicted` explains, R², over equal shapes (n,) or (n, outputs).

    Of several outputs the mean. 1 is the best, 0 what the mean of `y` would have; NaN where `y` does not vary.
    ValueError where shapes differ.

    >>> r2_score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    0.5
    """
    errors, deviations = _errors(y, predicted), y.astype(np.float64) - _core.mean(y.astype(np.float64), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        unexplained = _core.sum(errors**2, axis=0) / _core.sum(deviations**2, axis=0)
    return float(np.mean(np.where(np.isfinite(unexplained), 1 - unexplained, np.nan)))


def confusion_matrix(truth: Any, predicted: Any, num_classes: int | None = None) -> Array:
    """How many examples of each class (a row) were predicted as which (a column), (classes, classes) int64.

    `truth` and `predicted` are class indices (n,); `num_classes` None means up to the largest of them. ValueError for
    shapes that differ or are empty, and for what is not the index of a class.

    >>> confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1])
    array([[1, 1],
           [0, 2]])
    """
    rows, columns = np.asarray(truth), np.asarray(predicted)
    if rows.shape != columns.shape or rows.ndim != 1 or not len(rows):
        raise ValueError(
            f"[confusion_matrix] truth has shape {rows.shape}, predicted {columns.shape}: "
            "both must be class indices (n,), and n at least 1"
        )
    for name, indices in (("truth", rows), ("predicted", columns)):
        if indices.dtype.kind not in "biu":
            raise ValueError(f"[confusion_matrix] {name} is {indices.dtype}: class indices are integers")
    count = int(max(rows.max(), columns.max())) + 1 if num_classes is None else num_classes
    for name, indices in (("truth", rows), ("predicted", columns)):
        for i in np.flatnonzero((indices < 0) | (indices >= count))[:1]:
            raise ValueError(
                f"[confusion_matrix] {name}[{i}] = {indices[i]} is not a class index: there are {count} classes"
            )
    counts = np.zeros((count, count), np.int64)
    np.add.at(counts, (rows.astype(np.int64), columns.astype(np.int64)), 1)
    return counts


def _errors(y: Array, predicted: Array) -> Array:
    if y.dtype.kind not in "biuf":
        raise TypeError(f"[evaluate] y is {y.dtype}, but values are predicted: numbers are needed")
    if y.shape != predicted.shape:
        raise ValueError(f"[evaluate] y has shape {y.shape}, the predictions have {predicted.shape}: make them equal")
    errors: Array = y.astype(np.float64) - predicted
    return errors
