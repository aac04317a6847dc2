"""The bits are those of docs/numerics.md: each expression there, rebuilt in NumPy from correctly rounded operations.

float32, since its fused multiply-add can be rebuilt in float64.
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import _core, kernels
from kernels.cases import CASES, Call
from kernels.comparing import same_bits
from kernels.sampling import Array, Sampler

needs_fma = pytest.mark.skipif(not _core.config()["fused_multiply_add"], reason="this CPU has no fused multiply-add")
one = np.float32(1)


def call(data: st.DataObject, name: str) -> Call:
    (case,) = [case for case in CASES if str(case) == f"{name}-float32"]
    return case.make(Sampler(lambda low, high: data.draw(st.integers(low, high))), "float32")


def fma(a: Any, b: Any, c: Any) -> Array:
    """a * b + c rounded once: in float64 to odd (Boldo and Melquiond, 2008), which makes the second rounding right."""
    product, c = np.multiply(a, b, dtype=np.float64), np.asarray(c, np.float64)
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    even = total.view(np.int64) % 2 == 0
    toward = np.nextafter(total, np.copysign(np.inf, error))
    return np.where((error != 0) & even, toward, total).astype(np.float32)


def row_sum(x: Array) -> Array:
    """Along the last axis: 16 lanes in blocks of 4096, lanes folded at 8, 4, 2 and 1, the blocks by the same rule."""
    if x.shape[-1] > 4096:
        blocks = [row_sum(x[..., i : i + 4096]) for i in range(0, x.shape[-1], 4096)]
        return row_sum(np.stack(blocks, -1))
    padded = np.full((*x.shape[:-1], math.ceil(x.shape[-1] / 16) * 16), -0.0, x.dtype)
    padded[..., : x.shape[-1]] = x
    lanes = np.full((*x.shape[:-1], 16), -0.0, x.dtype)
    for i in range(0, padded.shape[-1], 16):
        lanes = lanes + padded[..., i : i + 16]
    for distance in (8, 4, 2, 1):
        lanes = lanes[..., :distance] + lanes[..., distance:]
    return lanes[..., 0] if x.shape[-1] else np.zeros(x.shape[:-1], x.dtype)


def column_sum(x: Array) -> Array:
    """Along the first axis: chunks of 256 in order, then the chunks."""
    chunks = [in_order(x[i : i + 256]) for i in range(0, x.shape[0], 256)]
    return in_order(np.array(chunks))


def in_order(rows: Array) -> Array:
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    return total


@needs_fma
@given(data=st.data())
def test_product(data: st.DataObject) -> None:
    c = call(data, "matmul-accumulate")
    a = c.arrays["a"].T if c.scalars["transpose_a"] else c.arrays["a"]
    b = c.arrays["b"].T if c.scalars["transpose_b"] else c.arrays["b"]
    alpha, beta, out = np.float32(c.scalars["alpha"]), np.float32(c.scalars["beta"]), c.arrays["out"]
    expected = None
    for first in range(0, max(a.shape[1], 1), 256):
        p = np.zeros_like(out)
        for k in range(first, min(first + 256, a.shape[1])):
            p = fma(a[:, k, None], b[None, k], p)
        expected = fma(alpha, p, beta * out) if expected is None else fma(alpha, p, expected)
    kernels.matmul(**c.arrays, **c.scalars)
    assert np.array_equal(out, expected)


@needs_fma
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 128), (3, 129), (10, 784), (12, 143), (7, 4097), (11, 9000)])
def test_linear_of_few_outputs(outputs: int, inputs: int) -> None:
    x, weight = numbers(19, inputs), numbers(outputs, inputs)
    expected = None
    for first in range(0, inputs, 4096):
        to_sixteen = ((0, 0), (0, -min(4096, inputs - first) % 16))
        a, b = (np.pad(part[:, first : first + 4096], to_sixteen) for part in (x, weight))
        lanes = np.zeros((19, outputs, 16), np.float32)
        for k in range(0, a.shape[1], 16):
            lanes = fma(a[:, None, k : k + 16], b[None, :, k : k + 16], lanes)
        chunk = row_sum(lanes)
        expected = chunk if expected is None else expected + chunk
    assert expected is not None
    for order in ("C", "F"):
        assert same_bits(kernels.linear(np.array(x, order=order), np.array(weight, order=order)), expected)
    assert same_bits(kernels.linear(x[3:4], weight), expected[3:4])


@given(data=st.data())
def test_sums(data: st.DataObject) -> None:
    x = call(data, "softmax").arrays["x"]
    assert same_bits(kernels.sum(x, -1), row_sum(x))
    assert same_bits(kernels.sum(x), row_sum(x.ravel()))
    assert same_bits(kernels.mean(x, -1), row_sum(x) / np.float32(x.shape[-1]))
    assert same_bits(kernels.sum(x, 0), column_sum(x) if x.size > x.shape[0] else row_sum(np.moveaxis(x, 0, -1)))


def numbers(*shape: int) -> Array:
    return np.random.default_rng(7).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(1000, 1), (5000, 1, 1), (3, 1000, 1)])
def test_sum_along_an_axis_with_nothing_behind_it_is_that_of_a_row(shape: tuple[int, ...]) -> None:
    x, axis = numbers(*shape), int(np.argmax(shape))
    assert same_bits(kernels.sum(x, axis), row_sum(np.moveaxis(x, axis, -1)))


@pytest.mark.parametrize(
    ("shape", "axes"), [((60, 3, 70), (0, 2)), ((9, 2, 500, 3), (0, 2)), ((4, 3, 5, 2, 90), (0, 2, 4))]
)
def test_sum_along_axes_that_are_no_neighbours_is_that_of_rows(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = numbers(*shape)
    kept = [i for i in range(x.ndim) if i not in axes]
    moved = x.transpose(*kept, *axes).reshape(*(shape[i] for i in kept), -1)
    assert same_bits(kernels.sum(x, axes), row_sum(moved))
    assert same_bits(kernels.sum(x, axes[::-1]), row_sum(moved))


@pytest.mark.parametrize(("shape", "axes"), [((30, 40, 5), (0, 1)), ((3, 20, 30, 5, 2), (1, 2)), ((700, 2), (0,))])
def test_sum_along_neighbours_with_something_behind_them_is_that_of_columns(
    shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    x = numbers(*shape)
    before, behind = shape[: axes[0]], shape[axes[-1] + 1 :]
    columns = np.moveaxis(x.reshape(*before, -1, *behind), len(before), 0)
    assert same_bits(kernels.sum(x, axes), column_sum(columns))


@needs_fma
@given(data=st.data())
def test_softmax(data: st.DataObject) -> None:
    x = call(data, "softmax").arrays["x"]
    shifted = x - x.max(-1, keepdims=True)
    e = kernels.exp(shifted)
    s = row_sum(e)[..., None]
    assert same_bits(kernels.softmax(x), e * (one / s))
    assert same_bits(kernels.log_softmax(x), shifted - kernels.log(s))


@needs_fma
@given(data=st.data())
def test_gradients_of_softmax(data: st.DataObject) -> None:
    grad, y = call(data, "softmax_backward").arrays.values()
    assert same_bits(kernels.softmax_backward(grad, y), y * (grad - row_sum(grad * y)[..., None]))
    y = kernels.log(y + one)
    expected = fma(-kernels.exp(y), row_sum(grad)[..., None], grad)
    assert np.array_equal(kernels.log_softmax_backward(grad, y), expected)


@needs_fma
@given(data=st.data())
def test_activations(data: st.DataObject) -> None:
    grad, x = (v.ravel() for v in call(data, "gelu_backward").arrays.values())
    e = kernels.exp(-np.abs(x))
    y = kernels.sigmoid(x)
    assert same_bits(y, np.where(x < 0, e, one) / (one + e))
    assert same_bits(kernels.sigmoid_backward(grad, y), grad * (y * (one - y)))
    y = kernels.tanh(x)
    assert same_bits(kernels.tanh_backward(grad, y), grad * (one - y * y))


@needs_fma
@given(data=st.data())
def test_cross_entropy_of_labels(data: st.DataObject) -> None:
    c = call(data, "cross_entropy")
    logits, target = c.arrays["logits"], c.arrays["target"].astype(np.int64)
    rows = np.arange(len(target))
    shifted = logits - logits.max(1, keepdims=True)
    e = kernels.exp(shifted)
    s = row_sum(e)
    losses = kernels.log(s) - shifted[rows, target]
    p = e * (one / s)[:, None]
    p[rows, target] -= one
    n = np.float32(len(target))
    loss, grad = kernels.cross_entropy_with_grad(logits, target)
    assert same_bits(loss, np.asarray(row_sum(losses) / n))
    assert np.array_equal(grad, p * (one / n))


@given(data=st.data())
def test_squared_error(data: st.DataObject) -> None:
    prediction, target = call(data, "mse_loss").arrays.values()
    d = prediction - target
    for half in (False, True):
        squares = d * d * np.float32(0.5) if half else d * d
        loss, grad = kernels.mse_loss_with_grad(prediction, target, half=half)
        assert same_bits(loss, np.asarray(row_sum(squares.ravel()) / np.float32(d.size)))
        assert same_bits(grad, d * np.float32((1 if half else 2) / d.size))


@needs_fma
@given(data=st.data())
def test_stochastic_gradient_descent(data: st.DataObject) -> None:
    c = call(data, "sgd_update-momentum")
    p, g, v = (x.copy() for x in c.arrays.values())
    s = {name: np.float32(value) for name, value in c.scalars.items()}
    kernels.sgd_update(*c.arrays.values(), **c.scalars)
    g = fma(s["weight_decay"], p, g) if c.scalars["weight_decay"] else g
    v = fma(s["momentum"], v, np.float32(1 - c.scalars["dampening"]) * g)
    g = fma(s["momentum"], v, g) if c.scalars["nesterov"] else v
    assert np.array_equal(c.arrays["param"], fma(-s["lr"], g, p))
    assert np.array_equal(c.arrays["velocity"], v)


@needs_fma
@given(data=st.data())
def test_adam(data: st.DataObject) -> None:
    c = call(data, "adam_update")
    p, g, m, v = (x.copy() for x in c.arrays.values())
    s = c.scalars
    kernels.adam_update(*c.arrays.values(), **s)
    if s["weight_decay"] and s["decoupled"]:
        p = np.float32(1 - s["lr"] * s["weight_decay"]) * p
    elif s["weight_decay"]:
        g = fma(np.float32(s["weight_decay"]), p, g)
    m = fma(np.float32(s["beta1"]), m, np.float32(1 - s["beta1"]) * g)
    v = fma(np.float32(s["beta2"]), v, np.float32(1 - s["beta2"]) * (g * g))
    root = fma(np.sqrt(v), np.float32(1 / math.sqrt(s["correction2"])), np.float32(s["eps"]))
    p = fma(np.float32(-s["lr"] / s["correction1"]), m / root, p)
    for name, expected in {"param": p, "exp_avg": m, "exp_avg_sq": v}.items():
        assert np.array_equal(c.arrays[name], expected), name
