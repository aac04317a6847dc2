"""Structure: what of a model and its optimizer decides which kernels a training step runs. Weights and rates do not."""

from collections.abc import Hashable
from typing import Any

import numpy as np

from . import nn
from .description import is_schedule
from .models import Model
from .optim import Optimizer
from .tensor import Tensor

# Attributes of a model that no step of fastnn's own reads: of the optimizer, of files and of predictions.
_APART = frozenset(
    ("trainer", "lr", "_arguments", "class_names", "schema", "_target_ndim", "_uint8_divisor", "_input_shape")
)
_PLAIN = (type(None), bool, int, float, str)


class _Untold(Exception):
    """Something may take part in a step whose meaning is not known here."""


def structure(model: Model, optimizer: Any) -> Hashable | None:
    """Equal for models whose steps are the same but for weights and learning rates; None where that cannot be told.

    Both are new: no step has been made with them. Code of the user's that takes part in a step is not seen.

    >>> from fastnn import MLP
    >>> model, wide = MLP(10, 32, lr=0.1), MLP(10, 64, lr=0.1)
    >>> structure(model, model.configure_optimizers()) == structure(wide, wide.configure_optimizers())
    False
    """
    seen: dict[int, int] = {}
    try:
        return _of_module(model, seen), _of_optimizer(optimizer, seen)
    except _Untold:
        return None


def _of_module(module: nn.Module, seen: dict[int, int]) -> Hashable:
    attributes = [(name, value) for name, value in vars(module).items() if name not in _APART]
    return type(module), tuple([(name, _of(value, seen)) for name, value in attributes])


def _of(value: Any, seen: dict[int, int]) -> Hashable:
    kind = type(value)
    if kind in _PLAIN or isinstance(value, np.generic):
        return kind, repr(value)
    if isinstance(value, nn.Module):
        return _of_module(value, seen)
    if isinstance(value, Tensor):
        return _of_tensor(value, seen)
    if kind in (list, tuple):
        return kind, tuple([_of(item, seen) for item in value])
    raise _Untold


def _of_tensor(value: Tensor, seen: dict[int, int]) -> Hashable:
    number = seen.setdefault(id(value), len(seen))  # one that is shared comes under the same number again
    if isinstance(value, nn.UninitializedParameter):
        return number, value.expected_shape, value.requires_grad
    if not (isinstance(value, nn.Parameter) or (value.requires_grad and value.is_leaf)):
        raise _Untold  # its values take part, and are no weights
    return number, value.shape, value.dtype, value.requires_grad


def _of_optimizer(optimizer: Any, seen: dict[int, int]) -> Hashable:
    if not isinstance(optimizer, Optimizer):
        raise _Untold
    groups = []
    for group in optimizer.param_groups:
        lr, params = group["lr"], group["params"]
        # A first gradient enters a velocity whole, and a later one damped: that is another step.
        if group.get("dampening") or (callable(lr) and not is_schedule(lr)):
            raise _Untold
        if any(id(param) not in seen for param in params):
            raise _Untold
        settings = [(name, _of(value, seen)) for name, value in group.items() if name not in ("lr", "params")]
        groups.append((tuple(settings), tuple([seen[id(param)] for param in params])))
    return type(optimizer), tuple(groups)
