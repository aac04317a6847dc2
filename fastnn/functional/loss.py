"""Losses that come with their gradient in one pass, and accuracy."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from fastnn.autograd import Operation, no_grad, track, unit
from fastnn.dispatch import Handle, Storage, not_a_tensor, run, state

from .arithmetic import promote, where
from .shape import reshape

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

_divided: "ContextVar[dict[Storage, Tensor] | None]" = ContextVar("divided", default=None)

CROSS_ENTROPY = Operation("cross_entropy", logits=lambda g, grad: _scaled(grad, g))
MSE_LOSS = Operation(
    "mse_loss",
    prediction=lambda g, grad: _scaled(grad, g),
    target=lambda g, grad: run("negative", _scaled(grad, g)),
)


def _scaled(grad: "Tensor", g: "Tensor") -> "Tensor":
    """`grad` times the gradient `g` of the loss, one number or one per row; times 1 where backward began there."""
    if g is unit(g):
        return grad
    if g._array.ndim and g._array.ndim < grad._array.ndim:
        g = reshape(g, g.shape + (1,) * (grad._array.ndim - g._array.ndim))
    return run("multiply", grad, g)


def cross_entropy(
    logits: "Tensor",
    target: "Tensor",
    weight: "Tensor | None" = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> "Tensor":
    """Cross-entropy of softmax(logits), computed from the logits without overflow.

    `logits` is (n, classes), `target` class indices (n,) or probabilities (n, classes), `weight` (classes,). Rows
    labelled `ignore_index` count for nothing. `reduction` is "mean" (by the weights of the labels), "sum" or "none".
    Raises ValueError for a label that is no class. (torch.nn.functional.cross_entropy.)

    >>> import fastnn as fn
    >>> p = fn.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
    >>> round(cross_entropy(p.log(), fn.tensor([0, 2])).item(), 4)
    1.4979
    """
    scalars: dict[str, Any] = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    if (told := _divided.get()) is not None and reduction == "mean" and target.ndim == 1:
        scalars["reduction"] = "sum"
        return _divided_mean(told, cross_entropy(logits, target, weight, **scalars), target, weight, ignore_index)
    if not (isinstance(logits, Handle) and isinstance(target, Handle)):
        raise not_a_tensor("cross_entropy", logits, target)
    if target.requires_grad and state.grad_enabled:
        raise ValueError("[cross_entropy] target requires a gradient, which this loss does not give: use detach()")
    operands = (logits, target) if weight is None else (logits, target, weight)
    if not (logits.requires_grad and state.grad_enabled):
        value: Tensor = run("cross_entropy", *operands, **scalars)
        return value
    loss, grad = run("cross_entropy_with_grad", *operands, **scalars)
    return track(CROSS_ENTROPY, loss, (logits,), grad=grad)


def _divided_mean(
    told: "dict[Storage, Tensor]", total: "Tensor", target: "Tensor", weight: "Tensor | None", ignore_index: int
) -> "Tensor":
    """The mean of which `total` is the sum; 0 where no row counts. `told` gets what it divides by."""
    with no_grad():
        counts = target != ignore_index
        if weight is None:
            divisor = counts.sum().to(total.dtype)
        else:
            divisor = (weight[where(counts, target, 0)] * counts).sum()
        whole = divisor + (divisor == 0)
    mean = total / whole
    told[mean._storage] = divisor
    return mean


@contextmanager
def divisors() -> "Iterator[dict[Storage, Tensor]]":
    """Within, mean losses tell what they divide by where that depends on labels: gives it by the storage of the loss.

    So the means of parts of a batch can be put together to that of the whole.
    """
    told: dict[Storage, Tensor] = {}
    token = _divided.set(told)
    try:
        yield told
    finally:
        _divided.reset(token)


def mse_loss(prediction: "Tensor", target: "Tensor", *, half: bool = False, reduction: str = "mean") -> "Tensor":
    """Squared error, over equal shapes; `half` halves it; `reduction` is "mean", "sum" or "none".

    Raises ValueError where the shapes differ, (n,) and (n, 1) included. (torch.nn.functional.mse_loss.)

    >>> import fastnn as fn
    >>> mse_loss(fn.tensor([1.0, 2.0]), fn.tensor([1.0, 4.0]))
    tensor(2.)
    """
    prediction, target = promote(prediction, target)
    if not ((prediction.requires_grad or target.requires_grad) and state.grad_enabled):
        return run("mse_loss", prediction, target, half=half, reduction=reduction)
    loss, grad = run("mse_loss_with_grad", prediction, target, half=half, reduction=reduction)
    return track(MSE_LOSS, loss, (prediction, target), grad=grad)


def accuracy(logits: "Tensor", target: "Tensor") -> "Tensor":
    """Share of rows of `logits` (n, classes) whose largest element stands at the label in `target` (n,).

    >>> import fastnn as fn
    >>> accuracy(fn.tensor([[0.1, 0.9], [0.8, 0.2]]), fn.tensor([1, 1]))
    tensor(0.5000)
    """
    return run("accuracy", logits, target)
