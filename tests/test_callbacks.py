"""Callbacks: when they are told, and what the ready ones do."""

import csv
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from notebook import displayed

import fastnn as fn
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    PlotHistory,
    ReduceLROnPlateau,
)

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


# ---- stopping, and the weights there are then ------------------------------------------------------------------


def weights(model: fn.Model) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


class KeepWeights(Callback):
    """The weights after each epoch."""

    def __init__(self) -> None:
        self.copies: list[bytes] = []

    def on_epoch_end(self, state: fn.Trainer) -> None:
        self.copies.append(weights(state.model))


def test_an_improvement_has_to_be_larger_than_min_delta() -> None:
    losses = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert fit(Scripted(losses), 6, EarlyStopping(patience=2, min_delta=0.15)).history.epochs == 6  # 1.0, 0.8, 0.6
    assert fit(Scripted(losses), 6, EarlyStopping(patience=2, min_delta=0.25)).history.epochs == 3
    assert fit(Scripted(losses[::-1]), 6, EarlyStopping(patience=2, min_delta=0.25, mode="max")).history.epochs == 3
    with pytest.raises(ValueError, match=r"\[EarlyStopping\] min_delta = -1 must be a finite number"):
        EarlyStopping(min_delta=-1)


@pytest.mark.parametrize("epochs", [3, 8])
def test_the_model_ends_with_its_best_weights_whether_stopped_or_not(epochs: int) -> None:
    kept, model = KeepWeights(), Scripted([1.0, 0.5, 0.75, 0.75, 0.75, 0.25, 0.1, 0.0])
    stopping = EarlyStopping(patience=3, restore_best=True)
    trainer = fit(model, epochs, kept, stopping)
    assert trainer.history.epochs == min(epochs, 5)
    assert weights(model) == kept.copies[1] != kept.copies[-1]
    fit(model, 1, stopping)  # begins anew: nothing of the run before is left
    assert weights(model) not in kept.copies


def test_without_a_best_epoch_the_last_weights_stay() -> None:
    kept, model = KeepWeights(), Scripted([math.nan] * 2)
    fit(model, 2, kept, EarlyStopping(restore_best=True))
    assert weights(model) == kept.copies[-1]


def test_the_best_weights_of_an_earlier_run_are_missed_aloud(tmp_path: Path) -> None:
    losses, data = [1.0, 0.5, 0.75, 0.75], fn.ArrayData(X, Y, val=0.25, batch_size=10)
    fn.Trainer(3, seed=0, checkpoint=tmp_path / "run").fit(Scripted(losses), data)
    stopping = EarlyStopping(restore_best=True)
    with pytest.warns(RuntimeWarning, match=r"\[EarlyStopping\] restore_best: the best was epoch 2, of an earlier run"):
        fn.Trainer(4, callbacks=[stopping]).fit(Scripted(losses), data, resume=tmp_path / "run")
    kept, model = KeepWeights(), Scripted([*losses[:3], 0.25])
    fn.Trainer(4, callbacks=[kept, stopping]).fit(model, data, resume=tmp_path / "run")
    assert weights(model) == kept.copies[-1]


# ---- files -----------------------------------------------------------------------------------------------------


def test_models_are_saved_every_so_many_epochs_under_names_with_measurements(tmp_path: Path) -> None:
    kept = KeepWeights()
    path = tmp_path / "models" / "{epoch:02}-{val_loss:.2f}"
    fit(Scripted([1.0, 2.0, 3.0, 4.0, 5.0]), 5, kept, ModelCheckpoint(path, every_n_epochs=2))
    assert sorted(file.name for file in (tmp_path / "models").iterdir()) == ["02-2.00", "04-4.00"]
    saved = fn.SoftmaxRegression(2, lr=0.1).load(tmp_path / "models" / "04-4.00")
    assert weights(saved) == kept.copies[3]
    with pytest.raises(ValueError, match=r"\[ModelCheckpoint\] every_n_epochs = 0 must be at least 1"):
        ModelCheckpoint("model", every_n_epochs=0)


@pytest.mark.parametrize("name", ["{val_f1}", "{", "{epoch:.2q}"])
def test_a_name_that_cannot_be_filled_in_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"\[ModelCheckpoint\] path = .* cannot be filled in.*: use epoch, train_loss"):
        fit(Scripted([1.0]), 1, ModelCheckpoint(tmp_path / name))


def test_a_log_goes_into_a_folder_that_is_made(tmp_path: Path) -> None:
    fit(fn.SoftmaxRegression(2, lr=0.1), 1, CSVLogger(tmp_path / "logs" / "run" / "log.csv"))
    assert (tmp_path / "logs" / "run" / "log.csv").exists()


# ---- pictures --------------------------------------------------------------------------------------------------


def test_the_curves_are_a_file_without_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    clock, drawn = [0.0], []
    monkeypatch.setattr(fn.callbacks.time, "monotonic", lambda: clock[0])
    plot = fn.History.plot
    monkeypatch.setattr(fn.History, "plot", lambda history: (drawn.append(history.epochs), plot(history))[1])

    class Clock(Callback):
        def on_epoch_start(self, state: fn.Trainer) -> None:
            clock[0] += 0.2

    fit(fn.SoftmaxRegression(2, lr=0.1), 8, Clock(), PlotHistory(tmp_path / "runs" / "curves.svg"))
    assert drawn == [1, 4, 7, 8]  # two a second at most, and the last
    assert (tmp_path / "runs" / "curves.svg").read_text().startswith("<?xml")
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_notebook_shows_the_curves_while_a_model_is_trained(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    clock = [0.0]
    monkeypatch.setattr(fn.plot.live.time, "monotonic", lambda: clock[0])

    class Clock(Callback):
        def on_epoch_start(self, state: fn.Trainer) -> None:
            clock[0] += 0.2

    shell.user_ns["train"] = lambda: fit(fn.SoftmaxRegression(2, lr=0.1), 8, Clock(), PlotHistory())
    shown = displayed(shell, "train();")
    assert [update for update, _ in shown] == [False, True, True, True]  # epochs 1, 4, 7, and when the cell ends
    assert len({display for _, display in shown}) == 1


def test_a_run_that_is_broken_off_in_a_notebook_keeps_its_curves(shell: Any) -> None:
    pytest.importorskip("matplotlib")

    class Stop(Callback):
        def on_epoch_end(self, state: fn.Trainer) -> None:
            if state.epoch == 3:
                raise KeyboardInterrupt

    shell.user_ns["train"] = lambda: fit(fn.SoftmaxRegression(2, lr=0.1), 8, PlotHistory(), Stop())
    assert [update for update, _ in displayed(shell, "train();")] == [False, True]


def test_missing_matplotlib_is_told_before_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    trainer = fn.Trainer(3, callbacks=[PlotHistory()])
    with pytest.raises(ImportError, match="pip install matplotlib"):
        trainer.fit(fn.SoftmaxRegression(2, lr=0.1), fn.ArrayData(X, Y))
    assert trainer.history.epochs == 0


# ---- learning rates --------------------------------------------------------------------------------------------


def test_the_learning_rate_falls_where_nothing_improves() -> None:
    losses = [1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4]
    callback = ReduceLROnPlateau(factor=0.5, patience=2, min_lr=0.02)
    trainer = fit(Scripted(losses), 10, callback)
    assert trainer.history.lr == [0.1] * 4 + [0.05] * 2 + [0.025] * 3 + [0.02]
    again = fit(Scripted(losses), 10, callback)  # it remembers nothing
    assert again.history.lr == trainer.history.lr


def test_a_reduced_learning_rate_goes_on_after_resuming(tmp_path: Path) -> None:
    losses, data = [0.5] * 9, fn.ArrayData(X, Y, val=0.25, batch_size=10)
    whole = fit(Scripted(losses), 9, ReduceLROnPlateau(patience=2)).history.lr
    for epochs in (3, 4, 5):
        fn.Trainer(epochs, seed=0, callbacks=[ReduceLROnPlateau(patience=2)], checkpoint=tmp_path / "run").fit(
            Scripted(losses), data
        )
        resumed = fn.Trainer(9, callbacks=[ReduceLROnPlateau(patience=2)])
        assert resumed.fit(Scripted(losses), data, resume=tmp_path / "run").lr == whole


def test_a_schedule_cannot_be_reduced_and_a_factor_is_less_than_1() -> None:
    model = fn.SoftmaxRegression(2, lr=fn.optim.SquareRootScheduler(0.1))
    with pytest.raises(TypeError, match=r"\[ReduceLROnPlateau\] the learning rate is a schedule"):
        fit(model, 1, ReduceLROnPlateau())
    with pytest.raises(ValueError, match=r"\[ReduceLROnPlateau\] factor = 1 must be between 0 and 1"):
        ReduceLROnPlateau(factor=1)


# ---- native execution ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: EarlyStopping(restore_best=True),
        lambda folder: ModelCheckpoint(folder / "{epoch}"),
        lambda folder: ModelCheckpoint(folder / "model", every_n_epochs=1),
        lambda folder: CSVLogger(folder / "log.csv"),
        lambda folder: PlotHistory(),
        lambda folder: LearningRateScheduler(fn.optim.CosineScheduler(30), "step"),
        lambda folder: LearningRateScheduler(fn.optim.FactorScheduler(0.9)),
        lambda folder: ReduceLROnPlateau(patience=1),
    ],
    ids=[
        "EarlyStopping",
        "best",
        "every epoch",
        "CSVLogger",
        "PlotHistory",
        "rate by step",
        "rate by epoch",
        "ReduceLROnPlateau",
    ],
)
def test_no_callback_takes_steps_out_of_native_execution(make, tmp_path: Path) -> None:
    models = []
    for replay in (True, False):
        model = fn.MLP(2, 4, lr=0.1)
        callback = make(tmp_path)
        trainer = fn.Trainer(6, callbacks=[callback], seed=0, replay=replay, terminate_on_nan=True, progress=True)
        trainer.fit(model, fn.ArrayData(X, Y, val=0.25, batch_size=5))
        models.append(weights(model))
        if replay:
            assert trainer.execution.startswith("epoch: steps run natively, shuffling and gathering included")
            assert trainer.plan is not None
    assert models[0] == models[1]
