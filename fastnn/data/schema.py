"""Schema: what a model that was trained on a table knows of its columns."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.dispatch import Array
from fastnn.tensor import Tensor

from .labels import listed
from .table import ArrayTable, Table, read_table


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a table that a model was trained on: their names, and how they are scaled.

    `features` are the names of the inputs in order; the network takes ``(x - mean) / scale`` of each. `target` is what
    is predicted; of values y the network gives ``(y - target_mean) / target_scale``. `dropped` are columns that were
    left out.

    >>> schema = Schema(("a", "b"), "y", mean=(1.0, 0.0), scale=(2.0, 1.0))
    >>> schema.inputs({"b": [0.5], "a": [5.0]})
    array([[2. , 0.5]], dtype=float32)
    >>> schema.inputs({"a": [5.0], "c": [0.5]})
    Traceback (most recent call last):
    ValueError: [predict] the dict lacks the column b, which the model was trained on; it has a, c
    """

    features: tuple[str, ...]
    target: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    target_mean: float = 0.0
    target_scale: float = 1.0
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = (*self.features, self.target, *self.dropped)
        numbers = (*self.mean, *self.scale, self.target_mean, self.target_scale)
        if not (all(isinstance(name, str) for name in names) and all(map(math.isfinite, numbers))):
            raise ValueError("[Schema] names must be text, means and scales finite numbers")
        if not len(self.features) == len(self.mean) == len(self.scale):
            lengths = len(self.features), len(self.mean), len(self.scale)
            raise ValueError(f"[Schema] features, mean and scale have lengths {lengths}: make them equal")

    def inputs(self, rows: Any) -> Array:
        """What the network takes, (n, features) float32, for `rows`: whatever `read_table` takes, or an array.

        Columns are found by name, in any order; the target and `dropped` may be among them. The numbers in a row of an
        array are the features in order. Raises ValueError for columns that are missing or unknown, and for numbers that
        are not finite.
        """
        is_array = isinstance(rows, np.ndarray | Tensor | list | tuple)
        table = ArrayTable("X", self._named(np.asarray(rows))) if is_array else read_table(rows)
        self._check(table)
        return self.standardise(table.numbers(self.features))

    def standardise(self, numbers: Array) -> Array:
        """``(numbers - mean) / scale`` (n, features) as float32, computed in float64; ValueError where it overflows."""
        with np.errstate(over="ignore"):
            inputs: Array = ((numbers - self.mean) / self.scale).astype(np.float32)
        for row, j in np.argwhere(~np.isfinite(inputs)):
            raise ValueError(
                f"[standardise] {self.features[j]} = {numbers[row, j]:g} in row {row + 1} is too far from the "
                "training data for float32: leave the row out"
            )
        return inputs

    def _named(self, rows: Array) -> Mapping[str, Array]:
        if rows.ndim < 2 or rows[:1].size != len(self.features):
            raise ValueError(
                f"[predict] X has shape {rows.shape}: rows of {len(self.features)} numbers are needed, "
                f"{listed(self.features)}"
            )
        return dict(zip(self.features, rows.reshape(len(rows), -1).T, strict=True))

    def _check(self, table: Table) -> None:
        names = set(table.names)
        if missing := [name for name in self.features if name not in names]:
            raise ValueError(
                f"[predict] {table.source} lacks the column {listed(missing)}, which the model was trained on; "
                f"it has {listed(table.names)}"
            )
        known = {*self.features, self.target, *self.dropped}
        if unknown := [name for name in table.names if name not in known]:
            raise ValueError(
                f"[predict] {table.source} has the column {listed(unknown)}, which the model does not know: "
                f"leave it out; the model takes {listed(self.features)}"
            )

    def values(self, outputs: Array) -> Array:
        """The values, float64, that `outputs` of the network mean."""
        values: Array = outputs.astype(np.float64) * self.target_scale + self.target_mean
        return values

    @classmethod
    def from_dict(cls, saved: Any) -> "Schema":
        """The schema whose fields `saved` has, as JSON holds them; ValueError where it is none."""
        try:
            given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
            return cls(**given)
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"[load] the file holds a broken schema: {error}") from error
