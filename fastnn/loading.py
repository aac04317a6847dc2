"""Loading: models from the files that `Model.save` and trainers write."""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import checkpoint, description, nn
from .dispatch import Array
from .models import FORMAT, MLP, LinearRegression, MLPRegression, Model, SoftmaxRegression

_BUILTIN: dict[str, Callable[..., Model]] = {
    model.__name__: model for model in (LinearRegression, SoftmaxRegression, MLP, MLPRegression)
}
_MOST_LAYERS = 1000  # hidden ones: a hostile file could ask for millions of them in two bytes each


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
    return from_description(path, metadata, cls)._restore(arrays, metadata).eval()


def from_description(path: checkpoint.Path, metadata: dict[str, Any] | None, cls: Callable[..., Model] | None) -> Model:
    """The model that the `metadata` of a file describe, without its weights; as `load`."""
    if metadata is None:
        raise ValueError(f"[load] {path} was not written by fastnn: make the model and use its load(path)")
    if not isinstance(metadata.get("format"), int) or metadata["format"] > FORMAT:
        raise ValueError(f"[load] {path} has format {metadata.get('format')}, this version reads up to {FORMAT}")
    name, arguments = str(metadata.get("class")), metadata.get("arguments")
    try:
        if cls is not None:
            model = cls(**description.restored(arguments or {})) if isinstance(cls, type) else cls()
        elif metadata.get("builtin") and name in _BUILTIN and arguments is not None:
            if np.size(arguments.get("num_hiddens", 0)) > _MOST_LAYERS:
                raise ValueError(f"it has more than {_MOST_LAYERS} hidden layers")
            model = _BUILTIN[name](**description.restored(arguments))
        elif metadata.get("net") is not None:
            model = PredictOnly(description.make_network(metadata["net"]), name, arguments)
        else:
            raise ValueError(f"{name} has a forward or layers of its own: use load(path, cls={name})")
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"[load] {path} holds a {name} that cannot be made: {error}") from error
    return model


class PredictOnly(Model):
    """A network from a file whose class is not known here: it predicts, and cannot be trained."""

    def __init__(self, net: nn.Module, source: str, arguments: dict[str, Any] | None) -> None:
        self.net, self.source, self._arguments = net, source, arguments

    def describe(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, metadata = super().describe()
        return arrays, {**metadata, "class": self.source}

    def configure_optimizers(self) -> Any:
        raise TypeError(f"[fit] the loss of {self.source} is not known here: use load(path, cls={self.source})")
