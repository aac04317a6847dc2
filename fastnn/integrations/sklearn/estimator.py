"""What the estimators share: parameters, checks, and training by fastnn's trainer."""

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn import optim
from fastnn.data import ArrayDataset, DataLoader, DataModule
from fastnn.dispatch import Array
from fastnn.trainer import Trainer

from .networks import Network
from .progress import Progress

_FLOATING = (np.float64, np.float32)  # what X may be; anything else becomes the first
_HISTORY = 10  # of L-BFGS: as many changes as SciPy's keeps


def has_epochs(estimator: "NetworkEstimator") -> bool:
    """AttributeError where a solver does not train epoch by epoch, and so has no `partial_fit`."""
    if estimator.solver == "lbfgs":
        raise AttributeError("[partial_fit] solver = 'lbfgs' needs all of the data at once: use 'adam' or 'sgd'")
    return True


class Examples(DataModule):
    """What an estimator trains on: one loader of (X, targets, weight)."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader

    def get_dataloader(self, train: bool) -> DataLoader | None:
        return self.loader if train else None


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkEstimator(BaseEstimator):
    """Base of the estimators. Their parameters and attributes are described in `fastnn.integrations.sklearn`."""

    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float | None = 1e-4
    verbose: bool = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "solver": [StrOptions({"adam", "sgd", "lbfgs"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
    }
    _metric: ClassVar[Callable[..., float]]  # of targets and the network's decisions: the validation score
    _multi_output: ClassVar[bool] = True  # whether y may be (n_samples, n_outputs)

    # ---- what estimators differ in --------------------------------------------------------------------------------

    @abstractmethod
    def _encode(self, y: Any, dtype: np.dtype[Any], *, learns: bool) -> Array:
        """The targets of the network; with `learns`, what they stand for is learned from `y`."""

    @abstractmethod
    def _new_network(self, targets: Array) -> Network:
        """A network with the outputs that `targets` need."""

    def _reweight(self, weight: Array, targets: Array) -> None:
        """Let `weight` depend on the targets as well."""

    def _strata(self, targets: Array) -> Array | None:
        """What examples for training and for validation have equal shares of."""
        return None

    # ---- training -------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on `X` (n_samples, n_features) and `y` (n_samples,) or (n_samples, n_outputs); returns the estimator.

        X may be a matrix of scipy.sparse, here and in predictions; only the rows of a batch become dense.

        `sample_weight` (n_samples,) says how much each example counts; those of weight 0 take no part. Raises
        ValueError for data and parameters that do not fit, and where training diverges; warns (ConvergenceWarning)
        when `max_iter` ends it before `tol` does.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Self:
        if incremental and self.early_stopping:
            raise ValueError("[partial_fit] early_stopping = True needs more than one epoch: use fit")
        if self.solver == "lbfgs" and self.early_stopping:
            raise ValueError(
                "[fit] early_stopping = True with solver = 'lbfgs', which has no epochs: use 'adam' or 'sgd'"
            )
        is_first = not hasattr(self, "model_") or not (incremental or self.warm_start)
        X, y = validate_data(
            self,
            X,
            y,
            reset=is_first,
            accept_sparse="csr",
            dtype=_FLOATING if is_first else self.model_.layers[0].weight.dtype,
            multi_output=self._multi_output,
            y_numeric=is_regressor(self),
        )
        targets = self._encode(y, X.dtype, learns=is_first and not incremental)
        weight = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True, copy=True)
        self._reweight(weight, targets)
        model: Network = self._new_network(targets) if is_first else self.model_
        model.optimizer = self._new_optimizer(model)
        if incremental and not is_first:
            model.optimizer.load_state_dict(self._optimizer_state)
        if is_first or self.early_stopping != (self.validation_scores_ is not None):
            self._start_curves()
        has_converged = self._train(model, X, targets, weight, 1 if incremental else self.max_iter)
        self.model_: Any = model
        if not (incremental or has_converged or self.tol is None):
            what = "iterations" if self.solver == "lbfgs" else "epochs"
            warnings.warn(
                f"[fit] max_iter = {self.max_iter} {what} are over and the optimization hasn't converged yet: "
                "raise max_iter or tol, or turn this criterion off by tol=None",
                ConvergenceWarning,
                stacklevel=4,  # whoever called fit, past scikit-learn's wrapper
            )
        return self

    def _train(self, model: Network, X: Array, targets: Array, weight: Array, max_epochs: int) -> bool:
        """Train `model`; whether it has converged."""
        random_state = check_random_state(self.random_state)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        rows, held_out = np.flatnonzero(weight), None
        if self.early_stopping:
            rows, others = self._split(rows, targets, random_state)
            held_out = X[others], targets[others], weight[others]
        dataset = ArrayDataset(X, targets, weight, rows=rows)
        is_whole = self.solver == "lbfgs"  # one batch, and one step of many iterations
        batch_size = min(200 if self.batch_size == "auto" else int(self.batch_size), len(rows))
        batch_size = len(rows) if is_whole else batch_size
        weight_of_a_batch = float(weight[rows].mean(dtype=np.float64)) * batch_size
        model.weight_decay = self.alpha / weight_of_a_batch
        progress = Progress(self, held_out)
        trainer = Trainer(1 if is_whole else max_epochs, callbacks=[progress], progress=bool(self.verbose), seed=seed)
        try:
            trainer.fit(model, Examples(DataLoader(dataset, batch_size, shuffle=self.shuffle and not is_whole)))
        except FloatingPointError as error:
            raise ValueError(f"{error}; features of one scale (StandardScaler) may help as well") from error
        finally:
            model.trainer = model.optimizer = None  # of this run, and with its data
        if not all(np.isfinite(parameter).all() for parameter in model.parameters()):
            raise ValueError(
                "[fit] the weights are not finite any more: scale X (StandardScaler) or lower learning_rate_init"
            )
        self.execution_, self._optimizer_state = trainer.execution, trainer.optim.state_dict()
        return progress.has_converged

    def _start_curves(self) -> None:
        self.t_ = self._no_improvement_count = 0
        self.loss_curve_: list[float] = []
        self.best_loss_: Any = None if self.early_stopping else np.inf
        self.validation_scores_: Any = [] if self.early_stopping else None
        self.best_validation_score_: Any = -np.inf if self.early_stopping else None

    def _new_optimizer(self, model: Network) -> optim.Optimizer:
        if self.solver == "lbfgs":
            return optim.LBFGS(
                model.parameters(),
                max_iter=self.max_iter,
                max_eval=self.max_fun,
                tolerance_grad=self.tol or 0.0,
                history_size=_HISTORY,
                line_search_fn="strong_wolfe",
            )
        weights, biases = [layer.weight for layer in model.layers], [layer.bias for layer in model.layers]
        groups: list[dict[str, Any]] = [{"params": weights}, {"params": biases}]
        if self.solver == "adam":
            betas = (self.beta_1, self.beta_2)
            return optim.Adam(groups, self.learning_rate_init, betas=betas, eps=self.epsilon)
        nesterov = self.nesterovs_momentum and self.momentum > 0
        return optim.SGD(groups, self.learning_rate_init, momentum=self.momentum, nesterov=nesterov)

    def _split(self, rows: Array, targets: Array, random_state: Any) -> tuple[Array, Array]:
        """Rows to train on, and rows to validate on."""
        train, others = train_test_split(
            rows, test_size=self.validation_fraction, random_state=random_state, stratify=self._strata(targets[rows])
        )
        if len(others) < 2:  # no R² of one
            raise ValueError(
                f"[fit] validation_fraction = {self.validation_fraction} of {len(rows)} examples is less than two"
            )
        return train, others

    # ---- predictions ----------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=_FLOATING)
        outputs: Array = self.model_.predict(X)
        return outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
