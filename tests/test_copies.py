"""Copies: by `copy`, `pickle` and joblib, which train on as the original would have."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn, optim
from fastnn.dispatch import Slot

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)).astype(np.float32), RNG.integers(0, 3, 60)

Pair = tuple[nn.Module, optim.Optimizer]


def by_pickle(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def by_joblib(thing: Any) -> Any:
    joblib, file = pytest.importorskip("joblib"), io.BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


by_each_way = pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle, by_joblib])

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda params: optim.Adam(params, lr=0.01),
    "AdamW with a schedule": lambda params: optim.AdamW(params, lr=optim.CosineScheduler(20, base_lr=0.05)),
    "groups": lambda params: optim.SGD([{"params": [p], "lr": 0.1 / p.ndim} for p in params], lr=0.1, momentum=0.5),
}


def a_net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.25), nn.Linear(8, 3))


def backward(net: nn.Module) -> None:
    loss = nn.CrossEntropyLoss()(net(fn.tensor(X)), fn.tensor(Y))
    loss.backward()


def steps(pair: Pair, count: int = 5) -> None:
    net, optimizer = pair
    fn.manual_seed(1)  # of dropout
    for _ in range(count):
        optimizer.zero_grad()
        backward(net)
        optimizer.step()


def assert_equal_weights(net: nn.Module, other: nn.Module) -> None:
    weights, others = net.state_dict(), other.state_dict()
    assert list(weights) == list(others)
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, others[name])
        assert not np.shares_memory(weight.numpy(), others[name].numpy())


# ---- a network and its optimizer ------------------------------------------------------------------------------


@by_each_way
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_copied_pair_trains_on_with_the_bits_of_the_original(make, duplicate) -> None:
    net = a_net()
    pair = net, make(net.parameters())
    steps(pair)
    other = duplicate(pair)
    steps(pair)
    steps(other)
    assert_equal_weights(*(net for net, _ in (pair, other)))


@by_each_way
def test_a_copied_optimizer_holds_the_parameters_of_the_network_copied_with_it(duplicate) -> None:
    net = a_net()
    other, optimizer = duplicate((net, OPTIMIZERS["groups"](net.parameters())))
    held = [param for group in optimizer.param_groups for param in group["params"]]
    assert list(map(id, held)) == list(map(id, other.parameters()))
    optimizer.param_groups[0]["lr"] = 0.0
    before = other.state_dict()["0.weight"].numpy().copy()
    steps((other, optimizer), 1)
    np.testing.assert_array_equal(other[0].weight, before)


@by_each_way
def test_a_lazy_pair_gets_its_shapes_after_copying(duplicate) -> None:
    net = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(3))
    pair = net, optim.Adam(net.parameters())
    other = duplicate(pair)
    steps(pair)
    steps(other)
    assert_equal_weights(*(net for net, _ in (pair, other)))


@by_each_way
def test_gradients_come_along(duplicate) -> None:
    net = a_net().eval()
    pair = net, optim.SGD(net.parameters(), lr=0.1)
    backward(net)
    other = duplicate(pair)
    for _, optimizer in (pair, other):
        optimizer.step()
    assert_equal_weights(*(net for net, _ in (pair, other)))


def test_a_copied_slot_is_a_slot_of_its_own() -> None:
    slot = Slot(0.5)
    for other in (copy.copy(slot), copy.deepcopy(slot), by_pickle(slot)):
        assert other.value == 0.5
        other.value = 0.25
    assert slot.value == 0.5
    first, second = copy.deepcopy([slot, slot])
    assert first is second


def test_a_schedule_is_equal_to_its_copy() -> None:
    schedule = optim.CosineScheduler(20, base_lr=0.05, warmup_steps=2)
    assert [copy.copy(schedule), copy.deepcopy(schedule), by_pickle(schedule)] == [schedule] * 3


# ---- Tensors --------------------------------------------------------------------------------------------------


def test_a_shallow_copy_of_a_tensor_is_of_the_same_memory_and_seen_to_be() -> None:
    x = fn.tensor([1.0, 2.0], requires_grad=True)
    for kind in (x, nn.Parameter(x)):
        other = copy.copy(kind)
        assert type(other) is type(kind)
        assert other.requires_grad
        assert np.shares_memory(other.numpy(), x.numpy())
    loss = (x * x).sum()
    copy.copy(x).data.fill_(3.0)
    with pytest.raises(RuntimeError, match="in place"):
        loss.backward()


def test_what_joblib_maps_read_only_trains_on(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    net = a_net()
    pair = net, OPTIMIZERS["SGD"](net.parameters())
    steps(pair)
    joblib.dump(pair, tmp_path / "pair")
    other = joblib.load(tmp_path / "pair", mmap_mode="r")  # as it hands what is large to its workers
    steps(pair)
    steps(other)
    assert_equal_weights(*(net for net, _ in (pair, other)))


# ---- models, trainers, histories --------------------------------------------------------------------------------


class KeepsItsOptimizer(fn.MLP):
    """A model whose next run goes on with the optimizer of the last."""

    optimizer: optim.Optimizer | None = None

    def configure_optimizers(self) -> optim.Optimizer:
        self.optimizer = self.optimizer or optim.Adam(self.parameters(), lr=self.lr)
        return self.optimizer


def fit(model: fn.Model, seed: int = 0) -> fn.Trainer:
    trainer = fn.Trainer(2, seed=seed)
    trainer.fit(model, fn.ArrayData(X, Y, val=0.25, batch_size=10))
    return trainer


@by_each_way
def test_a_copied_model_trains_on_natively_with_the_bits_of_the_original(duplicate) -> None:
    model = KeepsItsOptimizer(3, [8], lr=0.01, dropout=0.25)
    fit(model)
    other = duplicate(model)
    runs = fit(model, seed=1), fit(other, seed=1)
    assert {run.execution.partition(":")[0] for run in runs} == {"epoch"}
    assert_equal_weights(model, other)
    assert runs[0].history.train_loss == runs[1].history.train_loss


@by_each_way
def test_a_copied_trainer_has_everything_but_the_data_and_fits_as_the_original(duplicate) -> None:
    trainer = fit(fn.MLP(3, [8], lr=0.1))
    other = duplicate(trainer)
    assert (other.max_epochs, other.seed, other.epoch, other.train_batch_idx) == (2, 0, 2, 10)
    assert dict(other.history) == dict(trainer.history)
    assert_equal_weights(other.model, trainer.model)
    assert other.optim.param_groups[0]["params"][0] is other.model.net[1].weight
    assert not hasattr(other, "train_dataloader")
    models = [fn.MLP(3, [8], lr=0.1) for _ in range(2)]
    for run, model in zip((trainer, other), models, strict=True):
        run.fit(model, fn.ArrayData(X, Y))
    assert_equal_weights(*models)


def test_a_trainer_can_be_copied_while_it_trains() -> None:
    class Copies(fn.callbacks.Callback):
        def on_epoch_end(self, state: fn.Trainer) -> None:
            copies.append((copy.deepcopy(state), pickle.dumps(state.model)))

    copies: list[tuple[fn.Trainer, bytes]] = []
    model = fn.MLP(3, [8], lr=0.1)
    history = fn.Trainer(3, seed=0, callbacks=[Copies()]).fit(model, fn.ArrayData(X, Y))
    assert [dict(trainer.history)["train_loss"] for trainer, _ in copies] == [
        history.train_loss[: n + 1] for n in range(3)
    ]
    for trainer, pickled in copies:
        assert_equal_weights(trainer.model, pickle.loads(pickled))
    assert_equal_weights(copies[-1][0].model, model)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, by_pickle, by_joblib])
def test_a_history_is_equal_to_its_copy(duplicate) -> None:
    history = fit(fn.MLP(3, [8], lr=0.1)).history
    other = duplicate(history)
    assert (dict(other), other.seed, other.epochs) == (dict(history), 0, 2)
    assert repr(other) == repr(history)
