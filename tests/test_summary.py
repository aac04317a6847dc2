"""Summaries: what is counted, for which layer, and that nothing happens to the model."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn

B, D, H, C = 32, 784, 64, 10
X, Y = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32), np.arange(40) % 2


def rows(summary) -> list[tuple[str, str, tuple[int, ...] | None, int, int]]:
    return [(layer.name, layer.kind, layer.shape, layer.parameters, layer.flops) for layer in summary.layers]


def test_products_count_twice_their_sizes_and_anything_else_its_elements() -> None:
    summary = fn.MLP(C, H, lr=0.1, dropout=0.5).summary((B, 28, 28))
    assert rows(summary) == [
        ("net.0", "Flatten", (B, D), 0, 0),
        ("net.1", "Linear", (B, H), D * H + H, 2 * B * D * H),
        ("net.2", "ReLU", (B, H), 0, B * H),
        ("net.3", "Dropout", (B, H), 0, 0),  # predictions drop nothing
        ("net.4", "Linear", (B, C), H * C + C, 2 * B * H * C),
    ]
    assert summary.parameters == D * H + H + H * C + C
    assert summary.flops == 2 * B * (D * H + H * C) + B * H


def test_it_agrees_with_the_plan_of_training() -> None:
    model, trainer = fn.MLP(2, 8, lr=0.1), fn.Trainer(3, seed=0)
    trainer.fit(model, fn.ArrayData(X, Y, batch_size=10))
    planned = re.findall(r"^\d+ +linear.*? (\d+\.\d{3}) +\d", str(trainer.plan), re.MULTILINE)
    summary = model.summary((10, 4))
    assert [f"{layer.flops / 1e6:,.3f}" for layer in summary.layers if layer.kind == "Linear"] == planned


def test_a_lazy_model_stays_lazy_and_trains_as_if_nothing_had_been() -> None:
    def fit(summarize: bool) -> list[float]:
        fn.manual_seed(3)
        model = fn.MLP(2, 8, lr=0.1, dropout=0.2)
        state = fn.random.get_state()
        if summarize:
            assert model.summary((5, 4)).parameters == 4 * 8 + 8 + 8 * 2 + 2
            assert "LazyLinear" in repr(model)
            assert fn.random.get_state() == state
            assert "forward" not in vars(model)
        return fn.Trainer(2).fit(model, fn.ArrayData(X, Y)).train_loss

    assert fit(True) == fit(False)


def test_without_a_shape_it_is_a_row_of_the_training_data_or_of_the_first_layer() -> None:
    model = fn.SoftmaxRegression(2, lr=0.1)
    with pytest.raises(ValueError, match=r"\[summary\] X_shape is missing: nothing tells the length of a row"):
        model.summary()
    fn.Trainer(1, seed=0).fit(model, fn.ArrayData(X.reshape(-1, 2, 2), Y))
    assert model.summary().X_shape == (1, 2, 2)
    model.net = nn.Sequential(nn.Linear(7, 3))
    model._input_shape = None
    assert model.summary().X_shape == (1, 7)


class Scratch(fn.Model):
    """Parameters of its own, a shared layer, and one that is not called."""

    def __init__(self) -> None:
        self.w = fn.normal(0, 0.01, (4, 3), requires_grad=True)
        self.net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
        self.again, self.spare = self.net[0], nn.Linear(2, 2)

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return self.again(self.net(x @ self.w)).exp()


def test_what_a_model_computes_itself_is_its_own() -> None:
    assert rows(Scratch().summary((5, 4))) == [
        ("", "Scratch", (5, 3), 12, 2 * 5 * 4 * 3 + 15),  # x @ w, exp
        ("net.0", "Linear", (5, 3), 12, 2 * 2 * 5 * 3 * 3),  # called twice
        ("net.1", "Tanh", (5, 3), 0, 15),
        ("spare", "Linear", None, 6, 0),
    ]
    assert str(Scratch().summary((5, 4))).splitlines()[-1].split() == ["spare", "Linear", "-", "6", "0.000"]


def test_a_model_in_float64_is_run_in_float64() -> None:
    assert fn.MLP(2, 3, lr=0.1).summary((2, 4)).parameters == 23
    model = fn.MLP(2, 3, lr=0.1)
    model.predict(X)
    assert model.to("float64").summary().parameters == 23


def test_errors_of_the_model_are_its_own() -> None:
    model = fn.MLP(2, 3, lr=0.1)
    model.predict(X)
    with pytest.raises(ValueError, match="linear"):
        model.summary((2, 5))
    assert fn.dispatch.state.recorder is None


def test_a_notebook_shows_the_same_table() -> None:
    summary = fn.MLP(C, H, lr=0.1).summary((B, 28, 28))
    heading, *lines = repr(summary).splitlines()
    table = ElementTree.fromstring(summary._repr_html_())
    assert table.find("caption").text == heading
    cells = [[cell.text for cell in row] for row in table.iter("tr")]
    assert cells == [re.split(" {2,}", line) for line in lines]
