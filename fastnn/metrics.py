"""How good predictions are: what `Model.evaluate` measures of a regression."""

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


def _errors(y: Array, predicted: Array) -> Array:
    if y.dtype.kind not in "biuf":
        raise TypeError(f"[evaluate] y is {y.dtype}, but values are predicted: numbers are needed")
    if y.shape != predicted.shape:
        raise ValueError(f"[evaluate] y has shape {y.shape}, the predictions have {predicted.shape}: make them equal")
    errors: Array = y.astype(np.float64) - predicted
    return errors
