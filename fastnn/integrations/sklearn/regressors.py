"""Regression: the squared error, linear or by a multilayer perceptron."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from fastnn.dispatch import Array

from .estimator import NetworkEstimator, has_epochs
from .layers import Linear, Multilayer
from .networks import Network, SquaredErrorNetwork


class Regressor(RegressorMixin, NetworkEstimator):
    """What the regressors share."""

    _metric = staticmethod(r2_score)

    @available_if(has_epochs)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch, from the weights and the momenta there are; the arguments of `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """Values (n_samples,) or (n_samples, n_outputs), as y was, for the rows of `X` (n_samples, n_features).

        Raises NotFittedError before `fit`, and ValueError where X has other columns than there.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if self._target_ndim == 1 else outputs

    def _encode(self, y: Array, dtype: np.dtype[Any], *, learns: bool) -> Array:
        self._target_ndim = y.ndim
        return y.astype(dtype, copy=False).reshape(len(y), -1)

    def _new_network(self, targets: Array) -> Network:
        return SquaredErrorNetwork(self.hidden_layer_sizes, targets.shape[1], self.activation)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@dataclass(eq=False, repr=False)
class LinearRegressor(Linear, Regressor):
    """Linear regression by gradient descent on half the squared error; y may have several columns.

    The parameters, all by keyword, are described in `fastnn.integrations.sklearn`. `fastnn.LinearRegression.solve` has
    the closed form.

    >>> X = np.random.default_rng(0).standard_normal((500, 2))
    >>> regressor = LinearRegressor(random_state=0).fit(X, X @ [2, -3.4] + 4.2)
    >>> regressor.coef_.round(1), round(regressor.intercept_, 1)
    (array([ 2. , -3.4]), 4.2)
    """

    @property
    def coef_(self) -> Array:
        """Weights (n_features,) or (n_outputs, n_features), as y was, sharing the network's memory."""
        return super().coef_[0] if self._target_ndim == 1 else super().coef_

    @property
    def intercept_(self) -> Any:
        """The bias, or (n_outputs,)."""
        return super().intercept_.item() if self._target_ndim == 1 else super().intercept_


@dataclass(eq=False, repr=False)
class MLPRegressor(Multilayer, Regressor):
    """Regression by a multilayer perceptron, on half the squared error; y may have several columns.

    `hidden_layer_sizes` is an int or several, `activation` one of "relu", "tanh", "logistic", "gelu" and "identity".
    The other parameters, all by keyword, are described in `fastnn.integrations.sklearn`.

    >>> X = np.linspace(-2, 2, 400).reshape(-1, 1)
    >>> regressor = MLPRegressor(32, batch_size=20, max_iter=100, tol=None, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> regressor.score(X, np.sin(X[:, 0])) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        Regressor._parameter_constraints | Multilayer._layer_constraints
    )
