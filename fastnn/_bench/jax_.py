"""Kernels by JAX (XLA), each one compiled function. A call ends when its results are there."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .peers import Kernel, named


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Kernel:
    return _compiled(lambda a, b: ((a.T if transpose_a else a) @ (b.T if transpose_b else b),), a, b)


def _cross_entropy(logits: Any, target: Any) -> Kernel:
    def loss(logits: Any, target: Any) -> Any:
        log_p = jax.nn.log_softmax(logits)
        return -jnp.mean(jnp.take_along_axis(log_p, target[:, None], 1, mode="promise_in_bounds"))

    return _compiled(jax.value_and_grad(loss), logits, target)


def _sgd_update(param: Any, grad: Any, velocity: Any, lr: float, momentum: float) -> Kernel:
    def update(param: Any, velocity: Any, grad: Any) -> tuple[Any, Any]:
        velocity = momentum * velocity + grad
        return param - lr * velocity, velocity

    step, state = jax.jit(update, donate_argnums=(0, 1)), (param, velocity)

    def call() -> tuple[Any, ...]:
        nonlocal state
        state = _done(step(*state, grad))
        return state

    return call


def _relu(x: Any) -> Kernel:
    return _compiled(lambda x: (jnp.maximum(x, 0),), x)


def _gather(data: Any, indices: Any, divisor: float) -> Kernel:
    def gather(data: Any, indices: Any) -> tuple[Any]:
        return (data.at[indices].get(mode="promise_in_bounds").astype(jnp.float32) / divisor,)

    return _compiled(gather, data, indices)


def _compiled(function: Callable[..., tuple[Any, ...]], *arrays: Any) -> Kernel:
    compiled = jax.jit(function)
    return lambda: _done(compiled(*arrays))


def _done(results: tuple[Any, ...]) -> tuple[Any, ...]:
    for result in results:
        result.block_until_ready()
    return results


KERNELS = named(jnp.array, _matmul, _cross_entropy, _sgd_update, _relu, _gather)
