"""Trainer: what it refuses, and what is left when a run ends early."""

import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.callbacks import Callback

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
        ({"device": "cuda"}, ValueError, "device = 'cuda': CUDA is"),
        ({"device": "tpu"}, ValueError, "device = 'tpu'"),
        ({"gradient_clip_val": -1}, ValueError, "gradient_clip_val = -1"),
        ({"gradient_clip_val": math.nan}, ValueError, "gradient_clip_val = nan"),
        ({"num_threads": 0}, ValueError, "num_threads = 0"),
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
