"""Layers: modules with a forward of one operation, and Sequential, which puts them in a row."""

import math
import operator
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, overload

from fastnn import functional as F
from fastnn.dispatch import not_a_tensor
from fastnn.tensor import Tensor

from . import init
from .module import Module, Parameter, UninitializedParameter


class Linear(Module):
    """``x @ weight.T + bias`` for `x` (..., in_features).

    `weight` is (out_features, in_features), `bias` (out_features,) or None. Both start uniform within
    ``1 / sqrt(in_features)``, as in PyTorch, drawn in the order in which layers are made.

    >>> layer = Linear(4, 3)
    >>> layer, layer(F.ones(2, 4)).shape
    (Linear(in_features=4, out_features=3, bias=True), (2, 3))
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        in_features = _size("Linear", "in_features", in_features)
        out_features = _size("Linear", "out_features", out_features)
        self.weight = Parameter(F.zeros(out_features, in_features))
        self.bias = Parameter(F.zeros(out_features)) if bias else None
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            _init_bias(self.bias, self.weight)

    @property
    def out_features(self) -> int:
        """Width of the result."""
        return self.weight.shape[0]

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.weight.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result, (..., out_features)."""
        return F.linear(x, self.weight, self.bias)

    def config(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias is not None,
        }


class LazyLinear(Linear):
    """A Linear that takes `in_features` and its dtype from its first input, and is a Linear from then on.

    Initialisations asked for until then are remembered and done at that moment.

    >>> layer = LazyLinear(3)
    >>> layer.weight.data.fill_(0.5)
    UninitializedParameter(3, ?)
    >>> layer(F.ones(1, 4))
    tensor([[...]], requires_grad=True)
    >>> layer.weight.shape, type(layer).__name__
    ((3, 4), 'Linear')
    """

    def __init__(self, out_features: int, bias: bool = True) -> None:
        out_features = _size("LazyLinear", "out_features", out_features)
        weight = UninitializedParameter((out_features, None), partial(init.kaiming_uniform_, a=math.sqrt(5)))
        self.weight = weight
        self.bias = UninitializedParameter((out_features,), partial(_init_bias, weight=weight)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result, (..., out_features)."""
        if not isinstance(x, Tensor):
            raise not_a_tensor("LazyLinear", x)
        if isinstance(self.weight, UninitializedParameter):
            if x.ndim == 0 or x.shape[-1] == 0 or x.dtype.kind != "f":
                raise ValueError(f"[LazyLinear] x is {x.dtype} {x.shape}: floating point (..., in_features) is needed")
            self.weight.materialize((self.out_features, x.shape[-1]), x.dtype)
        if isinstance(self.bias, UninitializedParameter):
            self.bias.materialize((self.out_features,), self.weight.dtype)
        self._settle()
        return self.forward(x)

    def _settle(self) -> None:
        if not isinstance(self.weight, UninitializedParameter) and not isinstance(self.bias, UninitializedParameter):
            self.__class__ = Linear  # type: ignore[assignment]

    @property
    def out_features(self) -> int:
        """Width of the result."""
        weight = self.weight
        shape = weight.expected_shape if isinstance(weight, UninitializedParameter) else weight.shape
        return shape[0] or 0

    def config(self) -> dict[str, Any]:
        return {"out_features": self.out_features, "bias": self.bias is not None}


def _init_bias(bias: Tensor, weight: Tensor, name: str | None = None) -> None:
    bound = 1 / math.sqrt(weight.shape[1])
    init.uniform_(bias, -bound, bound, name=name)


def _size(layer: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"[{layer}] {name} = {value!r} must be an integer of at least 1")
    return operator.index(value)


class Flatten(Module):
    """Axes `start_dim` to `end_dim` made one: (n, 1, 28, 28) becomes (n, 784).

    >>> Flatten()(F.zeros(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """`x` with fewer axes."""
        return F.flatten(x, self.start_dim, self.end_dim)

    def config(self) -> dict[str, Any]:
        return {"start_dim": self.start_dim, "end_dim": self.end_dim}


class ReLU(Module):
    """``max(x, 0)``.

    >>> ReLU()(F.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The activation of `x`."""
        return F.relu(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Tensor) -> Tensor:
        """The activation of `x`."""
        return F.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """The activation of `x`."""
        return F.tanh(x)


class GELU(Module):
    """``x * (1 + erf(x / sqrt(2))) / 2``."""

    def forward(self, x: Tensor) -> Tensor:
        """The activation of `x`."""
        return F.gelu(x)


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along `dim`.

    >>> Softmax(dim=1)(F.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities, of the shape of `x`."""
        return F.softmax(x, self.dim)

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim}


class Dropout(Module):
    """In training, each element 0 with probability `p`, else divided by ``1 - p``; in evaluation, the input itself.

    >>> Dropout(0.5).eval()(F.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"[Dropout] p = {p} must be in [0, 1]")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """`x`, thinned out in training."""
        return F.dropout(x, self.p, self.training)

    def config(self) -> dict[str, Any]:
        return {"p": self.p}


class Sequential(Module):
    """Modules applied one after the other, named "0", "1", ... or by the keys of a mapping.

    >>> net = Sequential(Flatten(), Linear(4, 3), ReLU())
    >>> net[1].weight.shape, len(net), list(net.state_dict())
    ((3, 4), 3, ['1.weight', '1.bias'])
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        for module in modules:
            for name, member in module.items() if isinstance(module, Mapping) else [(str(len(self)), module)]:
                if not isinstance(member, Module):
                    raise TypeError(f"[Sequential] module {name} is a {type(member).__name__}, not a Module")
                setattr(self, name, member)

    def forward(self, x: Any) -> Any:
        """What the last module gives."""
        for module in list(vars(self).values()):  # what __iter__ gives, in half the time
            if isinstance(module, Module):
                x = module(x)
        return x

    def append(self, module: Module) -> "Sequential":
        """Put `module` at the end."""
        setattr(self, str(len(self)), module)
        return self

    def __len__(self) -> int:
        return sum(isinstance(value, Module) for value in vars(self).values())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return list(self)[index]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self.named_children())[index][0], module)
