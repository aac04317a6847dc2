"""Classification: cross-entropy, linear or by a multilayer perceptron."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets, type_of_target

from fastnn.dispatch import Array

from .estimator import NetworkEstimator, has_epochs
from .layers import Linear, Multilayer
from .networks import Network, SigmoidNetwork, SoftmaxNetwork


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(ClassifierMixin, NetworkEstimator):
    """What the classifiers share."""

    class_weight: Mapping[Any, float] | str | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _metric = staticmethod(accuracy_score)

    @available_if(has_epochs)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch, from the weights and the momenta there are; the arguments of `fit`.

        `classes` (n_classes,) are all that will come; the first call needs them.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "[partial_fit] class_weight = 'balanced' needs all of y: "
                "use sklearn.utils.class_weight.compute_class_weight('balanced', classes=classes, y=y)"
            )
        _check_partial_fit_first_call(self, classes)  # sets classes_
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """Classes (n_samples,), or labels (n_samples, n_labels) of 0 and 1, for `X` (n_samples, n_features).

        Raises NotFittedError before `fit`, and ValueError where X has other columns than there.
        """
        outputs = self._outputs(X)
        decisions: Array = self.model_.decide(outputs)
        return decisions if self._is_multilabel else self.classes_[decisions]

    def decision_function(self, X: Any) -> Array:
        """Logits (n_samples, n_classes), or of two classes how far the second exceeds the first (n_samples,)."""
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 and not self._is_multilabel else logits

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n_samples, n_classes); of several labels, that each is 1 (n_samples, n_labels)."""
        outputs = self._outputs(X)
        probabilities: Array = self.model_.probabilities(outputs)
        return probabilities

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of `predict_proba`, without underflow."""
        outputs = self._outputs(X)
        log_probabilities: Array = self.model_.log_probabilities(outputs)
        return log_probabilities

    def _encode(self, y: Any, dtype: np.dtype[Any], *, learns: bool) -> Array:
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"[{type(self).__name__}] y is {y.shape}, of more than two values: use MultiOutputClassifier"
            )
        is_multilabel = kind == "multilabel-indicator"
        if not learns and hasattr(self, "model_") and is_multilabel != self._is_multilabel:
            raise ValueError(f"[{type(self).__name__}] y is {kind}, and was not before: use fit without warm_start")
        self._is_multilabel: bool = is_multilabel
        if is_multilabel:
            if learns:
                self.classes_ = np.arange(y.shape[1])
            labels: Array = (y.toarray() if issparse(y) else y).astype(dtype)
            return labels
        y = column_or_1d(y, warn=True)
        if learns:
            self.classes_ = np.unique(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"[{type(self).__name__}] y has {unknown}, which is not among classes_ = {self.classes_}")
        indices: Array = np.searchsorted(self.classes_, y).astype(np.int64, copy=False)
        return indices

    def _new_network(self, targets: Array) -> Network:
        kind = SigmoidNetwork if self._is_multilabel else SoftmaxNetwork
        return kind(self.hidden_layer_sizes, len(self.classes_), self.activation)

    def _reweight(self, weight: Array, targets: Array) -> None:
        if self.class_weight is None:
            return
        if self._is_multilabel:
            raise ValueError("[fit] class_weight is for one class per example: weigh those of labels by sample_weight")
        rows = np.flatnonzero(weight)
        factors = compute_class_weight(
            self.class_weight, classes=self.classes_, y=self.classes_[targets[rows]], sample_weight=weight[rows]
        )
        weight[rows] *= factors[targets[rows]]

    def _strata(self, targets: Array) -> Array | None:
        return None if self._is_multilabel else targets


@dataclass(eq=False, repr=False)
class SoftmaxClassifier(Linear, Classifier):
    """Softmax regression by gradient descent on the cross-entropy; two classes have two outputs.

    The parameters, all by keyword, are described in `fastnn.integrations.sklearn`; `class_weight` is a dict of factors
    by class, or "balanced".

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = SoftmaxClassifier(batch_size=10, random_state=0).fit(X, y)
    >>> classifier.score(X, y) > 0.95, classifier.coef_.shape
    (True, (3, 4))
    """

    _multi_output = False


@dataclass(eq=False, repr=False)
class MLPClassifier(Multilayer, Classifier):
    """Classification by a multilayer perceptron, on the cross-entropy; y may be a class or several labels.

    A column of classes is learned by softmax, also where there are two; a y (n_samples, n_labels) of 0 and 1 by a
    sigmoid for each label. `hidden_layer_sizes` is an int or several, `activation` one of "relu", "tanh", "logistic",
    "gelu" and "identity", `class_weight` a dict of factors by class, or "balanced". The other parameters, all by
    keyword, are described in `fastnn.integrations.sklearn`.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier(32, max_iter=500, tol=None, random_state=0).fit(X, y)
    >>> classifier.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        Classifier._parameter_constraints | Multilayer._layer_constraints
    )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
