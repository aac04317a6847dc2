"""The estimators keep scikit-learn's conventions: its own checks, parameters, targets, errors and warnings."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import csr_array
from sklearn import neural_network
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.integrations.sklearn import LinearRegressor, MLPClassifier, MLPRegressor, SoftmaxClassifier

ALL = [LinearRegressor, SoftmaxClassifier, MLPClassifier, MLPRegressor]
CLASSIFIERS = [SoftmaxClassifier, MLPClassifier]
REGRESSORS = [LinearRegressor, MLPRegressor]

X, CLASSES = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
ROUNDING = (
    64 * np.finfo(np.float64).eps
)  # the exponent of a probability, or the terms of a sum, are a few dozen at most
_, VALUES = make_regression(120, 6, random_state=0)


def few(estimator, **parameters):
    """An estimator that trains for a few epochs, all of them."""
    return estimator(**{"max_iter": 3, "tol": None, "random_state": 0, **parameters})


def target(estimator):
    return CLASSES if estimator in CLASSIFIERS else VALUES


# ---- scikit-learn's own checks: none is expected to fail -----------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        LinearRegressor(),
        LinearRegressor(solver="adam", learning_rate_init=0.1),
        SoftmaxClassifier(),
        SoftmaxClassifier(solver="adam", learning_rate_init=0.1),
        MLPClassifier(),
        MLPClassifier(solver="sgd", learning_rate="adaptive", learning_rate_init=0.01),
        MLPRegressor(),
        LinearRegressor(solver="lbfgs"),
        SoftmaxClassifier(solver="lbfgs"),
        MLPClassifier(solver="lbfgs", alpha=1.0),  # with less, probabilities underflow, and their logarithms do not
        MLPRegressor(solver="lbfgs"),
    ],
)
def test_scikit_learns_checks_pass(estimator, check) -> None:
    check(estimator)


# ---- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_parameters_and_defaults_are_those_of_scikit_learns_perceptron(name: str) -> None:
    theirs = getattr(neural_network, name)().get_params()
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[name]().get_params()
    absent, added = {"loss"} & set(theirs), {"class_weight"} & set(ours)
    assert {k: v for k, v in theirs.items() if k not in absent} == {k: v for k, v in ours.items() if k not in added}


@pytest.mark.parametrize("estimator", ALL)
def test_set_params_and_get_params_agree(estimator) -> None:
    changed = estimator().set_params(alpha=0.5, momentum=0.3)
    assert (changed.get_params()["alpha"], changed.momentum) == (0.5, 0.3)
    with pytest.raises(ValueError, match="Invalid parameter 'alfa'"):
        changed.set_params(alfa=1)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("solver", "newton"),
        ("alpha", -1.0),
        ("batch_size", 0),
        ("learning_rate", "cosine"),
        ("learning_rate_init", 0.0),
        ("max_iter", 0),
        ("tol", -1e-4),
        ("momentum", 1.5),
        ("validation_fraction", 1.0),
        ("beta_1", 1.0),
        ("epsilon", 0.0),
        ("n_iter_no_change", 0),
        ("random_state", "zero"),
        ("hidden_layer_sizes", 0),
        ("hidden_layer_sizes", (3, 0)),
        ("activation", "swish"),
        ("class_weight", "even"),
    ],
)
def test_a_parameter_out_of_range_is_an_error_of_fit(parameter: str, value: object) -> None:
    with pytest.raises(ValueError, match=parameter if value != (3, 0) else "out_features = 0"):
        few(MLPClassifier, **{parameter: value}).fit(X, CLASSES)


def test_linear_estimators_have_no_parameters_for_hidden_layers() -> None:
    for estimator in (LinearRegressor, SoftmaxClassifier):
        assert {"hidden_layer_sizes", "activation"}.isdisjoint(estimator().get_params())


# ---- targets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", CLASSIFIERS)
@pytest.mark.parametrize("names", [np.array(["b", "c", "a"]), np.array([7, -1, 3]), np.array([0.5, 1.0, 2.0]) * 2])
def test_classes_may_be_anything_that_can_be_sorted(estimator, names) -> None:
    classifier = few(estimator).fit(X, names[CLASSES])
    assert classifier.classes_.tolist() == sorted(names.tolist())
    assert set(classifier.predict(X)) <= set(names)
    indices = few(estimator).fit(X, np.argsort(np.argsort(names))[CLASSES])
    assert np.array_equal(classifier.predict_proba(X), indices.predict_proba(X))


@pytest.mark.parametrize("estimator", CLASSIFIERS)
@pytest.mark.parametrize("count", [2, 3])
def test_probabilities_decisions_and_predictions_agree(estimator, count: int) -> None:
    classifier = few(estimator).fit(X, CLASSES % count)
    decisions, probabilities = classifier.decision_function(X), classifier.predict_proba(X)
    assert decisions.shape == ((120,) if count == 2 else (120, 3))
    assert probabilities.shape == (120, count)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=ROUNDING)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X)), probabilities, rtol=ROUNDING)
    chosen = decisions.argmax(1) if count == 3 else (decisions > 0).astype(int)
    assert np.array_equal(classifier.predict(X), chosen)
    assert np.array_equal(probabilities.argmax(1), chosen)


def test_several_labels_are_learned_each_by_itself() -> None:
    labels = np.stack([X[:, 0] > 0, X[:, 1] > 0, np.zeros(120)], 1).astype(int)
    classifier = MLPClassifier(20, batch_size=20, max_iter=100, tol=None, random_state=0).fit(X, labels)
    probabilities = classifier.predict_proba(X)
    assert classifier.score(X, labels) > 0.9
    assert classifier.classes_.tolist() == [0, 1, 2]
    assert np.array_equal(classifier.predict(X), probabilities > 0.5)
    assert np.array_equal(classifier.decision_function(X) > 0, probabilities > 0.5)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X)), probabilities, rtol=ROUNDING)


def test_sparse_labels_are_taken_as_dense_ones() -> None:
    labels = (X[:, :3] > 0).astype(int)
    sparse, dense = (few(MLPClassifier).fit(X, y).predict_proba(X) for y in (csr_array(labels), labels))
    assert np.array_equal(sparse, dense)


@pytest.mark.parametrize("estimator", REGRESSORS)
def test_predictions_have_the_rank_of_y(estimator) -> None:
    for y in (VALUES, VALUES[:, None], np.stack([VALUES, -VALUES], 1)):
        regressor = few(estimator).fit(X, y)
        assert regressor.predict(X).shape == y.shape


def test_the_weights_have_the_shapes_of_scikit_learns() -> None:
    one, two = few(LinearRegressor).fit(X, VALUES), few(LinearRegressor).fit(X, np.stack([VALUES, VALUES], 1))
    assert (one.coef_.shape, np.shape(one.intercept_)) == ((6,), ())
    assert (two.coef_.shape, two.intercept_.shape) == ((2, 6), (2,))
    sizes = abs(X) @ abs(one.coef_) + abs(one.intercept_)
    assert (abs(one.predict(X) - (X @ one.coef_ + one.intercept_)) <= ROUNDING * sizes).all()
    softmax = few(SoftmaxClassifier).fit(X, CLASSES)
    assert (softmax.coef_.shape, softmax.intercept_.shape) == ((3, 6), (3,))
    mlp = few(MLPRegressor, hidden_layer_sizes=(5, 4)).fit(X, VALUES)
    assert [weight.shape for weight in mlp.coefs_] == [(6, 5), (5, 4), (4, 1)]
    assert [bias.shape for bias in mlp.intercepts_] == [(5,), (4,), (1,)]


# ---- errors and warnings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL)
def test_an_unfitted_estimator_says_so(estimator) -> None:
    for method in {"predict", "predict_proba", "predict_log_proba", "decision_function", "score"} & set(dir(estimator)):
        with pytest.raises(NotFittedError):
            getattr(estimator(), method)(X, *([target(estimator)] if method == "score" else []))


@pytest.mark.parametrize("estimator", ALL)
def test_a_fit_that_max_iter_ends_warns(estimator) -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter = 2 epochs are over") as caught:
        estimator(max_iter=2, random_state=0).fit(X, target(estimator))
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("estimator", ALL)
def test_a_fit_that_tol_ends_or_that_has_no_tol_does_not_warn(estimator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converged = estimator(tol=1e9, n_iter_no_change=3, random_state=0).fit(X, target(estimator))
        assert converged.n_iter_ == len(converged.loss_curve_) == 5  # the first improves on infinity, four do not
        assert estimator(tol=None, max_iter=2, random_state=0).fit(X, target(estimator)).n_iter_ == 2


def test_training_that_diverges_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"loss is NaN at step .*StandardScaler"):
        few(LinearRegressor, learning_rate_init=1e3, max_iter=200).fit(X, VALUES)
    with pytest.raises(ValueError, match="not finite"):
        few(LinearRegressor, learning_rate_init=1e300, max_iter=1).fit(X * 1e10, VALUES)


@pytest.mark.parametrize("estimator", ALL)
def test_bad_examples_are_value_errors(estimator) -> None:
    y = target(estimator)
    for weights in (-np.ones(120), np.zeros(120), np.ones(3)):
        with pytest.raises(ValueError, match=r"weight"):
            few(estimator).fit(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="6 features"):
        few(estimator).fit(X, y).predict(X[:, :5])


def test_targets_that_no_classifier_knows_are_value_errors() -> None:
    with pytest.raises(ValueError, match="use MultiOutputClassifier"):
        few(MLPClassifier).fit(X, np.stack([CLASSES, CLASSES], 1))
    with pytest.raises(ValueError, match="y should be a 1d array"):
        few(SoftmaxClassifier).fit(X, (X > 0).astype(int))
    with pytest.raises(ValueError, match=r"y has \[3\], which is not among classes_"):
        few(SoftmaxClassifier, warm_start=True).fit(X, CLASSES).fit(X, CLASSES + 1)
    with pytest.raises(ValueError, match="y is multilabel-indicator, and was not before"):
        few(MLPClassifier, warm_start=True).fit(X, CLASSES).fit(X, (X[:, :3] > 0).astype(int))
    with pytest.raises(ValueError, match="weigh those of labels by sample_weight"):
        few(MLPClassifier, class_weight="balanced").fit(X, (X > 0).astype(int))


def test_partial_fit_refuses_what_needs_all_the_data() -> None:
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SoftmaxClassifier().partial_fit(X, CLASSES)
    with pytest.raises(ValueError, match="class_weight = 'balanced' needs all of y"):
        SoftmaxClassifier(class_weight="balanced").partial_fit(X, CLASSES, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="early_stopping = True needs more than one epoch"):
        LinearRegressor(early_stopping=True).partial_fit(X, VALUES)


def test_too_few_examples_for_a_validation_score_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="of 12 examples is less than two"):
        few(LinearRegressor, early_stopping=True, validation_fraction=0.05).fit(X[:12], VALUES[:12])
