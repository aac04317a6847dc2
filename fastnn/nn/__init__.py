"""Layers, losses and initial values, with the names of torch.nn."""

from fastnn import functional

from . import init
from .layers import GELU, Dropout, Flatten, LazyLinear, Linear, ReLU, Sequential, Sigmoid, Softmax, Tanh
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, L1Loss, MSELoss, NLLLoss
from .module import Module, Parameter, UninitializedParameter

__all__ = [
    "GELU",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "HuberLoss",
    "L1Loss",
    "LazyLinear",
    "Linear",
    "MSELoss",
    "Module",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "UninitializedParameter",
    "functional",
    "init",
]
