"""scikit-learn's multilayer perceptron: `partial_fit` on the shuffled rows is an epoch of batches in their order."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.peers import Array, Peer, unit_floats
from benchmarks.train import Problem


class Sklearn(Peer):
    """Its products are NumPy's, so its threads are too."""

    def training(self, problem: Problem) -> "SklearnTraining":
        return SklearnTraining(problem)


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
