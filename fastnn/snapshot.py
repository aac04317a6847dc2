"""Snapshot: the weights of a model at one time, to go back to."""

from .dispatch import Array, run
from .nn import Module, UninitializedParameter


class Snapshot:
    """The weights of `model` as they are now; of lazy layers, those that its first batch and the seed will make.

    >>> from fastnn import nn
    >>> layer = nn.Linear(2, 1)
    >>> before, snapshot = layer.weight.tolist(), Snapshot(layer)
    >>> layer.weight.data.fill_(7.0)
    tensor([[7., 7.]])
    >>> snapshot.restore()
    >>> layer.weight.tolist() == before
    True
    """

    def __init__(self, model: Module) -> None:
        self._values, self._makers = [], []
        for name, parameter in model.named_parameters():
            if isinstance(parameter, UninitializedParameter):
                self._makers.append((name, parameter, parameter.initialise))
            else:
                self._values.append((name, parameter, parameter.detach().clone()))

    def restore(self) -> None:
        """Give the model these weights again, in place."""
        for _, parameter, value in self._values:
            run("cast", value, out=parameter)
        for _, parameter, initialise in self._makers:
            if not isinstance(parameter, UninitializedParameter):
                initialise(parameter.data)

    def to_arrays(self) -> dict[str, Array]:
        """These weights by name, those of layers that are lazy no longer among them."""
        arrays = {name: value.numpy() for name, _, value in self._values}
        for name, parameter, initialise in self._makers:
            if not isinstance(parameter, UninitializedParameter):
                value = parameter.detach().clone()
                initialise(value)
                arrays[name] = value.numpy()
        return arrays
