"""Training that diverges: how it is noticed, and what is said of it."""

import numpy as np

from .nn import Module


class DivergenceError(FloatingPointError):
    """Training has diverged: the loss, or a weight, is no finite number any more."""


def diverged(what: str, step: int, epoch: int, lr: float) -> DivergenceError:
    """The error for `what` was found at `step` (1, 2, ...) of `epoch`, with the learning rate `lr`.

    >>> diverged("loss is NaN", step=7, epoch=2, lr=10.0)
    DivergenceError('[fit] loss is NaN at step 7 (epoch 2): lr=10 is likely too large')
    """
    cause = f"lr={lr:g} is likely too large" if step > 1 else "the data or the first weights hold NaN or infinity"
    return DivergenceError(f"[fit] {what} at step {step} (epoch {epoch}): {cause}")


def are_finite(model: Module) -> bool:
    """Whether all weights of `model` are finite numbers."""
    return all(bool(np.isfinite(value.numpy()).all()) for value in model.state_dict().values())
