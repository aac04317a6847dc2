"""Kernels by NumPy: products by its BLAS, results into arrays made once."""

from typing import Any

import numpy as np

from fastnn.dispatch import Array

from .peers import Kernel, named


def _matmul(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False) -> Kernel:
    a, b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    return lambda: (np.matmul(a, b, out=out),)


def cross_entropy(logits: Array, target: Array, grad: Array, rows: Array) -> Any:
    """Mean loss; `grad` receives the gradient, `rows` is 0..n-1."""
    np.subtract(logits, logits.max(1, keepdims=True), out=grad)
    at_label = grad[rows, target]
    np.exp(grad, out=grad)
    total = grad.sum(1)
    loss = (np.log(total) - at_label).mean()
    grad /= total[:, None]
    grad[rows, target] -= 1
    grad /= len(rows)
    return loss


def _cross_entropy(logits: Array, target: Array) -> Kernel:
    grad, rows = np.empty_like(logits), np.arange(len(logits))
    return lambda: (cross_entropy(logits, target, grad, rows), grad)


def _sgd_update(param: Array, grad: Array, velocity: Array, lr: float, momentum: float) -> Kernel:
    step = np.empty_like(param)

    def call() -> tuple[Array, ...]:
        np.multiply(velocity, momentum, out=velocity)
        np.add(velocity, grad, out=velocity)
        np.multiply(velocity, lr, out=step)
        np.subtract(param, step, out=param)
        return param, velocity

    return call


def _relu(x: Array) -> Kernel:
    out = np.empty_like(x)
    return lambda: (np.maximum(x, 0, out=out),)


def _gather(data: Array, indices: Array, divisor: float) -> Kernel:
    rows = np.empty((len(indices), data.shape[1]), data.dtype)
    out = np.empty(rows.shape, np.float32)

    def call() -> tuple[Array, ...]:
        data.take(indices, 0, out=rows, mode="clip")  # without "clip" NumPy gathers into a buffer first
        return (np.divide(rows, np.float32(divisor), out=out, dtype=np.float32),)

    return call


KERNELS = named(np.asarray, _matmul, _cross_entropy, _sgd_update, _relu, _gather)
