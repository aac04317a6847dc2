"""History: what a training run measured, epoch by epoch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import checkpoint, tabular
from .dispatch import Array, run
from .tensor import Tensor

_READ_EVERY = 1024  # logged Tensors: each reading waits for what computes them, keeping them takes memory


class History(Mapping[str, list[float]]):
    """Measurements of a training run: a list per name, one value per epoch.

    A mapping whose entries are attributes too: ``history["val_acc"]`` is ``history.val_acc``. The trainer writes
    train_loss and val_loss (means weighted by examples), val_acc for classifiers, train_seconds, val_seconds,
    examples_per_second, lr, and whatever the model logs; an epoch without a value has NaN. `seed` repeats the run.
    `steps` holds the values of every training step where ``Trainer(per_step=True)`` asked for them.

    >>> history = History(seed=7)
    >>> history.append({"train_loss": 0.5})
    >>> history.append({"train_loss": 0.25, "val_acc": 0.75})
    >>> history.train_loss, history["val_acc"]
    ([0.5, 0.25], [nan, 0.75])
    >>> history
    History of 2 epochs, seed 7
    epoch  train_loss  val_acc
        1         0.5      nan
        2        0.25     0.75
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.epochs = 0
        self.steps: dict[str, list[float]] = {}
        self._columns: dict[str, list[float]] = {}

    def __getitem__(self, name: str) -> list[float]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __getattr__(self, name: str) -> list[float]:
        columns: dict[str, list[float]] = self.__dict__.get("_columns", {})
        if name in columns:
            return columns[name]
        raise AttributeError(f"History has no {name!r}; it has {', '.join(columns) or 'no epoch yet'}")

    def append(self, values: Mapping[str, float]) -> None:
        """Add an epoch."""
        for name in values:
            if name not in self._columns:
                self._columns[name] = [math.nan] * self.epochs
        for name, column in self._columns.items():
            column.append(float(values.get(name, math.nan)))
        self.epochs += 1

    def to_csv(self, path: checkpoint.Path) -> None:
        """Write a line of names and a line per epoch; the file appears whole or not at all. Raises OSError.

        >>> import pathlib, tempfile
        >>> history, path = History(), pathlib.Path(tempfile.mkdtemp()) / "history.csv"
        >>> history.append({"train_loss": 0.5})
        >>> history.to_csv(path)
        >>> path.read_text().split()
        ['epoch,train_loss', '1,0.5']
        """
        rows = ([i + 1, *values] for i, values in enumerate(zip(*self._columns.values(), strict=True)))
        checkpoint.atomic_write(path, tabular.csv(["epoch", *self._columns], rows).encode())

    def plot(self, path: checkpoint.Path | None = None) -> Any:
        """Figure of losses and accuracy over the epochs (matplotlib), also written to `path` where given."""
        from . import plot

        return plot.history(self, path)

    def to_dict(self) -> dict[str, Any]:
        """All of it as lists and numbers, for a checkpoint."""
        return {"seed": self.seed, "epochs": self.epochs, "columns": self._columns, "steps": self.steps}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "History":
        """The history that `to_dict` gave, with lists or arrays; KeyError, TypeError or ValueError where it is none."""
        history = cls(saved["seed"])
        history.epochs = int(saved["epochs"])
        history._columns = {str(name): [float(x) for x in column] for name, column in saved["columns"].items()}
        history.steps = {str(name): [float(x) for x in values] for name, values in saved["steps"].items()}
        lengths = [len(column) for column in history._columns.values()] or [0]
        if any(length != history.epochs for length in lengths):
            raise ValueError(f"[History] every column must have {history.epochs} epochs")
        return history

    def _rows(self) -> list[list[str]]:
        """The names and the values of each epoch."""
        epochs = (
            [str(i + 1), *(tabular.number(column[i]) for column in self._columns.values())] for i in range(self.epochs)
        )
        return [["epoch", *self._columns], *epochs]

    def _title(self) -> str:
        return f"History of {self.epochs} epoch{'' if self.epochs == 1 else 's'}, seed {self.seed}"

    def __repr__(self) -> str:
        table = tabular.text(self._rows(), ">" * (1 + len(self))) if self.epochs else []
        return "\n".join([self._title(), *table])

    def _repr_html_(self) -> str:
        """The table as notebooks show it."""
        return tabular.html(self._title(), self._rows(), ">" * (1 + len(self)))


class Meter:
    """Values logged in an epoch, and how many examples each stands for. Tensors are read together, not one by one.

    `batch_size` is that of the latest step.

    >>> meter = Meter()
    >>> meter.add("val_loss", 1.0, examples=3)
    >>> meter.add("val_loss", 5.0, examples=1)
    >>> meter.means()
    {'val_loss': 2.0}
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Any]] = []
        self._values: dict[str, list[float]] = {}
        self.examples: dict[str, list[int]] = {}
        self.batch_size = 1

    def add(self, name: str, value: Any, examples: int) -> None:
        """Take a number, or a Tensor of one element, to be read later."""
        # A copy: what is logged may change before it is read, a weight for instance.
        self._waiting.append((name, run("cast", value) if isinstance(value, Tensor) else float(value)))
        self.examples.setdefault(name, []).append(examples)

    def extend(self, name: str, values: Sequence[float], examples: int) -> None:
        """Take several numbers, of `examples` each."""
        self.values.setdefault(name, []).extend(values)
        self.examples.setdefault(name, []).extend([examples] * len(values))
        self.batch_size = examples

    @property
    def is_full(self) -> bool:
        """Whether enough Tensors wait to be read."""
        return len(self._waiting) >= _READ_EVERY

    @property
    def values(self) -> dict[str, list[float]]:
        """All values by name."""
        if self._waiting:
            for name, value in self._waiting:
                self._values.setdefault(name, []).append(float(value))
            self._waiting.clear()
        return self._values

    def to_arrays(self) -> dict[str, Array]:
        """Values and examples by name, (2, steps) in float64, for a checkpoint."""
        return {name: np.array([values, self.examples[name]]) for name, values in self.values.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "Meter":
        """The meter that `to_arrays` described; ValueError where it is none."""
        meter = cls()
        for name, array in arrays.items():
            if array.ndim != 2 or len(array) != 2 or array.dtype != np.float64:
                raise ValueError(f"[Meter] {name} is {array.dtype} {array.shape}, not values and examples")
            if not ((array[1] >= 1) & (array[1] < 2**53)).all():
                raise ValueError(f"[Meter] {name} has numbers of examples that are none")
            meter._values[name], meter.examples[name] = array[0].tolist(), array[1].astype(np.int64).tolist()
        return meter

    def means(self) -> dict[str, float]:
        """By name, each example weighing the same."""
        means = {}
        for name, values in self.values.items():
            examples = self.examples[name]
            products = [value * count for value, count in zip(values, examples, strict=True)]
            means[name] = sum(products) / sum(examples)
        return means
