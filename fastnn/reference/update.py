"""Updates of parameters, in place."""

import math

import numpy as np

from fastnn.reference._common import Array


def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    num_threads: int | None = None,
) -> None:
    """One step of stochastic gradient descent, in place (torch.optim.SGD).

    ``g = grad + weight_decay * param``; with momentum ``velocity = momentum * velocity + (1 - dampening) * g`` and
    ``g = g + momentum * velocity`` (Nesterov) or ``g = velocity``; then ``param -= lr * g``.
    """
    if momentum != 0 and velocity is None:
        raise ValueError("[sgd_update] momentum needs velocity")
    real = param.dtype.type
    g = grad + real(weight_decay) * param
    if velocity is not None and momentum != 0:
        velocity[...] = real(momentum) * velocity + real(1 - dampening) * g
        g = g + real(momentum) * velocity if nesterov else velocity
    param -= real(lr) * g


def adam_update(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    lr: float,
    correction1: float,
    correction2: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    num_threads: int | None = None,
) -> None:
    """One step of Adam (Kingma and Ba, 2015), or of AdamW where `decoupled`, in place.

    `correction1` is ``1 - beta1 ** t`` and `correction2` is ``1 - beta2 ** t`` in step t = 1, 2, ...
    """
    real = param.dtype.type
    g = grad
    if decoupled:
        param *= real(1 - lr * weight_decay)
    else:
        g = grad + real(weight_decay) * param
    exp_avg[...] = real(beta1) * exp_avg + real(1 - beta1) * g
    exp_avg_sq[...] = real(beta2) * exp_avg_sq + real(1 - beta2) * (g * g)
    denominator = np.sqrt(exp_avg_sq) / real(math.sqrt(correction2)) + real(eps)
    param -= real(lr / correction1) * (exp_avg / denominator)
