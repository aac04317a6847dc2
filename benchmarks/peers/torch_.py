"""PyTorch on the CPU: indices instead of a DataLoader, no `item()` in the loop."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..many import Many
from ..train import Problem
from . import Array, Kernel, Peer, bench_kernel, unit_floats


class Torch(Peer):
    """Eager, images as float32 in memory.

    `index_select`, `autograd.grad` and `add_` take less time than `x[rows]`, `backward` and `optim.SGD`.
    """

    compiled = False

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch.set_num_threads(threads)

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        return bench_kernel("torch", name, arrays, scalars)

    def training(self, problem: Problem) -> "TorchTraining":
        return TorchTraining(problem, self.compiled)

    def many(self, many: Many) -> Callable[[], Array]:
        """Stacked weights, and `torch.func.vmap` over the models for the gradients of a step."""
        training = TorchTraining(many.problem, compiled=False)
        x, y, net, loss = training.x, training.y, training.net, training.loss
        rates = torch.from_numpy(many.rates.astype("float32"))
        models, axis = len(rates), 0 if many.of_groups else None
        orders = torch.from_numpy(many.orders).movedim(0, 2)  # (epochs, steps, models or 1, batch)

        def loss_of(params: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            value: torch.Tensor = loss(torch.func.functional_call(net, params, (x,)), y)
            return value

        gradients = torch.func.vmap(torch.func.grad_and_value(loss_of), in_dims=(0, axis, axis))

        def train() -> Array:
            params = {n: p.detach().expand(models, *p.shape).clone() for n, p in net.named_parameters()}
            for order in orders:
                losses = []
                for rows in order if many.of_groups else order[:, 0]:
                    picked = rows.reshape(-1)
                    batch_x, batch_y = x.index_select(0, picked), y.index_select(0, picked)
                    shape = rows.shape
                    grads, value = gradients(
                        params, batch_x.view(*shape, *x.shape[1:]), batch_y.view(*shape, *y.shape[1:])
                    )
                    for name, param in params.items():
                        param.addcmul_(grads[name], rates.view(-1, *[1] * (param.ndim - 1)), value=-1)
                    losses.append(value)
            means: Array = torch.stack(losses).mean(0).numpy()
            return means

        return train


class Compiled(Torch):
    """The whole step through torch.compile: gather from uint8, forward, gradient and update in one graph."""

    compiled = True


class TorchTraining:
    def __init__(self, problem: Problem, compiled: bool) -> None:
        self.x = torch.from_numpy(problem.x if compiled else unit_floats(problem.x))
        self.y = torch.from_numpy(problem.y)
        self.net = torch.nn.Sequential()
        for i, (weight, bias) in enumerate(problem.layers):
            if i > 0:
                self.net.append(torch.nn.ReLU())
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
            self.net.append(layer)
        self.lr = problem.workload.lr
        self.loss = F.mse_loss if problem.workload.regression else F.cross_entropy
        self.params = list(self.net.parameters())
        self.step = torch.compile(self._functional_step, dynamic=False) if compiled else self._step

    def prepare(self, order: Array) -> list[torch.Tensor]:
        return list(torch.from_numpy(order).unbind())

    def epoch(self, order: list[torch.Tensor]) -> Array:
        losses: Array = torch.stack([self.step(rows) for rows in order]).numpy()
        return losses

    def _step(self, rows: torch.Tensor) -> torch.Tensor:
        loss = self.loss(self.net(self.x.index_select(0, rows)), self.y.index_select(0, rows))
        with torch.no_grad():
            for param, grad in zip(self.params, torch.autograd.grad(loss, self.params), strict=True):
                param.add_(grad, alpha=-self.lr)
        return loss.detach()

    def _functional_step(self, rows: torch.Tensor) -> torch.Tensor:
        params: dict[str, torch.Tensor] = dict(self.net.named_parameters())
        x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
        if x.dtype == torch.uint8:
            x = x.float() / 255

        def loss_of(params: dict[str, torch.Tensor]) -> torch.Tensor:
            loss: torch.Tensor = self.loss(torch.func.functional_call(self.net, params, (x,)), y)
            return loss

        loss: torch.Tensor
        grads, loss = torch.func.grad_and_value(loss_of)(params)
        with torch.no_grad():
            for name, param in params.items():
                param.add_(grads[name], alpha=-self.lr)
        return loss.detach()
