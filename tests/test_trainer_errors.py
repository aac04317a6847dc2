"""Trainer: what it refuses, and what is left when a run ends early."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint

X = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


def data() -> fn.ArrayData:
    return fn.ArrayData(X, Y, val=0.2, batch_size=16)


def weights(model: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def test_a_learning_rate_that_is_too_large_is_an_error_that_names_step_and_rate() -> None:
    trainer = fn.Trainer(20, seed=0, per_step=True)
    with pytest.raises(FloatingPointError, match=r"\[fit\] loss is NaN at step \d+ \(epoch \d+\): lr=10 is likely too"):
        trainer.fit(fn.LinearRegression(lr=10), fn.ArrayData(X, X[:, 0], batch_size=16))
    assert trainer.history.epochs >= 1
    assert not any(map(math.isnan, trainer.history.train_loss))


def test_nan_at_the_first_step_is_put_down_to_the_data() -> None:
    rows = X.copy()
    rows[3, 2] = np.nan
    with pytest.raises(FloatingPointError, match=r"loss is NaN at step 1 \(epoch 1\): the data"):
        fn.Trainer(1, seed=0).fit(fn.SoftmaxRegression(2, lr=0.1), fn.ArrayData(rows, Y, batch_size=100))


# ---- training that diverges, and ends with the last good weights -----------------------------------------------


class Weights(Callback):
    """Those at the start, and after each epoch."""

    def __init__(self) -> None:
        self.copies: list[bytes] = []

    def on_epoch_end(self, state: fn.Trainer) -> None:
        self.copies.append(weights(state.model))


def diverging(epochs: int, rate: float, at: int, **options) -> tuple[fn.Model, fn.Trainer, Weights]:
    """A linear regression whose learning rate becomes `rate` at update `at` (5 to an epoch)."""
    model, kept = fn.LinearRegression(lr=lambda update: rate if update >= at else 0.01), Weights()
    trainer = fn.Trainer(epochs, seed=0, callbacks=[kept], terminate_on_nan=True, **options)
    with pytest.warns(RuntimeWarning, match=r"\[fit\] .*: lr=.* is likely too large\. Training ends") as told:
        trainer.fit(model, fn.ArrayData(X, 1e3 * X[:, 0], val=0.2, batch_size=16))
    assert len(told) == 1
    trainer.told = str(told[0].message)
    return model, trainer, kept


@pytest.mark.parametrize("replay", [True, False])
def test_training_that_diverges_ends_with_the_weights_of_the_last_finite_epoch(replay: bool) -> None:
    model, trainer, kept = diverging(9, 1e20, at=17, replay=replay)
    assert trainer.history.epochs == len(kept.copies) == 3
    assert weights(model) == kept.copies[-1]
    assert np.isfinite(model.predict(X)).all()
    assert not model.training
    assert trainer.should_stop
    assert trainer.told == (
        "[fit] loss is infinite at step 19 (epoch 4): lr=1e+20 is likely too large. "
        "Training ends, and the model has the weights of epoch 3"
    )


def test_an_epoch_whose_last_step_spoils_the_weights_is_no_good_one(tmp_path: Path) -> None:
    model, trainer, kept = diverging(9, 1e38, at=14, checkpoint=tmp_path / "run")
    assert "a weight is not finite at step 15 (epoch 3)" in trainer.told
    assert trainer.history.epochs == 2
    assert weights(model) == kept.copies[-1]
    assert weights(fn.load(tmp_path / "run")) == kept.copies[-1]


@pytest.mark.parametrize("lazy", [True, False])
def test_training_that_diverges_at_once_ends_with_the_weights_it_began_with(lazy: bool) -> None:
    def make(lr: float) -> fn.Model:
        model = fn.MLP(2, 8, lr=lr)
        if not lazy:
            fn.manual_seed(3)
            model.predict(X)
        return model

    calm, wild = make(0.0), make(1e30)
    fn.Trainer(1, seed=7).fit(calm, data())
    with pytest.warns(RuntimeWarning, match=r"\(epoch 1\): .*, and the model has the weights it began with"):
        fn.Trainer(5, seed=7, terminate_on_nan=True).fit(wild, data())
    assert weights(wild) == weights(calm)


def test_the_best_weights_come_back_also_where_training_diverges() -> None:
    model, kept = fn.LinearRegression(lr=lambda update: 1e20 if update >= 12 else 0.01), Weights()
    callbacks = [kept, EarlyStopping(mode="max", patience=9, restore_best=True)]  # the first epoch is called the best
    with pytest.warns(RuntimeWarning, match="Training ends"):
        fn.Trainer(9, seed=0, callbacks=callbacks, terminate_on_nan=True).fit(
            model, fn.ArrayData(X, X[:, 0], val=0.2, batch_size=16)
        )
    assert len(kept.copies) == 2
    assert weights(model) == kept.copies[0]


# ---- runs that end early ---------------------------------------------------------------------------------------


class Interrupt(Callback):
    def __init__(self, step: int, error: BaseException) -> None:
        self.step, self.error = step, error

    def on_step_end(self, state: fn.Trainer) -> None:
        if state.train_batch_idx == self.step:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("stop")])
def test_an_interrupted_run_leaves_a_usable_model_and_the_finished_epochs(error: BaseException) -> None:
    model, threads = fn.MLP(2, 8, lr=0.1), fn.num_threads()
    trainer = fn.Trainer(9, seed=0, callbacks=[Interrupt(12, error)], num_threads=1, progress=True)
    with pytest.raises(type(error)):
        trainer.fit(model, data())
    assert trainer.history.epochs == 2
    assert not model.training
    assert fn.num_threads() == threads
    assert model.predict(X).shape == (100,)
    assert fn.Trainer(1, seed=0).fit(model, data()).epochs == 1


@pytest.mark.parametrize("event", ["fit_start", "epoch_start", "step_end", "epoch_end", "fit_end"])
def test_a_callback_that_raises_leaves_model_trainer_and_files_whole(tmp_path: Path, event: str) -> None:
    def fail(self: Callback, state: fn.Trainer) -> None:
        if event == "fit_start" or state.epoch == 2:
            raise RuntimeError(f"in {event}")

    failing = type("Failing", (Callback,), {f"on_{event}": fail})()
    files = [ModelCheckpoint(tmp_path / "model", every_n_epochs=1), CSVLogger(tmp_path / "log.csv")]
    model, run = fn.MLP(2, 8, lr=0.1), tmp_path / "run"
    trainer = fn.Trainer(2 if event == "fit_end" else 4, seed=0, callbacks=[failing, *files], checkpoint=run)
    with pytest.raises(RuntimeError, match=f"in {event}"):
        trainer.fit(model, data())
    assert not model.training
    assert model.predict(X).shape == (100,)
    assert sorted(path.name for path in tmp_path.iterdir()) == (
        [] if event == "fit_start" else ["log.csv", "model", "run"]
    )
    if event != "fit_start":  # files of the last epoch that was told to all
        epochs = 1 if event == "epoch_end" else 2
        assert fn.load(tmp_path / "model").predict(X).shape == (100,)
        assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + epochs
        resumed = fn.MLP(2, 8, lr=0.1)
        assert fn.Trainer(4).fit(resumed, data(), resume=run).epochs == 4
        whole = fn.MLP(2, 8, lr=0.1)
        fn.Trainer(4, seed=0).fit(whole, data())
        assert weights(resumed) == weights(whole)
    trainer.callbacks = ()
    assert trainer.fit(model, data()).epochs == trainer.max_epochs


def test_a_model_at_work_cannot_be_trained_by_another_thread() -> None:
    model, errors = fn.MLP(2, 8, lr=0.1), []

    class Other(Callback):
        def on_epoch_start(self, state: fn.Trainer) -> None:
            def fit() -> None:
                try:
                    fn.Trainer(1, seed=0).fit(model, data())
                except RuntimeError as error:
                    errors.append(str(error))

            thread = threading.Thread(target=fit)
            thread.start()
            thread.join()

    fn.Trainer(1, seed=0, callbacks=[Other()]).fit(model, data())
    assert len(errors) == 1
    assert "[fit] this model or trainer is at work already" in errors[0]
    fn.Trainer(1, seed=0).fit(model, data())


def test_a_target_that_would_broadcast_is_an_error_whatever_the_loss() -> None:
    class Scratch(fn.Model):
        lr = 0.1

        def __init__(self) -> None:
            self.w = fn.zeros(4, 1, requires_grad=True)

        def forward(self, x: fn.Tensor) -> fn.Tensor:
            return x @ self.w

        def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
            return ((y_hat - y) ** 2).mean()

    class Flat(fn.DataModule):
        def train_dataloader(self) -> fn.DataLoader:
            return fn.DataLoader((X, X[:, 0]), 10)

    for model in (Scratch(), fn.LinearRegression(lr=0.1)):
        with pytest.raises(ValueError, match=r"y is float32 \(10,\) but the predictions are \(10, 1\).*reshape"):
            fn.Trainer(1, seed=0).fit(model, Flat())
        with pytest.raises(ValueError, match=r"y is int64 \(16,\) but the predictions are \(16, 1\).*astype"):
            fn.Trainer(1, seed=0).fit(model, data())  # labels, for a regression
        assert not model.classifies


def test_labels_outside_the_classes_are_errors_and_leave_the_weights() -> None:
    model = fn.SoftmaxRegression(2, lr=0.1)
    fn.Trainer(1, seed=0).fit(model, data())
    before = weights(model)
    for label in (-1, 2):
        with pytest.raises(ValueError, match=rf"= {label} is not a class index"):
            fn.Trainer(1, seed=0).fit(model, fn.ArrayData(X, np.where(np.arange(100) == 7, label, Y), batch_size=100))
        assert weights(model) == before


def test_a_loader_without_batches_is_an_error() -> None:
    class Once(fn.DataModule):
        def train_dataloader(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            return iter([(X, Y)])

    with pytest.raises(ValueError, match=r"\[fit\] train_dataloader gave no batch in epoch 2"):
        fn.Trainer(2, seed=0).fit(fn.SoftmaxRegression(2, lr=0.1), Once())


def test_a_training_step_without_a_loss_and_a_log_of_many_numbers_are_errors() -> None:
    class Nothing(fn.SoftmaxRegression):
        def training_step(self, batch) -> None:
            self.log("rows", self(batch[0]) if self.lr > 1 else 1.0)

    with pytest.raises(TypeError, match=r"\[fit\] training_step returned a NoneType"):
        fn.Trainer(1, seed=0).fit(Nothing(2, lr=0.1), data())
    with pytest.raises(ValueError, match=r"\[log\] rows is a Tensor of shape \(16, 2\)"):
        fn.Trainer(1, seed=0).fit(Nothing(2, lr=2.0), data())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_epochs": -1}, ValueError, "max_epochs = -1"),
        ({"max_epochs": 1.5}, ValueError, "max_epochs = 1.5"),
        ({"device": "tpu"}, ValueError, "device = 'tpu'"),
        ({"device": "cuda", "strategy": "mpi"}, ValueError, "strategy = 'mpi' trains on CPUs"),
        ({"gradient_clip_val": -1}, ValueError, "gradient_clip_val = -1"),
        ({"gradient_clip_val": math.nan}, ValueError, "gradient_clip_val = nan"),
        ({"num_threads": 0}, ValueError, "num_threads = 0"),
        ({"checkpoint": "run", "checkpoint_every": 0}, ValueError, "checkpoint_every = 0 must be"),
        ({"checkpoint_every": 9}, ValueError, "checkpoint_every = 9 needs a checkpoint"),
        ({"callbacks": [print]}, TypeError, r"callbacks\[0\] is a builtin_function"),
    ],
)
def test_arguments_that_cannot_be_meant_are_errors(arguments, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"\[Trainer\] {message}"):
        fn.Trainer(**{"max_epochs": 1, **arguments})


def test_fit_names_a_wrong_model_wrong_data_and_a_wrong_seed() -> None:
    with pytest.raises(TypeError, match=r"\[fit\] model is a Linear"):
        fn.Trainer(1).fit(nn.Linear(2, 1), data())
    with pytest.raises(TypeError, match=r"\[fit\] data is a tuple without train_dataloader"):
        fn.Trainer(1).fit(fn.MLP(2, 8, lr=0.1), (X, Y))
    with pytest.raises(ValueError, match="seed = -1"):
        fn.Trainer(1, seed=-1).fit(fn.MLP(2, 8, lr=0.1), data())
