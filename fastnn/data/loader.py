"""Batches from arrays: rows are gathered when they are asked for, from wherever the arrays lie."""

import copy
import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastnn import _core, devices, reprs
from fastnn import functional as F
from fastnn.dispatch import Array, device_of, run, wrap
from fastnn.functional.creation import as_array
from fastnn.random import Purpose, check_seed, counters
from fastnn.tensor import Tensor

from .sparse import SparseColumn, is_sparse

Batch = Sequence[Any]


class Column:
    """One array of a data set, and how its rows become part of a batch: gathered, divided, as `dtype`.

    `data` is a Tensor (n, ...), here alone float16 too. A batch has its dtype where `dtype` is None, but float16, and
    uint8 with a `divisor`, become float32. These two are converted while they are gathered, any other dtype afterwards.
    """

    __slots__ = ("cast", "data", "gather")

    def __init__(self, data: Tensor, divisor: float = 1.0, dtype: str | None = None) -> None:
        self.data = data
        self.gather: dict[str, Any] = {} if divisor == 1 else {"divisor": divisor}
        self.cast: dict[str, Any] = {} if dtype is None or data._array.dtype == dtype else {"dtype": dtype}
        if self.cast and data._array.dtype in (np.uint8, np.float16):
            self.gather |= self.cast
            self.cast = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """That of all rows."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of `data`; batches may have another."""
        return self.data.dtype

    def source(self) -> tuple[Any, ...]:
        """What batches are made of, and how."""
        return self.data._array, dict(self.gather), dict(self.cast)

    def to(self, device: str) -> "Column":
        """The same with its data on `device`, where they are copied once."""
        moved = copy.copy(self)
        moved.data = self.data.to(device)
        _core.prefetch(moved.data._array)
        return moved

    def take(self, rows: Tensor) -> Tensor:
        """A new Tensor of the rows whose numbers are in `rows` (int64)."""
        part: Tensor = run("gather", self.data, rows, **self.gather)
        return run("cast", part, **self.cast) if self.cast else part

    def take_into(self, rows: Array, out: Array) -> None:
        """The same as `take`, on arrays: `out` receives the rows."""
        data = self.data._array
        if not self.cast:
            _core.gather(data, rows, out=out, **self.gather)
            return
        part = _core.empty(out.shape, data.dtype, device_of(data))
        _core.gather(data, rows, out=part, **self.gather)
        _core.cast(part, out=out)

    def add_to(self, program: _core.Program, rows: Array, out: Array) -> None:
        """Make `take_into` a part of each step of `program`."""
        program.record(functools.partial(self.take_into, rows, out))


class ArrayDataset:
    """Arrays of equal length as a data set of examples; `rows` (int64) says which of them belong to it, None: all.

    `columns` are Tensors, NumPy arrays (float16 too), matrices of scipy.sparse, whose rows become dense in a batch, or
    Columns; what is not contiguous is copied once. An example, ``dataset[i]``, is a tuple with a Tensor for each.
    Raises ValueError for no array, arrays without rows, or arrays of different lengths.

    >>> dataset = ArrayDataset(np.arange(6.0).reshape(3, 2), np.array([0, 1, 1]))
    >>> len(dataset)
    3
    >>> dataset[2]
    (tensor([4., 5.], dtype=float64), tensor(1))
    """

    def __init__(self, *columns: Any, rows: Array | None = None) -> None:
        self.columns: tuple[Any, ...] = tuple(map(_column, columns))  # Column or SparseColumn
        self.rows = rows
        shapes = [column.shape for column in self.columns]
        if not shapes or any(len(shape) == 0 for shape in shapes):
            raise ValueError(f"[DataLoader] dataset needs arrays of at least one dimension, not shapes {shapes}")
        if len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"[DataLoader] the arrays have {[shape[0] for shape in shapes]} rows: make them equal")
        if len(self) == 0:
            raise ValueError(f"[DataLoader] dataset has no rows: shapes {shapes}")

    def __len__(self) -> int:
        return self.columns[0].shape[0] if self.rows is None else len(self.rows)

    def __repr__(self) -> str:
        return f"ArrayDataset({len(self):,} rows of {self.describe()})"

    def describe(self) -> str:
        """Dtype and shape of each part of an example, as they lie.

        >>> ArrayDataset(np.zeros((5, 28, 28), np.uint8), np.zeros(5, np.int64)).describe()
        'uint8 (28, 28), int64 ()'
        """
        return ", ".join(f"{column.dtype} {column.shape[1:]}" for column in self.columns)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"[dataset] index {number} is out of range for {len(self)} examples")
        row = number % len(self) if self.rows is None else int(self.rows[number])
        return tuple([part[0] for part in self.take(wrap(np.array([row], np.int64)))])

    def take(self, rows: Tensor) -> tuple[Tensor, ...]:
        """A batch: the rows of the arrays whose numbers are in `rows` (int64)."""
        return tuple([column.take(rows) for column in self.columns])

    def add_to(self, program: _core.Program, rows: Array, out: Sequence[Array]) -> None:
        """Make it a part of each step of `program` that `out` receives the batch of the rows in `rows`."""
        # The first come last, next to the layer that reads them: it may gather them itself (csrc/engine/layer.h).
        for column, part in reversed([*zip(self.columns, out, strict=True)]):
            column.add_to(program, rows, part)


class DataLoader:
    """Batches of a data set, shuffled anew every epoch where asked; the short last batch is kept.

    `dataset` is an ArrayDataset, or a tuple of what that takes, arrays of equal length; a batch is a tuple of new
    Tensors of `batch_size` rows. The order depends on `seed`, the epoch and the number of rows alone. Without a `seed`
    the trainer's is used, and where there is no trainer one is drawn under `fastnn.manual_seed`. Each iteration is an
    epoch of its own; `set_epoch` names the next one. `drop_last` leaves a short last batch out. `num_workers` is taken
    from those who are used to it, and does nothing: rows are gathered natively, without processes.

    >>> loader = DataLoader((np.arange(5), np.arange(5) * 10), batch_size=2)
    >>> for x, y in loader:
    ...     print(x.tolist(), y.tolist())
    [0, 1] [0, 10]
    [2, 3] [20, 30]
    [4] [40]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
    ) -> None:
        if not isinstance(dataset, ArrayDataset):
            dataset = ArrayDataset(*(dataset if isinstance(dataset, tuple | list) else [dataset]))
        if not isinstance(batch_size, int | np.integer) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"[DataLoader] batch_size={batch_size!r} must be a positive integer")
        if drop_last and len(dataset) < batch_size:
            raise ValueError(f"[DataLoader] drop_last leaves no batch: {len(dataset)} rows, batch_size={batch_size}")
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.seed = None if seed is None else check_seed("DataLoader", seed)
        self.drop_last = drop_last
        self._epoch = 0
        self._own_seed: int | None = None

    def __len__(self) -> int:
        rows = len(self.dataset)
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __repr__(self) -> str:
        return reprs.call(self)

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration that of `epoch` (0, 1, ...), so that a resumed run meets the order it would have."""
        if epoch < 0:
            raise ValueError(f"[DataLoader] epoch = {epoch} must be at least 0")
        self._epoch = operator.index(epoch)

    def order(self, epoch: int) -> Array:
        """The rows of `epoch` in the order in which its batches take them (int64)."""
        rows = self.dataset.rows
        if not self.shuffle:
            return np.arange(len(self.dataset), dtype=np.int64) if rows is None else rows
        order: Array = _core.permutation(len(self.dataset), seed=self._seed(), epoch=epoch)
        return order if rows is None else rows[order]

    def begin_epoch(self) -> Array:
        """The rows of the next epoch (int64), in the order in which its batches take them."""
        order = self.order(self._epoch)
        self._epoch += 1
        return order[: len(self) * self.batch_size]

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self._batches(self.begin_epoch())

    def _batches(self, order: Array) -> Iterator[tuple[Tensor, ...]]:
        take, size = self.dataset.take, self.batch_size
        for start in range(0, len(order), size):
            yield take(wrap(order[start : start + size]))

    def _seed(self) -> int:
        if self.seed is not None:
            return check_seed("DataLoader", self.seed)  # it may have been given later
        if self._own_seed is None:  # 53 bits, a whole number
            drawn = run("uniform", shape=(1,), high=2.0**53, dtype="float64", **counters(Purpose.DATA))
            self._own_seed = int(drawn._array[0])
        return self._own_seed


def length_of(loader: Any) -> int | None:
    """The number of batches of a loader, where it tells."""
    return len(loader) if hasattr(loader, "__len__") else None


def loaders_on(device: str, *loaders: Any) -> Sequence[Any]:
    """`loaders`, those of them that gather rows of arrays with these on `device`; what they share is copied once."""
    if not devices.is_used:
        return loaders
    moved: dict[int, Column] = {}
    placed = []
    for loader in loaders:
        if is_plain(loader):
            columns = loader.dataset.columns
            moved |= {id(column): column.to(device) for column in columns if id(column) not in moved}
            loader, dataset = copy.copy(loader), copy.copy(loader.dataset)
            loader.dataset, dataset.columns = dataset, tuple([moved[id(column)] for column in columns])
        placed.append(loader)
    return placed


def batch_on(device: str, batch: Batch) -> Batch:
    """`batch` with the Tensors in it on `device`."""
    if not devices.is_used or type(batch) not in (tuple, list):
        return batch
    parts = [part.to(device) if isinstance(part, Tensor) else part for part in batch]
    return parts if type(batch) is list else tuple(parts)


def is_plain(loader: Any) -> bool:
    """Whether a loader gathers rows of arrays, and nothing else: then its columns tell what batches are made of."""
    return (
        type(loader) is DataLoader
        and type(loader.dataset) is ArrayDataset
        and all(type(column) in (Column, SparseColumn) for column in loader.dataset.columns)
    )


def _column(given: Any) -> Column | SparseColumn:
    if isinstance(given, Column | SparseColumn):
        return given
    return SparseColumn(given) if is_sparse(given) else Column(_tensor(given))


def _tensor(column: Tensor | Array) -> Tensor:
    """`column` as a contiguous Tensor: from any other, kernels would copy the whole for every batch."""
    if isinstance(column, Tensor):
        return column.detach() if column._array.flags.c_contiguous else F.clone(column.detach())
    if isinstance(column, np.ndarray) and column.dtype == np.float16:
        return wrap(np.require(column, None, ["C", "A"]))  # type: ignore[no-any-return]
    if isinstance(column, np.ndarray):
        return wrap(np.asarray(as_array(column, operation="DataLoader"), order="C"))  # type: ignore[no-any-return]
    raise TypeError(f"[DataLoader] dataset has a {type(column).__name__}: give Tensors or NumPy arrays")
