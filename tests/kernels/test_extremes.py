"""The ends of the range, as docs/numerics.md has them; and results of float64 beside exact ones, of 50 digits."""

import re
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fastnn import kernels, reference
from kernels.bounds import depth
from kernels.sampling import Array

PAGE = (Path(__file__).parents[2] / "docs" / "numerics.md").read_text()
ROW_KERNELS = ["softmax", "log_softmax", "label 0", "label 1", "grad", "sum", "mean", "max", "argmax", "min", "argmin"]
both = pytest.mark.parametrize("module", [kernels, reference], ids=["native", "reference"])
floats = pytest.mark.parametrize("dtype", ["float32", "float64"])


def table(head: str) -> list[list[str]]:
    """The rows of the table of the page whose first line begins with `head`."""
    text = PAGE[PAGE.index(f"\n{head}") :].split("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.strip().splitlines()[2:]]


def number(word: str, dtype: str) -> float:
    limits = np.finfo(dtype)
    named = {"max": float(limits.max), "tiny": float(limits.smallest_subnormal)}
    sign, function, name, half = re.fullmatch(r"(-?)(?:(log|sqrt)\()?(\w+\.?\w*)\)?(/2)?", word).groups()  # type: ignore[union-attr]
    value = named.get(name) or float(name)
    value = {"log": np.log, "sqrt": np.sqrt, None: float}[function](value) / (2 if half else 1)
    return -value if sign else value


def same(actual: Any, expected: str, dtype: str) -> bool:
    wanted = np.array([number(word, dtype) for word in expected.split(", ")])
    return np.allclose(np.asarray(actual, np.float64).ravel(), wanted, rtol=2e-7, atol=0, equal_nan=True)


@both
@floats
def test_elements_at_the_ends_of_the_range(module: ModuleType, dtype: str) -> None:
    points = [number(word, dtype) for word in ("-max", "-tiny", "tiny", "max")]
    rows = table("| kernel | -max |")
    assert len(rows) == 10
    for kernel, *expected in rows:
        with np.errstate(all="ignore"):
            actual = getattr(module, kernel)(np.tile(np.array(points, dtype), 9))
        assert same(actual, ", ".join(expected * 9), dtype), kernel


@both
@floats
def test_rows_at_the_ends_of_the_range(module: ModuleType, dtype: str) -> None:
    rows = table("| row | softmax |")
    assert len(rows) == 14
    for row, *expected in rows:
        x = np.array([[number(word, dtype) for word in row.split(", ")]], dtype)
        with np.errstate(all="ignore"):
            losses = [module.cross_entropy_with_grad(x, np.array([label]), reduction="none") for label in (0, 1)]
            actual = {"label 0": losses[0][0], "label 1": losses[1][0], "grad": losses[1][1]}
            actual |= {name: getattr(module, name)(x) for name in ROW_KERNELS if name not in actual}
        for name, wanted in zip(ROW_KERNELS, expected, strict=True):
            assert same(actual[name], wanted, dtype), f"{name} of {row}: {actual[name]}, not {wanted}"


# ---- beside exact results ---------------------------------------------------------------------------------------


def units(actual: Array, exact: list[Decimal]) -> Array:
    """The error of each element in units in the last place of the exact result."""
    nearest = np.array([float(value) for value in exact])
    errors = [abs(Decimal(float(a)) - e) for a, e in zip(actual.ravel(), exact, strict=True)]
    return np.array([float(error) for error in errors]) / np.spacing(np.abs(nearest))


def decimals(x: Array) -> list[Decimal]:
    return [Decimal(float(value)) for value in x.ravel()]


# Largest errors that docs/numerics.md gives, rounded up.
FUNCTIONS = {"exp": 1, "log": 1, "sigmoid": 2, "tanh": 3}


@pytest.mark.parametrize("kernel", FUNCTIONS)
def test_functions_of_float64_are_within_their_units_of_exact_results(kernel: str) -> None:
    rng = np.random.default_rng(11)
    sizes = 10.0 ** rng.uniform(-18, 2.8, 400)
    x = np.concatenate(
        [sizes, -sizes, 1 + sizes / 1e3, rng.uniform(-30, 30, 400), [700.0, -700.0, -708.0, 36.0, 709.7]]
    )
    x = np.abs(x) if kernel == "log" else x
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 50, -10000, 10000
        exact = {
            "exp": lambda v: v.exp(),
            "log": lambda v: v.ln(),
            "sigmoid": lambda v: 1 / (1 + (-v).exp()),
            "tanh": lambda v: ((2 * v).exp() - 1) / ((2 * v).exp() + 1),
        }[kernel]
        assert units(getattr(kernels, kernel)(x), [exact(v) for v in decimals(x)]).max() <= FUNCTIONS[kernel]


@floats
@pytest.mark.parametrize("spread", [1e-9, 1.0, 30.0])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_softmax_and_its_loss_are_as_near_to_exact_results_as_promised(
    dtype: str, spread: float, offset: float
) -> None:
    """Softmax within (4 + |x - max|) eps relative, probability minus target within 4 eps absolute."""
    eps, tiny = (Fraction(float(x)) for x in (np.finfo(dtype).eps, np.finfo(dtype).smallest_subnormal))
    logits = (offset + np.random.default_rng(5).normal(0, spread, (20, 10))).astype(dtype)
    target = np.arange(20) % 10
    softmax = kernels.softmax(logits)
    loss, grad = kernels.cross_entropy_with_grad(logits, target, reduction="none")
    with localcontext() as context:
        context.prec = 50
        for i, label in enumerate(target):
            row = decimals(logits[i])
            top = max(row)
            powers = [(x - top).exp() for x in row]
            total = sum(powers)
            for j, power in enumerate(powers):
                p, away = Fraction(power / total), Fraction(top - row[j])
                assert abs(Fraction(float(softmax[i, j])) - p) <= (4 + away) * eps * p + tiny
                assert abs(Fraction(float(grad[i, j])) - (p - (j == label))) <= 4 * eps
            exact = Fraction(total.ln() - (row[label] - top))
            away = Fraction(top - row[label])
            assert abs(Fraction(float(loss[i])) - exact) <= (4 + 4 * Fraction(total.ln()) + away + 4 * exact) * eps


@floats
@pytest.mark.parametrize("n", [7, 300, 5000])
def test_sums_and_products_are_within_norm_wise_bounds_of_exact_results(dtype: str, n: int) -> None:
    """Terms that all but cancel: the exact sum is far below what its terms add up to."""
    rng = np.random.default_rng(n)
    x = (rng.normal(0, 1, n) * 10.0 ** rng.integers(-3, 4, n)).astype(dtype)
    x = np.concatenate([x, -x[::-1], x[:1] / 7])
    y = rng.normal(0, 1, x.size).astype(dtype)
    u = Fraction(float(np.finfo(dtype).eps)) / 2
    terms = [Fraction(float(v)) for v in x]
    error = abs(Fraction(float(kernels.sum(x))) - sum(terms))
    assert error <= 2 * depth(x.size) * u * sum(map(abs, terms))
    terms = [a * Fraction(float(b)) for a, b in zip(terms, y, strict=True)]
    dot = kernels.matmul(x[None], y[:, None])
    assert abs(Fraction(float(dot[0, 0])) - sum(terms)) <= 2 * x.size * u * sum(map(abs, terms))
