"""NumPy: products by its BLAS, results into arrays made once. In float64 it is what all must agree with."""

from typing import Any

import numpy as np

from ..train import Problem
from . import Array, Kernel, Peer, bench_kernel, unit_floats


class Numpy(Peer):
    """The BLAS takes its thread count from the environment that the worker was started with."""

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        return bench_kernel("numpy", name, arrays, scalars)

    def training(self, problem: Problem) -> "NumpyTraining":
        return NumpyTraining(problem)


class NumpyTraining:
    """A multilayer perceptron by hand, every intermediate in an array made once."""

    def __init__(self, problem: Problem, dtype: str = "float32") -> None:
        workload = problem.workload
        self.x, self.y, self.lr = unit_floats(problem.x).astype(dtype), problem.y, np.dtype(dtype).type(workload.lr)
        self.layers = [(w.astype(dtype), b.astype(dtype)) for w, b in problem.layers]
        sizes = workload.sizes
        self.activations = [np.empty((workload.batch, size), dtype) for size in sizes]
        self.gradients = [np.empty((workload.batch, size), dtype) for size in sizes]
        self.updates = [(np.empty_like(w), np.empty_like(b)) for w, b in self.layers]
        self.rows = np.arange(workload.batch)
        self.head = self._squared_error if workload.regression else self._cross_entropy

    def prepare(self, order: Array) -> Array:
        return order

    def epoch(self, order: Array) -> Array:
        return np.array([self._step(rows) for rows in order])

    def _step(self, rows: Array) -> float:
        a, g = self.activations, self.gradients
        self.x.take(rows, 0, out=a[0], mode="clip")  # without "clip" NumPy gathers into a buffer first
        last = len(self.layers)
        for i, (weight, bias) in enumerate(self.layers):
            np.matmul(a[i], weight.T, out=a[i + 1])
            a[i + 1] += bias
            if i + 1 < last:
                np.maximum(a[i + 1], 0, out=a[i + 1])
        loss = self.head(a[last], self.y[rows], g[last])
        for i in range(last - 1, -1, -1):
            weight, bias = self.layers[i]
            weight_update, bias_update = self.updates[i]
            np.matmul(g[i + 1].T, a[i], out=weight_update)
            g[i + 1].sum(0, out=bias_update)
            if i > 0:
                np.matmul(g[i + 1], weight, out=g[i])
                g[i] *= a[i] > 0
            weight_update *= self.lr
            weight -= weight_update
            bias_update *= self.lr
            bias -= bias_update
        return loss

    def _squared_error(self, prediction: Array, target: Array, grad: Array) -> float:
        np.subtract(prediction, target, out=grad)
        loss = float(np.vdot(grad, grad)) / grad.size
        grad *= 2 / grad.size
        return loss

    def _cross_entropy(self, logits: Array, target: Array, grad: Array) -> float:
        return cross_entropy(logits, target, grad, self.rows)


def cross_entropy(logits: Array, target: Array, grad: Array, rows: Array) -> float:
    """Mean loss; `grad` receives the gradient, `rows` is 0..n-1."""
    np.subtract(logits, logits.max(1, keepdims=True), out=grad)
    at_label = grad[rows, target]
    np.exp(grad, out=grad)
    total = grad.sum(1)
    loss = float((np.log(total) - at_label).mean())
    grad /= total[:, None]
    grad[rows, target] -= 1
    grad /= len(rows)
    return loss
