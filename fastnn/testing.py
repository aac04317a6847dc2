"""Gradients held against differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import random
from fastnn.autograd import no_grad
from fastnn.tensor import Tensor


def check_gradients(
    function: Callable[..., Tensor], *inputs: Any, eps: float = 1e-6, rtol: float = 1e-6, atol: float = 1e-8
) -> None:
    """Raises AssertionError unless `backward` through `function` agrees with central differences, in float64.

    `function` is a function, a loss or a Module, whose parameters are checked as well (they are float64 meanwhile).
    `inputs` are what it takes; floating-point Tensors and arrays among them are checked. A difference may be
    ``atol + rtol * |gradient|``: in float64 the differences err by about ``eps ** 2`` from the third derivative and
    2e-16 / `eps` times the value from rounding. Where a function has a kink nearer than `eps`, the two disagree.

    >>> import fastnn as fn
    >>> check_gradients(lambda x: x.exp() * x, fn.tensor([0.5, -1.0]))
    """
    parameters = dict(function.named_parameters()) if hasattr(function, "named_parameters") else {}
    before = {name: (parameter.data, parameter.grad) for name, parameter in parameters.items()}
    arguments = [_in_float64(value) for value in inputs]
    leaves = {f"input {i}": value for i, value in enumerate(arguments) if isinstance(value, Tensor)}
    leaves = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad} | parameters
    try:
        for parameter in parameters.values():
            parameter.data, parameter.grad = parameter.data.double(), None
        _compare(function, arguments, leaves, eps, rtol, atol)
    finally:
        for name, parameter in parameters.items():
            parameter.data, parameter.grad = before[name]


def _in_float64(value: Any) -> Any:
    """A leaf of its own for floating-point values, anything else as it is."""
    array = value._array if isinstance(value, Tensor) else value
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        return Tensor(array.astype(np.float64), requires_grad=True)
    return Tensor(array) if isinstance(array, np.ndarray) else value


def _compare(
    function: Callable[..., Tensor],
    arguments: list[Any],
    leaves: dict[str, Tensor],
    eps: float,
    rtol: float,
    atol: float,
) -> None:
    counters = random.get_state()  # the same random numbers in every evaluation
    y = function(*arguments)
    if not y.requires_grad:
        raise AssertionError("[check_gradients] the result requires no gradient: nothing ties it to the inputs")
    # A weighted sum of all elements, with weights that no wrong gradient is likely to be orthogonal to.
    weights = np.random.default_rng(0).uniform(0.5, 1.5, y.shape)
    y.backward(Tensor(weights))

    def value() -> float:
        random.set_state(counters)
        with no_grad():
            return float((function(*arguments)._array * weights).sum())

    worst = (0.0, "")
    for name, leaf in leaves.items():
        gradient = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad._array
        for place in np.ndindex(leaf.shape):
            old = leaf._array[place]
            leaf._array[place] = old + eps
            above = value()
            leaf._array[place] = old - eps
            below = value()
            leaf._array[place] = old
            difference = (above - below) / (2 * eps)
            error = float(abs(difference - gradient[place]) / (atol + rtol * abs(difference)))
            if math.isnan(error):
                error = math.inf
            if error > worst[0]:
                worst = error, f"{name} at {place} is {gradient[place]}, but differences give {difference}"
    if worst[0] > 1:
        raise AssertionError(
            f"[check_gradients] the gradient of {worst[1]}: {worst[0]:.3g} times the tolerance "
            f"(eps={eps}, rtol={rtol}, atol={atol})"
        )
