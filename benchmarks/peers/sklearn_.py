"""scikit-learn's multilayer perceptron: `partial_fit` on the shuffled rows is an epoch of batches in their order."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..many import Many
from ..train import Problem
from . import Array, Peer, unit_floats


class Sklearn(Peer):
    """Its products are NumPy's, so its threads are too."""

    def training(self, problem: Problem) -> "SklearnTraining":
        return SklearnTraining(problem)

    def many(self, many: Many) -> Callable[[], Array]:
        """A process for each thread, kept from call to call; joblib gives them large arrays without copies."""
        tasks = [delayed(_train)(*_own_rows(many, i)) for i in range(len(many.rates))]

        def train() -> Array:
            with parallel_config("loky", n_jobs=self.threads, inner_max_num_threads=1):
                return np.array(Parallel()(tasks))

        return train


def _own_rows(many: Many, i: int) -> tuple[Problem, Array]:
    problem, orders = many.model(i)
    if many.of_groups:
        first, last = orders.min(), orders.max() + 1
        problem = dataclasses.replace(problem, x=problem.x[first:last], y=problem.y[first:last])
        orders = orders - first
    return problem, orders


def _train(problem: Problem, orders: Array) -> float:
    training = SklearnTraining(problem)
    return float([training.epoch(training.prepare(order)) for order in orders][-1][0])


class SklearnTraining:
    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        self.x = unit_floats(problem.x)
        self.y = problem.y.ravel()
        # its squared error is halved, so that the rate is doubled, and the loss
        self.factor = 2.0 if workload.regression else 1.0
        settings: dict[str, Any] = {
            "hidden_layer_sizes": workload.sizes[1:-1],
            "solver": "sgd",
            "alpha": 0.0,
            "batch_size": workload.batch,
            "learning_rate_init": workload.lr * self.factor,
            "momentum": 0.0,
            "nesterovs_momentum": False,
            "shuffle": False,
        }
        self.model = (MLPRegressor if workload.regression else MLPClassifier)(**settings)
        self.classes = {} if workload.regression else {"classes": np.arange(workload.sizes[-1])}
        self.model.partial_fit(self.x[: workload.batch], self.y[: workload.batch], **self.classes)  # makes the weights
        for coef, intercept, (weight, bias) in zip(
            self.model.coefs_, self.model.intercepts_, problem.layers, strict=True
        ):
            coef[...], intercept[...] = weight.T, bias

    def prepare(self, order: Array) -> Array:
        return order.ravel()

    def epoch(self, order: Array) -> Array:
        self.model.partial_fit(self.x[order], self.y[order])
        return np.array([self.factor * self.model.loss_curve_[-1]])
