"""Summary: what each layer of a model gives, holds and computes."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import functional as F
from . import tabular
from .autograd import no_grad
from .dispatch import Advance, state, unrecorded
from .nn import Linear, Module, UninitializedParameter
from .record.plan import Step
from .record.table import flops_of
from .tensor import Tensor

_SIDES = "<<<>>"  # to which the columns of the table are aligned


@dataclass
class Layer:
    """One module: its name and kind, the shape of its result, and the parameters and operations that are its own."""

    name: str
    kind: str
    shape: tuple[int, ...] | None = None  # None: it was not called
    parameters: int = 0
    flops: int = 0


@dataclass(frozen=True, repr=False)
class Summary:
    """The layers of a model in the order in which they are called on a batch of shape `X_shape`; printed, a table.

    Operations are those of the forward pass, multiplications and additions of products, and one per element of anything
    else; shared parameters count where they come first.
    """

    title: str
    X_shape: tuple[int, ...]
    layers: list[Layer]

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def flops(self) -> int:
        """Operations of the forward pass."""
        return sum(layer.flops for layer in self.layers)

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("layer", "kind", "gives", "parameters", "MFLOP")]
        for layer in self.layers:
            shape, flops = "-" if layer.shape is None else str(layer.shape), f"{layer.flops / 1e6:,.3f}"
            rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", flops))
        return rows

    def _heading(self) -> str:
        total = f"{self.parameters:,} parameters, {self.flops / 1e6:,.3f} MFLOP forward"
        return f"{self.title} on X {self.X_shape}: {total}"

    def __repr__(self) -> str:
        return "\n".join([self._heading(), *tabular.text(self._rows(), _SIDES)])

    def _repr_html_(self) -> str:
        """The table as notebooks show it."""
        return tabular.html(self._heading(), self._rows(), _SIDES)


def summarize(module: Module, X_shape: Sequence[int] | None = None) -> Summary:
    """What `module` does with a batch of shape `X_shape`; the module itself stays as it is.

    `X_shape` None means one row for the first linear layer. Raises ValueError where that does not know its length yet,
    and whatever `module` raises on such a batch.

    >>> from fastnn import nn
    >>> summarize(nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10)), (100, 40))
    Sequential on X (100, 40): 1,540 parameters, 0.303 MFLOP forward
    layer  kind    gives      parameters  MFLOP
    0      Linear  (100, 30)       1,230  0.240
    1      ReLU    (100, 30)           0  0.003
    2      Linear  (100, 10)         310  0.060
    """
    shape = _row(module) if X_shape is None else tuple(X_shape)
    module = copy.deepcopy(module).eval().cpu()
    for name, parameter in module.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            parameter.name_it(name)  # then what it draws changes no later number
    X = F.zeros(*shape, dtype=_dtype(module))
    with no_grad(), unrecorded():
        module(X)  # lazy layers take their shapes, which is not to be counted
        state.recorder = counter = _Counter(module)
        module(X)
    return Summary(type(module).__name__, shape, counter.layers())


def _row(module: Module) -> tuple[int, ...]:
    linear = next((layer for layer in module.modules() if isinstance(layer, Linear)), None)
    if linear is None or isinstance(linear.weight, UninitializedParameter):
        raise ValueError("[summary] X_shape is missing: nothing tells the length of a row")
    return (1, linear.in_features)


def _dtype(module: Module) -> np.dtype[Any]:
    made = (parameter for parameter in module.parameters() if not isinstance(parameter, UninitializedParameter))
    return next((parameter.dtype for parameter in made), np.dtype("float32"))


def _named(module: Module, name: str = "") -> Iterator[tuple[str, Module]]:
    yield name, module
    for child, member in list(module.named_children()):
        yield from _named(member, f"{name}.{child}" if name else child)


class _Counter:
    """Told of kernels as a recorder is, it counts their operations for the innermost module that is being called."""

    def __init__(self, module: Module) -> None:
        self._layers: dict[str, Layer] = {}
        self._leaves: set[str] = set()
        self._called: list[str] = []  # names, in the order of their first calls
        self._inside: list[str] = []  # of the modules that are being called, the innermost last
        seen: set[int] = set()
        for name, member in _named(module):
            if id(member) not in seen:
                seen.add(id(member))
                self._layers[name] = Layer(name, type(member).__name__)
                self._leaves |= set() if any(member.children()) else {name}
                vars(member)["forward"] = self._watched(name, member)
        for name, parameter in module.named_parameters():
            self._layers[name.rpartition(".")[0]].parameters += parameter.numel()

    def layers(self) -> list[Layer]:
        """Those that were called, in order, and those with parameters that were not; no mere containers."""
        order = dict.fromkeys([*self._called, *self._layers])
        layers = {name: self._layers[name] for name in order}
        return [
            layer
            for name, layer in layers.items()
            if layer.parameters or layer.flops or (name in self._leaves and name in self._called)
        ]

    def _watched(self, name: str, member: Module) -> Callable[..., Any]:
        def forward(*inputs: Any, **options: Any) -> Any:
            self._called.append(name)
            self._inside.append(name)
            try:
                result = type(member).forward(member, *inputs, **options)
            finally:
                self._inside.pop()
            self._layers[name].shape = result.shape if isinstance(result, Tensor) else None
            return result

        return forward

    def kernel(
        self,
        kernel: str | Callable[..., Any],
        operands: tuple[Any, ...],
        scalars: dict[str, Any],
        results: tuple[Any, ...],
        writes: tuple[Any, ...],
    ) -> None:
        self._layers[self._inside[-1]].flops += flops_of(Step(kernel, operands, scalars, results, writes, where=""))

    def before_step(self, callback: Advance) -> None:
        callback(1)

    def escape(self, what: str) -> None:
        """Values may leave."""

    def varies(self, what: str, within_epoch: bool) -> None:
        """So they may."""

    def gradient(self, leaf: Any) -> None:
        """There are none."""

    def log(self, name: str, value: Any) -> None:
        """Nobody reads it."""
