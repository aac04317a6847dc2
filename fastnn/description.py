"""What files say of a model beside its arrays: arguments, schedules and networks as plain data, and back."""

import dataclasses
import functools
import inspect
import json
import warnings
from typing import Any

import numpy as np

from . import nn, optim
from .tensor import Tensor

_LONGEST = 1000  # of an array that is an argument: sizes of layers, say; more is data
_LAYERS = {
    layer.__name__: layer
    for layer in (nn.Dropout, nn.Flatten, nn.GELU, nn.LazyLinear, nn.ReLU, nn.Sigmoid, nn.Softmax, nn.Tanh)
}
_SCHEDULES: dict[str, Any] = {
    schedule.__name__: schedule
    for schedule in (
        optim.CosineScheduler,
        optim.FactorScheduler,
        optim.LinearScalingScheduler,
        optim.MultiFactorScheduler,
        optim.SquareRootScheduler,
    )
}


_PLAIN = frozenset((int, float, str, bool, type(None)))

_signature = functools.lru_cache(inspect.signature)  # which takes as long as making a small model


def arguments(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Arguments of a constructor by name, as `plain` gives them; None where it takes any number of them."""
    try:
        bound = _signature(cls.__init__).bind(None, *args, **kwargs)  # type: ignore[misc]
    except (TypeError, ValueError):  # the constructor itself will say what is wrong
        return None
    kinds = {parameter.kind for parameter in bound.signature.parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return None
    return {name: plain(value) for name, value in list(bound.arguments.items())[1:]}


def plain(value: Any) -> Any:
    """`value` as JSON holds it, a schedule as its name and fields; of anything else, that it was left out."""
    if type(value) in _PLAIN:
        return value
    if type(value) is list and all(type(item) in _PLAIN for item in value):
        return list(value)
    try:
        return json.loads(json.dumps(value, default=_plain))
    except (TypeError, ValueError):
        return {"left_out": type(value).__name__}


def _plain(value: Any) -> Any:
    if isinstance(value, range):
        return list(value)
    if is_schedule(value):
        return {"schedule": type(value).__name__} | {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, np.generic | np.ndarray | Tensor):
        array = np.asarray(value)
        if array.ndim <= 1 and array.size <= _LONGEST and array.dtype.kind in "biuf":
            return array.tolist()
    raise TypeError(f"{type(value).__name__} is nothing that JSON can hold")


def texts(value: Any) -> list[str] | None:
    """The elements of `value` where it is a sequence of text, else None."""
    if isinstance(value, str) or not np.iterable(value):
        return None
    elements = list(value)
    return [str(element) for element in elements] if all(isinstance(element, str) for element in elements) else None


def is_schedule(value: Any) -> bool:
    """Whether `value` is a schedule of `fastnn.optim`."""
    return _SCHEDULES.get(type(value).__name__) is type(value)


def learning_rate(model: Any) -> Any:
    """A model's `lr`; of a schedule that is not fastnn's, which no file can hold, its current value."""
    if not callable(model.lr) or is_schedule(model.lr):
        return model.lr
    optimizer = getattr(model.trainer, "optim", None)
    return optimizer.lr if isinstance(optimizer, optim.Optimizer) else model.lr(0)


def restored(described: dict[str, Any]) -> dict[str, Any]:
    """Arguments from what `arguments` gave; warns of those that were left out, for which defaults have to do."""
    given = {}
    for name, value in described.items():
        if isinstance(value, dict) and "left_out" in value:
            warnings.warn(
                f"[load] {name}, a {value['left_out']}, is not in the file: its default is used", stacklevel=3
            )
        elif isinstance(value, dict) and "schedule" in value:
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items() if k != "schedule"}
            given[name] = _SCHEDULES[value["schedule"]](**fields)
        else:
            given[name] = value
    return given


def network(module: nn.Module) -> list[Any] | None:
    """A network of fastnn's own layers as lists and dicts; None where it has others."""
    if type(module) is nn.Sequential:
        members = [[name, network(child)] for name, child in module.named_children()]
        return ["Sequential", members] if all(member for _, member in members) else None
    if type(module) is nn.Linear:  # sizes come from the weights, so that a file cannot ask for more than it holds
        return ["LazyLinear", {"out_features": module.out_features, "bias": module.bias is not None}]
    name = type(module).__name__
    return [name, module.config()] if _LAYERS.get(name) is type(module) else None


def make_network(described: Any) -> nn.Module:
    """The network that `network` described, without weights."""
    kind, content = described
    if kind == "Sequential":
        return nn.Sequential({name: make_network(member) for name, member in content})
    return _LAYERS[kind](**content)
