"""Clipping of gradients."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastnn.dispatch import constant, device_of, run

if TYPE_CHECKING:
    from fastnn.tensor import Tensor


def clip_grad_norm_(parameters: "Iterable[Tensor]", max_norm: float) -> "Tensor":
    """Scales the gradients of `parameters` together, in place, so that their norm is at most `max_norm`.

    Gives their norm before. (``torch.nn.utils.clip_grad_norm_``.)

    >>> import fastnn as fn
    >>> w = fn.zeros(2, requires_grad=True)
    >>> (w * fn.tensor([3.0, 4.0])).sum().backward()
    >>> clip_grad_norm_([w], 1.0), w.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    if not max_norm > 0:
        raise ValueError(f"[clip_grad_norm_] max_norm = {max_norm} must be above 0")
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        raise ValueError("[clip_grad_norm_] no parameter has a gradient: call backward() first")
    dtype = gradients[0].dtype
    squares = [run("sum", run("multiply", g, g)) for g in gradients]
    total = squares[0]
    for square in squares[1:]:
        total = run("add", total, square)
    norm: Tensor = run("sqrt", total)
    device = device_of(norm)
    ratio = run("divide", constant(max_norm, dtype, device), run("add", norm, constant(1e-6, dtype, device)))
    factor = run("minimum", constant(1.0, dtype, device), ratio)
    for g in gradients:
        run("multiply", g, factor, out=g)
    return norm
