"""Linear regression in closed form."""

from typing import Any

import numpy as np

from .data import ArrayData, DataLoader
from .data.sparse import is_sparse
from .dispatch import Array

ROWS = 4096  # whose residuals are looked at together


def least_squares(X: Array, y: Array) -> tuple[Array, Array]:
    """Weight (outputs, features) and bias (outputs,) of the line through `X` (n, features) and `y` (n, outputs).

    By QR factors and singular values of centred columns scaled to one length, so that neither a large mean nor
    different units cost digits; among several solutions a small one. It is then refined twice, by residuals in extended
    precision where the machine has it (Bjorck, Numerical Methods for Least Squares Problems, 1996, section 2.9), which
    leaves the digits that the numbers of `X` and `y` determine. All are float64. Raises ValueError for numbers that are
    not finite.

    >>> weight, bias = least_squares(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]))
    >>> weight.round(6), bias.round(6)
    (array([[2.]]), array([1.]))
    """
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("[solve] the data hold NaN or infinity: leave such rows out")
    n, features = X.shape
    mean, level = X.mean(0), y.mean(0).astype(np.longdouble)
    table = np.column_stack([X, y])
    table -= table.mean(0)
    lengths = np.linalg.norm(table[:, :features], axis=0)
    lengths[lengths == 0] = 1
    table[:, :features] /= lengths
    R: Array = np.asarray(np.linalg.qr(table, mode="r"))
    U, s, Vt = np.linalg.svd(R[:, :features], full_matrices=False)
    rank = int(np.count_nonzero(s > np.finfo(s.dtype).eps * max(n, features) * s.max(initial=0)))
    U, s, V = U[:, :rank], s[:rank, None], Vt[:rank].T / lengths[:, None]
    weight = (V @ (U.T @ R[:, features:] / s)).astype(np.longdouble)
    for _ in range(2):
        gradient, total = _remaining(X, y, mean, weight, level)
        weight += V @ (V.T @ gradient / s**2)
        level += total / n
    return weight.T.astype(np.float64), (level - mean @ weight).astype(np.float64)


def _remaining(X: Array, y: Array, mean: Array, weight: Array, level: Array) -> tuple[Array, Array]:
    """Residuals times centred columns (features, outputs), and their sum (outputs,), in extended precision."""
    gradient, total = np.zeros_like(weight), np.zeros_like(level)
    for first in range(0, len(X), ROWS):
        rows = X[first : first + ROWS] - mean.astype(np.longdouble)
        residuals = y[first : first + ROWS] - level - rows @ weight
        gradient += rows.T @ residuals
        total += residuals.sum(0)
    return gradient.astype(np.float64), total


def examples(data: Any, loader: Any) -> tuple[Array, Array, np.dtype[Any]]:
    """Training inputs and targets in float64 and in order, which shows in the last digits; and the batches' dtype."""
    if type(data) is ArrayData:  # its batches may be float32 of float64
        if is_sparse(data.X):
            raise TypeError("[solve] X is sparse: the closed form needs all of it, use X.toarray()")
        rows = slice(None) if data.train.rows is None else data.train.rows
        X, y, targets = data.X[rows], data.y[rows], data.train.columns[1].data
        return np.array(X, np.float64), np.array(y, np.float64).reshape(len(y), *targets.shape[1:]), targets.dtype
    if isinstance(loader, DataLoader):
        loader = DataLoader(loader.dataset, loader.batch_size)
    batches = [(np.asarray(batch[0]), np.asarray(batch[1])) for batch in loader]
    X, y = (np.concatenate([batch[i] for batch in batches]) for i in (0, 1))
    return X.astype(np.float64), y.astype(np.float64), X.dtype
