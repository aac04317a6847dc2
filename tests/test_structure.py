"""What decides which models can share recorded steps: structure, and whether code of the user's takes part."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn, optim
from fastnn.execution import has_user_code
from fastnn.structure import structure


class Net(fn.MLPRegression):
    """A perceptron with what `make` adds to it, and an optimizer of any kind."""

    def __init__(self, make: Callable[[Any], object] = lambda model: None, **optimizer: Any) -> None:
        super().__init__(1, [4, 4], lr=0.1)
        self.kind = optimizer.pop("kind", "SGD")
        self.settings = sorted(optimizer)
        make(self)
        self.optimizer_settings = tuple(optimizer.values())

    def configure_optimizers(self) -> Any:
        settings = dict(zip(self.settings, self.optimizer_settings, strict=True))
        return getattr(optim, self.kind)(self.parameters(), **{"lr": 0.1, **settings})


def of(model: fn.Model) -> Any:
    return structure(model, model.configure_optimizers())


def tie(model: Any) -> None:
    model.net[3] = model.net[1]


@pytest.mark.parametrize(
    ("model", "other"),
    [
        (fn.MLP(3, [4, 8], lr=0.1), fn.MLP(3, [4, 8], lr=optim.FactorScheduler())),
        (fn.MLP(3, np.array([4, 8]), lr=0.1), fn.MLP(3, np.array([4, 8]), lr=np.float32(0.3))),
        (fn.MLP(3, 4, lr=0.1, dropout=0.5), fn.MLP(3, 4, lr=0.2, dropout=0.5)),
        (Net(kind="Adam"), Net(kind="Adam")),
        (Net(tie), Net(tie)),
    ],
)
def test_models_that_differ_in_weights_and_rates_are_of_one_structure(model: fn.Model, other: fn.Model) -> None:
    assert of(model) is not None
    assert of(model) == of(other)


@pytest.mark.parametrize(
    "other",
    [
        fn.MLPRegression(1, [4, 4], lr=0.1),
        Net(lambda model: setattr(model, "net", nn.Sequential(nn.LazyLinear(1)))),
        Net(lambda model: model.net.append(nn.ReLU())),
        Net(lambda model: model.eval()),
        Net(lambda model: setattr(model.net[1].weight, "requires_grad", False)),
        Net(tie),
        Net(kind="Adam"),
        Net(momentum=0.9),
        Net(weight_decay=0.1),
    ],
)
def test_models_with_other_steps_are_of_another_structure(other: fn.Model) -> None:
    assert of(other) is not None
    assert of(other) != of(Net())


@pytest.mark.parametrize(
    "untold",
    [
        Net(lambda model: setattr(model, "mask", fn.ones(4))),
        Net(lambda model: setattr(model, "table", np.ones(4))),
        Net(lambda model: setattr(model, "loss", lambda y_hat, y: y_hat.sum())),
        Net(momentum=0.5, dampening=0.5),
    ],
)
def test_what_cannot_be_compared_has_no_structure(untold: fn.Model) -> None:
    assert of(untold) is None


def test_rates_and_optimizers_of_ones_own_have_no_structure() -> None:
    model = fn.LinearRegression(lr=0.1)
    assert structure(model, optim.SGD(model.parameters(), lr=lambda update: 0.1)) is None
    assert structure(model, object()) is None
    assert structure(model, optim.SGD([fn.ones(1, requires_grad=True)], lr=0.1)) is None


class Made(fn.MLP):
    """What of it is the user's runs before the first step."""

    classes = 3

    def __init__(self) -> None:
        super().__init__(self.classes, 5, lr=0.1)

    def configure_optimizers(self) -> optim.Adam:
        return optim.Adam(self.parameters())


@pytest.mark.parametrize("code", ["loss", "forward", "lr", "__setattr__"])
def test_a_class_that_only_makes_layers_and_optimizer_brings_no_code_into_a_step(code: str) -> None:
    class Other(Made):
        pass

    assert not has_user_code([Other()])
    setattr(Other, code, property(lambda self: 0.1) if code == "lr" else getattr(fn.MLP, code))
    assert has_user_code([Other.__new__(Other)])
