"""Steps of an optimizer that computes the loss as often as it likes, by a closure (LBFGS)."""

from typing import TYPE_CHECKING

from . import random
from .autograd import no_grad
from .divergence import DivergenceError
from .models import Batch
from .tensor import Tensor

if TYPE_CHECKING:
    from .trainer import Trainer


def why_from_python(trainer: "Trainer") -> str | None:
    """Why steps by closures are run from Python; None for other optimizers.

    Raises ValueError where the trainer asks for what a closure cannot give.
    """
    name, batches = type(trainer.optim).__name__, trainer.num_train_batches
    if not getattr(trainer.optim, "takes_closure", False):
        return None
    if trainer.gradient_clip_val > 0:
        raise ValueError(
            f"[fit] gradient_clip_val = {trainer.gradient_clip_val} with {name}: what is clipped is not the gradient "
            "of the loss any more; use 0"
        )
    if trainer.strategy is not None:
        raise ValueError(f"[fit] strategy = {trainer.strategy!r} with {name}: its steps need all examples in a process")
    if batches is not None and batches > 1:
        raise _several_batches(name)
    return f"{name} computes the loss several times in a step, as often as its values ask"


def step_by_closure(trainer: "Trainer", batch: Batch, is_first: bool) -> None:
    """One step on `batch`, of which an epoch has no second; each time the loss is computed with the same dropout.

    What the model logs counts the first time: as in every step, it is of the weights before.
    """
    optimizer = trainer.optim
    if not is_first:
        raise _several_batches(type(optimizer).__name__)

    def closure() -> Tensor:
        random.set_ordinal(0)
        loss = trainer._training_loss(batch)
        trainer._fitting = False  # nothing more is logged
        optimizer.zero_grad()
        with no_grad():
            loss.backward()
        return loss

    try:
        optimizer.step(closure)
    except FloatingPointError as error:
        raise DivergenceError(f"[fit] epoch {trainer.epoch + 1}: {error}") from error
    finally:
        trainer._fitting = True


def _several_batches(optimizer: str) -> ValueError:
    return ValueError(
        f"[fit] {optimizer} needs all examples at once, and train_dataloader gives several batches: "
        "use batch_size=len(X)"
    )
