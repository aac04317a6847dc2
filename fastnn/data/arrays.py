"""ArrayData: one's own arrays as training data."""

from typing import Any

import numpy as np

from fastnn import _core
from fastnn.dispatch import Array, wrap
from fastnn.random import check_seed
from fastnn.tensor import Tensor

from .loader import ArrayDataset, Column, DataLoader
from .module import DataModule
from .sparse import SparseColumn, is_sparse

_SPLIT_EPOCH = 2**44 - 1  # the last there is: no epoch of training shuffles as the split did


class ArrayData(DataModule):
    """Training data from arrays: NumPy, memory maps, Tensors, frames with a `to_numpy` (pandas, polars), sparse X.

    `X` is (n, ...), numbers of any kind; batches of it are `dtype`, "float32" or "float64". Of a matrix of scipy.sparse
    only the rows of a batch become dense. `y` (n,) of any integer
    dtype or bool is a label and becomes int64. Floating-point `y` is a target: (n,) becomes (n, 1) and `predict` gives
    it back as (n,); (n, k) stays. `val` is (X, y) for validation, or the fraction of the rows to set aside, drawn by
    `seed` (None: 0), and with `stratify` by the same share of each class. `shuffle` mixes the training rows every
    epoch, by `seed` (None: the trainer's).

    Contiguous float32, float16, uint8 and memory-mapped `X` is read where it lies, everything else is copied once. `X`
    and `y` keep what was given, `train` and `val` are the data sets of examples.

    Raises TypeError for arrays that hold no numbers, and ValueError for lengths that differ, empty arrays, labels below
    0, targets that are no finite numbers of `dtype`, and a `val` that leaves either side empty.

    >>> data = ArrayData(np.eye(10), np.arange(10) % 2, val=0.2, batch_size=4)
    >>> len(data.train), len(data.val)
    (8, 2)
    >>> X, y = next(iter(data.train_dataloader()))
    >>> X.shape, y.shape
    ((4, 10), (4,))
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        val: tuple[Any, Any] | float | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
        stratify: bool = False,
        seed: int | None = None,
        *,
        dtype: str = "float32",
    ) -> None:
        super().__init__(batch_size)
        if dtype not in ("float32", "float64"):
            raise ValueError(f'[ArrayData] dtype={dtype!r} must be "float32" or "float64"')
        if stratify and (val is None or isinstance(val, tuple | list)):
            raise ValueError("[ArrayData] stratify needs a fraction as val")
        self.shuffle, self.seed = shuffle, None if seed is None else check_seed("ArrayData", seed)
        self.X, self.y = _numbers(X, "X"), _numbers(y, "y")
        self.target_ndim = self.y.ndim
        columns = _columns(self.X, self.y, dtype, ("X", "y"))
        self.val: ArrayDataset | None = None
        if isinstance(val, tuple | list):
            if len(val) != 2:
                raise ValueError(f"[ArrayData] val has {len(val)} parts: it must be a fraction, or a tuple (X, y)")
            val_X, val_y = _numbers(val[0], "val X"), _numbers(val[1], "val y")
            if val_X.shape[1:] != self.X.shape[1:] or val_y.shape[1:] != self.y.shape[1:]:
                raise ValueError(
                    f"[ArrayData] val has rows of shape {val_X.shape[1:]} and {val_y.shape[1:]}, "
                    f"X and y have {self.X.shape[1:]} and {self.y.shape[1:]}"
                )
            if (val_y.dtype.kind == "f") != (self.y.dtype.kind == "f"):
                raise TypeError(f"[ArrayData] val y has dtype {val_y.dtype} but y has {self.y.dtype}: use one of them")
            self.train = ArrayDataset(*columns)
            self.val = ArrayDataset(*_columns(val_X, val_y, dtype, ("val X", "val y")))
        elif val is not None:
            train_rows, val_rows = split(self.y, val, stratify, self.seed or 0)
            self.train = ArrayDataset(*columns, rows=train_rows)
            self.val = ArrayDataset(*columns, rows=val_rows)
        else:
            self.train = ArrayDataset(*columns)

    def get_dataloader(self, train: bool) -> DataLoader | None:
        """A loader of the training rows, or one of the validation rows in order (None without any)."""
        if train:
            return DataLoader(self.train, self.batch_size, shuffle=self.shuffle, seed=self.seed)
        return None if self.val is None else DataLoader(self.val, self.batch_size)


def _numbers(given: Any, name: str) -> Any:
    """`given` as an array of numbers with at least one row, not copied where it is an array already."""
    if isinstance(given, Tensor):
        given = given._array
    array: Any = given
    if not (is_sparse(given) and name.endswith("X")):
        array = np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"[ArrayData] {name} has dtype {array.dtype}: numbers are needed, say {name}.astype('float32'), "
            "or labels counted from 0"
        )
    if array.ndim == 0 or 0 in array.shape:
        raise ValueError(f"[ArrayData] {name} has shape {array.shape}: there is nothing to train on")
    return array


def _columns(X: Any, y: Array, dtype: str, names: tuple[str, str]) -> tuple[Column | SparseColumn, Column]:
    if X.shape[0] != len(y):
        raise ValueError(f"[ArrayData] {names[0]} has {X.shape[0]} rows but {names[1]} has {len(y)}: make them equal")
    if X.ndim == 1:
        raise ValueError(f"[ArrayData] {names[0]} has shape {X.shape}: write {names[0]}.reshape(-1, 1) for one feature")
    targets = Column(wrap(_targets(y, dtype, names[1])))
    if is_sparse(X):
        return SparseColumn(X, dtype), targets
    stays = X.flags.c_contiguous and X.flags.aligned and X.dtype.isnative and X.dtype in _READ_IN_PLACE
    if not (stays and (X.dtype in (np.uint8, np.float16, dtype) or _is_mapped(X))):
        X = _laid_out(X, dtype)
    return Column(wrap(X), dtype=dtype), targets


_READ_IN_PLACE = tuple(map(np.dtype, ("float16", "float32", "float64", "int64", "int32", "uint8", "bool")))


def _is_mapped(array: Array | None) -> bool:
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def _targets(y: Array, dtype: str, name: str) -> Array:
    if y.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what float32 does not reach becomes infinite, and is refused as such
            targets = _laid_out(y, dtype)
        bad = ~np.isfinite(targets)
        if bad.any():
            at = np.unravel_index(int(np.argmax(bad)), y.shape)
            remedy = ', or use dtype="float64"' if np.isfinite(y[at]) and dtype == "float32" else ""
            raise ValueError(
                f"[ArrayData] {name}[{', '.join(map(str, at))}] = {y[at]} is no finite {dtype}: "
                f"leave such rows out{remedy}"
            )
        return targets.reshape(len(y), -1) if y.ndim == 1 else targets
    if y.ndim != 1:
        raise ValueError(
            f"[ArrayData] {name} has dtype {y.dtype} and shape {y.shape}: labels are (n,), "
            "and targets or probabilities are floating point"
        )
    if y.dtype == np.uint64 and y.max() > np.iinfo(np.int64).max:
        raise ValueError(f"[ArrayData] {name} has label {y.max()}, which is not a class index")
    if y.dtype.kind == "i" and y.min() < 0:  # -100 would silently count for nothing
        row = int(np.argmax(y < 0))
        raise ValueError(f"[ArrayData] {name}[{row}] = {y[row]} is not a class index: labels are counted from 0")
    return _laid_out(y, "int64")


def _laid_out(array: Array, dtype: str) -> Array:
    """`array` as kernels read it, copied where it lies otherwise; `np.ascontiguousarray` leaves it unaligned."""
    return np.require(array, dtype, ["C", "A", "E"])


def split(y: Array, fraction: float, stratify: bool, seed: int) -> tuple[Array, Array]:
    """Rows for training and for validation, each in ascending order."""
    if isinstance(fraction, bool) or not 0 < fraction < 1:
        raise ValueError(f"[ArrayData] val={fraction!r} must be a fraction between 0 and 1, or a tuple (X, y)")
    n = len(y)
    count = max(1, round(n * fraction))
    if count == n:
        raise ValueError(f"[ArrayData] val={fraction} leaves nothing to train on: there are {n} rows")
    order: Array = _core.permutation(n, seed=seed, epoch=_SPLIT_EPOCH)
    if stratify:
        if y.dtype.kind == "f":
            raise ValueError(f"[ArrayData] stratify needs labels, but y has dtype {y.dtype}: y.astype('int64')")
        order = order[np.argsort(y[order], kind="stable")]  # class by class, mixed within each
    chosen = np.zeros(n, bool)
    chosen[order[(np.arange(count) * 2 + 1) * n // (2 * count)]] = True  # evenly spaced, so each class has its share
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
