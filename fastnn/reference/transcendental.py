"""Exponential, logarithm and power."""

import numpy as np

from fastnn.reference._common import Array, give


def exp(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """Exponential function, within 2 units in the last place."""
    with np.errstate(all="ignore"):
        return give(np.exp(x), out)


def log(x: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """Natural logarithm, within 2 units in the last place; -inf at 0, NaN below."""
    with np.errstate(all="ignore"):
        return give(np.log(x), out)


def power(a: Array, b: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """``a ** b``, floating point only."""
    with np.errstate(all="ignore"):
        return give(np.power(a, b), out)
