"""Random Tensors, and dropout."""

import math
from typing import TYPE_CHECKING, Any

from fastnn.autograd import Operation, track
from fastnn.dispatch import Slot, dtype_name, run
from fastnn.random import Purpose, counters

from .creation import made_on, shape_of

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

DROPOUT = Operation("dropout", x=lambda g, p, counts, step: run("dropout", g, p=p, **_again(counts, step)))


def _again(counts: dict[str, Any], step: float) -> dict[str, Any]:
    """The counters of the forward pass, also where another step has begun since."""
    return counts if counts["step"].value == step else {**counts, "step": step}


def rand(
    *sizes: Any, size: Any = None, dtype: Any = None, requires_grad: bool = False, device: str | None = None
) -> "Tensor":
    """Numbers from [0, 1) in shape `size` (a tuple, or the numbers themselves), float32 unless `dtype` says otherwise.

    >>> import fastnn as fn
    >>> fn.manual_seed(0)
    >>> rand(2, 3).shape
    (2, 3)
    """
    shape, name = shape_of("rand", sizes, size), dtype_name(dtype or "float32")
    return made_on("rand", device, run("uniform", shape=shape, dtype=name, **counters(Purpose.USER)), requires_grad)


def randn(
    *sizes: Any, size: Any = None, dtype: Any = None, requires_grad: bool = False, device: str | None = None
) -> "Tensor":
    """Numbers from the standard normal distribution in shape `size`, float32 unless `dtype` says otherwise."""
    return normal(0.0, 1.0, shape_of("randn", sizes, size), dtype=dtype, requires_grad=requires_grad, device=device)


def normal(
    mean: float,
    std: float,
    size: Any,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    device: str | None = None,
) -> "Tensor":
    """Numbers of mean `mean` and standard deviation `std`, normally distributed, of shape `size`.

    >>> import fastnn as fn
    >>> normal(0, 0.01, (2, 1), requires_grad=True).shape
    (2, 1)
    """
    check_spread("normal", std)
    shape, name = shape_of("normal", (size,)), dtype_name(dtype or "float32")
    y = run("normal", shape=shape, mean=mean, std=std, dtype=name, **counters(Purpose.USER))
    return made_on("normal", device, y, requires_grad)


def check_spread(operation: str, std: float) -> None:
    """Raises ValueError for what is no standard deviation."""
    if not 0 <= std < math.inf:
        raise ValueError(f"[{operation}] std = {std} must be a finite number of at least 0")


def check_interval(operation: str, **ends: float) -> None:
    """Raises ValueError unless the two `ends` are finite and in order; they are given under the caller's names."""
    (first, low), (last, high) = ends.items()
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"[{operation}] {first} = {low}, {last} = {high} must be finite, and {first} at most {last}")


def dropout(x: "Tensor", p: float = 0.5, training: bool = True) -> "Tensor":
    """Each element 0 with probability `p`, else divided by ``1 - p``; `x` itself unless `training`.

    >>> import fastnn as fn
    >>> dropout(fn.ones(3), 1.0), dropout(fn.ones(3), 0.5, training=False)
    (tensor([0., 0., 0.]), tensor([1., 1., 1.]))
    """
    if not 0 <= p <= 1:
        raise ValueError(f"[dropout] p = {p} must be in [0, 1]")
    if not training or p == 0:
        return x
    counts = counters(Purpose.DROPOUT)
    step: Slot = counts["step"]
    return track(DROPOUT, run("dropout", x, p=p, **counts), (x,), p=p, counts=counts, step=step.value)
