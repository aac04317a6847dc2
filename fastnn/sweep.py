"""fit_many: one data set, many settings. Each model is trained on one core, beside the others."""

import copy
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import random
from .callbacks import mode_of
from .data import DataModule
from .history import History
from .models import Model
from .results import Table
from .resume import Epoch, write_run
from .workers import Stop, WorkerTrainer, check_count, check_options, side_by_side


@dataclass(eq=False)
class Trial:
    """A row of a `Sweep`: `parameters`, and what came of them.

    `score` is the last value of what was monitored, NaN where there is none; `epochs` were trained, in `seconds`. Where
    that failed, `error` says why, `model` is None, and `history` has the epochs before.
    """

    parameters: dict[str, Any]
    score: float = math.nan
    epochs: int = 0
    seconds: float = 0.0
    error: str | None = None
    history: History = field(default_factory=History, repr=False)
    model: Model | None = field(default=None, repr=False)


class Sweep(Table[Trial]):
    """What `fit_many` found: Trials, the best score first, those without a score last."""

    @property
    def best(self) -> Trial:
        """The first row; RuntimeError where every model failed."""
        if self[0].error is not None:
            raise RuntimeError(f"[fit_many] every model failed, the first one with {self[0].error}")
        return self[0]

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Parameters, score, epochs, seconds and error; a parameter of such a name has "param_" before it."""
        found = {name: [getattr(row, name) for row in self] for name in ("score", "epochs", "seconds", "error")}
        names = dict.fromkeys(name for row in self for name in row.parameters)
        given = {f"param_{n}" if n in found else n: [row.parameters.get(n) for row in self] for n in names}
        return given | found


def fit_many(
    factory: Callable[..., Model],
    data: Any,
    grid: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    max_epochs: int,
    *,
    samples: int | None = None,
    monitor: str = "val_loss",
    mode: str | None = None,
    halving: int | None = None,
    seed: int | None = None,
    max_workers: int | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Sweep:
    """Train a model for each of many settings, side by side in threads, and rank them.

    `grid` is a dict of lists, of which every combination is tried; or with `samples` so many are drawn by `seed`, and
    instead of a list there may be a distribution, anything with ``rvs(random_state=...)`` as in scipy.stats. Or it is a
    list of dicts. Each goes to `factory`, which gives a Model; but a parameter `seed` is its Trainer's, and a parameter
    `batch_size` that of a shallow copy of `data`. All share the arrays of `data`, a DataModule. `options` are those of
    each Trainer; each has copies of the callbacks.

    The table is sorted by the last value of `monitor`. `mode` is "min" or "max"; None means "max" for a name ending in
    "acc". With `halving`, all train for that many epochs; the better half then goes on to twice as many, and so on up
    to `max_epochs`.

    Each model has the bits of ``fastnn.manual_seed(seed)``, ``model = factory(...)`` and
    ``Trainer(max_epochs, seed=seed).fit(model, data)`` alone, for any number of workers. `seed` None draws one for all.
    Where a model fails, its row has the error. `max_workers` None means `fastnn.num_threads()`; each uses one core.
    `progress` shows a bar over models, None: where stderr is a terminal. Ctrl-C ends all.

    Raises TypeError and ValueError for arguments that fit no model.

    >>> import fastnn as fn
    >>> data = fn.SyntheticRegression(w=[2, -3.4], b=4.2)
    >>> sweep = fit_many(fn.LinearRegression, data, {"lr": [0.001, 0.03]}, max_epochs=3, seed=0)
    >>> sweep.best.parameters, sweep.best.score < 0.01
    ({'lr': 0.03}, True)
    """
    import tempfile

    mode = mode_of("fit_many", monitor, mode)
    options["seed"] = random.draw_seed() if seed is None else seed
    check_options("fit_many", {"max_epochs": max_epochs, **options}, max_workers)
    _check(data, max_epochs, monitor, halving)
    trials = list(map(Trial, _settings(grid, samples, options["seed"])))

    def rank(trial: Trial) -> tuple[bool, float]:
        return math.isnan(trial.score), -trial.score if mode == "max" else trial.score

    with tempfile.TemporaryDirectory(prefix="fastnn-") as folder:
        search = _Search(factory, data, monitor, options, max_epochs, Path(folder))
        running, epochs = trials, halving or max_epochs
        while running:
            side_by_side(running, functools.partial(search.worker, epochs), max_workers, progress, "model")
            better = sorted((trial for trial in running if trial.error is None), key=rank)
            running = better[: math.ceil(len(running) / 2)] if epochs < max_epochs else []
            epochs = min(2 * epochs, max_epochs)
    return Sweep(sorted(trials, key=rank))


def _settings(grid: Any, samples: int | None, seed: int) -> list[dict[str, Any]]:
    """What is tried, in the order of the grid; ValueError or TypeError for what is none."""
    if not isinstance(grid, Mapping):
        chosen = list(grid)
        for parameters in chosen:
            if not isinstance(parameters, Mapping):
                raise TypeError(f"[fit_many] grid has {parameters!r}: it must be a dict of lists, or a list of dicts")
        if samples is not None:
            raise ValueError(f"[fit_many] samples = {samples} needs a dict as grid: a list is tried as it is")
    else:
        chosen = list(_combinations(grid) if samples is None else _drawn(grid, samples, seed))
    if not chosen:
        raise ValueError("[fit_many] grid holds no settings")
    return list(map(dict, chosen))


def _combinations(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            remedy = "draw from it with samples=..." if hasattr(values, "rvs") else f"write [{values!r}]"
            raise TypeError(f"[fit_many] grid[{name!r}] = {values!r} is no list of values: {remedy}")
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _drawn(grid: Mapping[str, Any], samples: int, seed: int) -> Iterator[dict[str, Any]]:
    """Settings drawn at random: different ones as long as there are any, where all values are in lists."""
    check_count("fit_many", "samples", samples)
    draw = np.random.default_rng(seed)
    spread = {name: values for name, values in grid.items() if hasattr(values, "rvs")}
    listed = list(_combinations({name: values for name, values in grid.items() if name not in spread}))
    rows = draw.permutation(len(listed))[:samples] if not spread else draw.integers(len(listed) or 1, size=samples)
    for row in rows if listed else ():
        drawn = {name: values.rvs(random_state=draw) for name, values in spread.items()}
        yield {name: drawn[name] if name in drawn else listed[row][name] for name in grid}


def _check(data: Any, max_epochs: int, monitor: str, halving: int | None) -> None:
    """Refuse what no model could be trained with, before any is."""
    if halving is not None:
        check_count("fit_many", "halving", halving)
        if halving > max_epochs:
            raise ValueError(f"[fit_many] halving = {halving} must be at most max_epochs = {max_epochs}")
    if not isinstance(data, DataModule):
        raise TypeError(f"[fit_many] data is a {type(data).__name__}, no DataModule: use ArrayData(X, y)")
    if monitor.startswith("val_") and data.val_dataloader() is None:
        raise ValueError(f"[fit_many] monitor = {monitor!r}, but data has no validation: use monitor='train_loss'")


@dataclass
class _Search:
    """What the trials of a `fit_many` share; `folder` holds the runs that may go on."""

    factory: Callable[..., Model]
    data: DataModule
    monitor: str
    options: dict[str, Any]
    max_epochs: int
    folder: Path

    def worker(self, epochs: int, stop: Stop) -> Callable[[Trial], None]:
        """What a thread does with one trial after the other: train its model up to `epochs`."""
        trainer = WorkerTrainer(stop, max_epochs=epochs, **self.options)

        def work(trial: Trial) -> None:
            started = time.perf_counter()
            try:
                self._fit(trial, trainer)
            except Exception as error:
                trial.score, trial.model, trial.error = math.nan, None, f"{type(error).__name__}: {error}"
            trial.epochs = trial.history.epochs
            trial.seconds += time.perf_counter() - started

        return work

    def _fit(self, trial: Trial, trainer: WorkerTrainer) -> None:
        parameters, data = dict(trial.parameters), self.data
        trainer.seed = parameters.pop("seed", self.options["seed"])
        if "batch_size" in parameters:
            data = copy.copy(data)
            data.batch_size = parameters.pop("batch_size")
        goes_on, model = trial.model is not None, trial.model
        if model is None:
            random.manual_seed(trainer.seed)
            model = self.factory(**parameters)
        try:
            trainer.fit(model, data, resume=self._run_of(trial) if goes_on else None)
        finally:
            trial.history = trainer.history
        if self.monitor not in trial.history:
            raise ValueError(f"[fit_many] monitor = {self.monitor!r} was not measured: {', '.join(trial.history)} were")
        trial.score = trial.history[self.monitor][-1]
        if trainer.max_epochs < self.max_epochs:
            write_run(trainer, self._run_of(trial), Epoch())
        trial.model = trainer.own(model)

    def _run_of(self, trial: Trial) -> Path:
        return self.folder / f"{id(trial)}.safetensors"
