"""What NaN, infinity, zero and nothing do, written down per operation; and what holds of every float32."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fastnn import kernels, reference
from kernels.bounds import WIDE
from kernels.comparing import same_bits, worst
from kernels.sampling import Array

nan, inf = np.nan, np.inf
FLOATS = ["float32", "float64"]
floats = pytest.mark.parametrize("dtype", FLOATS)

# ---- one operand: what each of these becomes -----------------------------------------------------------------

POINTS = [nan, -inf, -1.0, -0.0, 0.0, 1.0, inf]
UNARY: dict[str, list[float]] = {
    "negative": [nan, inf, 1.0, 0.0, -0.0, -1.0, -inf],
    "abs": [nan, inf, 1.0, 0.0, 0.0, 1.0, inf],
    "sign": [nan, -1.0, -1.0, 0.0, 0.0, 1.0, 1.0],
    "sqrt": [nan, nan, nan, -0.0, 0.0, 1.0, inf],
    "exp": [nan, 0.0, 0.36787944117144233, 1.0, 1.0, 2.718281828459045, inf],
    "log": [nan, nan, nan, -inf, -inf, 0.0, inf],
    "relu": [nan, 0.0, 0.0, 0.0, 0.0, 1.0, inf],
    "sigmoid": [nan, 0.0, 0.2689414213699951, 0.5, 0.5, 0.7310585786300049, 1.0],
    "tanh": [nan, -1.0, -0.7615941559557649, -0.0, 0.0, 0.7615941559557649, 1.0],
    "gelu": [nan, nan, -0.15865525393145707, -0.0, 0.0, 0.8413447460685429, inf],
}
SIGN_OF_ZERO = {"negative", "abs", "sqrt", "exp", "tanh"}


@floats
@pytest.mark.parametrize("kernel", UNARY)
def test_special_values_of_one_operand(kernel: str, dtype: str) -> None:
    # Twice over, so that they stand in whole vectors and in the rest.
    x = np.array(POINTS * 11, dtype)
    expected = np.array(UNARY[kernel] * 11, dtype)
    actual = getattr(kernels, kernel)(x)
    np.testing.assert_array_max_ulp(actual, expected, 4)
    if kernel in SIGN_OF_ZERO:
        assert np.array_equal(np.signbit(actual[expected == 0]), np.signbit(expected[expected == 0]))


@floats
@pytest.mark.parametrize("kernel", ["exp", "log", "sqrt", "negative", "relu", "abs"])
def test_subnormal_numbers_are_numbers(kernel: str, dtype: str) -> None:
    limits = np.finfo(dtype)
    x = np.array([limits.smallest_subnormal, 3 * limits.smallest_subnormal, limits.tiny / 2, limits.tiny], dtype)
    x = np.concatenate([x, -x] if kernel != "log" else [x] * 2)
    if kernel == "exp":
        x = np.log(np.abs(x))  # results below the smallest normal number
    with np.errstate(all="ignore"):
        exact = getattr(np, kernel, {"relu": lambda v: np.maximum(v, 0)}.get(kernel))(x.astype(WIDE[dtype]))
    bound = 2 * np.spacing(np.abs(exact).astype(dtype)).astype(exact.dtype)
    assert worst(getattr(kernels, kernel)(x), exact, np.where(np.isnan(bound), 0, bound)) is None


# ---- two operands: as in NumPy, for every pair ----------------------------------------------------------------

EDGES = [nan, -inf, inf, -0.0, 0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -2.5, 1e30, -1e30]


def pairs(dtype: str) -> tuple[Array, Array]:
    limits = np.finfo(dtype)
    edges = np.array([*EDGES, limits.max, limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal], dtype)
    return np.repeat(edges, edges.size), np.tile(edges, edges.size)


@floats
@pytest.mark.parametrize("kernel", ["add", "subtract", "multiply", "divide"])
def test_arithmetic_of_special_values_is_that_of_ieee_754(kernel: str, dtype: str) -> None:
    a, b = pairs(dtype)
    with np.errstate(all="ignore"):
        assert same_bits(getattr(kernels, kernel)(a, b), getattr(np, kernel)(a, b))


@floats
def test_power_of_special_values_is_that_of_c(dtype: str) -> None:
    a, b = pairs(dtype)
    with np.errstate(all="ignore"):
        expected = np.power(a, b)
    actual = kernels.power(a, b)
    np.testing.assert_array_max_ulp(actual, expected, 2)
    assert np.array_equal(np.signbit(actual[expected == 0]), np.signbit(expected[expected == 0]))


@floats
@pytest.mark.parametrize("kernel", ["maximum", "minimum"])
def test_extreme_of_a_pair_with_nan_is_nan(kernel: str, dtype: str) -> None:
    a, b = pairs(dtype)
    assert np.array_equal(getattr(kernels, kernel)(a, b), getattr(np, kernel)(a, b), equal_nan=True)


@floats
@pytest.mark.parametrize("kernel", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_nan_is_unequal_to_all_and_ordered_with_none(kernel: str, dtype: str) -> None:
    a, b = pairs(dtype)
    assert np.array_equal(getattr(kernels, kernel)(a, b), getattr(np, kernel)(a, b))


@pytest.mark.parametrize("kernel", ["add", "subtract", "multiply", "maximum", "minimum"])
def test_integers_wrap_around(kernel: str) -> None:
    edges = np.array([-(2**63), -(2**63) + 1, -(2**32), -1, 0, 1, 2**31, 2**32 + 1, 2**63 - 1])
    a, b = np.repeat(edges, edges.size), np.tile(edges, edges.size)
    assert same_bits(getattr(kernels, kernel)(a, b), getattr(np, kernel)(a, b))


def test_smallest_integer_has_no_positive_counterpart() -> None:
    smallest = np.full(9, -(2**63))
    assert same_bits(kernels.abs(smallest), smallest)
    assert same_bits(kernels.negative(smallest), smallest)


@floats
def test_gradients_pass_nan_and_stop_at_zero(dtype: str) -> None:
    y, grad = np.array([nan, -1, -0.0, 0, 1, inf, 1], dtype), np.array([1, 1, 1, 1, 1, 1, nan], dtype)
    assert np.array_equal(kernels.relu_backward(grad, y), np.array([0, 0, 0, 0, 1, 1, nan], dtype), equal_nan=True)
    assert np.isnan(kernels.sigmoid_backward(grad, y)[[0, 5, 6]]).tolist() == [True, False, True]
    assert np.isnan(kernels.gelu_backward(grad, y)[[0, 5, 6]]).all()


# ---- slices ---------------------------------------------------------------------------------------------------


def row(dtype: str, length: int, **special: float) -> Array:
    """Ordinary numbers but for the special ones, at positions named p3, p7, ..."""
    x = np.linspace(-2, 2, length).astype(dtype)
    for place, value in special.items():
        x[int(place[1:])] = value
    return x[None]


@floats
@pytest.mark.parametrize("length", [5, 16, 50])
def test_reductions_of_special_values(dtype: str, length: int) -> None:
    last = f"p{length - 1}"
    for place in ("p0", "p3", last):
        x = row(dtype, length, **{place: nan})
        for kernel in ("sum", "mean", "max", "min"):
            assert np.isnan(getattr(kernels, kernel)(x)), f"{kernel} of {x}"
        assert kernels.argmax(x) == kernels.argmin(x) == int(place[1:])
    assert np.isnan(kernels.sum(row(dtype, length, p1=inf, p3=-inf)))
    assert kernels.sum(row(dtype, length, p1=inf)) == kernels.max(row(dtype, length, p1=inf)) == inf
    assert kernels.min(row(dtype, length, p1=-inf)) == -inf
    two_nans = row(dtype, length, p3=nan, **{last: nan})
    assert kernels.argmax(two_nans) == kernels.argmin(two_nans) == 3
    level = np.zeros((1, length), dtype)
    assert kernels.argmax(level) == kernels.argmin(level) == 0
    level[0, 2] = -0.0
    assert kernels.argmax(level) == kernels.argmin(level) == 0
    lowest = np.full((1, length), -inf, dtype)
    assert kernels.max(lowest) == -inf
    assert kernels.argmax(lowest) == 0


@floats
@pytest.mark.parametrize("length", [5, 16, 50])
@pytest.mark.parametrize("kernel", ["softmax", "log_softmax"])
def test_softmax_of_special_values(kernel: str, dtype: str, length: int) -> None:
    function = getattr(kernels, kernel)
    void = [row(dtype, length, p3=nan), row(dtype, length, p3=inf), row(dtype, length, p0=inf, p4=inf)]
    for x in [*void, np.full((1, length), -inf, dtype)]:
        assert np.isnan(function(np.concatenate([row(dtype, length), x]))[1]).all(), x
    good = function(np.concatenate([row(dtype, length), void[0]]))[0]
    assert np.isfinite(good).all()
    some = function(row(dtype, length, p0=-inf, p4=-inf))[0]
    assert some[0] == some[4] == (0 if kernel == "softmax" else -inf)
    assert np.isfinite(some[1:4]).all()
    far = function(np.array([[0, -1e4, 1e4]], dtype))[0]
    assert far.tolist() == ([0, 0, 1] if kernel == "softmax" else [-1e4, -2e4, 0])


@floats
def test_softmax_rows_sum_to_one(dtype: str) -> None:
    x = np.random.default_rng(3).normal(0, 10, (64, 100)).astype(dtype)
    np.testing.assert_allclose(kernels.softmax(x).sum(1, dtype=WIDE[dtype]), 1, rtol=100 * np.finfo(dtype).eps)


@floats
@pytest.mark.parametrize("kernel", ["cross_entropy", "cross_entropy_with_grad"])
def test_cross_entropy_of_special_values(kernel: str, dtype: str) -> None:
    def losses(logits: Array, target: Any, **options: Any) -> tuple[Array, Array]:
        result = getattr(kernels, kernel)(logits, target, reduction="none", **options)
        return result if isinstance(result, tuple) else (result, np.zeros_like(logits))

    for bad in (row(dtype, 5, p3=nan), row(dtype, 5, p3=inf), np.full((1, 5), -inf, dtype)):
        loss, grad = losses(np.concatenate([bad, row(dtype, 5)]), np.array([1, 1]))
        assert np.isnan(loss[0])
        assert np.isfinite(loss[1])
        assert np.isfinite(grad[1]).all()
    impossible, _ = losses(row(dtype, 5, p3=-inf), np.array([3]))
    assert impossible[0] == inf
    loss, grad = losses(row(dtype, 5, p3=-inf), np.array([1]))
    assert np.isfinite(loss[0])
    assert grad[0, 3] == 0
    # A class without weight in the target counts for nothing, even where its logit is -inf.
    loss, grad = losses(row(dtype, 5, p3=-inf), np.array([[0.5, 0.5, 0, 0, 0]], dtype))
    assert np.isfinite(loss[0])
    loss, grad = losses(np.concatenate([row(dtype, 5, p3=nan), row(dtype, 5)]), np.array([-100, 1]))
    assert loss[0] == 0
    assert (grad[0] == 0).all()
    confident, _ = losses(np.array([[1e4, 0], [0, 1e4]], dtype), np.array([0, 0]))
    assert confident.tolist() == [0, 1e4]


@floats
@pytest.mark.parametrize("module", [kernels, reference], ids=["native", "reference"])
@pytest.mark.parametrize("classes", [5, 50])
def test_weight_of_zero_hides_an_infinite_loss_and_no_nan(module: ModuleType, classes: int, dtype: str) -> None:
    weight, none, label = np.ones(classes, dtype), np.zeros((1, classes), dtype), np.array([3])
    weight[3] = 0
    smoothed = {"weight": none[0], "label_smoothing": 0.1}
    for target, options in [(label, {"weight": weight}), (label, smoothed), (none, {})]:
        for value, expected in [(nan, nan), (inf, nan), (-inf, 0)]:
            logits = row(dtype, classes, p3=value)
            loss, grad = module.cross_entropy_with_grad(logits, target, reduction="none", **options)
            assert np.array_equal(loss, [expected], equal_nan=True)
            assert np.array_equal(grad, np.full_like(logits, expected), equal_nan=True)


@floats
def test_mean_over_ignored_rows_alone_is_nan_without_gradient(dtype: str) -> None:
    for reduction, expected in (("mean", nan), ("sum", 0)):
        loss, grad = kernels.cross_entropy_with_grad(np.ones((2, 3), dtype), np.full(2, -100), reduction=reduction)
        assert np.array_equal(loss, expected, equal_nan=True)
        assert (grad == 0).all()


@floats
def test_accuracy_takes_the_first_of_equal_logits_and_nan_as_largest(dtype: str) -> None:
    logits = np.array([[1, 1, 0], [0, nan, 9], [-inf, -inf, -inf], [0, inf, 1]], dtype)
    assert kernels.accuracy(logits, np.array([0, 1, 0, 1])) == 1
    assert kernels.accuracy(logits, np.array([1, 2, 1, 1])) == 0.25


@pytest.mark.parametrize("divisor", [255.0, 3e38, 1e-39])
def test_bytes_are_divided_also_where_the_reciprocal_has_fewer_digits(divisor: float) -> None:
    """3e38 has one among the subnormals, and 1e-39 none."""
    data = np.arange(256, dtype=np.uint8).repeat(64).reshape(256, 64)
    with np.errstate(over="ignore"):
        expected = data.astype(np.float32) / np.float32(divisor)
    gathered = kernels.gather(data, np.arange(256), divisor=divisor, dtype="float32")
    assert (gathered == expected).all()


@pytest.mark.parametrize("width", [1, 7, 16, 67])
@floats
def test_every_float16_becomes_itself(dtype: str, width: int) -> None:
    """NaN becomes quiet, and keeps its sign and its payload in the upper bits."""
    bits = np.arange(2**16 + -(2**16) % width).astype(np.uint16).reshape(-1, width)
    halves, rows = bits.view(np.float16), np.arange(len(bits))
    gathered, exact = kernels.gather(halves, rows, dtype=dtype), halves.astype(dtype)
    number = ~np.isnan(halves)
    assert same_bits(gathered[number], exact[number])
    size, digits = (32, 23) if dtype == "float32" else (64, 52)
    quiet = exact.view(f"u{size // 8}") | np.array(1 << digits - 1, f"u{size // 8}")
    assert same_bits(gathered.view(quiet.dtype)[~number], quiet[~number])


def test_float16_is_read_where_its_rows_are_apart() -> None:
    x = np.arange(60, dtype=np.float16).reshape(6, 10)
    for view in (x[::-2], x[:, 3:], x[:, ::3], x.T):
        assert same_bits(kernels.gather(view, np.array([1, -1])), view[[1, -1]].astype(np.float32))


def test_bytes_are_picked_as_they_are() -> None:
    data = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert kernels.pick(data, np.array([1, 0]), np.array([2, 1])).tolist() == [5, 1]


@floats
def test_nan_in_a_product_stays_in_its_row_and_column(dtype: str) -> None:
    a, b = np.ones((20, 300), dtype), np.ones((300, 40), dtype)
    a[5, 299], b[17, 33] = nan, inf
    product = kernels.matmul(a, b)
    assert np.isnan(product[5]).all()
    assert (product[:, 33][np.arange(20) != 5] == inf).all()
    assert np.isfinite(np.delete(np.delete(product, 5, 0), 33, 1)).all()
    assert np.isnan(kernels.matmul(np.zeros((1, 1), dtype), np.full((1, 1), inf, dtype))).all()


@floats
def test_factor_zero_leaves_nothing_of_out(dtype: str) -> None:
    """beta 0 means that out is not read, whatever it holds."""
    out = np.full((20, 40), nan, dtype)
    kernels.matmul(np.ones((20, 3), dtype), np.ones((3, 40), dtype), beta=0.0, out=out)
    assert (out == 3).all()


# ---- nothing --------------------------------------------------------------------------------------------------


@floats
def test_sizes_of_zero(dtype: str) -> None:
    def none(*shape: int) -> Array:
        return np.ones(shape, dtype)

    assert same_bits(kernels.matmul(none(2, 0), none(0, 3)), np.zeros((2, 3), dtype))
    assert kernels.matmul(none(0, 4), none(4, 3)).shape == (0, 3)
    out = none(2, 3)
    assert same_bits(kernels.matmul(none(2, 0), none(0, 3), beta=2.0, out=out), np.full((2, 3), 2, dtype))
    assert same_bits(kernels.linear(none(2, 0), none(3, 0), none(3)), none(2, 3))
    assert same_bits(kernels.sum(none(2, 0), 1), np.zeros(2, dtype))
    assert same_bits(kernels.sum(none(0)), np.zeros((), dtype))
    for kernel in ("mean", "max", "argmax"):
        assert getattr(kernels, kernel)(none(0, 3), 1).shape == (0,)
    assert kernels.softmax(none(0, 3)).shape == (0, 3)
    empty = np.empty(0, np.int64)
    for reduction, shape in (("none", (0,)), ("sum", ())):
        loss, grad = kernels.cross_entropy_with_grad(none(0, 3), empty, reduction=reduction)
        assert same_bits(loss, np.zeros(shape, dtype))
        assert grad.shape == (0, 3)
        assert same_bits(kernels.mse_loss(none(0), none(0), reduction=reduction), np.zeros(shape, dtype))
    assert kernels.gather(none(0, 3), empty).shape == (0, 3)
    assert same_bits(kernels.scatter_add(none(0, 3), empty, num_rows=2), np.zeros((2, 3), dtype))
    assert same_bits(kernels.pick_backward(none(0), empty, empty, shape=(2, 0)), none(2, 0))
    assert kernels.one_hot(empty, 3).shape == (0, 3)
    assert kernels.uniform((2, 0), seed=1, dtype=dtype).shape == (2, 0)
    assert kernels.permutation(0, seed=1).shape == (0,)
    kernels.sgd_update(none(0), none(0), lr=0.1)


@floats
def test_empty_product_of_operands_beyond_memory_is_empty(dtype: str) -> None:
    def wide(*shape: int) -> Array:
        return np.broadcast_to(np.ones((), dtype), shape)

    none, bias = np.ones((0, 3), dtype), wide(2**40)
    assert kernels.matmul(wide(2**40, 1), np.ones((1, 0), dtype), num_threads=2).shape == (2**40, 0)
    assert kernels.matmul(none, wide(3, 2**40)).shape == (0, 2**40)
    assert kernels.linear(none, wide(2**40, 3), bias).shape == (0, 2**40)


# ---- every float32 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["exp", "log", "tanh", "sigmoid"])
def test_function_is_within_its_bound_all_over_float32(kernel: str) -> None:
    """Every 4099th bit pattern, a prime: all exponents, many mantissas. tests/native/every_float.cpp takes them all."""
    x = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        exact = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[kernel](wide)
        largest = np.nextafter(np.finfo(np.float32).max, np.float32(0))
        bound = np.spacing(np.minimum(np.abs(exact), largest).astype(np.float32)).astype(np.float64)
        problem = worst(getattr(kernels, kernel)(x), exact, (3 if kernel in ("tanh", "sigmoid") else 2) * bound)
    assert problem is None


# ---- the process ----------------------------------------------------------------------------------------------

SUBNORMALS = """
import numpy as np
tiny = np.full(64, np.finfo(np.float32).tiny, np.float32)
def kept():
    return bool(((tiny / 4) != 0).all() and ((tiny / 4) * 4 == tiny).all())
before = kept()
from fastnn import kernels
after_import = kept()
x = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)
kernels.softmax(kernels.linear(x, x, activation="gelu"), num_threads=2)
print(before, after_import, kept())
"""


def test_importing_and_computing_flush_no_subnormals(tmp_path: Path) -> None:
    """Flush-to-zero, switched on by a library for its own thread, would change the arithmetic of all of NumPy."""
    run = subprocess.run([sys.executable, "-c", SUBNORMALS], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True", "True"]
