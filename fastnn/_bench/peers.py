"""The libraries whose kernels are timed, a file for each; benchmarks/ takes them from here."""

import importlib
from collections.abc import Callable
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
