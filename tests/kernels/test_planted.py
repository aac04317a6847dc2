"""The checks see: each of these wrong kernels is caught by the case table."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastnn import reference
from kernels.cases import CASES
from kernels.comparing import check
from kernels.sampling import Array

r = reference


def last_but_one(x: Array) -> Array:
    """Without the last element of each row, where there are more than 16."""
    return x[..., :-1] if x.shape[-1] > 16 else x


def one_element(kernel: Callable[..., Array], change: Callable[[Any], Any]) -> Callable[..., Array]:
    """`kernel` but for its last element."""

    def planted(**arguments: Any) -> Array:
        y = np.array(kernel(**arguments))
        if y.size:
            y.flat[-1] = change(y.flat[-1])
        return y

    return planted


def ulps(count: int) -> Callable[[Any], Any]:
    return lambda y: y + count * np.spacing(y)


def smoothed(logits: Array, target: Array, *, label_smoothing: float = 0.0, **more: Any) -> Array:
    classes = max(logits.shape[1], 2)
    return r.cross_entropy(logits, target, label_smoothing=label_smoothing * classes / (classes - 1) / 2, **more)


def gradient_of_the_sum(**arguments: Any) -> tuple[Array, Array]:
    loss, _ = r.cross_entropy_with_grad(**arguments)
    return loss, r.cross_entropy_with_grad(**arguments | {"reduction": "sum"})[1]


def last_of_equals(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    turned = np.flip(x, axis)
    n = x.size if axis is None else x.shape[axis]
    return n - 1 - r.argmax(turned, axis, keepdims)


def last_wins(grad: Array, indices: Array, *, num_rows: int) -> Array:
    result = np.zeros((num_rows, *grad.shape[1:]), grad.dtype)
    result[indices] = grad
    return result


PLANTED: dict[str, Callable[..., Any]] = {
    "matmul": one_element(r.matmul, lambda y: y * (1 + 1e-4)),
    "linear": lambda x, weight, **more: r.linear(last_but_one(x), last_but_one(weight), **more),
    "matmul-accumulate": lambda a, b, beta, out, **more: r.matmul(a, b, beta=-beta, out=out, **more),
    "divide": one_element(r.divide, ulps(1)),
    "maximum": lambda a, b: np.where(a > b, a, b),
    "less": r.less_equal,
    "exp": one_element(r.exp, ulps(4)),
    "log": one_element(r.log, ulps(4)),
    "sqrt": lambda x: np.exp(np.log(x) / 2).astype(x.dtype),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x * (1 + 1e-6))),
    "gelu": lambda x: (0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))).astype(x.dtype),
    "relu_backward": lambda grad, y: np.where(y >= 0, grad, y.dtype.type(0)),
    "tanh_backward": lambda grad, y: grad * (1 - y),
    "sum": lambda x, axis, keepdims: np.sum(
        x * (np.arange(x.shape[-1]) < 31 if x.ndim else 1), axis, keepdims=keepdims
    ),
    "mean": lambda x, axis, keepdims: r.sum(x, axis, keepdims) / max(x.shape[-1] if x.ndim else 1, 1),
    "argmax": last_of_equals,
    "softmax": lambda x, axis: np.exp(x) / np.exp(x).sum(axis, keepdims=True) * x.dtype.type(1 + 3e-6),
    "log_softmax": lambda x, axis: np.log(r.softmax(x, axis)),
    "softmax_backward": lambda grad, y, axis: y * grad,
    "cross_entropy": smoothed,
    "cross_entropy_with_grad": gradient_of_the_sum,
    "mse_loss": lambda prediction, target, half, reduction: r.mse_loss(prediction, target, reduction=reduction),
    "accuracy": lambda logits, target: r.accuracy(-logits, target),
    "sgd_update-momentum": lambda dampening, **more: r.sgd_update(**more),
    "adam_update": lambda correction2, **more: r.adam_update(correction2=1.0, **more),
    "gather": lambda data, indices, divisor=1.0, **more: r.gather(data, indices, **more) * data.dtype.type(1 / divisor),
    "scatter_add": last_wins,
    "pick": lambda x, rows, columns: x[rows, columns % x.shape[1]] if x.shape[1] > 1 else x[rows * 0, columns],
    "one_hot": lambda labels, num_classes, dtype: np.ones((labels.size, num_classes), dtype),
    "uniform": lambda ordinal, **more: r.uniform(ordinal=0, **more),
    "normal": one_element(r.normal, ulps(3)),
    "dropout": lambda x, p, **counters: r.dropout(x, p=p, **counters) * x.dtype.type(1 - p),
    "permutation": lambda n, seed, epoch: np.random.default_rng(seed).permutation(n),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PLANTED)
def test_planted_error_is_caught(name: str) -> None:
    (case,) = [case for case in CASES if str(case) == f"{name}-{'int64' if name == 'permutation' else 'float32'}"]

    module = SimpleNamespace(**{case.kernel: PLANTED[name]})
    caught = 0
    for salt in range(20):
        try:
            check(case, case.seeded(salt), module)
        except AssertionError:
            caught += 1
    assert caught > 0
