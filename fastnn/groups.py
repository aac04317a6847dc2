"""fit_groups: a model of its own for each group of rows. Each is trained on one core, beside the others."""

import copy
import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from . import checkpoint, random
from .data import ArrayData, ArrayDataset, DataLoader, DataModule
from .data.sparse import is_sparse
from .dispatch import Array
from .loading import from_description
from .models import Model
from .results import Table
from .workers import Stop, WorkerTrainer, check_count, check_options, side_by_side

Name = int | str


@dataclass(eq=False)
class Group:
    """A row of a report: a group, how many rows it has, and the training loss of the last epoch.

    Where it has no model, the loss is NaN and `error` says why.
    """

    group: Name
    rows: int
    train_loss: float = math.nan
    error: str | None = None


class Report(Table[Group]):
    """A row for each group, in the order of their names."""

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Group, rows, train_loss and error."""
        return {name: [getattr(row, name) for row in self] for name in ("group", "rows", "train_loss", "error")}


class GroupModels(Mapping[Name, Model]):
    """What `fit_groups` trained: a Model by the name of its group, predictions for rows of many groups, and one file.

    `report` has a row for each group, also for those without a model. The weights lie in one array per parameter,
    (groups, ...); an entry is a Model with a copy of its own.
    """

    def __init__(self, model: Model | None, weights: dict[str, Array], report: Report) -> None:
        self.report = report
        self._model, self._weights = model, weights
        self._places = {name: i for i, name in enumerate(row.group for row in report if row.error is None)}

    def __repr__(self) -> str:
        return f"GroupModels({len(self)} of {len(self.report)} groups have a {type(self._model).__name__})"

    def __getitem__(self, group: Name) -> Model:
        if group not in self._places:
            raise KeyError(group)
        own: Any = copy.deepcopy(self._model)
        return self._load(own, group)

    def __contains__(self, group: object) -> bool:
        return group in self._places

    def __iter__(self) -> Iterator[Name]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def predict(self, X: Any, groups: Any, fallback: Model | None = None) -> Array:
        """What ``Model.predict`` gives for the rows of `X` (n, ...), each by the model of its group in `groups` (n,).

        Rows of groups without a model are left to `fallback`; where there is none, KeyError names such a group. Raises
        ValueError where there are no rows.
        """
        X = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X)
        names, rows = split("predict", groups, len(X))
        own: Any = copy.deepcopy(self._model)
        parts = []
        for name, chosen in zip(names, rows, strict=True):
            if name in self._places:
                model = self._load(own, name)
            elif fallback is not None:
                model = fallback
            else:
                raise KeyError(f"[predict] groups[{chosen[0]}] = {name!r} has no model: give one as fallback")
            parts.append(model.predict(X[chosen]))
        predictions = np.concatenate(parts)
        result = np.empty_like(predictions)
        result[np.concatenate(rows)] = predictions
        return result

    def _load(self, model: Model, group: Name) -> Model:
        """`model` with the weights of a group."""
        place = self._places[group]
        model.load_state_dict({name: values[place] for name, values in self._weights.items()})
        return model

    def save(self, path: checkpoint.Path) -> None:
        """Write all models and the report to one safetensors file; it appears whole or not at all.

        Raises OSError when the file cannot be written, ValueError where no group has a model.
        """
        if self._model is None:
            raise ValueError("[save] no group has a model: report says why")
        _, metadata = self._model.describe()
        checkpoint.write(path, self._weights, metadata | {"groups": self.report.columns})

    @classmethod
    def load(cls, path: checkpoint.Path, factory: Callable[..., Model] | None = None) -> Self:
        """What `save` wrote. `factory`, for models of a class of one's own, is the `cls` of `fastnn.load`.

        Raises OSError when the file cannot be read, and ValueError when it is damaged, holds no groups, or a model that
        needs `factory`.
        """
        weights, metadata = checkpoint.read(path)
        model = from_description(path, metadata, factory)
        assert metadata is not None
        try:
            columns = metadata["groups"]
            report = Report(Group(*values) for values in zip(*map(columns.get, Report([]).columns), strict=True))
            models = cls(model, weights, report)
            model._restore({name: values[0] for name, values in weights.items()}, metadata).eval()
            if any(len(values) != len(models) for values in weights.values()):
                raise ValueError(f"weights of {[len(values) for values in weights.values()]} groups, not {len(models)}")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"[load] {path} holds no whole models of groups: {error!r}") from error
        return models


def fit_groups(
    factory: Callable[[], Model],
    X: Any,
    y: Any,
    groups: Any,
    max_epochs: int,
    *,
    batch_size: int = 64,
    min_rows: int = 1,
    seed: int | None = None,
    max_workers: int | None = None,
    progress: bool | None = None,
    **options: Any,
) -> GroupModels:
    """Train a model for each group of rows, side by side in threads.

    `X` and `y` are as for `ArrayData`; `groups` (n,) are integers or text that say which group a row belongs to. Rows
    of a group may stand anywhere; they are read where they lie. `factory` takes nothing and gives a Model. `options`
    are those of each Trainer.

    Each model has the bits of ``fastnn.manual_seed(seed)``, ``model = factory()`` and ``Trainer(max_epochs,
    seed=seed).fit(model, ArrayData(X[rows], y[rows], batch_size=batch_size))`` alone, for any number of workers; `seed`
    None draws one for all. A group with fewer rows than `min_rows`, with a value in `X` or `y` that is no finite
    number, or whose training fails has no model, and its error in the report. `max_workers` None means
    `fastnn.num_threads()`; each uses one core. `progress` shows a bar over groups, None: where stderr is a terminal.
    Ctrl-C ends all.

    Raises TypeError and ValueError for arguments that fit no group.

    >>> import fastnn as fn
    >>> groups = np.repeat(["north", "south"], 100)
    >>> X = np.linspace(-1, 1, 200, dtype="float32").reshape(-1, 1)
    >>> y = np.where(groups == "north", 2 * X[:, 0], 1 - X[:, 0])
    >>> models = fit_groups(lambda: fn.LinearRegression(lr=0.5), X, y, groups, max_epochs=30, batch_size=10, seed=0)
    >>> models.predict([[0.5], [0.5]], ["north", "south"]).round(3)
    array([1. , 0.5], dtype=float32)
    """
    options |= {"max_epochs": max_epochs, "seed": random.draw_seed() if seed is None else seed}
    check_options("fit_groups", options, max_workers)
    check_count("fit_groups", "min_rows", min_rows)
    _check_factory(factory)
    if is_sparse(X):
        raise TypeError("[fit_groups] X is sparse: use X.toarray()")
    names, rows = split("fit_groups", groups, len(X))
    y, refused = _without_refused(y)
    data = ArrayData(X, y, batch_size=batch_size)
    data.train_dataloader()  # refuses a batch_size
    report = Report(Group(name, len(chosen)) for name, chosen in zip(names, rows, strict=True))
    job = _Job(factory, data, refused, rows, report, min_rows, options)
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))  # groups of one length share what is made for it
    side_by_side(order, functools.partial(_Worker, job), max_workers, progress, "group")
    trained = [i for i, row in enumerate(report) if row.error is None]
    return GroupModels(job.model, {name: values[trained] for name, values in job.weights.items()}, report)


def _check_factory(factory: Callable[[], Model]) -> None:
    """Refuse one that gives no model before any group is trained; the caller's random numbers stay as they are."""
    state = random.get_state()
    try:
        model = factory()
    finally:
        random.set_state(state)
    if not isinstance(model, Model):
        raise TypeError(f"[fit_groups] factory gave a {type(model).__name__}: it must give a fastnn.Model")


def split(operation: str, groups: Any, count: int) -> tuple[list[Name], list[Array]]:
    """The names of the groups in order, and the numbers of the rows of each (int64)."""
    array = np.asarray(groups.to_numpy() if hasattr(groups, "to_numpy") else groups)
    if array.dtype == object and all(isinstance(name, str) for name in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in "iuU" or array.shape != (count,):
        raise ValueError(
            f"[{operation}] groups is {array.dtype} {array.shape}: it must be ({count},), integers or text, "
            "one for each row of X"
        )
    if count == 0:
        raise ValueError(f"[{operation}] X has no rows")
    order = np.argsort(array, kind="stable")
    ordered = array[order]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return ordered[[0, *starts]].tolist(), np.split(order, starts)


def _without_refused(y: Any) -> tuple[Array, Array]:
    """`y` with 0 for the targets that `ArrayData` would refuse all of it for, and in which rows those stand."""
    y = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    refused = np.zeros(y.shape, bool)
    if y.dtype.kind == "f":
        with np.errstate(over="ignore"):
            refused = ~np.isfinite(y.astype(np.float32))
    elif y.dtype.kind == "i":
        refused = y < 0
    rows = np.asarray(refused.any(axis=tuple(range(1, y.ndim))))
    return np.where(refused, 0, y) if rows.any() else y, rows


# ---- training -------------------------------------------------------------------------------------------------------


class _GroupData(DataModule):
    """The rows of a group, where they lie."""

    def __init__(self, data: ArrayData, rows: Array) -> None:
        super().__init__(data.batch_size)
        self.dataset, self.target_ndim = ArrayDataset(*data.train.columns, rows=rows), data.target_ndim

    def get_dataloader(self, train: bool) -> DataLoader | None:
        return DataLoader(self.dataset, self.batch_size, shuffle=True) if train else None


class _GroupTrainer(WorkerTrainer):
    """Keeps no history that anybody sees: epochs need not end one by one."""

    def _unseen_epochs(self) -> int:
        return 1 if self.callbacks or self.terminate_on_nan else self.max_epochs - self.epoch


@dataclass(eq=False)
class _Job:
    """What the workers of a `fit_groups` share. `model` is any of those trained, `weights` have a place per group."""

    factory: Callable[[], Model]
    data: ArrayData
    refused: Array
    rows: list[Array]
    report: Report
    min_rows: int
    options: dict[str, Any]
    model: Model | None = None
    weights: dict[str, Array] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)

    def check(self, group: int) -> None:
        """ValueError where the rows of a group are too few, or hold what no model can learn from."""
        rows, X = self.rows[group], self.data.train.columns[0].data._array
        if len(rows) < self.min_rows:
            raise ValueError(f"[fit_groups] {len(rows)} rows are fewer than min_rows = {self.min_rows}")
        if self.refused[rows].any():
            row = rows[np.argmax(self.refused[rows])]
            raise ValueError(f"[fit_groups] y[{row}] is no finite number, or a negative label: leave such rows out")
        if X.dtype.kind == "f" and not np.isfinite(values := X[rows]).all():
            at, *place = np.argwhere(~np.isfinite(values))[0].tolist()
            where = ", ".join(map(str, [rows[at], *place]))
            raise ValueError(f"[fit_groups] X[{where}] = {values[at, *place]} is not finite: leave such rows out")

    def keep(self, group: int, model: Model) -> None:
        """Copy the weights of `model` to those of its group."""
        state = model.state_dict()
        with self.lock:
            if self.model is None:
                self.model = copy.deepcopy(model)
                places = {name: (len(self.rows), *value.shape) for name, value in state.items()}
                self.weights = {name: np.zeros(shape, state[name].dtype) for name, shape in places.items()}
        if [(n, v.shape) for n, v in state.items()] != [(n, v.shape[1:]) for n, v in self.weights.items()]:
            raise ValueError("[fit_groups] factory gives models with different parameters: all must have the same")
        for name, value in state.items():
            self.weights[name][group] = value._array


class _Worker:
    """What a thread does with one group after the other."""

    def __init__(self, job: _Job, stop: Stop) -> None:
        self.job, self.trainer = job, _GroupTrainer(stop, **job.options)

    def __call__(self, group: int) -> None:
        row, trainer = self.job.report[group], self.trainer
        try:
            self.job.check(group)
            random.manual_seed(self.job.options["seed"])
            trainer.fit(self.job.factory(), _GroupData(self.job.data, self.job.rows[group]))
            self.job.keep(group, trainer.model)
            row.train_loss = trainer.history["train_loss"][-1]
        except Exception as error:
            row.error = f"{type(error).__name__}: {error}"
