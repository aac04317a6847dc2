"""Linear regression in closed form."""

from typing import Any

import numpy as np

from .data import ArrayData, DataLoader
from .dispatch import Array


def least_squares(X: Array, y: Array) -> tuple[Array, Array]:
    """Weight (outputs, features) and bias (outputs,) of the line through `X` (n, features) and `y` (n, outputs).

    By singular values (LAPACK's gelsd) of centred columns scaled to one length, so that neither a large mean nor
    different units cost digits; among several solutions a small one. All are float64; `X` is centred in place. Raises
    ValueError for numbers that are not finite.

    >>> weight, bias = least_squares(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]))
    >>> weight.round(6), bias.round(6)
    (array([[2.]]), array([1.]))
    """
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("[solve] the data hold NaN or infinity: leave such rows out")
    X_mean, y_mean = X.mean(0), y.mean(0)
    X -= X_mean
    lengths = np.linalg.norm(X, axis=0)
    lengths[lengths == 0] = 1
    weight = (np.linalg.lstsq(X / lengths, y - y_mean, rcond=None)[0].T / lengths).astype(np.float64)
    return weight, y_mean - weight @ X_mean


def examples(data: Any, loader: Any) -> tuple[Array, Array, np.dtype[Any]]:
    """Training inputs and targets in float64 and in order, which shows in the last digits; and the batches' dtype."""
    if type(data) is ArrayData:  # its batches may be float32 of float64
        rows = slice(None) if data.train.rows is None else data.train.rows
        X, y, targets = data.X[rows], data.y[rows], data.train.columns[1].data
        return np.array(X, np.float64), np.array(y, np.float64).reshape(len(y), *targets.shape[1:]), targets.dtype
    if isinstance(loader, DataLoader):
        loader = DataLoader(loader.dataset, loader.batch_size)
    batches = [(np.asarray(batch[0]), np.asarray(batch[1])) for batch in loader]
    X, y = (np.concatenate([batch[i] for batch in batches]) for i in (0, 1))
    return X.astype(np.float64), y.astype(np.float64), X.dtype
