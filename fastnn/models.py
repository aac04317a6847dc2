"""Models: a network with its loss, its optimizer and its predictions (D2L's Module), and the lecture's three."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from . import _core, checkpoint, description, nn, optim
from . import functional as F
from .autograd import no_grad
from .data import ArrayData, DataLoader
from .data.loader import Column, is_plain
from .dispatch import Array, wrap
from .tensor import Tensor

Batch = Sequence[Any]
_FORMAT = 1  # of the metadata in files; a greater number is from the future


class Model(nn.Module):
    """A network that knows how to be trained: subclasses set `net` and `lr` and define `loss`.

    Everything may be overridden: `forward`, `training_step`, `validation_step`, `configure_optimizers`. Parameters may
    be plain Tensors that require a gradient. `classifies` says whether `predict` gives classes; a model whose targets
    are labels finds out by itself in its first step. `class_names` are those of the training data, where it has
    `classes`.

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

        `X` is an array, a frame or a Tensor of numbers, and becomes the dtype of the parameters. uint8 is scaled as in
        training (images by 1/255); TypeError where the model saw no uint8 then. At most `batch_size` rows are computed
        at a time.
        """
        if self.classifies:
            return self._outputs(X, batch_size, lambda logits: logits.argmax(1))
        values = self._outputs(X, batch_size, lambda values: values)
        return values[:, 0] if self._target_ndim == 1 and values.shape[1:] == (1,) else values

    def predict_proba(self, X: Any, batch_size: int = 1024) -> Array:
        """Probabilities (n, classes) for the rows of `X`; TypeError for a model that does not classify."""
        if not self.classifies:
            raise TypeError(f"[predict_proba] {type(self).__name__} gives values, not classes: use predict")
        return self._outputs(X, batch_size, lambda logits: F.softmax(logits, 1))

    def _outputs(self, X: Any, batch_size: int, finish: Callable[[Tensor], Tensor]) -> Array:
        if batch_size < 1:
            raise ValueError(f"[predict] batch_size = {batch_size} must be at least 1")
        array = X._array if isinstance(X, Tensor) else np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"[predict] X is {array.dtype}: numbers are needed")
        if array.ndim < 2:
            raise ValueError(f"[predict] X has shape {array.shape}: rows are needed, for one use X.reshape(1, -1)")
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with no_grad():
                starts = range(0, max(1, len(array)), batch_size)
                parts = [finish(self(self._input(array[i : i + batch_size]))).numpy() for i in starts]
        finally:
            for module, mode in modes:
                module.training = mode
        return np.concatenate(parts)

    def _input(self, rows: Array) -> Tensor:
        weights = (p for p in self.parameters() if not isinstance(p, nn.UninitializedParameter))
        dtype = next((p.dtype for p in weights if p.dtype.kind == "f"), np.dtype("float32"))
        if rows.dtype != np.uint8:
            return F.tensor(np.require(rows, dtype, ["C", "A"]))
        if self._uint8_divisor is None:
            raise TypeError(
                "[predict] X is uint8, which this model has not been trained on: convert it as the training data were, "
                "say X.astype('float32') / 255"
            )
        column = Column(wrap(np.require(rows, None, ["C", "A"])), self._uint8_divisor, dtype.name)
        return column.take(wrap(np.arange(len(rows))))

    # ---- files ----------------------------------------------------------------------------------------------------

    def describe(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What `save` writes: arrays, and metadata that `fastnn.load` makes the model from."""
        arguments = self._arguments
        if arguments and "lr" in arguments and hasattr(self, "lr"):  # it may have been changed since
            arguments = {**arguments, "lr": description.plain(self._rate())}
        arrays = {name: value.numpy() for name, value in self.state_dict().items()}
        whole = type(self).forward is Model.forward and all(name.startswith("net.") for name in arrays)
        metadata = {
            "format": _FORMAT,
            "version": _core.config()["version"],
            "class": type(self).__name__,
            "builtin": _BUILTIN.get(type(self).__name__) is type(self),
            "arguments": arguments,
            "net": description.network(self.net) if whole else None,
            "classifies": self.classifies,
            "class_names": description.texts(self.class_names),
            "target_ndim": self._target_ndim,
            "uint8_divisor": self._uint8_divisor,
            "input_shape": self._input_shape,
        }
        return arrays, metadata

    def _rate(self) -> Any:
        """The learning rate; of a schedule that is not fastnn's, which no file can hold, its current value."""
        if not callable(self.lr) or description.is_schedule(self.lr):
            return self.lr
        optimizer = getattr(self.trainer, "optim", None)
        return optimizer.lr if isinstance(optimizer, optim.Optimizer) else self.lr(0)

    def save(self, path: checkpoint.Path) -> None:
        """Write the weights, and what `fastnn.load` needs, to a safetensors file; it appears whole or not at all.

        Of the constructor's arguments it holds numbers, text, lists, short arrays, and the schedules of `fastnn.optim`.
        Raises OSError when the file cannot be written, ValueError for a lazy layer that has no weights yet.
        """
        checkpoint.write(path, *self.describe())

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
        self.load_state_dict({name: array for name, array in arrays.items() if not name.startswith("optimizer/")})
        if metadata is not None:
            self.classifies = bool(metadata.get("classifies"))
            self.class_names = description.texts(metadata.get("class_names"))
            self._target_ndim, self._uint8_divisor = target_ndim, divisor
            self._input_shape = None if shape is None else tuple(shape)
        return self

    def _remember(self, data: Any, loader: Any) -> None:
        """Keep what predictions and files need of the training data; `loader` None: batches are made elsewhere."""
        self._target_ndim = getattr(data, "target_ndim", None)
        self.class_names = description.texts(getattr(data, "classes", None)) or self.class_names
        self._uint8_divisor = self._input_shape = None
        if is_plain(loader):
            inputs = loader.dataset.columns[0]
            self._input_shape = inputs.data.shape[1:]
            if inputs.data.dtype == np.uint8:
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

        The least-squares solution by singular values (LAPACK's gelsd), of centred columns scaled to one length, so that
        neither a large mean nor different units cost digits; among several solutions a small one. The arrays of
        ArrayData are taken as they were given, not as its batches. Raises ValueError for numbers that are not finite.
        """
        loader = data.train_dataloader()
        X, y, dtype = _examples(data, loader)
        if X.ndim != 2 or y.shape != (len(X), self.num_outputs):
            raise ValueError(f"[solve] X is {X.shape}, y {y.shape}: needs (n, features) and (n, {self.num_outputs})")
        if not (np.isfinite(X).all() and np.isfinite(y).all()):
            raise ValueError("[solve] the data hold NaN or infinity: leave such rows out")
        X_mean, y_mean = X.mean(0), y.mean(0)
        X -= X_mean
        lengths = np.linalg.norm(X, axis=0)
        lengths[lengths == 0] = 1
        weight = (np.linalg.lstsq(X / lengths, y - y_mean, rcond=None)[0].T / lengths).astype(np.float64)
        bias = y_mean - weight @ X_mean
        self.load_state_dict({"net.weight": weight.astype(dtype), "net.bias": bias.astype(dtype)})
        self._remember(data, loader)
        return weight, bias


def _examples(data: Any, loader: Any) -> tuple[Array, Array, np.dtype[Any]]:
    """Training inputs and targets in float64 and in order, which shows in the last digits; and the batches' dtype."""
    if type(data) is ArrayData:  # its batches may be float32 of float64
        rows = slice(None) if data.train.rows is None else data.train.rows
        X, y, targets = data.X[rows], data.y[rows], data.train.columns[1].data
        return np.array(X, np.float64), np.array(y, np.float64).reshape(len(y), *targets.shape[1:]), targets.dtype
    if isinstance(loader, DataLoader):
        loader = DataLoader(loader.dataset, loader.batch_size)
    batches = [(np.asarray(batch[0]), np.asarray(batch[1])) for batch in loader]
    X, y = (np.concatenate([batch[i] for batch in batches]) for i in (0, 1))
    return X.astype(np.float64), y.astype(np.float64), X.dtype


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


class MLP(Classifier):
    """A multilayer perceptron: hidden layers of `num_hiddens` units (an int, or several), then the logits.

    `activation` is "relu", "sigmoid", "tanh" or "gelu"; `dropout` is the probability after each hidden layer. (D2L,
    sections 5.2 and 5.6.)

    >>> MLP(num_outputs=10, num_hiddens=[64, 32], lr=0.1).predict_proba(np.zeros((2, 28, 28))).shape
    (2, 10)
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
            raise ValueError(f"[MLP] activation = {activation!r} is unknown: use {', '.join(_ACTIVATIONS)}")
        self.num_outputs, self.lr = num_outputs, lr
        self.num_hiddens = list(num_hiddens) if np.iterable(num_hiddens) else [num_hiddens]
        self.net = nn.Sequential(nn.Flatten())
        for width in self.num_hiddens:
            self.net.append(nn.LazyLinear(width)).append(_ACTIVATIONS[activation]())
            if dropout:
                self.net.append(nn.Dropout(dropout))
        self.net.append(nn.LazyLinear(num_outputs))


class PredictOnly(Model):
    """A network from a file whose class is not known here: it predicts, and cannot be trained."""

    def __init__(self, net: nn.Module, source: str, arguments: dict[str, Any] | None) -> None:
        self.net, self.source, self._arguments = net, source, arguments

    def describe(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, metadata = super().describe()
        return arrays, {**metadata, "class": self.source}

    def configure_optimizers(self) -> Any:
        raise TypeError(f"[fit] the loss of {self.source} is not known here: use load(path, cls={self.source})")


_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU}
_BUILTIN: dict[str, Callable[..., Model]] = {
    "LinearRegression": LinearRegression,
    "SoftmaxRegression": SoftmaxRegression,
    "MLP": MLP,
}


def load(path: checkpoint.Path, cls: Callable[..., Model] | None = None) -> Model:
    """The model in a file that `Model.save` or a trainer's checkpoint wrote, in eval mode.

    A built-in class comes back as it was. Of another one the network comes back, where it is `net` of fastnn's own
    layers, and predicts; with `cls` all of it comes back: a class is called with the arguments of the saved model (a
    warning tells of those that no file can hold), any other function without. Raises OSError when the file cannot be
    read, and ValueError when it is damaged, foreign or of a class that needs `cls`.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> model = SoftmaxRegression(num_outputs=3, lr=0.1)
    >>> before = model.predict_proba(np.ones((1, 4)))
    >>> model.save(path)
    >>> np.array_equal(load(path).predict_proba(np.ones((1, 4))), before)
    True
    """
    arrays, metadata = checkpoint.read(path)
    if metadata is None:
        raise ValueError(f"[load] {path} was not written by fastnn: make the model and use its load(path)")
    if not isinstance(metadata.get("format"), int) or metadata["format"] > _FORMAT:
        raise ValueError(f"[load] {path} has format {metadata.get('format')}, this version reads up to {_FORMAT}")
    name, arguments = str(metadata.get("class")), metadata.get("arguments")
    try:
        if cls is not None:
            model = cls(**description.restored(arguments or {})) if isinstance(cls, type) else cls()
        elif metadata.get("builtin") and arguments is not None:
            model = _BUILTIN[name](**description.restored(arguments))
        elif metadata.get("net") is not None:
            model = PredictOnly(description.make_network(metadata["net"]), name, arguments)
        else:
            raise ValueError(f"{name} has a forward or layers of its own: use load(path, cls={name})")
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"[load] {path} holds a {name} that cannot be made: {error}") from error
    return model._restore(arrays, metadata).eval()
