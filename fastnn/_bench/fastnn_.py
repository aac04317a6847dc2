"""The kernels of this package, as `_bench` calls those of its peers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn.dispatch import Array

from .peers import Kernel


def _into(kernel: Callable[..., Array]) -> Callable[..., Kernel]:
    """Calls of `kernel` that write into an array made once."""

    def of_arrays(*arrays: Array, **scalars: Any) -> Kernel:
        out = np.empty_like(kernel(*arrays, **scalars))
        return lambda: (kernel(*arrays, **scalars, out=out),)

    return of_arrays


def _cross_entropy(logits: Array, target: Array) -> Kernel:
    return lambda: kernels.cross_entropy_with_grad(logits, target)


def _sgd_update(param: Array, grad: Array, velocity: Array, lr: float, momentum: float) -> Kernel:
    def call() -> tuple[Array, ...]:
        kernels.sgd_update(param, grad, velocity, lr=lr, momentum=momentum)
        return param, velocity

    return call


KERNELS: dict[str, Any] = {
    "linear": _into(kernels.linear),
    "matmul": _into(kernels.matmul),
    "cross_entropy_with_grad": _cross_entropy,
    "sgd_update": _sgd_update,
    "relu": _into(kernels.relu),
    "gather": _into(kernels.gather),
}
