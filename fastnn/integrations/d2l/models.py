"""The book's models: fastnn's under the book's methods, from scratch and concise."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from fastnn import functional as F
from fastnn import models, nn
from fastnn.dispatch import Array
from fastnn.optim import SGD
from fastnn.tensor import Tensor

from .board import ProgressBoard
from .hyperparameters import HyperParameters
from .tools import cross_entropy, dropout_layer, l2_penalty


class Module(models.Model, HyperParameters):
    """A model that draws its progress: subclasses set `net` and `lr` and define `loss`, and what else they like.

    What is handed to `plot` goes into the history of training, and from there onto the `board`:
    `plot_train_per_epoch` points per epoch of what training measures, `plot_valid_per_epoch` of what validation does
    (below 1: a point in several epochs).

    >>> class Line(Module):
    ...     def __init__(self, lr):
    ...         super().__init__()
    ...         self.save_hyperparameters()
    ...         self.net = nn.LazyLinear(1)
    ...     def loss(self, y_hat, y):
    ...         return ((y_hat - y) ** 2 / 2).mean()
    >>> Line(lr=0.03).hparams
    {'lr': 0.03}
    """

    plot_train_per_epoch: float = 2
    plot_valid_per_epoch: float = 1

    def __init__(self, plot_train_per_epoch: float = 2, plot_valid_per_epoch: float = 1) -> None:
        self.save_hyperparameters()
        for name, value in self.hparams.items():
            if not value > 0:
                raise ValueError(f"[Module] {name} = {value} must be above 0: board.display = False draws nothing")

    @cached_property
    def board(self) -> ProgressBoard:
        """Where the progress is drawn."""
        return ProgressBoard(xlabel="epoch")

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Add a number, or a Tensor of one element, to the curve ``train_<key>`` or ``val_<key>``."""
        self.log(f"{'train' if train else 'val'}_{key}", value)

    def training_step(self, batch: models.Batch) -> Tensor:
        """The loss of a batch (inputs, ..., targets), which is also plotted."""
        loss = self._loss(self(*batch[:-1]), batch[-1])
        self.plot("loss", loss, train=True)
        return loss

    def validation_step(self, batch: models.Batch) -> None:
        """Plots the loss of a batch."""
        self.plot("loss", self._loss(self(*batch[:-1]), batch[-1]), train=False)

    def apply_init(self, inputs: Sequence[Any], init: Callable[[nn.Module], object] | None = None) -> None:
        """Run the model on `inputs`, so that lazy layers get their shapes; then call `init` on every layer."""
        self(*inputs)
        if init is not None:
            self.net.apply(init)


class Classifier(Module, models.Classifier):
    """A model for classes: cross-entropy on logits, and the accuracy in validation."""

    def loss(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Cross-entropy of logits (..., classes) and labels (...) or probabilities; per example unless `averaged`."""
        logits, labels = _rows(Y_hat, Y)
        return nn.CrossEntropyLoss(reduction="mean" if averaged else "none")(logits, labels)  # type: ignore[no-any-return]

    def accuracy(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """The share of right predictions; unless `averaged`, 1 or 0 for each."""
        logits, labels = _rows(Y_hat, Y)
        hits = (logits.argmax(1) == (labels if labels.ndim == 1 else labels.argmax(1))).float()
        return hits.mean() if averaged else hits

    def validation_step(self, batch: models.Batch) -> None:
        """Plots the loss and the accuracy of a batch."""
        Y_hat, Y = self(*batch[:-1]), batch[-1]
        self.plot("loss", self._loss(Y_hat, Y), train=False)
        self.plot("acc", self.accuracy(Y_hat, Y), train=False)

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape that each layer of `net` gives for an input of `X_shape`.

        >>> SoftmaxRegression(num_outputs=3, lr=0.1).layer_summary((2, 1, 4, 4))
        Flatten output shape:	 (2, 16)
        Linear output shape:	 (2, 3)
        """
        X = F.randn(*X_shape)
        for layer in self.net:
            X = layer(X)
            print(type(layer).__name__, "output shape:\t", X.shape)


def _rows(Y_hat: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits as (n, classes), labels as (n,), probabilities or one-hot labels as (n, classes)."""
    logits = Y_hat.reshape(-1, Y_hat.shape[-1])
    return logits, Y.reshape(logits.shape) if Y.shape == Y_hat.shape else Y.reshape(-1)


# ---- linear regression ------------------------------------------------------------------------------------------


class LinearRegressionScratch(Module):
    """Linear regression with parameters of its own, `w` (num_inputs, 1) and `b` (1,), and half the squared error.

    >>> model = LinearRegressionScratch(num_inputs=2, lr=0.03)
    >>> model.w.shape, model.b
    ((2, 1), tensor([0.], requires_grad=True))
    """

    num_inputs: int

    def __init__(self, num_inputs: int, lr: float, sigma: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.w = F.normal(0, sigma, (num_inputs, 1), requires_grad=True)
        self.b = F.zeros(1, requires_grad=True)

    def forward(self, X: Tensor) -> Tensor:
        """Predictions (n, 1) for `X` (n, num_inputs)."""
        return F.matmul(X, self.w) + self.b

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Half the mean squared error."""
        return F.mse_loss(y_hat, y, half=True)

    def configure_optimizers(self) -> Any:
        """SGD on `w` and `b`."""
        return SGD([self.w, self.b], self.lr)


class LinearRegression(Module, models.LinearRegression):
    """Linear regression by a layer, and the squared error without half."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        models.LinearRegression.__init__(self, lr)
        self.save_hyperparameters()


class WeightDecayScratch(LinearRegressionScratch):
    """Linear regression whose loss holds `lambd` times half the squared norm of the weights."""

    lambd: float

    def __init__(self, num_inputs: int, lambd: float, lr: float, sigma: float = 0.01) -> None:
        super().__init__(num_inputs, lr, sigma)
        self.save_hyperparameters()

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Half the mean squared error, and the penalty."""
        return super().loss(y_hat, y) + self.lambd * l2_penalty(self.w)


class WeightDecay(LinearRegression):
    """Linear regression whose optimizer lets the weights decay by `wd`, and not the bias."""

    wd: float

    def __init__(self, wd: float, lr: float) -> None:
        super().__init__(lr)
        self.save_hyperparameters()

    def configure_optimizers(self) -> Any:
        """SGD with weight decay."""
        groups: list[dict[str, Any]] = [
            {"params": self.net.weight, "weight_decay": self.wd},
            {"params": self.net.bias},
        ]
        return SGD(groups, lr=self.lr)


# ---- classification -------------------------------------------------------------------------------------------


class SoftmaxRegressionScratch(Classifier):
    """Softmax regression that computes probabilities, from `W` (num_inputs, num_outputs) and `b` (num_outputs,)."""

    num_inputs: int

    def __init__(self, num_inputs: int, num_outputs: int, lr: float, sigma: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.W = F.normal(0, sigma, (num_inputs, num_outputs), requires_grad=True)
        self.b = F.zeros(num_outputs, requires_grad=True)

    def forward(self, X: Tensor) -> Tensor:
        """Probabilities (n, num_outputs) for `X` (n, ...)."""
        return F.softmax(F.matmul(X.reshape(-1, self.num_inputs), self.W) + self.b, 1)

    def loss(self, Y_hat: Tensor, Y: Tensor) -> Tensor:  # type: ignore[override]
        """Cross-entropy of probabilities and labels."""
        return cross_entropy(Y_hat, Y)

    def predict_proba(self, X: Any, batch_size: int = 1024) -> Array:
        """Probabilities (n, num_outputs) for the rows of `X`."""
        return self._outputs(X, batch_size, lambda probabilities: probabilities)


class SoftmaxRegression(Classifier, models.SoftmaxRegression):
    """Softmax regression by a layer."""

    def __init__(self, num_outputs: int, lr: float) -> None:
        super().__init__()
        models.SoftmaxRegression.__init__(self, num_outputs, lr)
        self.save_hyperparameters()


class MLPScratch(Classifier):
    """A perceptron with one hidden layer, from parameters of its own."""

    num_inputs: int

    def __init__(self, num_inputs: int, num_outputs: int, num_hiddens: int, lr: float, sigma: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.W1 = nn.Parameter(F.normal(0, sigma, (num_inputs, num_hiddens)))
        self.b1 = nn.Parameter(F.zeros(num_hiddens))
        self.W2 = nn.Parameter(F.normal(0, sigma, (num_hiddens, num_outputs)))
        self.b2 = nn.Parameter(F.zeros(num_outputs))

    def forward(self, X: Tensor) -> Tensor:
        """Logits (n, num_outputs) for `X` (n, ...)."""
        hidden = F.relu(F.matmul(X.reshape(-1, self.num_inputs), self.W1) + self.b1)
        return F.matmul(hidden, self.W2) + self.b2


class MLP(Classifier, models.MLP):
    """A perceptron with one hidden layer, from layers."""

    def __init__(self, num_outputs: int, num_hiddens: int, lr: float) -> None:
        super().__init__()
        models.MLP.__init__(self, num_outputs, num_hiddens, lr)
        self.save_hyperparameters()


class DropoutMLPScratch(Classifier):
    """A perceptron with two hidden layers, thinned out in training by a function."""

    dropout_1: float
    dropout_2: float

    def __init__(
        self, num_outputs: int, num_hiddens_1: int, num_hiddens_2: int, dropout_1: float, dropout_2: float, lr: float
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lin1, self.lin2, self.lin3 = map(nn.LazyLinear, (num_hiddens_1, num_hiddens_2, num_outputs))

    def forward(self, X: Tensor) -> Tensor:
        """Logits (n, num_outputs) for `X` (n, ...)."""
        hidden = X.flatten(1)
        for layer, dropout in ((self.lin1, self.dropout_1), (self.lin2, self.dropout_2)):
            hidden = F.relu(layer(hidden))
            if self.training:
                hidden = dropout_layer(hidden, dropout)
        return self.lin3(hidden)  # type: ignore[no-any-return]


class DropoutMLP(Classifier):
    """A perceptron with two hidden layers, each before a layer of dropout."""

    def __init__(
        self, num_outputs: int, num_hiddens_1: int, num_hiddens_2: int, dropout_1: float, dropout_2: float, lr: float
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten())
        for width, dropout in ((num_hiddens_1, dropout_1), (num_hiddens_2, dropout_2)):
            self.net.append(nn.LazyLinear(width)).append(nn.ReLU()).append(nn.Dropout(dropout))
        self.net.append(nn.LazyLinear(num_outputs))
