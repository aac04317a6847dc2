"""What has no name in fastnn and is a few lines of one's own, which run natively."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.callbacks import Callback

RNG = np.random.default_rng(0)
X = (5 * RNG.normal(size=(64, 6)) + 3).astype(np.float32)
LABELS = (X[:, 0] > X[:, 1]).astype(np.int64)
CATEGORIES = RNG.integers(0, 5, (64, 1))
NATIVE = "epoch: steps run natively, shuffling and gathering included"


class LayerNorm(nn.Module):
    """Layer normalisation: each row to mean 0 and variance 1, then scaled and shifted."""

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(fn.ones(size)), nn.Parameter(fn.zeros(size)), eps

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        x = x - x.mean(1, keepdim=True)
        return x / ((x * x).mean(1, keepdim=True) + self.eps).sqrt() * self.weight + self.bias


class BatchNorm(nn.Module):
    """Batch normalisation: columns to mean 0 and variance 1, of the batch in training, and else of running averages."""

    def __init__(self, size: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(fn.ones(size)), nn.Parameter(fn.zeros(size))
        self.mean = nn.Parameter(fn.zeros(size), requires_grad=False)
        self.var = nn.Parameter(fn.ones(size), requires_grad=False)
        self.momentum, self.eps = momentum, eps

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        mean, var = self.mean, self.var
        if self.training:
            mean = x.mean(0)
            var = ((x - mean) * (x - mean)).mean(0)
            with fn.no_grad():
                for kept, now in ((self.mean, mean), (self.var, var)):
                    kept *= 1 - self.momentum
                    kept += self.momentum * now
        return (x - mean) / (var + self.eps).sqrt() * self.weight + self.bias


class Normalised(fn.SoftmaxRegression):
    """A perceptron with a layer of one's own in it."""

    def __init__(self, layer: Callable[[int], nn.Module]) -> None:
        super().__init__(2, lr=0.1)
        self.net = nn.Sequential(nn.Linear(6, 16), layer(16), nn.ReLU(), nn.Linear(16, 2))


class Lasso(fn.LinearRegression):
    """Linear regression with an L1 penalty."""

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return super().loss(y_hat, y) + 0.5 * self.net.weight.abs().sum()


class Embedded(fn.SoftmaxRegression):
    """A vector for each of five categories, then softmax regression."""

    def __init__(self) -> None:
        super().__init__(2, lr=0.5)
        self.table, self.net = nn.Parameter(fn.randn(5, 3)), nn.Linear(3, 2)

    def forward(self, categories: fn.Tensor) -> fn.Tensor:
        return self.net(self.table[categories.reshape(-1)])


class Categories(fn.DataModule):
    """Batches of categories, as integers."""

    def train_dataloader(self) -> fn.DataLoader:
        return fn.DataLoader((CATEGORIES, CATEGORIES[:, 0] % 2), 16, shuffle=True)

    def val_dataloader(self) -> None:
        return None


def fit(model: fn.Model, data: fn.DataModule, max_epochs: int = 20, **options: Any) -> fn.Trainer:
    trainer = fn.Trainer(max_epochs, progress=False, seed=0, **options)
    trainer.fit(model, data)
    return trainer


@pytest.mark.parametrize("layer", [LayerNorm, BatchNorm])
def test_normalisation_layers(layer: Callable[[int], nn.Module]) -> None:
    data = fn.ArrayData(X, LABELS, val=0.25, batch_size=16)
    fn.manual_seed(0)
    model = Normalised(layer)
    trainer = fit(model, data)
    assert trainer.execution == NATIVE
    assert trainer.history.val_acc[-1] > 0.8
    assert fit(Normalised(layer), data, 3, verify="every_step").execution.startswith("verify: ")
    np.testing.assert_allclose(
        model.predict_proba(X)[:3], model.predict_proba(X[:3]), rtol=1e-5
    )  # of rows, not batches


def test_an_l1_penalty() -> None:
    data = fn.ArrayData((X - 3) / 5, X[:, 0], batch_size=16)
    weights = {}
    for make in (Lasso, fn.LinearRegression):
        fn.manual_seed(0)
        model = make(lr=0.05)
        assert fit(model, data).execution == NATIVE
        weights[make] = np.abs(model.get_w_b()[0].numpy())
    assert weights[Lasso].sum() < weights[fn.LinearRegression].sum()


def test_embeddings_of_categories() -> None:
    fn.manual_seed(0)
    trainer = fit(Embedded(), Categories())
    assert trainer.execution == NATIVE
    assert trainer.history.train_loss[-1] < 0.1


def test_averaged_weights() -> None:
    class Average(Callback):
        """A moving average of the weights after each epoch, which the model has in the end."""

        def on_epoch_end(self, state: fn.Trainer) -> None:
            now = {name: value.numpy().copy() for name, value in state.model.state_dict().items()}
            kept = self.__dict__.setdefault("kept", now)
            self.kept = {name: 0.9 * kept[name] + np.float32(0.1) * now[name] for name in now}

        def on_fit_end(self, state: fn.Trainer) -> None:
            self.last = {name: value.numpy().copy() for name, value in state.model.state_dict().items()}
            state.model.load_state_dict(self.kept)

    average, model = Average(), fn.SoftmaxRegression(2, lr=0.1)
    trainer = fit(model, fn.ArrayData(X, LABELS, batch_size=16), callbacks=[average])
    assert trainer.execution == NATIVE
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, average.kept[name])
        assert (value.numpy() != average.last[name]).any()


def test_logs_for_tensorboard() -> None:
    class Scalars(Callback):
        """Hands what an epoch measured to a writer with `add_scalar`, such as tensorboardX's SummaryWriter."""

        def __init__(self, writer: Any) -> None:
            self.writer = writer

        def on_epoch_end(self, state: fn.Trainer) -> None:
            for name, values in state.history.items():
                self.writer.add_scalar(name, values[-1], state.epoch)

    class Writer:
        def __init__(self) -> None:
            self.scalars: dict[str, list[float]] = {}

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.scalars.setdefault(name, []).append(value)
            assert len(self.scalars[name]) == step

    writer = Writer()
    data = fn.ArrayData(X, LABELS, val=0.25, batch_size=16)
    trainer = fit(fn.SoftmaxRegression(2, lr=0.1), data, 4, callbacks=[Scalars(writer)])
    assert writer.scalars["val_loss"] == list(trainer.history.val_loss)
