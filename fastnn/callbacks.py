"""Callbacks: what to do beside training, told at the start and the end of steps, epochs and the whole."""

import math
from typing import TYPE_CHECKING

from . import checkpoint, optim

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Override what is needed; `state` is the Trainer.

    Of use are ``state.model``, ``state.optim``, ``state.history``, ``state.epoch`` (epochs done),
    ``state.train_batch_idx`` (steps done) and ``state.should_stop``, which ends training after the epoch where it is
    set. An exception ends training at once and reaches whoever called fit.
    """

    def on_fit_start(self, state: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_start(self, state: "Trainer") -> None:
        """Before an epoch."""

    def on_step_end(self, state: "Trainer") -> None:
        """After a training step."""

    def on_epoch_end(self, state: "Trainer") -> None:
        """After an epoch, its validation included; its values are the last in the history."""

    def on_fit_end(self, state: "Trainer") -> None:
        """After the last epoch, unless an exception ended training."""


def _best(values: list[float], mode: str) -> int:
    """Where the best value stands (the first, among equal ones); -1 when all are NaN."""
    finite = [i for i, value in enumerate(values) if not math.isnan(value)]
    return (min if mode == "min" else max)(finite, key=lambda i: values[i], default=-1)


def _mode(name: str, monitor: str, mode: str | None) -> str:
    """Less is better, but for accuracies."""
    if mode not in (None, "min", "max"):
        raise ValueError(f"[{name}] mode = {mode!r} must be 'min' or 'max'")
    return mode or ("max" if monitor.endswith("acc") else "min")


def _monitored(name: str, monitor: str, state: "Trainer") -> list[float]:
    if monitor not in state.history:
        raise ValueError(f"[{name}] monitor = {monitor!r} was not measured: the history has {', '.join(state.history)}")
    return state.history[monitor]


class EarlyStopping(Callback):
    """Ends training when `monitor` has not improved for `patience` epochs.

    `mode` is "min" or "max"; None means "max" for a name ending in "acc", else "min".

    >>> EarlyStopping("val_acc", patience=3).mode
    'max'
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 5, mode: str | None = None) -> None:
        self.monitor, self.patience, self.mode = monitor, patience, _mode("EarlyStopping", monitor, mode)

    def on_fit_start(self, state: "Trainer") -> None:
        if state.history.epochs:  # resumed, maybe from the epoch that ended training
            self.on_epoch_end(state)

    def on_epoch_end(self, state: "Trainer") -> None:
        values = _monitored("EarlyStopping", self.monitor, state)
        if len(values) - 1 - _best(values, self.mode) >= self.patience:
            state.should_stop = True


class ModelCheckpoint(Callback):
    """Saves the model to `path` whenever `monitor` is the best so far; `mode` as for EarlyStopping.

    >>> ModelCheckpoint("best.safetensors").mode
    'min'
    """

    def __init__(self, path: checkpoint.Path, monitor: str = "val_loss", mode: str | None = None) -> None:
        self.path, self.monitor, self.mode = path, monitor, _mode("ModelCheckpoint", monitor, mode)

    def on_epoch_end(self, state: "Trainer") -> None:
        values = _monitored("ModelCheckpoint", self.monitor, state)
        if _best(values, self.mode) == len(values) - 1:
            state.model.save(self.path)


class CSVLogger(Callback):
    """Writes the history to `path` after every epoch."""

    def __init__(self, path: checkpoint.Path) -> None:
        self.path = path

    def on_epoch_end(self, state: "Trainer") -> None:
        state.history.to_csv(self.path)


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
