"""Models put together at random, native or not, are trained with the bits of training from Python."""

import random as python_random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st
from interrupting import broken_off
from recorded_steps import Soft
from training_runs import LABELS, TARGETS, Batches, ScratchSGD, Setup, X, fit

import fastnn as fn
from fastnn import functional as F
from fastnn import nn, optim
from fastnn.callbacks import Callback

WIDTH = 4

# ---- layers, each a function that makes one of WIDTH inputs and outputs ----------------------------------------


class Apply(nn.Module):
    """A layer of a function."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def forward(self, x):
        return self.function(x)


class Standardize(nn.Module):
    def __init__(self) -> None:
        self.scale, self.mean = F.ones(WIDTH, requires_grad=True), F.zeros(WIDTH)

    def forward(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return (x - self.mean.clone()) * self.scale


class Residual(nn.Module):
    def __init__(self) -> None:
        self.inside = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        return F.cat([x[:, 2:], x[:, :2]], 1) + self.inside(x).tanh() * 0.5


class Counting(nn.Module):
    def __init__(self) -> None:
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (0.5 if self.calls > 7 else 1.0)


class Clipped(nn.Module):
    """Its weights are held in bounds through a view in NumPy."""

    def __init__(self) -> None:
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.view = self.linear.weight.detach().numpy()

    def forward(self, x):
        np.clip(self.view, -0.4, 0.4, out=self.view)
        return self.linear(x)


LAYERS = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "lazy": lambda: nn.LazyLinear(WIDTH),
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "dropout": lambda: nn.Dropout(0.3),
    "softmax": nn.Softmax,
    "own function": lambda: Apply(lambda x: Soft.apply(x, 1.5)),
    "own weights": Standardize,
    "joins": Residual,
    "noise": lambda: Apply(lambda x: x + 0.1 * F.randn(*x.shape)),
    "mask": lambda: Apply(lambda x: F.where(x > 0.2, x, 0.1 * x)),
    "counts": Counting,
    "item": lambda: Apply(lambda x: x * (0.5 if x.abs().mean().item() > 0.6 else 1.0)),
    "view": Clipped,
    "random": lambda: Apply(lambda x: x * (0.5 if python_random.random() < 0.1 else 1.0)),
    "shape": lambda: Apply(lambda x: x * (1.0 if len(x) > 3 else 0.5)),
}
HIDE = {"own weights", "counts", "random"}  # have a state of their own, which no file holds

# ---- losses ---------------------------------------------------------------------------------------------------


def scratch_cross_entropy(y_hat, y):
    exp = F.exp(y_hat - y_hat.detach().amax(1, keepdims=True))
    return -F.log((exp / exp.sum(1, keepdims=True))[list(range(len(y))), y]).mean()


LOSSES = {
    "cross entropy": F.cross_entropy,
    "smoothed": lambda a, b: F.cross_entropy(a, b, label_smoothing=0.1),
    "likelihood": lambda a, b: nn.NLLLoss(weight=F.tensor([1.0, 2.0, 0.5]))(a.log_softmax(1), b),
    "from scratch": scratch_cross_entropy,
    "squares": lambda a, b: F.mse_loss(a, F.one_hot(b, 3)),
    "huber": lambda a, b: nn.HuberLoss(reduction="sum")(a, F.one_hot(b, 3)) * 0.1,
}

# ---- optimizers -----------------------------------------------------------------------------------------------

SCHEDULES = [0.1, optim.FactorScheduler(0.95, base_lr=0.2), lambda t: 0.2 / (1 + t // 5)]
OPTIMIZERS = {
    "SGD": lambda p, lr: optim.SGD(p, lr),
    "momentum": lambda p, lr: optim.SGD(p, lr, momentum=0.8, weight_decay=0.01),
    "Nesterov": lambda p, lr: optim.SGD(p, lr, momentum=0.8, nesterov=True),
    "Adam": lambda p, lr: optim.Adam(p, lr, weight_decay=0.01),
    "AdamW": lambda p, lr: optim.AdamW(p, lr),
    "groups": lambda p, lr: optim.SGD([{"params": p[:1], "lr": 0.3}, {"params": p[1:], "momentum": 0.5}], lr),
    "scratch": lambda p, lr: ScratchSGD(p, 0.1),
}


class Model(fn.Model):
    classifies = True

    def __init__(self, layers: list[str], loss: str, optimizer: str, schedule: int) -> None:
        self.lr, self.loss_function, self.optimizer, self.schedule = 0.1, loss, optimizer, schedule
        self.net = nn.Sequential(nn.Linear(6, WIDTH), *[LAYERS[layer]() for layer in layers], nn.Linear(WIDTH, 3))

    def loss(self, y_hat, y):
        return LOSSES[self.loss_function](y_hat, y)

    def configure_optimizers(self):
        return OPTIMIZERS[self.optimizer](list(self.parameters()), SCHEDULES[self.schedule])

    def training_step(self, batch):
        y_hat = self(batch[0])
        self.log("acc", F.accuracy(y_hat, batch[1]))
        return self._loss(y_hat, batch[1])


class Changes(Callback):
    """Something else after each epoch."""

    def on_epoch_end(self, state):
        state.model.lr *= 0.5
        state.model.net[0].weight.data.add_(0.01 * F.randn(WIDTH, 6))
        for group in getattr(state.optim, "param_groups", []):
            group["weight_decay"] = 0.01 * state.epoch


class Generated(Batches):
    def train_dataloader(self):
        return self

    def __iter__(self):
        yield from self.batches


@st.composite
def setups(draw, layers=frozenset(LAYERS)):
    """Functions that make a Setup, and what they are made of."""
    layers = draw(st.lists(st.sampled_from(sorted(layers)), max_size=4))
    loss, optimizer = draw(st.sampled_from(list(LOSSES))), draw(st.sampled_from(list(OPTIMIZERS)))
    schedule, rows = draw(st.integers(0, 2)), draw(st.integers(1, 40))
    size, data = draw(st.integers(1, 12)), draw(st.sampled_from(["arrays", "uint8", "list", "generator"]))
    model = draw(st.sampled_from(["own", "own", "MLP", "regression"]))
    callbacks = (Changes(),) if model == "own" and draw(st.booleans()) else ()
    options = {"gradient_clip_val": draw(st.sampled_from([0.0, 0.5])), "num_threads": draw(st.integers(1, 2))}
    epochs, val = draw(st.integers(1, 5)), (X[40:], LABELS[40:]) if draw(st.booleans()) else None

    def make() -> Setup:
        if model == "regression":
            regression = fn.LinearRegression(0.05, half=True)
            return Setup(regression, fn.ArrayData(X[:rows], TARGETS[:rows], batch_size=size), (), epochs, options)
        if data == "list":
            batches: Any = Batches(size, rows)
        elif data == "generator":
            batches = Generated(size, rows)
        elif data == "uint8":
            batches = fn.ArrayData((abs(X[:rows]) * 60).astype(np.uint8), LABELS[:rows], batch_size=size)
        else:
            batches = fn.ArrayData(X[:rows], LABELS[:rows], batch_size=size, val=val)
        if model == "MLP":
            return Setup(fn.MLP(3, [5], 0.1, dropout=0.2), batches, (), epochs, options)
        return Setup(Model(layers, loss, optimizer, schedule), batches, callbacks, epochs, options)

    return make


@given(setups())
def test_training_has_the_bits_of_training_from_python(make: Any) -> None:
    eager, native = fit(make, replay=False), fit(make)
    assert native == eager, native.execution
    event(native.execution.partition(":")[0] if eager.error is None else eager.error[:60])


@given(setups())
def test_verified_training_has_the_bits_of_training_from_python(make: Any) -> None:
    assert fit(make, verify="every_step") == fit(make, replay=False)


@given(setups(set(LAYERS) - HIDE), st.integers(1, 5), st.integers(1, 9))
def test_resumed_training_has_the_bits_of_training_without_a_break(make: Any, every: int, written: int) -> None:
    """Broken off when so many checkpoints have been written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        with broken_off(written):
            broken = fit(make, checkpoint=path, checkpoint_every=every)
        if path.exists():
            assert fit(make, resume=path) == fit(make)
    event(str(broken.error)[:30])
