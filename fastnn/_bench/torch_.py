"""Kernels by PyTorch, results into tensors made once; the tensors share the memory of the arrays they are given."""

from typing import Any

import torch

from .peers import Kernel, named


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Kernel:
    a, b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype)
    return lambda: (torch.mm(a, b, out=out),)


def _cross_entropy(logits: Any, target: Any) -> Kernel:
    """Without autograd: the four operations that it would run."""
    aten = torch.ops.aten
    one = torch.ones(())

    def call() -> tuple[Any, ...]:
        log_p = aten._log_softmax(logits, 1, False)
        loss, weight = aten.nll_loss_forward(log_p, target, None, 1, -100)
        grad = aten.nll_loss_backward(one, log_p, target, None, 1, -100, weight)
        return loss, aten._log_softmax_backward_data(grad, log_p, 1, logits.dtype)

    return call


def _sgd_update(param: Any, grad: Any, velocity: Any, lr: float, momentum: float) -> Kernel:
    param.grad = grad
    optimizer = torch.optim.SGD([param], lr, momentum, fused=True)
    optimizer.state[param]["momentum_buffer"] = velocity

    def call() -> tuple[Any, ...]:
        optimizer.step()
        return param, velocity

    return call


def _relu(x: Any) -> Kernel:
    out = torch.empty_like(x)
    return lambda: (torch.clamp_min(x, 0, out=out),)


def _gather(data: Any, indices: Any, divisor: float) -> Kernel:
    rows = torch.empty((len(indices), data.shape[1]), dtype=data.dtype)
    out = torch.empty(rows.shape)
    return lambda: (torch.div(torch.index_select(data, 0, indices, out=rows), divisor, out=out),)


KERNELS = named(torch.from_numpy, _matmul, _cross_entropy, _sgd_update, _relu, _gather)
