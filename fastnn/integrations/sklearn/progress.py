"""What an estimator tells of its epochs, and when it stops."""

from typing import TYPE_CHECKING, Any, cast

from fastnn.callbacks import Callback
from fastnn.dispatch import Array
from fastnn.optim import LBFGS

if TYPE_CHECKING:
    from fastnn.trainer import Trainer

    from .estimator import NetworkEstimator
    from .networks import Network

_LEAST_RATE = 1e-6  # below it, "adaptive" stops


class Progress(Callback):
    """Writes the curves of `estimator`, adapts the learning rate, and stops where nothing improves any more.

    `held_out` is (X, targets, weight) for the validation score, and None where the loss decides: with a score, the
    network ends with the weights that had the best. `has_converged` says whether training stopped by itself.
    """

    def __init__(self, estimator: "NetworkEstimator", held_out: tuple[Array, Array, Array] | None) -> None:
        self.estimator, self.held_out = estimator, held_out
        self.has_converged = False
        self._best: dict[str, Any] = {}

    def on_fit_start(self, state: "Trainer") -> None:
        if self.held_out is not None and self.estimator.validation_scores_:  # the weights there are may remain the best
            self._keep(state)

    def on_epoch_start(self, state: "Trainer") -> None:
        # Epochs of earlier calls count: each call of partial_fit meets the order that fit would meet in that epoch.
        state.train_dataloader.set_epoch(len(self.estimator.loss_curve_))

    def on_epoch_end(self, state: "Trainer") -> None:
        estimator, model = self.estimator, cast("Network", state.model)
        if isinstance(state.optim, LBFGS):
            self._note_iterations(state.optim, len(state.train_dataloader.dataset))
            return
        estimator.n_iter_ = state.epoch
        estimator.t_ += len(state.train_dataloader.dataset)
        estimator.loss_curve_.append(state.history.train_loss[-1] + model.penalty().item())
        improves = self._loss_improves() if self.held_out is None else self._score_improves(state, *self.held_out)
        estimator._no_improvement_count = 0 if improves else estimator._no_improvement_count + 1
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            _set_rate(state, estimator.learning_rate_init / (estimator.t_ + 1) ** estimator.power_t)
        if estimator.tol is not None and estimator._no_improvement_count > estimator.n_iter_no_change:
            self._slow_down_or_stop(state)

    def on_fit_end(self, state: "Trainer") -> None:
        if self.held_out is not None:
            state.model.load_state_dict(self._best)

    def _note_iterations(self, optimizer: LBFGS, examples: int) -> None:
        """All of them were made in one epoch."""
        estimator, (_, *losses) = self.estimator, optimizer.losses
        estimator.n_iter_ = len(losses)
        estimator.t_ += examples * len(losses)
        estimator.loss_curve_ += losses
        estimator.best_loss_ = min(estimator.best_loss_, *optimizer.losses)
        self.has_converged = optimizer.has_converged

    def _loss_improves(self) -> bool:
        estimator = self.estimator
        before, loss = estimator.best_loss_, estimator.loss_curve_[-1]
        estimator.best_loss_ = min(before, loss)
        return bool(loss <= before - (estimator.tol or 0.0))

    def _score_improves(self, state: "Trainer", X: Array, targets: Array, weight: Array) -> bool:
        estimator, model = self.estimator, cast("Network", state.model)
        before, decisions = estimator.best_validation_score_, model.decide(model.predict(X))
        score = float(estimator._metric(targets, decisions, sample_weight=weight))
        estimator.validation_scores_.append(score)
        if score > before:
            estimator.best_validation_score_ = score
            self._keep(state)
        return bool(score >= before + (estimator.tol or 0.0))

    def _keep(self, state: "Trainer") -> None:
        self._best = {name: value.clone() for name, value in state.model.state_dict().items()}

    def _slow_down_or_stop(self, state: "Trainer") -> None:
        estimator, rate = self.estimator, state.optim.lr
        if estimator.solver == "sgd" and estimator.learning_rate == "adaptive" and rate > _LEAST_RATE:
            _set_rate(state, rate / 5)
            estimator._no_improvement_count = 0
        else:
            self.has_converged = state.should_stop = True


def _set_rate(state: "Trainer", rate: float) -> None:
    for group in state.optim.param_groups:
        group["lr"] = rate
