"""What the estimators learn: natively, as scikit-learn's perceptrons do, and with bits that nothing else decides."""

import math

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import coo_array, csr_array, csr_matrix
from sklearn import neural_network
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import StandardScaler

import fastnn as fn
from fastnn.integrations.sklearn import LinearRegressor, MLPClassifier, MLPRegressor, SoftmaxClassifier

ALL = [LinearRegressor, SoftmaxClassifier, MLPClassifier, MLPRegressor]
CLASSIFIERS = [SoftmaxClassifier, MLPClassifier]

rng = np.random.default_rng(0)
X = rng.standard_normal((300, 5))
SCORES = np.tanh(X @ rng.standard_normal((5, 3))) + 0.1 * rng.standard_normal((300, 3))
CLASSES, LABELS = SCORES.argmax(1), (SCORES > 0).astype(int)
WEIGHT = rng.integers(0, 4, 300).astype(float)


def target(estimator):
    return CLASSES if estimator in CLASSIFIERS else SCORES[:, 0]


def make(estimator, **parameters):
    """An estimator that trains for ten epochs of several batches."""
    return estimator(**{"max_iter": 10, "tol": None, "batch_size": 32, "random_state": 0, **parameters})


def bits(estimator) -> bytes:
    return b"".join(parameter.numpy().tobytes() for parameter in estimator.model_.parameters())


# ---- steps run natively --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("estimator", ALL)
def test_steps_run_natively_weights_and_validation_included(estimator, weight) -> None:
    fitted = make(estimator, early_stopping=True).fit(X, target(estimator), weight)
    assert fitted.execution_ == "epoch: steps run natively, shuffling and gathering included"


@pytest.mark.parametrize(
    ("estimator", "y"), [(MLPClassifier, LABELS), (MLPRegressor, SCORES), (LinearRegressor, SCORES)]
)
def test_steps_of_several_outputs_run_natively(estimator, y) -> None:
    fitted = make(estimator, early_stopping=True).fit(X, y, WEIGHT)
    assert fitted.execution_ == "epoch: steps run natively, shuffling and gathering included"


@pytest.mark.parametrize("estimator", ALL)
def test_native_steps_have_the_bits_of_steps_from_python(estimator, monkeypatch: pytest.MonkeyPatch) -> None:
    native = bits(make(estimator).fit(X, target(estimator), WEIGHT))
    init = fn.Trainer.__init__
    monkeypatch.setattr(
        fn.Trainer, "__init__", lambda self, *args, **options: init(self, *args, **options, replay=False)
    )
    eager = make(estimator).fit(X, target(estimator), WEIGHT)
    assert eager.execution_ == "eager: replay=False"
    assert bits(eager) == native


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("form", [csr_array, csr_matrix, coo_array])
@pytest.mark.parametrize("estimator", ALL)
def test_sparse_rows_give_the_bits_of_dense_ones(estimator, form, early_stopping: bool) -> None:
    few = X * (np.abs(X) > 1)
    settings = {"early_stopping": early_stopping, "validation_fraction": 0.2}
    dense = make(estimator, **settings).fit(few, target(estimator), WEIGHT)
    sparse = make(estimator, **settings).fit(form(few), target(estimator), WEIGHT)
    assert bits(sparse) == bits(dense)
    np.testing.assert_array_equal(sparse.predict(form(few)), dense.predict(few))
    assert sparse.execution_ == "epoch: steps run natively, shuffling and gathering included, of sparse rows by SciPy"


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_and_probabilities_take_sparse_rows(solver: str) -> None:
    few = csr_array(X * (np.abs(X) > 1))
    dense, sparse = make(SoftmaxClassifier, solver=solver), make(SoftmaxClassifier, solver=solver)
    for _ in range(2):
        dense.partial_fit(few.toarray(), CLASSES, classes=[0, 1, 2])
        sparse.partial_fit(few, CLASSES, classes=[0, 1, 2])
    np.testing.assert_array_equal(sparse.predict_proba(few), dense.predict_proba(few.toarray()))
    np.testing.assert_array_equal(sparse.decision_function(few), dense.decision_function(few.toarray()))


def test_trained_estimators_keep_no_training_data() -> None:
    model = make(MLPClassifier).fit(X, CLASSES).model_
    assert model.trainer is None
    assert model.optimizer is None


# ---- what they learn -----------------------------------------------------------------------------------------------

TARGETS = {"classes": CLASSES, "labels": LABELS, "value": SCORES[:, 0], "values": SCORES}


def train_both(kind: str, weight, **parameters):
    """Our perceptron and scikit-learn's after eight epochs from equal weights, on batches in equal order."""
    y, name = TARGETS[kind], "MLPClassifier" if kind in ("classes", "labels") else "MLPRegressor"
    settings = {"shuffle": False, "learning_rate_init": 0.01, "warm_start": True, "tol": 0.0, "n_iter_no_change": 1000}
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[name](**settings, **parameters)
    theirs = getattr(neural_network, name)(**settings, **parameters)
    for estimator in (ours, theirs):
        estimator.set_params(max_iter=1, random_state=0).fit(X, y, weight)
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        b[...] = a
    return [estimator.set_params(max_iter=8).fit(X, y, weight) for estimator in (ours, theirs)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("kind", TARGETS)
def test_training_is_that_of_scikit_learns_perceptron(kind: str, solver: str, activation: str, weighted: bool) -> None:
    """The penalty is where batches weigh the same, and Adam where epsilon is small: it is added in another place."""
    ours, theirs = train_both(
        kind,
        WEIGHT if weighted else None,
        hidden_layer_sizes=(7, 4),
        activation=activation,
        solver=solver,
        alpha=0.3,
        batch_size=300 if weighted else 60,
        epsilon=1e-15,
    )
    # 40 steps of a few roundings each, which Adam divides by gradients down to 1e-4.
    tolerance = 1e-13 if solver == "sgd" else 1e-9
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", TARGETS)
def test_weighted_losses_are_those_of_scikit_learns_perceptron_in_every_epoch(kind: str) -> None:
    ours, theirs = train_both(kind, WEIGHT + 1, solver="sgd", alpha=0.0, batch_size=64)
    outputs = (
        3 if kind == "values" else 1
    )  # scikit-learn reports the mean over them, and follows the gradient of the sum
    np.testing.assert_allclose(ours.loss_curve_[1:], np.array(theirs.loss_curve_[1:]) * outputs, rtol=1e-13)


def test_the_penalty_is_part_of_the_loss_curve() -> None:
    """One step of no length: the loss is that of the first weights, with and without what they cost."""
    plain, costly = (
        make(LinearRegressor, alpha=alpha, learning_rate_init=1e-300, batch_size=300, max_iter=1).fit(X, SCORES[:, 0])
        for alpha in (0.0, 6.0)
    )
    penalty = 6.0 / 2 * (costly.coef_**2).sum() / 300
    assert costly.loss_curve_[0] == pytest.approx(plain.loss_curve_[0] + penalty, rel=1e-14)


@pytest.mark.parametrize("estimator", ALL)
def test_they_learn(estimator) -> None:
    X_scaled = StandardScaler().fit_transform(X).astype("float32")
    fitted = make(estimator, max_iter=100).fit(X_scaled, target(estimator))
    assert fitted.score(X_scaled, target(estimator)) > 0.85


def test_linear_regression_finds_the_closed_form() -> None:
    y = X @ rng.standard_normal((5, 2)) + [1.0, -2.0] + 0.1 * SCORES[:, :2]
    fitted = make(LinearRegressor, alpha=0.0, batch_size=300, max_iter=2000).fit(X, y)
    expected = np.linalg.lstsq(np.column_stack([X, np.ones(300)]), y, rcond=None)[0]
    # The slowest direction shrinks by a factor of about 1 - 0.1 * 0.8 (rate / (1 - momentum) times the least variance).
    np.testing.assert_allclose(np.vstack([fitted.coef_.T, fitted.intercept_]), expected, rtol=0, atol=1e-12)


# ---- weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL)
def test_no_weights_are_weights_of_one(estimator) -> None:
    y = target(estimator)
    assert bits(make(estimator).fit(X, y)) == bits(make(estimator).fit(X, y, np.ones(300)))


@pytest.mark.parametrize("estimator", ALL)
def test_an_example_of_weight_0_is_as_if_it_were_not_there(estimator) -> None:
    y, there = target(estimator), WEIGHT > 0
    with_zeros = make(estimator, early_stopping=True).fit(X, y, WEIGHT)
    without = make(estimator, early_stopping=True).fit(X[there], y[there], WEIGHT[there])
    assert bits(with_zeros) == bits(without)


@pytest.mark.parametrize("estimator", ALL)
def test_a_weight_is_a_number_of_repetitions_where_a_batch_is_all_there_is(estimator) -> None:
    y, times = target(estimator), WEIGHT.astype(int)
    whole = {"solver": "sgd", "batch_size": 10**6, "alpha": 1.0}
    weighted = make(estimator, **whole).fit(X, y, WEIGHT)
    repeated = make(estimator, **whole).fit(X.repeat(times, 0), y.repeat(times))
    for a, b in zip(weighted.model_.parameters(), repeated.model_.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-14)  # ten steps, sums in another order


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_class_weights_multiply_the_weights_of_their_examples(estimator) -> None:
    factors, counts = np.array([1.0, 2.0, 0.5]), np.bincount(CLASSES, WEIGHT)
    by_hand = make(estimator).fit(X, CLASSES, WEIGHT * factors[CLASSES])
    assert bits(make(estimator, class_weight=dict(enumerate(factors))).fit(X, CLASSES, WEIGHT)) == bits(by_hand)
    by_hand = make(estimator).fit(X, CLASSES, WEIGHT * (WEIGHT.sum() / (3 * counts))[CLASSES])
    assert bits(make(estimator, class_weight="balanced").fit(X, CLASSES, WEIGHT)) == bits(by_hand)


# ---- bits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("estimator", ALL)
def test_bits_depend_on_data_parameters_and_random_state_alone(estimator, dtype: str) -> None:
    before = fn.num_threads()
    wide = np.repeat(X, 20, 1).astype(dtype)  # worth several threads
    try:
        results = set()
        for threads in (1, 2, 5):
            fn.set_num_threads(threads)
            results |= {bits(make(estimator, early_stopping=True).fit(wide, target(estimator))) for _ in range(2)}
    finally:
        fn.set_num_threads(before)
    assert len(results) == 1
    assert bits(make(estimator, random_state=1).fit(wide, target(estimator))) not in results


@pytest.mark.parametrize("estimator", ALL)
def test_the_network_computes_in_the_dtype_of_x(estimator) -> None:
    for given, expected in (("float32", "float32"), ("float64", "float64"), ("int32", "float64")):
        fitted = make(estimator).fit(X.astype(given), target(estimator))
        assert {parameter.dtype.name for parameter in fitted.model_.parameters()} == {expected}


def test_a_random_state_that_is_a_generator_is_drawn_from() -> None:
    generator = np.random.RandomState(0)
    first, second = (bits(make(SoftmaxClassifier, random_state=generator).fit(X, CLASSES)) for _ in range(2))
    assert first == bits(make(SoftmaxClassifier, random_state=np.random.RandomState(0)).fit(X, CLASSES))
    assert first != second


# ---- one epoch after the other -------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("estimator", ALL)
def test_partial_fit_again_and_again_is_fit(estimator, solver: str) -> None:
    y, once = target(estimator), make(estimator, solver=solver, learning_rate="invscaling")
    step_by_step, classes = make(estimator, solver=solver, learning_rate="invscaling"), [np.arange(3)]
    once.fit(X, y)
    for _ in range(10):
        step_by_step.partial_fit(X, y, None, *(classes if estimator in CLASSIFIERS else []))
    assert bits(once) == bits(step_by_step)
    assert once.loss_curve_ == step_by_step.loss_curve_
    assert once.t_ == step_by_step.t_ == 3000


def test_partial_fit_knows_classes_that_come_later() -> None:
    order = np.argsort(CLASSES)
    classifier = make(SoftmaxClassifier)
    for part in np.array_split(order, 3):
        classifier.partial_fit(X[part], CLASSES[part], classes=[0, 1, 2])
    assert classifier.predict_proba(X).shape == (300, 3)


@pytest.mark.parametrize("estimator", ALL)
def test_a_warm_start_goes_on_from_the_weights_there_are(estimator) -> None:
    y = target(estimator)
    warm = make(estimator, warm_start=True, max_iter=5).fit(X, y)
    losses = list(warm.loss_curve_)
    warm.fit(X, y)
    assert warm.loss_curve_[:5] == losses
    assert len(warm.loss_curve_) == 10
    assert warm.n_iter_ == 5
    assert warm.loss_curve_[5] < losses[0]
    cold = make(estimator, max_iter=5).fit(X, y).fit(X, y)
    assert cold.loss_curve_ == losses


# ---- when it stops -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL)
def test_early_stopping_ends_with_the_weights_that_score_best(estimator) -> None:
    y = target(estimator)
    fitted = make(
        estimator, early_stopping=True, tol=1e-3, n_iter_no_change=3, max_iter=500, learning_rate_init=0.05
    ).fit(X, y)
    scores = fitted.validation_scores_
    assert len(scores) == fitted.n_iter_ < 500
    assert fitted.best_validation_score_ == max(scores)
    assert fitted.best_loss_ is None
    best = scores.index(max(scores)) + 1
    until_then = make(estimator, early_stopping=True, max_iter=best, learning_rate_init=0.05).fit(X, y)
    assert bits(fitted) == bits(until_then)


@pytest.mark.parametrize(("estimator", "metric"), [(SoftmaxClassifier, accuracy_score), (LinearRegressor, r2_score)])
def test_the_validation_score_is_scikit_learns_of_examples_set_aside(estimator, metric, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        estimator, "_metric", staticmethod(lambda *args, **options: seen.append((args, options)) or 0.5)
    )
    fitted = make(estimator, early_stopping=True, validation_fraction=0.2, max_iter=2).fit(X, target(estimator), WEIGHT)
    assert fitted.validation_scores_ == [0.5, 0.5]
    (truth, decisions), options = seen[0]
    count = math.ceil(0.2 * (WEIGHT > 0).sum())
    assert len(truth) == len(decisions) == len(options["sample_weight"]) == count
    assert (options["sample_weight"] > 0).all()
    if estimator is SoftmaxClassifier:
        shares = np.bincount(CLASSES[WEIGHT > 0]) * count / (WEIGHT > 0).sum()
        assert (abs(np.bincount(truth) - shares) <= 1).all()


def test_tol_ends_training_after_epochs_without_progress() -> None:
    fitted = make(LinearRegressor, tol=1e-3, n_iter_no_change=5, max_iter=1000).fit(X, SCORES[:, 0])
    losses = np.array(fitted.loss_curve_)
    assert fitted.n_iter_ == len(losses) < 1000
    assert fitted.best_loss_ == losses.min()
    assert losses[-7] - losses[-6:].min() < 1e-3


def test_an_adaptive_rate_falls_to_a_fifth_before_training_stops() -> None:
    settings = {"tol": 1e-3, "n_iter_no_change": 2, "max_iter": 1000}
    constant = make(LinearRegressor, **settings).fit(X, SCORES[:, 0])
    adaptive = make(LinearRegressor, learning_rate="adaptive", **settings).fit(X, SCORES[:, 0])
    # From 0.01 a fifth at a time to below 1e-6: 6 times, and after each 3 epochs without progress.
    assert adaptive.n_iter_ >= constant.n_iter_ + 6 * 3
    assert adaptive.best_loss_ < constant.best_loss_


def test_an_inverse_scaling_rate_falls_with_the_examples_seen() -> None:
    rates = []
    fitted = make(LinearRegressor, learning_rate="invscaling", power_t=0.25)
    for _ in range(3):
        fitted.partial_fit(X, SCORES[:, 0])
        rates.append(fitted._optimizer_state["param_groups"][0]["lr"])
    assert rates == [0.01 / (300 * k + 1) ** 0.25 for k in (1, 2, 3)]
