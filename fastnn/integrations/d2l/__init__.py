"""The names of "Dive into Deep Learning" (D2L, version 1.0.3, PyTorch): its code runs after changing the imports.

    import fastnn as torch
    from fastnn import nn
    from fastnn.nn import functional as F
    from fastnn.integrations import d2l

Models are trained by `fastnn.Trainer`, natively where they can be. docs/lecture.md tells what of the book does not run.
Pictures need matplotlib (`plt` is its pyplot), `KaggleHouse` needs pandas; both are imported when they are needed.

>>> data = SyntheticRegressionData(w=tensor([2, -3.4]), b=4.2)
>>> model = LinearRegression(lr=0.03)
>>> trainer = Trainer(max_epochs=3, seed=0)
>>> history = trainer.fit(model, data)
>>> [round(point.x, 2) for point in model.board.data["train_loss"]]
[0.23, 0.73, 1.23, 1.73, 2.23, 2.73]
>>> w, b = model.get_w_b()
>>> abs(data.b - b).item() < 0.1
True
"""

from typing import Any

from fastnn import float32, int32, int64
from fastnn.functional import (
    abs,
    arange,
    argmax,
    exp,
    log,
    matmul,
    normal,
    ones,
    ones_like,
    rand,
    randn,
    relu,
    reshape,
    sigmoid,
    softmax,
    stack,
    tanh,
    tensor,
    zeros,
    zeros_like,
)
from fastnn.functional import cast as astype
from fastnn.functional import cat as concat
from fastnn.functional import mean as reduce_mean
from fastnn.functional import sum as reduce_sum
from fastnn.functional import unsqueeze as expand_dims
from fastnn.nn import Module as nn_Module
from fastnn.optim import SGD
from fastnn.tensor import Tensor

from . import drawing
from .board import ProgressBoard
from .data import Data, DataModule, FashionMNIST, SyntheticRegressionData
from .drawing import plot, set_axes, set_figsize, show_images, use_svg_display
from .hyperparameters import HyperParameters, add_to_class
from .kaggle import DATA_URL, KaggleHouse, download
from .models import (
    MLP,
    Classifier,
    DropoutMLP,
    DropoutMLPScratch,
    LinearRegression,
    LinearRegressionScratch,
    MLPScratch,
    Module,
    SoftmaxRegression,
    SoftmaxRegressionScratch,
    WeightDecay,
    WeightDecayScratch,
)
from .tools import (
    Timer,
    accuracy,
    cpu,
    cross_entropy,
    dropout_layer,
    gpu,
    l2_penalty,
    num_gpus,
    numpy,
    transpose,
    try_all_gpus,
    try_gpu,
)
from .trainer import Trainer

size, to = Tensor.numel, Tensor.to


def __getattr__(name: str) -> Any:
    if name == "plt":
        return drawing.pyplot()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DATA_URL",
    "MLP",
    "SGD",
    "Classifier",
    "Data",
    "DataModule",
    "DropoutMLP",
    "DropoutMLPScratch",
    "FashionMNIST",
    "HyperParameters",
    "KaggleHouse",
    "LinearRegression",
    "LinearRegressionScratch",
    "MLPScratch",
    "Module",
    "ProgressBoard",
    "SoftmaxRegression",
    "SoftmaxRegressionScratch",
    "SyntheticRegressionData",
    "Timer",
    "Trainer",
    "WeightDecay",
    "WeightDecayScratch",
    "abs",
    "accuracy",
    "add_to_class",
    "arange",
    "argmax",
    "astype",
    "concat",
    "cpu",
    "cross_entropy",
    "download",
    "dropout_layer",
    "exp",
    "expand_dims",
    "float32",
    "gpu",
    "int32",
    "int64",
    "l2_penalty",
    "log",
    "matmul",
    "nn_Module",
    "normal",
    "num_gpus",
    "numpy",
    "ones",
    "ones_like",
    "plot",
    "rand",
    "randn",
    "reduce_mean",
    "reduce_sum",
    "relu",
    "reshape",
    "set_axes",
    "set_figsize",
    "show_images",
    "sigmoid",
    "size",
    "softmax",
    "stack",
    "tanh",
    "tensor",
    "to",
    "transpose",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
    "zeros",
    "zeros_like",
]
