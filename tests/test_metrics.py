"""What `evaluate` measures."""

import math

import numpy as np
import pytest

import fastnn as fn
from fastnn.metrics import mean_squared_error, r2_score

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 4)).astype(np.float32), RNG.integers(0, 3, 50)


def test_r2_is_1_for_the_truth_0_for_the_mean_and_nan_where_nothing_varies() -> None:
    y = RNG.normal(size=30)
    assert r2_score(y, y) == 1
    assert r2_score(y, np.full(30, y.mean())) == pytest.approx(0, abs=30 * 2**-52)
    assert math.isnan(r2_score(np.ones(3), np.ones(3)))
    assert math.isnan(r2_score(np.ones(1), np.zeros(1)))


def test_r2_of_several_outputs_is_their_mean() -> None:
    y, predicted = RNG.normal(size=(2, 30, 3))
    outputs = [r2_score(y[:, i], predicted[:, i]) for i in range(3)]
    assert r2_score(y, predicted) == pytest.approx(sum(outputs) / 3, rel=1e-15)


def test_shapes_that_differ_are_errors() -> None:
    for measure in (mean_squared_error, r2_score):
        with pytest.raises(ValueError, match=r"\[evaluate\] y has shape \(3,\), the predictions have \(3, 1\)"):
            measure(np.zeros(3), np.zeros((3, 1)))


def test_a_classifier_is_measured_by_loss_and_accuracy() -> None:
    model = fn.MLP(3, 8, lr=0.1)
    history = fn.Trainer(2, seed=0).fit(model, fn.ArrayData(X, Y, val=(X, Y), batch_size=50))
    scores = model.evaluate(X, Y)
    assert scores == pytest.approx({"loss": history.val_loss[-1], "accuracy": history.val_acc[-1]}, rel=1e-6)
    assert scores["accuracy"] == np.mean(model.predict(X) == Y)
    with pytest.raises(ValueError, match="= 3 is not a class index"):
        model.evaluate(X, np.full(50, 3))


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 2)])
def test_a_regression_is_measured_by_squared_error_and_r2(shape: tuple[int, ...]) -> None:
    y = np.resize(X[:, :2].copy(), shape)
    model = fn.MLPRegression(1 if shape != (50, 2) else 2, 8, lr=0.05)
    history = fn.Trainer(20, seed=0).fit(model, fn.ArrayData(X, y, val=(X, y)))
    scores = model.evaluate(X, y)
    assert scores["mse"] == pytest.approx(history.val_loss[-1], rel=1e-5)
    assert scores["r2"] == r2_score(y, model.predict(X))
