"""The networks that estimators train: a loss for each example, and what its outputs mean."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn import kernels, nn
from fastnn.dispatch import Array
from fastnn.models import Batch, Model
from fastnn.tensor import Tensor

ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "identity": None,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}


class Network(Model):
    """Linear layers with `activation` between them; `predict` gives their outputs (n, num_outputs).

    A batch is (X, y, weight), and its loss ``sum(weight * losses) / sum(weight)``. Weights start as Glorot and Bengio
    (2010) advise, biases at 0. `optimizer` is there while it is trained; `weight_decay` is the gradient of the penalty
    over the weights, biases have none.
    """

    optimizer: Any = None
    weight_decay = 0.0

    def __init__(self, hidden_layer_sizes: int | Sequence[int], num_outputs: int, activation: str) -> None:
        self.net = nn.Sequential()
        between = ACTIVATIONS[activation]
        for width in hidden_layer_sizes if np.iterable(hidden_layer_sizes) else [hidden_layer_sizes]:
            self.net.append(nn.LazyLinear(width))
            if between is not None:
                self.net.append(between())
        self.net.append(nn.LazyLinear(num_outputs))
        for layer in self.layers:
            # Within sqrt(6 / (inputs + outputs)), for the sigmoid sqrt(2 / ...), as scikit-learn's start.
            nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(1 / 3) if activation == "logistic" else 1.0)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @property
    def layers(self) -> list[nn.Linear]:
        """The linear layers, from the first to the last."""
        return [layer for layer in self.net if isinstance(layer, nn.Linear)]

    def penalty(self) -> Tensor:
        """What the weights, as they are, add to the loss."""
        first, *others = [(layer.weight**2).sum() for layer in self.layers]
        return sum(others, first) * (self.weight_decay / 2)

    def configure_optimizers(self) -> Any:
        if not self.optimizer.takes_closure:
            self.optimizer.param_groups[0]["weight_decay"] = self.weight_decay
        return self.optimizer

    def training_step(self, batch: Batch) -> Tensor:
        X, y, weight = batch
        loss: Tensor = (self.losses(self(X), y) * weight).sum() / weight.sum()
        self.log("train_loss", loss)
        return loss + self.penalty() if self.optimizer.takes_closure else loss

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each example (n,)."""
        raise NotImplementedError

    def decide(self, outputs: Array) -> Array:
        """The targets that `outputs` stand for, of the shape of the targets in training."""
        raise NotImplementedError


class SquaredErrorNetwork(Network):
    """Half the squared error, added over the outputs; targets are (n, num_outputs)."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(outputs, y, half=True, reduction="none").sum(1)

    def decide(self, outputs: Array) -> Array:
        return outputs


class SoftmaxNetwork(Network):
    """Cross-entropy of softmax(outputs); targets are class indices (n,)."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs, y, reduction="none")

    def decide(self, outputs: Array) -> Array:
        codes: Array = outputs.argmax(1)
        return codes

    def probabilities(self, outputs: Array) -> Array:
        """Of each class."""
        return kernels.softmax(outputs)

    def log_probabilities(self, outputs: Array) -> Array:
        """Of each class, without underflow."""
        return kernels.log_softmax(outputs)


class SigmoidNetwork(Network):
    """Cross-entropy of sigmoid(outputs), added over the labels; targets are 0 and 1 (n, labels)."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        losses: Tensor = nn.BCEWithLogitsLoss(reduction="none")(outputs, y)
        return losses.sum(1)

    def decide(self, outputs: Array) -> Array:
        return (outputs > 0).astype(np.int64)

    def probabilities(self, outputs: Array) -> Array:
        """Of each label."""
        return kernels.sigmoid(outputs)

    def log_probabilities(self, outputs: Array) -> Array:
        """Of each label, without underflow."""
        log_probabilities: Array = -np.logaddexp(0, -outputs)
        return log_probabilities
