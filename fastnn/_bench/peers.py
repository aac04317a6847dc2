"""The libraries whose kernels are timed, a file for each; benchmarks/ takes them from here."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

Kernel = Callable[[], tuple[Any, ...]]
"""A call of a kernel on arrays that it was made with; its results, arrays of the library."""


def kernels_of(library: str) -> dict[str, Callable[..., Kernel]]:
    """What makes a call of each kernel of `fastnn.reference` that `library` has, from its arrays and scalars.

    ImportError where the library is not installed.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0]])
    >>> kernels_of("numpy")["matmul"](x, x, transpose_b=True)()
    (array([[5.]]),)
    """
    kernels: dict[str, Callable[..., Kernel]] = importlib.import_module(f"fastnn._bench.{library}_").KERNELS
    return kernels


def named(
    array_of: Callable[[Any], Any],
    matmul: Callable[..., Kernel],
    cross_entropy: Callable[..., Kernel],
    sgd_update: Callable[..., Kernel],
    relu: Callable[..., Kernel],
    gather: Callable[..., Kernel],
) -> dict[str, Callable[..., Kernel]]:
    """The kernels of a library by their names in `fastnn.reference`; `array_of` makes its own of NumPy's arrays."""
    kernels: dict[str, Callable[..., Kernel]] = {
        "linear": partial(matmul, transpose_b=True),
        "matmul": matmul,
        "cross_entropy_with_grad": cross_entropy,
        "sgd_update": sgd_update,
        "relu": relu,
        "gather": gather,
    }

    def of_arrays(kernel: Callable[..., Kernel]) -> Callable[..., Kernel]:
        return lambda *arrays, **scalars: kernel(*map(array_of, arrays), **scalars)

    return {name: of_arrays(kernel) for name, kernel in kernels.items()}
