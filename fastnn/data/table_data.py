"""TableData: a file or a frame as training data, standardised."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import _core
from fastnn.dispatch import Array
from fastnn.random import check_seed

from .arrays import split
from .labels import class_indices, label_names, listed, text_labels
from .loader import ArrayDataset, DataLoader
from .module import DataModule
from .schema import Schema
from .table import read_table

_TASKS = ("classification", "regression")
_MOST_CLASSES = 20  # among whole numbers; with more they are values


class TableData(DataModule):
    """Training data from a table: a file or a frame whose columns are numbers, and one of them what is to be predicted.

    `source` is whatever `fastnn.data.read_table` takes. `target` is the column to predict, `drop` are columns to leave
    out, and all others are inputs. `task` is "classification" or "regression"; None finds out: text, bools and whole
    numbers of at most 20 kinds are classes, other numbers values. `val` is the fraction of rows to set aside for
    validation, drawn by `seed` (None: 0) with the same share of each class, or None. `shuffle` mixes the training rows
    every epoch, by `seed` (None: the trainer's).

    Inputs, and the values of a regression, are standardised by means and standard deviations of the training rows (a
    column that does not vary becomes 0). A model that is trained on this keeps that and the names as its `schema`, so
    that its `predict` takes tables and gives values in their own units; losses are those of standardised values.

    `schema` holds names and scaling, `classes` the names of the classes (None for values). `X` (n, features) float64
    and `y` (n,) are as they were read; `train` and `val` are the data sets of examples, and their `rows` those of `X`.

    Raises what `read_table` does, and ValueError for columns that are not there, inputs that are no finite numbers, a
    target of one class or value, a class without training rows, and too few rows.

    >>> table = {"size": [50.0, 80.0, 65.0, 30.0], "rooms": [2, 3, 3, 1], "price": [150.5, 240.0, 199.0, 95.5]}
    >>> data = TableData(table, "price", val=0.25)
    >>> data.schema.features, data.classes, len(data.train), len(data.val)
    (('size', 'rooms'), None, 3, 1)
    """

    target_ndim = 1

    def __init__(
        self,
        source: Any,
        target: str,
        val: float | None = 0.2,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int | None = None,
        *,
        drop: Sequence[str] = (),
        task: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        if task not in (None, *_TASKS):
            raise ValueError(f"[TableData] task = {task!r} must be {' or '.join(map(repr, _TASKS))}")
        if val is not None and (isinstance(val, bool) or not 0 < val < 1):
            raise ValueError(f"[TableData] val = {val!r} must be a fraction between 0 and 1")
        self.shuffle, self.seed = shuffle, None if seed is None else check_seed("TableData", seed)
        table = read_table(source)
        for name in (target, *drop):
            if name not in table.names:
                raise ValueError(f"[TableData] {table.source} has no column {name!r}: it has {listed(table.names)}")
        features = tuple([name for name in table.names if name not in (target, *drop)])
        if not features:
            raise ValueError(f"[TableData] {table.source} has no column to predict {target} from")
        self.X, self.y = table.numbers(features), table.labels(target)
        self.classes = _classes(target, self.y, task)
        if self.classes is None and self.y.dtype.kind == "U":
            self.y = table.numbers([target])[:, 0]  # raises, and names the row
        targets = self.y.astype(np.float64) if self.classes is None else class_indices(self.y, self.classes)
        rows, val_rows = _rows(targets, val, self.classes, self.seed or 0)

        scalings = [_scaling(name, column) for name, column in zip(features, self.X[rows].T, strict=True)]
        mean, scale = zip(*scalings, strict=True)
        self.schema = Schema(features, target, mean, scale, dropped=tuple(drop))
        if self.classes is None:
            target_mean, target_scale = _scaling(target, targets[rows])
            self.schema = dataclasses.replace(self.schema, target_mean=target_mean, target_scale=target_scale)
            targets = ((targets - target_mean) / target_scale)[:, None].astype(np.float32)
        columns = self.schema.standardise(self.X), targets
        self.train = ArrayDataset(*columns, rows=rows)
        self.val = None if val_rows is None else ArrayDataset(*columns, rows=val_rows)

    def get_dataloader(self, train: bool) -> DataLoader | None:
        """A loader of the training rows, or one of the validation rows in order (None without any)."""
        if train:
            return DataLoader(self.train, self.batch_size, shuffle=self.shuffle, seed=self.seed)
        return None if self.val is None else DataLoader(self.val, self.batch_size)

    def text_labels(self, indices: Any) -> list[str]:
        """The names of classes; ValueError for what is not the index of one."""
        return text_labels(indices, self.classes or ())


def _classes(target: str, y: Array, task: str | None) -> tuple[str, ...] | None:
    """The classes in `y` in ascending order, or None where it has values."""
    kinds = np.unique(y)
    if len(kinds) == 1:
        raise ValueError(f"[TableData] {target} = {kinds[0]} in every row: two classes or values are needed")
    if task is None:
        is_counted = y.dtype.kind in "iu" and len(kinds) <= _MOST_CLASSES
        task = "classification" if is_counted or y.dtype.kind in "bU" else "regression"
    if task == "regression":
        return None
    if y.dtype.kind == "f" and (kinds != np.floor(kinds)).any():
        raise ValueError(f"[TableData] {target} has the value {kinds[kinds != np.floor(kinds)][0]}, which is no class")
    return tuple(label_names(kinds).tolist())


def _rows(targets: Array, val: float | None, classes: Sequence[str] | None, seed: int) -> tuple[Array, Array | None]:
    """Rows for training and for validation."""
    n = len(targets)
    count = 0 if val is None else max(1, round(n * val))
    if n - count < 2:
        raise ValueError(f"[TableData] {n} rows are too few: {count} to validate on leave {n - count} of 2 to train on")
    if val is None:
        rows, val_rows = np.arange(n), None
    else:
        rows, val_rows = split(targets, val, stratify=classes is not None, seed=seed)
    if classes is not None:
        counts = np.bincount(targets[rows], minlength=len(classes))
        if (counts == 0).any():
            name = classes[int(np.argmin(counts))]
            raise ValueError(f"[TableData] class {name!r} has no row to train on: give more of them, or leave it out")
    return rows, val_rows


def _scaling(name: str, numbers: Array) -> tuple[float, float]:
    """Mean and standard deviation of a column; the only number and 1 where there is no other."""
    if (numbers == numbers[0]).all():
        return float(numbers[0]), 1.0
    mean = float(_core.mean(numbers))
    with np.errstate(over="ignore"):
        deviations = numbers - mean
    largest = float(np.abs(deviations).max())  # whose square may be out of range
    if not math.isfinite(largest):
        raise ValueError(f"[TableData] {name} has numbers too large to be standardised")
    return mean, largest * math.sqrt(float(_core.mean((deviations / largest) ** 2)))
