"""Callbacks: when they are told, and what the ready ones do."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn.callbacks import Callback, CSVLogger, EarlyStopping, LearningRateScheduler, ModelCheckpoint

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


class Scripted(fn.SoftmaxRegression):
    """Its validation loss in each epoch is given."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__(2, lr=0.1)
        self.losses = losses

    def validation_step(self, batch) -> None:
        self.log("val_loss", self.losses[self.trainer.epoch])


def fit(model: fn.Model, epochs: int, *callbacks: Callback) -> fn.Trainer:
    trainer = fn.Trainer(epochs, callbacks=callbacks, seed=0)
    trainer.fit(model, fn.ArrayData(X, Y, val=0.25, batch_size=10))
    return trainer


def test_events_come_in_order_with_the_numbers_of_epochs_and_steps_done() -> None:
    seen: list[tuple[str, int, int]] = []

    class Listener(Callback):
        pass

    for event in ("on_fit_start", "on_epoch_start", "on_step_end", "on_epoch_end", "on_fit_end"):
        setattr(
            Listener,
            event,
            lambda self, state, event=event: seen.append((event[3:], state.epoch, state.train_batch_idx)),
        )
    fit(fn.SoftmaxRegression(2, lr=0.1), 2, Listener())
    epochs = [
        [("epoch_start", e, 3 * e), *[("step_end", e, 3 * e + i) for i in (1, 2, 3)], ("epoch_end", e + 1, 3 * e + 3)]
        for e in (0, 1)
    ]
    assert seen == [("fit_start", 0, 0), *epochs[0], *epochs[1], ("fit_end", 2, 6)]


def test_early_stopping_waits_as_long_as_its_patience() -> None:
    losses = [1.0, 0.5, 0.6, 0.4, 0.5, 0.4, 0.5, 0.3]
    assert fit(Scripted(losses), 8, EarlyStopping(patience=2)).history.epochs == 6  # an equal value is no improvement
    assert fit(Scripted(losses), 8, EarlyStopping(patience=1)).history.epochs == 3
    assert fit(Scripted(losses), 8, EarlyStopping(patience=5)).history.epochs == 8
    assert fit(Scripted([math.nan] * 8), 8, EarlyStopping(patience=3)).history.epochs == 3


def test_early_stopping_knows_that_more_accuracy_is_better() -> None:
    assert EarlyStopping("val_acc").mode == "max"
    assert EarlyStopping("val_loss").mode == "min"
    with pytest.raises(ValueError, match="mode = 'up'"):
        EarlyStopping("val_loss", mode="up")


def test_a_monitor_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\[EarlyStopping\] monitor = 'val_f1' was not measured: .*train_loss"):
        fit(fn.SoftmaxRegression(2, lr=0.1), 1, EarlyStopping("val_f1"))


def test_the_best_model_is_saved(tmp_path: Path) -> None:
    copies: list[bytes] = []

    class Keep(Callback):
        def on_epoch_end(self, state: fn.Trainer) -> None:
            copies.append(state.model.net[1].weight.numpy().tobytes())

    fit(Scripted([1.0, 0.5, 0.25, 0.75]), 4, Keep(), ModelCheckpoint(tmp_path / "best"))
    saved = fn.SoftmaxRegression(2, lr=0.1).load(tmp_path / "best")
    assert saved.net[1].weight.numpy().tobytes() == copies[2]
    assert len(set(copies)) == 4


def test_the_log_grows_with_every_epoch(tmp_path: Path) -> None:
    fit(fn.SoftmaxRegression(2, lr=0.1), 3, CSVLogger(tmp_path / "log.csv"))
    with open(tmp_path / "log.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_schedules_by_epoch_and_by_step() -> None:
    by_epoch = fit(fn.SoftmaxRegression(2, lr=9.0), 3, LearningRateScheduler(lambda epoch: 0.5**epoch))
    assert by_epoch.history.lr == [1.0, 0.5, 0.25]
    by_step = fit(fn.SoftmaxRegression(2, lr=9.0), 3, LearningRateScheduler(lambda t: 1 / (t + 1), interval="step"))
    assert by_step.history.lr == [1 / 3, 1 / 6, 1 / 9]  # of the last step of each epoch
    with pytest.raises(ValueError, match="interval = 'week'"):
        LearningRateScheduler(lambda t: 1.0, interval="week")
