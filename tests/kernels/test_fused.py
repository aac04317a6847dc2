"""A fused kernel gives the bits of the kernels that it stands for: a fusion never changes an expression."""

import re

import numpy as np
import pytest

from fastnn import kernels
from kernels.comparing import same_bits

SHAPES = [(1, 1, 1), (0, 3, 2), (3, 2, 0), (10, 784, 256), (256, 10, 784), (33, 65, 300), (130, 20, 513), (200, 3, 70)]
shapes = pytest.mark.parametrize(("m", "n", "k"), SHAPES, ids=str)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def operands(m: int, n: int, k: int, dtype: str) -> tuple[np.ndarray, ...]:
    """dY^T x as a step computes it, and three arrays of the result's shape."""
    rng = np.random.default_rng(m + n + k)
    a, b = rng.standard_normal((k, m)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    return a, b, *(rng.standard_normal((m, n)).astype(dtype) for _ in range(2))


@shapes
@dtypes
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu"])
def test_gradient_of_an_activation_in_a_product(m: int, n: int, k: int, dtype: str, activation: str) -> None:
    a, b, y, _ = operands(m, n, k, dtype)
    for threads in (1, 3):
        fused = kernels.matmul(a, b, y, transpose_a=True, backward=activation, num_threads=threads)
        product = kernels.matmul(a, b, transpose_a=True)
        assert same_bits(fused, getattr(kernels, f"{activation}_backward")(product, y))


@shapes
@dtypes
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu"])
def test_activation_in_a_linear_layer(m: int, n: int, k: int, dtype: str, activation: str) -> None:
    rng = np.random.default_rng(m + n + k)
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (n, k), (n,)))
    fused = kernels.linear(x, weight, bias, activation)
    assert same_bits(fused, getattr(kernels, activation)(kernels.linear(x, weight, bias)))


@shapes
@dtypes
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}])
def test_update_in_a_product(m: int, n: int, k: int, dtype: str, settings: dict[str, float]) -> None:
    a, b, param, velocity = operands(m, n, k, dtype)
    if not settings:
        velocity = None
    expected = [None if x is None else x.copy() for x in (param, velocity)]
    kernels.sgd_update(expected[0], kernels.matmul(a, b, transpose_a=True), expected[1], lr=0.1, **settings)
    for threads in (1, 3):
        given = [None if x is None else x.copy() for x in (param, velocity)]
        kernels.matmul_sgd_update(given[0], a, b, given[1], transpose_a=True, lr=0.1, num_threads=threads, **settings)
        assert all(x is None or same_bits(x, y) for x, y in zip(given, expected, strict=True))


def test_a_gradient_needs_both_the_activation_and_what_it_gave() -> None:
    x = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"^\[matmul\] y needs backward, the name of an activation"):
        kernels.matmul(x, x, y=x)
    with pytest.raises(ValueError, match=r"^\[matmul\] backward needs y"):
        kernels.matmul(x, x, backward="relu")


# ---- what a product chooses -----------------------------------------------------------------------------------


def test_a_product_says_how_it_goes_about_its_shape() -> None:
    x, weight = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
    turned = kernels.explain_product(x, weight, transpose_b=True)
    assert re.fullmatch(r"a (in place|packed), b packed( ahead)?, \d+x\d+ panels in \d+x\d+ items", turned)
    assert kernels.explain_product(x, weight.T) == turned
    assert ", b in place, " in kernels.explain_product(x, weight)
    one_column = kernels.explain_product(np.zeros((2, 4096), np.float32).T, np.zeros((2, 1), np.float32))
    assert one_column.endswith(", lanes along m")
    deep = kernels.explain_product(np.zeros((256, 2048), np.float32), np.zeros((2048, 64), np.float32))
    assert deep.startswith("a packed ahead, b packed ahead, ")
    few = kernels.explain_product(
        np.zeros((256, 784), np.float32), np.zeros((10, 784), np.float32), transpose_b=True, linear=True
    )
    assert few.endswith(", lanes along k")


def test_a_product_that_cannot_be_is_not_explained() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"\[explain_product\] a is \(2, 3\) but b is \(2, 3\)"):
        kernels.explain_product(x, x)
    with pytest.raises(TypeError, match=r"\[explain_product\] transpose_a = 1 does not fit"):
        kernels.explain_product(x, x, transpose_a=1)  # type: ignore[arg-type]
