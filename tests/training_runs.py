"""Training runs to compare: what a run leaves behind, to the bit, and models and loaders to train."""

import random as python_random
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fn
from fastnn.callbacks import Callback

CLOCK = ("train_seconds", "val_seconds", "examples_per_second")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(72, 6)).astype(np.float32)
LABELS = (X[:, 0] > X[:, 1]).astype(np.int64) + (X[:, 2] > 0.8)
TARGETS = (X @ RNG.normal(size=(6, 1)) + 0.5).astype(np.float32)


@dataclass
class Run:
    """What can be compared of a run."""

    weights: list[bytes]
    history: dict[str, list[float]]
    steps: dict[str, list[float]]
    numbers: tuple[Any, ...]
    error: str | None
    trainer: fn.Trainer = field(compare=False)

    @property
    def execution(self) -> str:
        return self.trainer.execution


@dataclass
class Setup:
    """What a run is made of."""

    model: fn.Model
    data: Any
    callbacks: tuple[Callback, ...] = ()
    epochs: int = 4
    options: dict[str, Any] = field(default_factory=dict)
    trainer: type[fn.Trainer] = fn.Trainer


def fit(make: Any, resume: Path | None = None, **options: Any) -> Run:
    """Trains what `make` sets up, from the same numbers each time; late warnings of the trainer are no error here."""
    fn.manual_seed(5)
    python_random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    setup: Setup = make()
    kept: dict[str, Any] = {"seed": 3, "per_step": True, "callbacks": setup.callbacks, **setup.options, **options}
    trainer = setup.trainer(kept.pop("max_epochs", setup.epochs), **kept)
    error = ended = None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\[fit\] .*, within an epoch", RuntimeWarning)
        try:
            trainer.fit(setup.model, setup.data, resume)
        except BaseException as raised:  # KeyboardInterrupt too
            ended, error = raised, f"{type(raised).__name__}: {raised}"
    parameters = list(setup.model.state_dict().values())
    if isinstance(ended, FloatingPointError):  # noticed earlier natively, so with other weights and learning rate
        parameters, error = [], str(error).partition("lr=")[0]
    history = {name: values for name, values in trainer.history.items() if name not in CLOCK}
    numbers = (trainer.history.epochs, fn.random.get_state() if error is None else None)
    return Run([p.numpy().tobytes() for p in parameters], history, trainer.history.steps, numbers, error, trainer)


def classes(rows: int = 72, batch_size: int = 8, **options: Any) -> fn.ArrayData:
    return fn.ArrayData(X[:rows], LABELS[:rows], batch_size=batch_size, **options)


def values(rows: int = 72, batch_size: int = 8, **options: Any) -> fn.ArrayData:
    return fn.ArrayData(X[:rows], TARGETS[:rows], batch_size=batch_size, **options)


class Batches(fn.DataModule):
    """A list of batches, as NumPy arrays."""

    def __init__(self, size: int = 8, rows: int = 72) -> None:
        self.batches = [(X[i : i + size].copy(), LABELS[i : i + size].copy()) for i in range(0, rows, size)]

    def train_dataloader(self) -> Any:
        return self.batches


class Small(fn.Classifier):
    """A model whose layers are set by hand, with code of its own in its steps; `optimizer` makes what trains it."""

    def __init__(self, optimizer: Any = None) -> None:
        self.lr, self.optimizer = 0.2, optimizer
        self.net = fn.nn.Sequential(fn.nn.Linear(6, 5), fn.nn.Tanh(), fn.nn.Linear(5, 3))

    def configure_optimizers(self) -> Any:
        return super().configure_optimizers() if self.optimizer is None else self.optimizer(self.parameters())

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return super().loss(y_hat, y)


class ScratchSGD:
    """The book's optimizer (D2L, section 3.4)."""

    def __init__(self, params: Any, lr: float) -> None:
        self.params, self.lr = list(params), lr

    def step(self) -> None:
        for param in self.params:
            param -= self.lr * param.grad

    def zero_grad(self) -> None:
        for param in self.params:
            if param.grad is not None:
                param.grad.zero_()
