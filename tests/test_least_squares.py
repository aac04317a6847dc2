"""The closed form beside certified results, and beside exact solutions of the float64 numbers that it was given."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from certified import DATA, Certified

import fastnn as fn

EPS = np.finfo(np.float64).eps
extended = pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="no extended precision here")
sets = pytest.mark.parametrize("data", DATA.values(), ids=DATA)


def digits(actual: list[Any], exact: list[Fraction]) -> float:
    """Correct significant digits of the worst of them, 17 where all are right."""
    errors = [abs((Fraction(a) - e) / e) for a, e in zip(actual, exact, strict=True)]
    return min(17.0, -math.log10(max(*errors, Fraction(1, 10**17))))


def arrays(data: Certified) -> tuple[Any, Any]:
    return np.array([[float(x) for x in row] for row in data.X]), np.array([float(y) for y in data.y])


def solved(data: Certified) -> list[float]:
    X, y = arrays(data)
    w, b = fn.LinearRegression(lr=0.1).solve(fn.ArrayData(X, y, dtype="float64"))
    return [b[0], *w[0]]


def of_float64(data: Certified) -> list[Fraction]:
    """The exact solution of the data after they were rounded to float64."""
    X, y = arrays(data)
    return data.solution([[Fraction(x) for x in row] for row in X.tolist()], [Fraction(v) for v in y.tolist()])


@sets
def test_certified_parameters_are_the_exact_solution_of_the_data(data: Certified) -> None:
    """To the 15 digits that are certified: so neither holds a typing error."""
    assert digits(data.parameters, data.solution()) > 14


@extended
@pytest.mark.parametrize("name", ["Norris", "Pontius", "Longley"])
def test_thirteen_digits_where_the_data_allow_them(name: str) -> None:
    """The condition of the centred and scaled columns is 1, 8 and 110."""
    data = DATA[name]
    assert digits(solved(data), of_float64(data)) > 15
    assert digits(solved(data), data.solution()) > 13


@sets
def test_digits_are_no_fewer_than_rounded_data_or_their_condition_leave(data: Certified) -> None:
    """One less than the data have after rounding to float64 (Filip: 7.7), or than their condition leaves of sixteen
    (Wampler's polynomials are whole numbers, which rounding does not touch)."""
    X, _ = arrays(data)
    of_rounding = digits(of_float64(data), data.solution())
    of_condition = -math.log10(np.linalg.cond(np.column_stack([np.ones(len(X)), X])) * EPS)
    assert digits(solved(data), data.solution()) > min(of_rounding, max(of_condition, 0)) - 1


@extended
def test_filip_is_solved_beyond_what_its_data_hold() -> None:
    """A polynomial of degree 10, whose condition of 2e15 makes many programs drop a column."""
    assert digits(solved(DATA["Filip"]), of_float64(DATA["Filip"])) > 10


def test_columns_that_depend_on_each_other_get_a_small_solution() -> None:
    x = np.linspace(-1, 1, 50)
    w, b = fn.LinearRegression(lr=0.1).solve(fn.ArrayData(np.column_stack([x, x, 0 * x]), 4 * x + 1, dtype="float64"))
    np.testing.assert_allclose(w, [[2, 2, 0]], rtol=1e-14)
    np.testing.assert_allclose(b, 1, rtol=1e-14)


def test_fewer_examples_than_features_are_fitted_exactly() -> None:
    X, y = np.random.default_rng(0).normal(size=(2, 5, 9))
    w, b = fn.LinearRegression(lr=0.1, num_outputs=9).solve(fn.ArrayData(X, y, dtype="float64"))
    np.testing.assert_allclose(X @ w.T + b, y, rtol=1e-12)
