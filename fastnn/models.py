"""Models: a network with its loss, its optimizer and its predictions (D2L's Module), and the lecture's three."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import _core, checkpoint, description, nn, optim
from . import functional as F
from .autograd import no_grad
from .data import Schema
from .data.labels import class_indices
from .data.loader import Column, is_plain
from .data.sparse import is_sparse
from .dispatch import Array, wrap
from .least_squares import examples, least_squares
from .metrics import mean_squared_error, r2_score
from .nn.module import device_of
from .tensor import Tensor

if TYPE_CHECKING:
    from .summary import Summary

Batch = Sequence[Any]
FORMAT = 1  # of the metadata in files; a greater number is from the future


class Model(nn.Module):
    """A network that knows how to be trained: subclasses set `net` and `lr` and define `loss`.

    Everything may be overridden: `forward`, `training_step`, `validation_step`, `configure_optimizers`. Parameters may
    be plain Tensors that require a gradient. `classifies` says whether `predict` gives classes; a model whose targets
    are labels finds out by itself in its first step. `class_names` are those of the training data, where it has
    `classes`; `schema` is what a model that was trained on TableData knows of the columns.

    >>> class Line(Model):
    ...     def __init__(self, lr):
    ...         self.lr, self.w = lr, F.zeros(2, 1, requires_grad=True)
    ...     def forward(self, X):
    ...         return X @ self.w
    ...     def loss(self, y_hat, y):
    ...         return ((y_hat - y) ** 2).mean()
    >>> Line(lr=0.1).predict(np.ones((3, 2))).shape
    (3, 1)
    """

    net: Any
    lr: Any
    trainer: Any = None
    classifies = False
    class_names: Sequence[str] | None = None
    schema: Schema | None = None
    _arguments: dict[str, Any] | None
    _target_ndim: int | None = None  # of the targets as they were given: predictions have as many dimensions
    _uint8_divisor: float | None = None  # how images were scaled in training
    _input_shape: tuple[int, ...] | None = None  # of a row of the training data

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        model = super().__new__(cls)
        model._arguments = description.arguments(cls, args, kwargs)
        return model

    # ---- training -------------------------------------------------------------------------------------------------

    def forward(self, X: Any) -> Any:
        """The network's result for a batch."""
        return self.net(X)

    def loss(self, y_hat: Any, y: Any) -> Tensor:
        """The loss of a batch, a Tensor of one element."""
        raise NotImplementedError(f"[{type(self).__name__}] loss(y_hat, y) is missing")

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch (inputs, ..., targets); logs it as train_loss."""
        loss = self._loss(self(*batch[:-1]), batch[-1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Batch) -> None:
        """Logs val_loss and, where the model classifies, val_acc."""
        y_hat, y = self(*batch[:-1]), batch[-1]
        self.log("val_loss", self._loss(y_hat, y))
        if self.classifies:
            self.log("val_acc", F.accuracy(y_hat, y if y.ndim == 1 else y.argmax(1)))

    def configure_optimizers(self) -> Any:
        """Any object with step() and zero_grad(); SGD at `lr` unless overridden."""
        return optim.SGD(self.parameters(), lr=self.lr)

    def log(self, name: str, value: Any) -> None:
        """Add a number, or a Tensor of one element, to the epoch's mean of `name`; without a trainer, do nothing."""
        if self.trainer is not None:
            self.trainer.log(name, value)

    def _loss(self, y_hat: Any, y: Any) -> Tensor:
        """The loss; refuses targets that would broadcast against the predictions, and sees whether they are labels."""
        column = isinstance(y_hat, Tensor) and isinstance(y, Tensor) and (y_hat.ndim, y.ndim) == (2, 1)
        if column and (y.dtype.kind == "f" or (y_hat.shape[1] == 1 and not self.classifies)):
            raise ValueError(
                f"[{type(self).__name__}] y is {y.dtype} {y.shape} but the predictions are {y_hat.shape}, and their "
                f"difference would not be: use y.astype('float32').reshape(-1, 1)"
            )
        loss = self.loss(y_hat, y)
        self.classifies = self.classifies or column
        return loss

    # ---- predictions ----------------------------------------------------------------------------------------------

    def predict(self, X: Any, batch_size: int = 1024) -> Array:
        """Predictions for the rows of `X`: classes (n,), int64, or for regression values in the rank of the targets.

        `X` is an array, a frame, a Tensor or a sparse matrix of numbers, and becomes the dtype of the parameters. uint8
        is scaled as in training (images by 1/255); TypeError where the model saw no uint8 then. At most `batch_size`
        rows are computed at a time. A model with a `schema` also takes what `fastnn.data.read_table` does, a file for
        instance; it scales the inputs, gives values in their own units (float64), and raises ValueError for other
        columns than its own.
        """
        if self.classifies:
            return self._outputs(X, batch_size, lambda logits: logits.argmax(1))
        values = self._outputs(X, batch_size, lambda values: values)
        if self.schema is not None:
            values = self.schema.values(values)
        return values[:, 0] if self._target_ndim == 1 and values.shape[1:] == (1,) else values

    def predict_proba(self, X: Any, batch_size: int = 1024) -> Array:
        """Probabilities (n, classes) for the rows of `X`; TypeError for a model that does not classify."""
        if not self.classifies:
            raise TypeError(f"[predict_proba] {type(self).__name__} gives values, not classes: use predict")
        return self._outputs(X, batch_size, lambda logits: F.softmax(logits, 1))

    def evaluate(self, X: Any, y: Any, batch_size: int = 1024) -> dict[str, float]:
        """How good predictions for `X` are: "loss" and "accuracy", or for regression "mse" and "r2".

        `X` is as for `predict`; `y` (n,) are class indices, or for a model with a `schema` labels by name, or values in
        the shape of the predictions. R² is NaN where `y` does not vary. Raises ValueError for labels that are no class,
        and for lengths that differ.
        """
        targets = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
        if not self.classifies:
            predicted = self.predict(X, batch_size)
            return {"mse": mean_squared_error(targets, predicted), "r2": r2_score(targets, predicted)}
        if self.schema is not None:
            targets = class_indices(targets, self.class_names or ())
        logits = self._outputs(X, batch_size, lambda logits: logits)
        device = device_of(self)
        loss = self.loss(F.tensor(logits, device=device), F.tensor(targets, device=device))
        return {"loss": loss.item(), "accuracy": float(np.mean(logits.argmax(1) == targets))}

    def _outputs(self, X: Any, batch_size: int, finish: Callable[[Tensor], Tensor]) -> Array:
        if batch_size < 1:
            raise ValueError(f"[predict] batch_size = {batch_size} must be at least 1")
        if self.schema is not None:
            X = self.schema.inputs(X)
        if is_sparse(X):
            array = X.tocsr()
        else:
            array = X.numpy() if isinstance(X, Tensor) else np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"[predict] X is {array.dtype}: numbers are needed")
        if array.ndim < 2:
            raise ValueError(f"[predict] X has shape {array.shape}: rows are needed, for one use X.reshape(1, -1)")
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with no_grad():
                starts = range(0, max(1, array.shape[0]), batch_size)
                parts = [finish(self(self._input(array[i : i + batch_size]))).numpy() for i in starts]
        finally:
            for module, mode in modes:
                module.training = mode
        return np.concatenate(parts)

    def _input(self, rows: Any) -> Tensor:
        weights = (p for p in self.parameters() if not isinstance(p, nn.UninitializedParameter))
        dtype = next((p.dtype for p in weights if p.dtype.kind == "f"), np.dtype("float32"))
        device = device_of(self)
        if is_sparse(rows):
            return F.tensor(rows.astype(dtype).toarray(), device=device)
        if rows.dtype != np.uint8:
            return F.tensor(np.require(rows, dtype, ["C", "A"]), device=device)
        if self._uint8_divisor is None:
            raise TypeError(
                "[predict] X is uint8, which this model has not been trained on: convert it as the training data were, "
                "say X.astype('float32') / 255"
            )
        column = Column(wrap(np.require(rows, None, ["C", "A"])), self._uint8_divisor, dtype.name)
        return column.to(device).take(wrap(np.arange(len(rows))))

    def summary(self, X_shape: Sequence[int] | None = None) -> "Summary":
        """A table of the layers: shapes, parameters and operations on a batch of shape `X_shape`.

        None means one row of the training data, or of the first linear layer; ValueError without either. The model
        stays as it is, lazy layers too.

        >>> print(SoftmaxRegression(num_outputs=10, lr=0.1).summary((256, 1, 28, 28)))
        SoftmaxRegression on X (256, 1, 28, 28): 7,850 parameters, 4.014 MFLOP forward
        layer  kind     gives       parameters  MFLOP
        net.0  Flatten  (256, 784)           0  0.000
        net.1  Linear   (256, 10)        7,850  4.014
        """
        from .summary import summarize  # with the recorder, which only training needs besides

        if X_shape is None and self._input_shape is not None:
            X_shape = (1, *self._input_shape)
        return summarize(self, X_shape)

    # ---- files ----------------------------------------------------------------------------------------------------

    def describe(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What `save` writes: arrays, and metadata that `fastnn.load` makes the model from."""
        arguments = self._arguments
        if arguments and "lr" in arguments and hasattr(self, "lr"):  # it may have been changed since
            arguments = {**arguments, "lr": description.plain(description.learning_rate(self))}
        arrays = {name: value.numpy() for name, value in self.state_dict().items()}
        whole = type(self).forward is Model.forward and all(name.startswith("net.") for name in arrays)
        metadata = {
            "format": FORMAT,
            "version": _core.config()["version"],
            "class": type(self).__name__,
            "builtin": type(self).__module__ == __name__,
            "arguments": arguments,
            "net": description.network(self.net) if whole else None,
            "classifies": self.classifies,
            "class_names": description.texts(self.class_names),
            "target_ndim": self._target_ndim,
            "uint8_divisor": self._uint8_divisor,
            "input_shape": self._input_shape,
            "schema": None if self.schema is None else dataclasses.asdict(self.schema),
        }
        return arrays, metadata

    def save(self, path: checkpoint.Path, dtype: str | None = None) -> None:
        """Write the weights, and what `fastnn.load` needs, to a safetensors file; it appears whole or not at all.

        `dtype` "float16" rounds the weights to half the bytes; loaded, they are float32. Of the constructor's arguments
        the file holds numbers, text, lists, short arrays, and the schedules of `fastnn.optim`. Raises OSError when it
        cannot be written, ValueError for a lazy layer that has no weights yet, and for weights beyond float16.
        """
        arrays, metadata = self.describe()
        checkpoint.write(path, arrays if dtype is None else checkpoint.rounded(arrays, dtype), metadata)

    def load(self, path: checkpoint.Path) -> Self:
        """Take over the weights in a safetensors file, also one of another library with the same names.

        Raises OSError when it cannot be read, ValueError when it is damaged or does not fit; nothing is changed then.
        """
        return self._restore(*checkpoint.read(path))

    def _restore(self, arrays: dict[str, Array], metadata: dict[str, Any] | None) -> Self:
        known = {name: (metadata or {}).get(name) for name in ("target_ndim", "uint8_divisor", "input_shape")}
        target_ndim, divisor, shape = known.values()
        is_shape = isinstance(shape, list | None) and all(isinstance(n, int) and n >= 0 for n in shape or ())
        if not (isinstance(target_ndim, int | None) and isinstance(divisor, float | None) and is_shape):
            raise ValueError(f"[load] metadata has {', '.join(f'{name} {value!r}' for name, value in known.items())}")
        saved = (metadata or {}).get("schema")
        schema = None if saved is None else Schema.from_dict(saved)
        weights = {name: array for name, array in arrays.items() if not name.startswith(checkpoint.TRAINING)}
        self.load_state_dict(weights)
        if metadata is not None:
            self.classifies = bool(metadata.get("classifies"))
            self.class_names = description.texts(metadata.get("class_names"))
            self._target_ndim, self._uint8_divisor, self.schema = target_ndim, divisor, schema
            self._input_shape = None if shape is None else tuple(shape)
        return self

    def _remember(self, data: Any, loader: Any) -> None:
        """Keep what predictions and files need of the training data; `loader` None: batches are made elsewhere."""
        self.schema, self._target_ndim = getattr(data, "schema", None), getattr(data, "target_ndim", None)
        self.class_names = description.texts(getattr(data, "classes", None)) or self.class_names
        self._uint8_divisor = self._input_shape = None
        if is_plain(loader):
            inputs = loader.dataset.columns[0]
            self._input_shape = inputs.shape[1:]
            if isinstance(inputs, Column) and inputs.dtype == np.uint8:
                self._uint8_divisor = float(inputs.gather.get("divisor", 1.0))

    def __getstate__(self) -> dict[str, Any]:
        """A copy belongs to no trainer: it would take the data along."""
        return {name: value for name, value in vars(self).items() if name != "trainer"}


class LinearRegression(Model):
    """Linear regression by gradient descent or in closed form: mean squared error, half of it with `half`.

    Weights start normally distributed with standard deviation 0.01, the bias 0. (D2L, sections 3.4 and 3.5.)

    >>> from fastnn.data import SyntheticRegression
    >>> model = LinearRegression(lr=0.03)
    >>> w, b = model.solve(SyntheticRegression(w=[2, -3.4], b=4.2, noise=0.0))
    >>> w.round(3) + 0.0, b.round(3)
    (array([[ 2. , -3.4]]), array([4.2]))
    """

    def __init__(self, lr: float, num_outputs: int = 1, half: bool = False) -> None:
        self.lr, self.num_outputs, self.half = lr, num_outputs, half
        self.net = nn.LazyLinear(num_outputs)
        nn.init.normal_(self.net.weight, 0, 0.01)
        nn.init.zeros_(self.net.bias)

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Mean squared error, over equal shapes."""
        return F.mse_loss(y_hat, y, half=self.half)

    def get_w_b(self) -> tuple[Tensor, Tensor]:
        """Weight (num_outputs, features) and bias (num_outputs,), sharing memory."""
        return self.net.weight.data, self.net.bias.data

    def solve(self, data: Any) -> tuple[Array, Array]:
        """Fit the training data of `data` at once; returns weight and bias in float64, and takes them over.

        The least-squares solution by singular values, `fastnn.least_squares`. The arrays of ArrayData are taken as they
        were given, not as its batches. Raises ValueError for numbers that are not finite.
        """
        loader = data.train_dataloader()
        X, y, dtype = examples(data, loader)
        if X.ndim != 2 or y.shape != (len(X), self.num_outputs):
            raise ValueError(f"[solve] X is {X.shape}, y {y.shape}: needs (n, features) and (n, {self.num_outputs})")
        weight, bias = least_squares(X, y)
        self.load_state_dict({"net.weight": weight.astype(dtype), "net.bias": bias.astype(dtype)})
        self._remember(data, loader)
        return weight, bias


class Classifier(Model):
    """What classifiers share: cross-entropy on logits, with targets as class indices or one-hot."""

    classifies = True

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of softmax(y_hat), with y (n,) or (n, classes)."""
        return nn.CrossEntropyLoss()(y_hat, y)  # type: ignore[no-any-return]


class SoftmaxRegression(Classifier):
    """Softmax regression: one linear layer to the logits of `num_outputs` classes. (D2L, section 4.5.)

    >>> model = SoftmaxRegression(num_outputs=3, lr=0.1)
    >>> model.predict(np.zeros((2, 4))).dtype, sum(p.numel() for p in model.parameters())
    (dtype('int64'), 15)
    """

    def __init__(self, num_outputs: int, lr: float) -> None:
        self.num_outputs, self.lr = num_outputs, lr
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))


class Perceptron(Model):
    """What multilayer perceptrons share: hidden layers of `num_hiddens` units (an int, or several), then the outputs.

    `activation` is "relu", "sigmoid", "tanh" or "gelu"; `dropout` is the probability after each hidden layer.
    """

    def __init__(
        self,
        num_outputs: int,
        num_hiddens: int | Sequence[int] | Array,
        lr: float,
        dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"[{type(self).__name__}] activation = {activation!r} is none of {', '.join(_ACTIVATIONS)}"
            )
        self.num_outputs, self.lr = num_outputs, lr
        self.num_hiddens = list(num_hiddens) if np.iterable(num_hiddens) else [num_hiddens]
        self.net = nn.Sequential(nn.Flatten())
        for width in self.num_hiddens:
            self.net.append(nn.LazyLinear(width)).append(_ACTIVATIONS[activation]())
            if dropout:
                self.net.append(nn.Dropout(dropout))
        self.net.append(nn.LazyLinear(num_outputs))


class MLP(Perceptron, Classifier):
    """A multilayer perceptron whose outputs are the logits of classes. (D2L, sections 5.2 and 5.6.)

    >>> MLP(num_outputs=10, num_hiddens=[64, 32], lr=0.1).predict_proba(np.zeros((2, 28, 28))).shape
    (2, 10)
    """


class MLPRegression(Perceptron):
    """A multilayer perceptron whose outputs are values.

    >>> MLPRegression(num_outputs=2, num_hiddens=8, lr=0.01).predict(np.zeros((3, 4))).shape
    (3, 2)
    """

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Mean squared error, over equal shapes."""
        return F.mse_loss(y_hat, y)


_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU}
