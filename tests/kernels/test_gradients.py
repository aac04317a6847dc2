"""Backward kernels are the derivatives of the forward ones: float64, to 1e-6 against central differences."""

from collections.abc import Callable

import numpy as np
import pytest

from fastnn import kernels
from kernels.sampling import Array

Forward = Callable[[Array], Array]
Backward = Callable[[Array, Array, Array], Array]  # gradient of the result, operand, result

H = 1e-5  # the error of a difference: h**2 from the third derivative, 2**-52 / h from rounding


def differences(objective: Callable[[Array], float], x: Array) -> Array:
    """Derivative of `objective` with respect to every element of `x`."""
    slope = np.empty_like(x)
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = H
        slope[at] = (objective(x + step) - objective(x - step)) / (2 * H)
    return slope


PAIRS: dict[str, tuple[Forward, Backward]] = {
    "relu": (kernels.relu, lambda grad, x, y: kernels.relu_backward(grad, y)),
    "relu from its input": (kernels.relu, lambda grad, x, y: kernels.relu_backward(grad, x)),
    "sigmoid": (kernels.sigmoid, lambda grad, x, y: kernels.sigmoid_backward(grad, y)),
    "tanh": (kernels.tanh, lambda grad, x, y: kernels.tanh_backward(grad, y)),
    "gelu": (kernels.gelu, lambda grad, x, y: kernels.gelu_backward(grad, x)),
    "softmax": (kernels.softmax, lambda grad, x, y: kernels.softmax_backward(grad, y)),
    "softmax, axis 0": (lambda x: kernels.softmax(x, 0), lambda grad, x, y: kernels.softmax_backward(grad, y, 0)),
    "log_softmax": (kernels.log_softmax, lambda grad, x, y: kernels.log_softmax_backward(grad, y)),
    "dropout": (
        lambda x: kernels.dropout(x, p=0.5, seed=3),
        lambda grad, x, y: kernels.dropout(grad, p=0.5, seed=3),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_backward_kernel_is_the_derivative(name: str) -> None:
    forward, backward = PAIRS[name]
    rng = np.random.default_rng(1)
    x, grad = rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    expected = differences(lambda v: float(np.sum(grad * forward(v))), x)
    np.testing.assert_allclose(backward(grad, x, forward(x)), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("probabilities", [False, True])
def test_gradient_of_cross_entropy(probabilities: bool, smoothing: float, weighted: bool, reduction: str) -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(6, 5))
    target = rng.dirichlet(np.ones(5), 6) if probabilities else np.array([0, 4, 2, 2, -100, 1])
    options = {"weight": rng.uniform(0.5, 2, 5) if weighted else None, "label_smoothing": smoothing}

    def loss(v: Array) -> float:
        return float(kernels.cross_entropy(v, target, reduction=reduction, **options))

    _, grad = kernels.cross_entropy_with_grad(logits, target, reduction=reduction, **options)
    np.testing.assert_allclose(grad, differences(loss, logits), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("half", [False, True])
def test_gradient_of_the_squared_error(half: bool, reduction: str) -> None:
    prediction, target = np.random.default_rng(3).normal(size=(2, 4, 3))

    def loss(v: Array) -> float:
        return float(kernels.mse_loss(v, target, half=half, reduction=reduction))

    _, grad = kernels.mse_loss_with_grad(prediction, target, half=half, reduction=reduction)
    np.testing.assert_allclose(grad, differences(loss, prediction), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["cross_entropy", "mse_loss"])
def test_gradient_without_reduction_is_that_of_the_sum(name: str) -> None:
    x = np.random.default_rng(4).normal(size=(6, 5))
    target = np.arange(6) % 5 if name == "cross_entropy" else x[::-1].copy()
    kernel = getattr(kernels, f"{name}_with_grad")
    assert np.array_equal(kernel(x, target, reduction="none")[1], kernel(x, target, reduction="sum")[1])


def test_scattering_is_the_adjoint_of_gathering() -> None:
    """<gather(x), g> = <x, scatter_add(g)>, whole numbers to be exact."""
    rng = np.random.default_rng(5)
    x, grad = (rng.integers(-9, 9, (n, 3)).astype(float) for n in (7, 40))
    rows, columns = rng.integers(-7, 7, 40), rng.integers(0, 3, 40)
    scattered = kernels.scatter_add(grad, rows, num_rows=7)
    assert np.sum(kernels.gather(x, rows) * grad) == np.sum(x * scattered)
    placed = kernels.pick_backward(grad[:, 0].copy(), rows, columns, shape=(7, 3))
    assert np.sum(kernels.pick(x, rows, columns) * grad[:, 0]) == np.sum(x * placed)
