"""Estimators with ``solver="lbfgs"``: the minima of scikit-learn's own solvers, and what they tell of the way."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import linear_model, neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastnn.integrations.sklearn import LinearRegressor, MLPClassifier, MLPRegressor, SoftmaxClassifier

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 5))
SCORES = np.tanh(X @ rng.standard_normal((5, 3))) + 0.3 * rng.standard_normal((200, 3))
CLASSES = SCORES.argmax(1)
WEIGHT = rng.integers(0, 4, 200).astype(float)
EXACT = {"solver": "lbfgs", "tol": 1e-9, "max_iter": 1000, "random_state": 0}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_softmax_has_the_minimum_of_logistic_regression(c: float, weight) -> None:
    ours = SoftmaxClassifier(alpha=1 / c, **EXACT).fit(X, CLASSES, weight)
    theirs = linear_model.LogisticRegression(C=c, tol=1e-12, max_iter=10_000).fit(X, CLASSES, weight)
    # It ends where the loss changes by less than 1e-9: with a curvature of 1 / (200 C) or more, that is this near.
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=np.sqrt(2 * 1e-9 * 200 * c))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)


def test_two_classes_have_the_minimum_of_logistic_regression_with_half_the_penalty() -> None:
    """Two outputs w and -w stand for one of 2 w, whose square is twice the sum of theirs."""
    y = CLASSES == 0
    ours = SoftmaxClassifier(alpha=2.0, **EXACT).fit(X, y)
    theirs = linear_model.LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_[1:] - ours.coef_[:1], theirs.coef_, atol=2e-3)


def test_linear_regression_has_the_minimum_of_ridge() -> None:
    ours = LinearRegressor(alpha=3.0, **EXACT).fit(X, SCORES)
    theirs = linear_model.Ridge(alpha=3.0).fit(X, SCORES)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_perceptron_goes_as_far_down_as_scikit_learns() -> None:
    settings = {"hidden_layer_sizes": (8,), "solver": "lbfgs", "alpha": 0.1, "max_iter": 500, "activation": "tanh"}
    losses = {
        kind: [kind(**settings, random_state=seed).fit(X, CLASSES).best_loss_ for seed in range(3)]
        if kind is MLPClassifier
        else [kind(**settings, random_state=seed).fit(X, CLASSES).loss_ for seed in range(3)]
        for kind in (MLPClassifier, neural_network.MLPClassifier)
    }
    ours, theirs = map(min, losses.values())  # of several minima the lowest
    assert ours == pytest.approx(theirs, rel=0.05)


def test_it_tells_of_its_iterations() -> None:
    fitted = MLPRegressor((8,), solver="lbfgs", max_iter=1000, random_state=0).fit(X, SCORES)
    assert fitted.n_iter_ == len(fitted.loss_curve_) < 1000
    assert fitted.t_ == 200 * fitted.n_iter_
    assert fitted.loss_curve_ == sorted(fitted.loss_curve_, reverse=True)
    assert fitted.best_loss_ == fitted.loss_curve_[-1]
    assert fitted.execution_.startswith("eager: LBFGS")


def test_iterations_that_were_too_few_are_a_warning() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter = 3 iterations are over"):
        fitted = MLPClassifier(solver="lbfgs", max_iter=3, random_state=0).fit(X, CLASSES)
    assert fitted.n_iter_ == 3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_evaluations_are_limited_too() -> None:
    fitted = MLPClassifier(solver="lbfgs", max_fun=5, random_state=0).fit(X, CLASSES)
    assert fitted.n_iter_ <= 5


def test_a_warm_start_goes_on_from_the_minimum() -> None:
    fitted = SoftmaxClassifier(alpha=1.0, warm_start=True, **EXACT).fit(X, CLASSES)
    coefficients = fitted.coef_.copy()
    fitted.fit(X, CLASSES)
    np.testing.assert_allclose(fitted.coef_, coefficients, atol=1e-3)
    assert len(fitted.loss_curve_) >= fitted.n_iter_


def test_batches_and_their_order_are_nothing_to_it() -> None:
    first = SoftmaxClassifier(**EXACT, batch_size=7).fit(X, CLASSES)
    second = clone(first).set_params(batch_size="auto", shuffle=False).fit(X, CLASSES)
    assert first.coef_.tobytes() == second.coef_.tobytes()


def test_what_needs_epochs_is_refused() -> None:
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    assert hasattr(MLPClassifier(), "partial_fit")
    with pytest.raises(ValueError, match="early_stopping = True with solver = 'lbfgs'"):
        MLPClassifier(solver="lbfgs", early_stopping=True).fit(X, CLASSES)
