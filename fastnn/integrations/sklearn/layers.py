"""How many layers an estimator has: its parameters for them, and its weights under scikit-learn's names."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from fastnn.dispatch import Array

from .networks import ACTIVATIONS


@dataclass(kw_only=True, eq=False, repr=False)
class Linear:
    """No hidden layer, and longer steps."""

    solver: str = "sgd"
    learning_rate_init: float = 0.01

    hidden_layer_sizes: ClassVar[tuple[int, ...]] = ()
    activation: ClassVar[str] = "identity"
    model_: ClassVar[Any]

    @property
    def coef_(self) -> Array:
        """Weights (n_outputs, n_features), sharing the network's memory."""
        weight: Array = self.model_.layers[0].weight.numpy()
        return weight

    @property
    def intercept_(self) -> Array:
        """Biases (n_outputs,), sharing the network's memory."""
        bias: Array = self.model_.layers[0].bias.numpy()
        return bias


@dataclass(eq=False, repr=False)
class Multilayer:
    """Hidden layers of `hidden_layer_sizes` units, an int or several, with `activation` after each."""

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str = "relu"

    model_: ClassVar[Any]
    _layer_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer (inputs, outputs), sharing the network's memory."""
        return [layer.weight.numpy().T for layer in self.model_.layers]

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer (outputs,), sharing the network's memory."""
        return [layer.bias.numpy() for layer in self.model_.layers]
