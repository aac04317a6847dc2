"""Epochs: several in one native call have the bits of epochs one by one."""

from typing import Any

import numpy as np
import pytest
from training_runs import CLOCK, LABELS, X

import fastnn as fn
from fastnn import execution, nn, optim
from fastnn.groups import _GroupTrainer
from fastnn.record import Epochs
from fastnn.workers import Stop

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01),
    "schedule": lambda params: optim.SGD(params, lr=optim.CosineScheduler(80, base_lr=0.3, warmup_steps=5)),
    "adam": lambda params: optim.Adam(params, lr=0.01),
}


class Trained(fn.MLP):
    """An MLP with another optimizer, whose steps are all fastnn's."""

    def __init__(self, optimizer: str, dropout: float = 0.0) -> None:
        super().__init__(3, [8, 8], lr=0.1, dropout=dropout)
        self.optimizer = optimizer

    def configure_optimizers(self) -> Any:
        return OPTIMIZERS[self.optimizer](self.parameters())


def one_by_one(**options: Any) -> fn.Trainer:
    return fn.Trainer(seed=4, per_step=True, **options)


def ahead(**options: Any) -> fn.Trainer:
    return _GroupTrainer(Stop(), seed=4, per_step=True, **options)


def left_behind(trainer: fn.Trainer, model: fn.Model, data: Any) -> Any:
    """What can be compared after training, to the bit."""
    history = trainer.fit(model, data)
    weights = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    measured = {name: values for name, values in history.items() if name not in (*CLOCK, "lr")}
    return weights, measured, history.steps, trainer.train_batch_idx, trainer.optim.num_updates, fn.random.get_state()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of epochs that were run in a call."""
    counts = []

    def run(self: Epochs, epochs: int, rows: np.ndarray) -> np.ndarray:
        counts.append(epochs)
        return original(self, epochs, rows)

    original = Epochs.run
    monkeypatch.setattr(Epochs, "run", run)
    return counts


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rows", [72, 69, 5])
def test_epochs_in_one_call_have_the_bits_of_epochs_one_by_one(
    optimizer: str, dropout: float, rows: int, calls: list[int]
) -> None:
    data = fn.ArrayData(X[:rows], LABELS[:rows], batch_size=8)
    expected = left_behind(one_by_one(max_epochs=12), Trained(optimizer, dropout), data)
    assert calls == []
    assert left_behind(ahead(max_epochs=12), Trained(optimizer, dropout), data) == expected
    assert sum(calls) >= 6


def test_a_batch_that_is_left_out_stays_so_in_epochs_ahead(calls: list[int]) -> None:
    class Data(fn.DataModule):
        def train_dataloader(self) -> fn.DataLoader:
            return fn.DataLoader((X, LABELS), 10, shuffle=True, drop_last=True)

    expected = left_behind(one_by_one(max_epochs=9), Trained("adam"), Data())
    assert left_behind(ahead(max_epochs=9), Trained("adam"), Data()) == expected
    assert calls


def test_epochs_of_many_batches_are_run_one_by_one(calls: list[int]) -> None:
    batches = execution.MOST_BATCHES + 1
    data = fn.ArrayData(np.tile(X, (2, 1))[:batches], np.tile(LABELS, 2)[:batches], batch_size=1)
    left_behind(ahead(max_epochs=8), Trained("sgd"), data)
    assert calls == []


def test_a_call_of_epochs_ends_in_time(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CALL_SECONDS", 1e-9)
    left_behind(ahead(max_epochs=12), Trained("sgd"), fn.ArrayData(X, LABELS, batch_size=8))
    assert calls
    assert set(calls) == {1}


@pytest.mark.parametrize("option", [{"verify": "every_step"}, {"replay": False}])
def test_steps_that_python_has_to_run_are_not_run_ahead(option: dict[str, Any], calls: list[int]) -> None:
    data = fn.ArrayData(X, LABELS, batch_size=8)
    expected = left_behind(one_by_one(max_epochs=8), Trained("momentum"), data)
    assert left_behind(ahead(max_epochs=8, **option), Trained("momentum"), data) == expected
    assert calls == []


class Counting(Trained):
    """A model whose loss is code of the user's."""

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return nn.CrossEntropyLoss()(y_hat, y) * 2.0


def test_epochs_with_code_of_the_users_are_not_run_ahead(calls: list[int]) -> None:
    data = fn.ArrayData(X, LABELS, batch_size=8)
    expected = left_behind(one_by_one(max_epochs=8), Counting("sgd"), data)
    assert left_behind(ahead(max_epochs=8), Counting("sgd"), data) == expected
    assert calls == []
