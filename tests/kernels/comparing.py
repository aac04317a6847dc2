"""Results against each other, to the bit, and against the reference, within the case's bounds."""

from typing import Any

import numpy as np

from fastnn import kernels, reference
from kernels.bounds import WIDE
from kernels.cases import Call, Case
from kernels.sampling import Array


def bits(x: Array) -> tuple[str, tuple[int, ...], bytes]:
    """dtype, shape and bytes, the sign of zero included; one NaN is as good as another."""
    if x.dtype.kind == "f":
        x = np.where(np.isnan(x), np.asarray(np.nan, x.dtype), x)
    return str(x.dtype), x.shape, x.tobytes()


def same_bits(a: Array, b: Array) -> bool:
    return bits(a) == bits(b)


def worst(actual: Array, exact: Array, bound: Array) -> str | None:
    """Where `actual` is farther from `exact` than `bound`, in words."""
    limits = np.finfo(actual.dtype)
    wide = actual.astype(exact.dtype)
    # An infinity stands for the number after the largest.
    beyond = np.isinf(wide) & np.isfinite(exact)
    wide = np.where(beyond, np.sign(wide) * (exact.dtype.type(limits.max) * 2 / (2 - limits.eps)), wide)
    error = np.abs(wide - exact)
    good = (wide == exact) | (np.isnan(wide) & np.isnan(exact)) | (actual == exact.astype(actual.dtype))
    good |= error <= bound
    if good.all():
        return None
    ratio = np.where(good, 0, np.where(np.isnan(error), np.inf, error / np.maximum(bound, limits.smallest_subnormal)))
    at = np.unravel_index(np.argmax(ratio), ratio.shape)
    bound = np.broadcast_to(bound, ratio.shape)
    place = f"[{', '.join(map(str, at))}]"
    wrong = f"{(~good).sum()} of {good.size} wrong"
    return f"{place} is {actual[at]!r}, not {exact[at]!r}: error {error[at]:.3g}, bound {bound[at]:.3g}; {wrong}"


@np.errstate(all="ignore")
def check(case: Case, call: Call, module: Any = kernels) -> None:
    """Runs the call in `module` and compares each result with the reference's, or with the exact one."""
    results, expected = case.run(module, call), case.run(reference, call)
    assert len(results) == len(expected)
    for actual, wanted in zip(results, expected, strict=True):
        assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape), f"{case.name}({call})"
    if case.bound is None:
        for actual, wanted in zip(results, expected, strict=True):
            assert same_bits(actual, wanted), f"{case.name}({call}) is\n{actual}\nnot\n{wanted}"
        return
    exact = case.exact(call)
    for i, (actual, wide, bound) in enumerate(zip(results, exact.results, case.bound(exact), strict=True)):
        problem = worst(actual, np.asarray(wide, WIDE[case.dtype]), np.asarray(bound))
        assert problem is None, f"{case.name}({call}): result {i} {problem}"
