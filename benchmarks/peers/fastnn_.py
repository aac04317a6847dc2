"""fastnn: its kernels on NumPy arrays, and its training loop as a user writes it, one call of a kernel at a time."""

from typing import Any

import numpy as np

import fastnn
from benchmarks.peers import Array, Kernel, Peer
from benchmarks.train import Problem
from fastnn import kernels, nn, optim
from fastnn.data import ArrayDataset, Column


class Fastnn(Peer):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        fastnn.set_num_threads(threads)

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        kernel = getattr(kernels, name)
        if name == "sgd_update":

            def update() -> tuple[Array, ...]:
                kernel(*arrays, **scalars)
                return arrays[0], arrays[2]

            return update
        if name == "cross_entropy_with_grad":
            return lambda: kernel(*arrays, **scalars)
        out = np.empty_like(kernel(*arrays, **scalars))
        return lambda: (kernel(*arrays, **scalars, out=out),)

    def training(self, problem: Problem) -> "FastnnTraining":
        return FastnnTraining(problem)


class FastnnTraining:
    def __init__(self, problem: Problem) -> None:
        images = problem.x.dtype == np.uint8
        self.dataset = ArrayDataset(Column(fastnn.tensor(problem.x), divisor=255.0 if images else 1.0), problem.y)
        layers: list[nn.Module] = []
        for i, (weight, bias) in enumerate(problem.layers):
            if i > 0:
                layers.append(nn.ReLU())
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": bias})
            layers.append(layer)
        self.net = nn.Sequential(*layers)
        self.loss = nn.MSELoss() if problem.workload.regression else nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.net.parameters(), lr=problem.workload.lr)

    def prepare(self, order: Array) -> list[fastnn.Tensor]:
        return [fastnn.tensor(rows) for rows in order]

    def epoch(self, order: list[fastnn.Tensor]) -> Array:
        losses = []
        for rows in order:
            x, y = self.dataset.take(rows)
            loss = self.loss(self.net(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return np.array(losses)
