"""fastnn: its kernels on NumPy arrays, and a training step as a user writes it, replayed natively or from Python."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import ArrayDataset, Column
from fastnn.record import Engine, Plan, log, record

from ..many import SEED, Many
from ..train import Problem
from . import Array, Kernel, Peer, bench_kernel


class Fastnn(Peer):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        fastnn.set_num_threads(threads)

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        return bench_kernel("fastnn", name, arrays, scalars)

    def training(self, problem: Problem) -> "ReplayedTraining":
        return ReplayedTraining(problem)

    def many(self, many: Many) -> Callable[[], Array]:
        problem, epochs = many.problem, many.orders.shape[1]
        options: dict[str, Any] = {
            "max_epochs": epochs, "seed": SEED, "max_workers": self.threads, "progress": False,
        }  # fmt: skip
        batch = problem.workload.batch
        if many.of_groups:
            names = np.repeat(np.arange(len(many.rates)), many.orders[0, 0].size)

            def fit_groups() -> Array:
                models = fastnn.fit_groups(
                    lambda: _model(problem, problem.workload.lr),
                    problem.x,
                    problem.y,
                    names,
                    batch_size=batch,
                    **options,
                )
                return np.array(models.report.columns["train_loss"])

            return fit_groups
        data = fastnn.data.ArrayData(problem.x, problem.y, batch_size=batch)
        grid = {"lr": many.rates.tolist()}

        def fit_many() -> Array:
            found = fastnn.fit_many(lambda lr: _model(problem, lr), data, grid, monitor="train_loss", **options)
            scores = {trial.parameters["lr"]: trial.score for trial in found}
            return np.array([scores[rate] for rate in grid["lr"]])

        return fit_many


def _model(problem: Problem, lr: float) -> fastnn.Model:
    """A model with the initial weights."""
    _, *hidden, outputs = problem.workload.sizes
    model = (fastnn.MLPRegression if problem.workload.regression else fastnn.MLP)(outputs, hidden, lr=lr)
    names = [(f"net.{i}.weight", f"net.{i}.bias") for i in range(1, 2 * len(problem.layers), 2)]
    model.load_state_dict(
        {n: v for pair in zip(names, problem.layers, strict=True) for n, v in zip(*pair, strict=True)}
    )
    return model


class Eager(Fastnn):
    """Every step from Python, a kernel at a time."""

    def training(self, problem: Problem) -> "EagerTraining":  # type: ignore[override]
        return EagerTraining(problem)


class EagerTraining:
    def __init__(self, problem: Problem) -> None:
        images = problem.x.dtype == np.uint8
        self.dataset = ArrayDataset(Column(fastnn.tensor(problem.x), divisor=255.0 if images else 1.0), problem.y)
        layers: list[nn.Module] = []
        for i, (weight, _) in enumerate(problem.layers):
            if i > 0:
                layers.append(nn.ReLU())
            layers.append(nn.Linear(*weight.shape[::-1]))
        self.net = nn.Sequential(*layers)
        self.loss = nn.MSELoss() if problem.workload.regression else nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.net.parameters(), lr=problem.workload.lr)
        self.start(problem)

    def start(self, problem: Problem) -> None:
        """Takes the initial weights."""
        for layer, (weight, bias) in zip(list(self.net)[::2], problem.layers, strict=True):
            layer.load_state_dict({"weight": weight, "bias": bias})

    def prepare(self, order: Array) -> Any:
        return [fastnn.tensor(rows) for rows in order]

    def epoch(self, order: Any) -> Array:
        return np.array([self.step(*self.dataset.take(rows)).item() for rows in order])

    def step(self, x: fastnn.Tensor, y: fastnn.Tensor) -> fastnn.Tensor:
        loss: fastnn.Tensor = self.loss(self.net(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


class ReplayedTraining(EagerTraining):
    """What a Trainer does: steps are recorded, and an epoch is one native call (a Trainer's last some 20 ms each)."""

    def __init__(self, problem: Problem, device: str = "cpu") -> None:
        super().__init__(problem)
        self.dataset = ArrayDataset(*[column.to(device) for column in self.dataset.columns])
        self.net.to(device)
        batch = problem.workload.batch
        rows = fastnn.tensor(problem.orders[0][0])
        plan = record(self.logged_step, [self.dataset.take(rows) for _ in range(3)])
        assert isinstance(plan, Plan), plan
        self.engine = Engine(plan, self.dataset.add_to, batch)
        self.start(problem)

    def logged_step(self, x: fastnn.Tensor, y: fastnn.Tensor) -> None:
        log("loss", self.step(x, y))

    def prepare(self, order: Array) -> Any:
        return order.astype(np.int64)

    def epoch(self, order: Any) -> Array:
        losses: Array = self.engine.run(len(order), order.reshape(-1))[:, 0]
        return losses
