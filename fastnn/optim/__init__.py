"""Optimizers, learning-rate schedules and gradient clipping, with the names and rules of torch.optim and D2L.

A learning rate is a number or a schedule: any callable that takes the number of updates made so far (0 before the
first) and returns a number. ``SGD(params, lr=CosineScheduler(1000))`` needs no further call.
"""

from fastnn.functional import clip_grad_norm_
from fastnn.schedules import (
    CosineScheduler,
    FactorScheduler,
    LinearScalingScheduler,
    MultiFactorScheduler,
    Schedule,
    SquareRootScheduler,
)

from .first_order import SGD, Adam, AdamW, Optimizer
from .lbfgs import LBFGS
from .shampoo import Shampoo

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "AdamW",
    "CosineScheduler",
    "FactorScheduler",
    "LinearScalingScheduler",
    "MultiFactorScheduler",
    "Optimizer",
    "Schedule",
    "Shampoo",
    "SquareRootScheduler",
    "clip_grad_norm_",
]
