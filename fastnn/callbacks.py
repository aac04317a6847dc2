"""Callbacks: what to do beside training, told at the start and the end of steps, epochs and the whole."""

import math
import os
import time
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from . import checkpoint, optim, plot, reprs
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Override what is needed; `state` is the Trainer.

    Of use are ``state.model``, ``state.optim``, ``state.history``, ``state.epoch`` (epochs done),
    ``state.train_batch_idx`` (steps done) and ``state.should_stop``, which ends training after the epoch where it is
    set. An exception ends training at once and reaches whoever called fit.
    """

    def __repr__(self) -> str:
        return reprs.call(self)

    def on_fit_start(self, state: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_start(self, state: "Trainer") -> None:
        """Before an epoch, and before the rest of one where a run is resumed within it."""

    def on_step_end(self, state: "Trainer") -> None:
        """After a training step."""

    def on_epoch_end(self, state: "Trainer") -> None:
        """After an epoch, its validation included; its values are the last in the history."""

    def on_fit_end(self, state: "Trainer") -> None:
        """After the last epoch, unless an exception ended training."""


def mode_of(operation: str, monitor: str, mode: str | None) -> str:
    """Whether less ("min") or more ("max") of `monitor` is better: `mode`, or "max" for a name ending in "acc"."""
    if mode not in (None, "min", "max"):
        raise ValueError(f"[{operation}] mode = {mode!r} must be 'min' or 'max'")
    return mode or ("max" if monitor.endswith("acc") else "min")


class _Monitor(Callback):
    """What callbacks share that watch a measurement: its name, whether less or more is better, and by how much."""

    def __init__(self, monitor: str, mode: str | None, min_delta: float = 0.0) -> None:
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"[{type(self).__name__}] min_delta = {min_delta} must be a finite number of at least 0")
        self.monitor, self.min_delta = monitor, min_delta
        self.mode = mode_of(type(self).__name__, monitor, mode)

    def _best(self, state: "Trainer") -> int:
        """Where in the history the latest improvement stands, counted from 0; -1 where all is NaN."""
        if self.monitor not in state.history:
            raise ValueError(
                f"[{type(self).__name__}] monitor = {self.monitor!r} was not measured: "
                f"the history has {', '.join(state.history)}"
            )
        best, at = math.nan, -1
        for i, value in enumerate(state.history[self.monitor]):
            gain = best - value if self.mode == "min" else value - best
            if gain > self.min_delta or (math.isnan(best) and not math.isnan(value)):
                best, at = value, i
        return at

    def _epochs_since(self, epoch: int, state: "Trainer") -> int:
        return state.history.epochs - 1 - epoch


class EarlyStopping(_Monitor):
    """Ends training when `monitor` has not improved by more than `min_delta` for `patience` epochs.

    `mode` is "min" or "max"; None means "max" for a name ending in "acc", else "min". With `restore_best` the model has
    the weights of its best epoch after training, also where that was not ended here; a warning tells where these
    were of an earlier run that is gone on with, and so are not known.

    >>> EarlyStopping("val_acc", patience=3)
    EarlyStopping(monitor='val_acc', patience=3, mode='max')
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        mode: str | None = None,
        min_delta: float = 0.0,
        restore_best: bool = False,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best = patience, restore_best
        self._snapshot: Snapshot | None = None

    def on_fit_start(self, state: "Trainer") -> None:
        self._snapshot = None
        if state.history.epochs:  # resumed, maybe from the epoch that ended training
            self.on_epoch_end(state)

    def on_epoch_end(self, state: "Trainer") -> None:
        since = self._epochs_since(self._best(state), state)
        if self.restore_best and since == 0:
            self._snapshot = Snapshot(state.model)
        if since >= self.patience:
            state.should_stop = True

    def on_fit_end(self, state: "Trainer") -> None:
        if self._snapshot is not None:
            self._snapshot.restore()
            self._snapshot = None
        elif self.restore_best and state.history.epochs and (best := self._best(state)) >= 0:
            warnings.warn(
                f"[EarlyStopping] restore_best: the best was epoch {best + 1}, of an earlier run; the model keeps its "
                "weights. ModelCheckpoint would have the best in a file",
                RuntimeWarning,
                stacklevel=2,
            )


class ModelCheckpoint(_Monitor):
    """Saves the model to `path` whenever `monitor` is the best so far, or after every `every_n_epochs`.

    `mode` is as for EarlyStopping. `path` may hold fields, ``"{epoch:03}-{val_loss:.4f}.safetensors"``: epochs done and
    measurements of the latest; then each file stays. Folders are made.

    >>> ModelCheckpoint("best.safetensors").mode
    'min'
    """

    def __init__(
        self,
        path: checkpoint.Path,
        monitor: str = "val_loss",
        mode: str | None = None,
        every_n_epochs: int | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        if every_n_epochs is not None and every_n_epochs < 1:
            raise ValueError(f"[ModelCheckpoint] every_n_epochs = {every_n_epochs} must be at least 1")
        self.path, self.every_n_epochs = os.fspath(path), every_n_epochs

    def on_epoch_end(self, state: "Trainer") -> None:
        if self.every_n_epochs is not None:
            is_due = state.epoch % self.every_n_epochs == 0
        else:
            is_due = self._epochs_since(self._best(state), state) == 0
        if is_due and state.rank == 0:
            state.model.save(_in_a_folder(self._name(state)))

    def _name(self, state: "Trainer") -> str:
        fields = {name: values[-1] for name, values in state.history.items()}
        try:
            return self.path.format(epoch=state.epoch, **fields)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"[ModelCheckpoint] path = {self.path!r} has a field that cannot be filled in, {error}: "
                f"use epoch, {', '.join(fields)}"
            ) from None


class CSVLogger(Callback):
    """Writes the history to `path` after every epoch, whole each time; folders are made."""

    def __init__(self, path: checkpoint.Path) -> None:
        self.path = path

    def on_epoch_end(self, state: "Trainer") -> None:
        if state.rank == 0:
            state.history.to_csv(_in_a_folder(self.path))


class PlotHistory(Callback):
    """Draws the curves of the history while a model is trained: in a notebook under the cell, and to `path`.

    In a notebook the picture is renewed after epochs, twice a second at most, and once more when the cell ends. So is
    the file `path` (PNG, PDF or SVG, by its ending), anywhere, and once more when training ends; it is whole each time,
    and folders are made. ImportError without matplotlib, before the first epoch.

    >>> PlotHistory("runs/curves.png").path
    'runs/curves.png'
    """

    def __init__(self, path: checkpoint.Path | None = None) -> None:
        self.path, self._live, self._written_at = path, plot.Live(), -math.inf

    def on_fit_start(self, state: "Trainer") -> None:
        plot.new_figure(1, 1)  # says at once that matplotlib is missing
        self._written_at = -math.inf

    def on_epoch_end(self, state: "Trainer") -> None:
        self._live.show(state.history.plot)
        if time.monotonic() - self._written_at >= plot.INTERVAL:
            self._write(state)

    def on_fit_end(self, state: "Trainer") -> None:
        if state.history.epochs:
            self._write(state)

    def _write(self, state: "Trainer") -> None:
        if self.path is None or state.rank > 0:
            return
        picture, ending = BytesIO(), Path(self.path).suffix[1:]
        state.history.plot().savefig(picture, dpi=150, format=ending or None)
        checkpoint.atomic_write(_in_a_folder(self.path), picture.getvalue())
        self._written_at = time.monotonic()  # after the picture was made, which may take long


def _in_a_folder(path: checkpoint.Path) -> Path:
    """`path`, in a folder that is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


class LearningRateScheduler(Callback):
    """Sets the learning rate of all parameter groups by a schedule.

    `schedule` takes the number of epochs done, or with ``interval="step"`` the number of updates done, and gives a
    number.

    >>> LearningRateScheduler(optim.FactorScheduler(0.9)).interval
    'epoch'
    """

    def __init__(self, schedule: optim.Schedule, interval: str = "epoch") -> None:
        if interval not in ("epoch", "step"):
            raise ValueError(f"[LearningRateScheduler] interval = {interval!r} must be 'epoch' or 'step'")
        self.schedule, self.interval = schedule, interval

    def on_epoch_start(self, state: "Trainer") -> None:
        for group in state.optim.param_groups:
            group["lr"] = self.schedule if self.interval == "step" else float(self.schedule(state.epoch))


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by `factor` when `monitor` has not improved for `patience` epochs, down to `min_lr`.

    `mode` and `min_delta` are as for EarlyStopping. After a reduction, and after a run was gone on with, the epochs are
    counted from the last one in the history. Raises TypeError for an optimizer whose learning rate is a schedule.

    >>> ReduceLROnPlateau(factor=0.5).patience
    10
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str | None = None,
        min_delta: float = 0.0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"[ReduceLROnPlateau] factor = {factor} must be between 0 and 1")
        self.factor, self.patience, self.min_lr = factor, patience, min_lr

    def on_fit_start(self, state: "Trainer") -> None:
        if any(callable(group["lr"]) for group in state.optim.param_groups):
            raise TypeError("[ReduceLROnPlateau] the learning rate is a schedule: give the optimizer a number")

    def on_epoch_end(self, state: "Trainer") -> None:
        rates = state.history["lr"]
        reduced = max((i for i in range(len(rates) - 1) if rates[i + 1] < rates[i]), default=-1)
        if self._epochs_since(max(self._best(state), reduced), state) < self.patience:
            return
        for group in state.optim.param_groups:
            group["lr"] = max(self.min_lr, group["lr"] * self.factor)
