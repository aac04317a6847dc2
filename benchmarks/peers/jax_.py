"""JAX: the whole epoch in one `lax.scan` under `jit`, with the weights donated and images kept as uint8."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..many import Many
from ..train import Problem
from . import Array, Kernel, Peer, Unsupported, bench_kernel

Layers = list[tuple[jax.Array, jax.Array]]


class Jax(Peer):
    """XLA makes as many threads as the process has processors: the worker's affinity sets them."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        if not hasattr(os, "sched_getaffinity") and threads != os.cpu_count():
            raise Unsupported("XLA's threads cannot be limited on this system")

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        return bench_kernel("jax", name, arrays, scalars)

    def training(self, problem: Problem) -> "JaxTraining":
        return JaxTraining(problem)

    def many(self, many: Many) -> Callable[[], Array]:
        """`vmap` over the models, of a scan over all their steps."""
        problem, (_, epochs, steps, batch) = many.problem, many.orders.shape
        layers = [(jnp.array(w), jnp.array(b)) for w, b in problem.layers]
        x, y, rates = jnp.array(problem.x), jnp.array(problem.y), jnp.array(many.rates, jnp.float32)
        orders = jnp.array(many.orders.reshape(-1, epochs * steps, batch), jnp.int32)
        orders, axis = (orders, 0) if many.of_groups else (orders[0], None)

        @jax.jit
        def train(lr: jax.Array, order: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
            def one(lr: jax.Array, order: jax.Array) -> jax.Array:
                step = _step(problem.workload.regression, lr, x, y)
                return jax.lax.scan(step, layers, order)[1][-steps:].mean()

            return jax.vmap(one, in_axes=(0, axis))(lr, order)

        return lambda: np.asarray(train(rates, orders, x, y))


class JaxTraining:
    def __init__(self, problem: Problem) -> None:
        self.layers: Layers = [(jnp.array(w), jnp.array(b)) for w, b in problem.layers]
        self.x, self.y = jnp.array(problem.x), jnp.array(problem.y)
        regression, lr = problem.workload.regression, problem.workload.lr

        @partial(jax.jit, donate_argnums=0)
        def epoch(layers: Layers, x: jax.Array, y: jax.Array, order: jax.Array) -> tuple[Layers, jax.Array]:
            return jax.lax.scan(_step(regression, lr, x, y), layers, order)

        self._epoch = epoch

    def prepare(self, order: Array) -> jax.Array:
        return jnp.array(order, jnp.int32)

    def epoch(self, order: jax.Array) -> Array:
        self.layers, losses = self._epoch(self.layers, self.x, self.y, order)
        return np.asarray(losses)


def _step(regression: bool, lr: Any, x: jax.Array, y: jax.Array) -> Callable[[Layers, jax.Array], Any]:
    """A step of plain SGD on the batch of `rows`, for a scan."""
    loss = _squared_error if regression else _cross_entropy

    def step(layers: Layers, rows: jax.Array) -> tuple[Layers, jax.Array]:
        batch_x = x.at[rows].get(mode="promise_in_bounds")
        if batch_x.dtype == jnp.uint8:
            batch_x = batch_x.astype(jnp.float32) / 255
        batch_y = y.at[rows].get(mode="promise_in_bounds")
        value, grads = jax.value_and_grad(loss)(layers, batch_x, batch_y)
        return jax.tree.map(lambda param, grad: param - lr * grad, layers, grads), value

    return step


def _forward(layers: Layers, x: jax.Array) -> jax.Array:
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight.T + bias)
    weight, bias = layers[-1]
    return x @ weight.T + bias


def _squared_error(layers: Layers, x: jax.Array, y: jax.Array) -> Any:
    return jnp.mean((_forward(layers, x) - y) ** 2)


def _cross_entropy(layers: Layers, x: jax.Array, y: jax.Array) -> Any:
    log_p = jax.nn.log_softmax(_forward(layers, x))
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], 1, mode="promise_in_bounds"))
