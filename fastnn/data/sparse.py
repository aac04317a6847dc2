"""Sparse matrices as training data: rows become dense as they become part of a batch, never the whole matrix.

Of SciPy only the methods of its matrices are used: it is there where they are, and nothing here imports it.
"""

import copy
import functools
from typing import Any

import numpy as np

from fastnn import _core
from fastnn.dispatch import Array, wrap
from fastnn.tensor import Tensor


def is_sparse(given: Any) -> bool:
    """Whether `given` is a matrix of scipy.sparse, of whatever format."""
    return hasattr(given, "tocsr") and hasattr(given, "nnz")


class SparseColumn:
    """A sparse matrix (n, features) as one of the arrays of a data set, beside `fastnn.data.loader.Column`.

    `matrix` has any format of scipy.sparse and is kept as CSR, its values as `dtype`, or as they are where that is
    None. What lies there twice is added up. Raises TypeError for what is no matrix, or of complex numbers, ValueError
    where its indices lie outside of it.
    """

    __slots__ = ("device", "matrix")

    def __init__(self, matrix: Any, dtype: str | None = None) -> None:
        if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
            raise TypeError(
                f"[DataLoader] a sparse array is {matrix.dtype} {matrix.shape}: a matrix of numbers is needed"
            )
        rows = matrix.tocsr()
        rows.check_format(full_check=True)  # once, so that no batch reads beside it
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        self.matrix = rows if dtype is None else rows.astype(dtype, copy=False)
        self.device = "cpu"

    def to(self, device: str) -> "SparseColumn":
        """The same with batches on `device`; the matrix stays where it is."""
        moved = copy.copy(self)
        moved.device = device
        return moved

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and features."""
        shape: tuple[int, ...] = self.matrix.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the values, and of batches."""
        dtype: np.dtype[Any] = self.matrix.dtype
        return dtype

    def source(self) -> tuple[Any, ...]:
        """What batches are made of, and how."""
        return (self.matrix,)

    def take(self, rows: Tensor) -> Tensor:
        """A new Tensor of the rows whose numbers are in `rows` (int64), dense."""
        dense: Tensor = wrap(self.matrix[rows._array].toarray())
        return dense.to(self.device)

    def take_into(self, rows: Array, out: Array) -> None:
        """The same as `take`, on arrays: `out` receives the rows."""
        self.matrix[rows].toarray(out=out)

    def add_to(self, program: _core.Program, rows: Array, out: Array) -> None:
        """Make `take_into` a part of each step of `program`: a Python function, which SciPy's is."""
        program.call(functools.partial(self.take_into, rows, out))
