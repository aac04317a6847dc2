"""fastnn: linear regression, softmax regression and multilayer perceptrons, trained from NumPy arrays by a C++ core.

The names are PyTorch's for tensors, layers, losses and optimizers, and D2L's for models, data and trainer.

>>> import fastnn as fn
>>> data = fn.SyntheticRegression(w=[2, -3.4], b=4.2)
>>> model = fn.LinearRegression(lr=0.03)
>>> history = fn.Trainer(max_epochs=3, seed=0).fit(model, data)
>>> w, b = model.get_w_b()
>>> round(b.item(), 1)
4.2
"""

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if sys.version_info < (3, 12):  # where loading the native module would wait forever; later ones refuse to
    with contextlib.suppress(ModuleNotFoundError):
        _interpreters: Any = importlib.import_module("_xxsubinterpreters")
        if _interpreters.get_current() != _interpreters.get_main():
            raise ImportError("[fastnn] a sub-interpreter cannot load it: use the main interpreter, or a process")

from . import _core, autograd, data, devices, functional, nn, optim
from ._core import DeviceError, num_threads, set_num_threads
from .autograd import enable_grad, no_grad
from .data import ArrayData, DataLoader, DataModule, FashionMNIST, SyntheticRegression, TableData
from .dispatch import get_float32_matmul_precision, set_float32_matmul_precision
from .functional import (
    abs,
    amax,
    amin,
    arange,
    argmax,
    argmin,
    cat,
    clamp,
    cumsum,
    dot,
    exp,
    flatten,
    from_numpy,
    full,
    log,
    log_softmax,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mm,
    mv,
    norm,
    normal,
    ones,
    ones_like,
    rand,
    randn,
    relu,
    reshape,
    sigmoid,
    sign,
    softmax,
    sqrt,
    squeeze,
    stack,
    sum,
    tanh,
    tensor,
    transpose,
    unsqueeze,
    where,
    zeros,
    zeros_like,
)
from .history import History
from .loading import load
from .models import MLP, Classifier, LinearRegression, MLPRegression, Model, SoftmaxRegression
from .random import manual_seed
from .tensor import Tensor, from_dlpack

if TYPE_CHECKING:
    from .groups import GroupModels, fit_groups
    from .sweep import fit_many
    from .trainer import Trainer

__version__: str = _core.config()["version"]

float32, float64, int32, int64, uint8 = map(np.dtype, ("float32", "float64", "int32", "int64", "uint8"))
bool = np.dtype("bool")

# What is imported when it is first asked for, so that `import fastnn` is quick: modules, and names with their modules.
_ON_USE = ("callbacks", "kernels", "plot", "record", "reference", "testing", "utils")
_FROM = {"GroupModels": "groups", "Trainer": "trainer", "fit_groups": "groups", "fit_many": "sweep"}


def save(model: Model, path: Any) -> None:
    """Write `model` to a safetensors file from which `load` makes it again; the same as ``model.save(path)``."""
    if not isinstance(model, Model):
        raise TypeError(
            f"[save] model is a {type(model).__name__}, not a fastnn.Model: for arrays alone use safetensors.numpy"
        )
    model.save(path)


def show_config() -> None:
    """Print what this build has: version, instruction sets, threads, CUDA and why not.

    >>> show_config()
    version: ...
    """
    for name, value in {**_core.config(), "cuda": devices.status()}.items():
        print(f"{name}: {value}")


def __getattr__(name: str) -> Any:
    if name in _ON_USE:
        return importlib.import_module(f".{name}", __name__)
    if name in _FROM:
        return getattr(importlib.import_module(f".{_FROM[name]}", __name__), name)
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


__all__ = [
    "MLP",
    "ArrayData",
    "Classifier",
    "DataLoader",
    "DataModule",
    "DeviceError",
    "FashionMNIST",
    "GroupModels",
    "History",
    "LinearRegression",
    "MLPRegression",
    "Model",
    "SoftmaxRegression",
    "SyntheticRegression",
    "TableData",
    "Tensor",
    "Trainer",
    "abs",
    "amax",
    "amin",
    "arange",
    "argmax",
    "argmin",
    "autograd",
    "bool",
    "callbacks",
    "cat",
    "clamp",
    "cumsum",
    "data",
    "dot",
    "enable_grad",
    "exp",
    "fit_groups",
    "fit_many",
    "flatten",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "functional",
    "get_float32_matmul_precision",
    "int32",
    "int64",
    "kernels",
    "load",
    "log",
    "log_softmax",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mm",
    "mv",
    "nn",
    "no_grad",
    "norm",
    "normal",
    "num_threads",
    "ones",
    "ones_like",
    "optim",
    "plot",
    "rand",
    "randn",
    "record",
    "reference",
    "relu",
    "reshape",
    "save",
    "set_float32_matmul_precision",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "sign",
    "softmax",
    "sqrt",
    "squeeze",
    "stack",
    "sum",
    "tanh",
    "tensor",
    "testing",
    "transpose",
    "uint8",
    "unsqueeze",
    "utils",
    "where",
    "zeros",
    "zeros_like",
]
