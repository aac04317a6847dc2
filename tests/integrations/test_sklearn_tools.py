"""The estimators within scikit-learn's tools, with frames, in copies and files, and several at once."""

import copy
import io
import pickle
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fastnn as fn
from fastnn.integrations.sklearn import LinearRegressor, MLPClassifier, MLPRegressor, SoftmaxClassifier
from fastnn.record import Engine

ALL = [LinearRegressor, SoftmaxClassifier, MLPClassifier, MLPRegressor]

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 4)) * [1.0, 10.0, 100.0, 1000.0]
CLASSES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
VALUES = X[:, 0] + X[:, 1] / 10


def target(estimator):
    return VALUES if estimator in (LinearRegressor, MLPRegressor) else CLASSES


def make(estimator, **parameters):
    """An estimator that trains for a few epochs of several batches."""
    return estimator(**{"max_iter": 10, "tol": None, "batch_size": 32, "random_state": 0, **parameters})


def bits(estimator) -> bytes:
    return b"".join(parameter.numpy().tobytes() for parameter in estimator.model_.parameters())


# ---- scikit-learn's tools ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL)
def test_cross_validation_of_a_pipeline_scores_well(estimator) -> None:
    pipeline = make_pipeline(StandardScaler(), make(estimator, max_iter=60, learning_rate_init=0.01))
    assert cross_val_score(pipeline, X, target(estimator), cv=3).mean() > 0.8


def test_columns_of_text_are_encoded_in_a_pipeline() -> None:
    pandas = pytest.importorskip("pandas")
    names = np.array(["north", "east", "south", "west"])[np.arange(200) % 4]
    columns = make_column_transformer((OneHotEncoder(), ["side"]), (StandardScaler(), ["size"]))
    pipeline = make_pipeline(columns, make(MLPClassifier, max_iter=40, learning_rate_init=0.01))
    pipeline.fit(pandas.DataFrame({"side": names, "size": X[:, 0]}), np.char.endswith(names, "st"))
    assert pipeline.predict(pandas.DataFrame({"side": ["west", "south"], "size": [0.0, 0.0]})).tolist() == [True, False]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_grid_search_in_threads_finds_what_one_alone_finds(n_jobs: int) -> None:
    pipeline = make_pipeline(StandardScaler(), make(MLPClassifier))
    grid = {"mlpclassifier__hidden_layer_sizes": [(2,), (16,)], "mlpclassifier__learning_rate_init": [1e-5, 1e-2]}
    with joblib.parallel_config("threading", n_jobs=n_jobs):
        search = GridSearchCV(pipeline, grid, cv=3).fit(X, CLASSES)
    assert search.best_params_ == {
        "mlpclassifier__hidden_layer_sizes": (16,),
        "mlpclassifier__learning_rate_init": 1e-2,
    }
    scaled = StandardScaler().fit_transform(X)
    alone = make(MLPClassifier, hidden_layer_sizes=(16,), learning_rate_init=1e-2).fit(scaled, CLASSES)
    assert bits(search.best_estimator_[-1]) == bits(alone)


def test_permutation_importance_tells_the_columns_that_matter() -> None:
    scaled = StandardScaler().fit_transform(X)
    regressor = make(LinearRegressor, max_iter=50).fit(scaled, VALUES)
    with joblib.parallel_config("threading", n_jobs=2):
        importances = permutation_importance(regressor, scaled, VALUES, random_state=0).importances_mean
    assert sorted(np.argsort(importances)[-2:]) == [0, 1]
    assert (abs(importances[2:]) < 0.1 * importances[:2].min()).all()


# ---- copies --------------------------------------------------------------------------------------------------------


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


COPIES = [copy.deepcopy, lambda estimator: pickle.loads(pickle.dumps(estimator)), through_joblib]


@pytest.mark.parametrize("duplicate", COPIES, ids=["deepcopy", "pickle", "joblib"])
@pytest.mark.parametrize("estimator", ALL)
def test_a_copy_predicts_the_same_and_trains_on_as_the_original_would(estimator, duplicate) -> None:
    scaled, y = StandardScaler().fit_transform(X), target(estimator)
    fitted = make(estimator).fit(scaled, y)
    twin = duplicate(fitted)
    assert np.array_equal(twin.predict(scaled), fitted.predict(scaled))
    before = bits(fitted)
    twin.partial_fit(scaled, y)
    assert bits(fitted) == before
    assert bits(fitted.partial_fit(scaled, y)) == bits(twin)


@pytest.mark.parametrize("estimator", ALL)
def test_a_clone_has_the_parameters_and_nothing_learned(estimator) -> None:
    fitted = make(estimator, alpha=0.25).fit(X / X.std(0), target(estimator))
    unfitted = clone(fitted)
    assert unfitted.get_params() == fitted.get_params()
    assert set(vars(unfitted)) == set(fitted.get_params())


def test_the_network_can_be_saved_and_loaded_without_scikit_learn(tmp_path) -> None:
    fitted = make(MLPClassifier, activation="tanh").fit(X / X.std(0), CLASSES)
    fitted.model_.save(tmp_path / "network.safetensors")
    outputs = fn.load(tmp_path / "network.safetensors").predict(X / X.std(0))
    assert np.array_equal(outputs, fitted.decision_function(X / X.std(0)))


# ---- frames --------------------------------------------------------------------------------------------------------

COLUMNS = ["length", "width", "height", "weight"]


def frame(library: str, columns=COLUMNS):
    module = pytest.importorskip(library)
    return module.DataFrame({name: X[:, i] / X[:, i].std() for i, name in enumerate(columns)})


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", ALL)
def test_a_frame_is_its_numbers_and_the_names_of_its_columns(estimator, library: str) -> None:
    data, y = frame(library), target(estimator)
    of_frame, of_array = make(estimator).fit(data, y), make(estimator).fit(data.to_numpy(), y)
    assert of_frame.feature_names_in_.tolist() == COLUMNS
    assert of_frame.n_features_in_ == 4
    assert not hasattr(of_array, "feature_names_in_")
    assert bits(of_frame) == bits(of_array)
    assert np.array_equal(of_frame.predict(data), of_array.predict(data.to_numpy()))
    with pytest.raises(ValueError, match="feature names should match"):
        of_frame.predict(frame(library, ["width", "length", "height", "weight"]))


def test_targets_may_be_a_series_of_names() -> None:
    pandas = pytest.importorskip("pandas")
    names = pandas.Series(np.array(["low", "middle", "high"])[CLASSES])
    classifier = make(SoftmaxClassifier).fit(frame("pandas"), names)
    assert classifier.classes_.tolist() == ["high", "low", "middle"]
    assert set(classifier.predict(frame("pandas"))) <= {"high", "low", "middle"}


# ---- several at once -----------------------------------------------------------------------------------------------


def together(*functions) -> None:
    """Calls all of them at once, each in a thread of its own."""
    start = threading.Barrier(len(functions))
    threads = [threading.Thread(target=lambda function=f: (start.wait(), function())) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_estimators_trained_in_several_threads_are_those_trained_one_after_the_other() -> None:
    scaled = (X / X.std(0)).astype("float32")
    estimators = [make(estimator, random_state=seed) for seed in range(3) for estimator in ALL]
    expected = [bits(clone(estimator).fit(scaled, target(type(estimator)))) for estimator in estimators]
    together(*[lambda e=estimator: e.fit(scaled, target(type(e))) for estimator in estimators])
    assert [bits(estimator) for estimator in estimators] == expected


def test_other_threads_run_while_an_estimator_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread goes on early in a native call: one that kept the GIL would let it do so at its end only."""
    wide = np.tile(X / X.std(0), (10, 200)).astype("float32")
    regressor = make(MLPRegressor, hidden_layer_sizes=(512,), batch_size=2000)
    run, calls, ticks, done = Engine.run, [], [], threading.Event()

    def timed(self, *arguments):
        began = time.perf_counter()
        results = run(self, *arguments)
        calls.append((began, time.perf_counter()))
        return results

    def fit():
        try:
            regressor.fit(wide, np.tile(VALUES, 10))
        finally:
            done.set()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())

    monkeypatch.setattr(Engine, "run", timed)
    together(fit, tick)
    long_calls = [(a, b) for a, b in calls if b - a > 4 * sys.getswitchinterval()]
    assert long_calls
    assert any(np.searchsorted(ticks, a) < np.searchsorted(ticks, (a + b) / 2) for a, b in long_calls)
