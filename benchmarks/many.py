"""Many small models at once: a sweep over learning rates, a model for each group of rows, two fits in two threads."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .train import WORKLOADS, Problem, Workload, beyond_rounding, make_problem

if TYPE_CHECKING:
    from .peers import Array, Peer

SEED = 0
CHECKED = 3
"""Models whose losses are compared with float64: the first, the last and those between."""

GROUP = Workload("G", (20, 32, 32, 1), 32, 15, 0.01)
"""The model of a group of 480 rows: full batches, as stacked models need them."""


@dataclass(frozen=True)
class Many:
    """Models from the same initial weights, trained for some epochs: on all rows, or each on rows of its own.

    `rates` are the learning rates, one for each model; `orders` (models or 1, epochs, steps, batch) the row numbers.
    """

    name: str
    problem: Problem
    rates: "Array"
    orders: "Array"

    bytes: ClassVar[int] = 0
    memory: ClassVar[int] = 0

    @property
    def steps(self) -> int:
        """Times are quoted for all of the models."""
        return 1

    @property
    def flops(self) -> int:
        epochs, steps = self.orders.shape[1:3]
        return self.problem.workload.flops * len(self.rates) * epochs * steps

    @property
    def of_groups(self) -> bool:
        return len(self.orders) > 1

    def start(self, peer: "Peer") -> "tuple[tuple[Array, ...], Callable[[], Array]]":
        """Each model's mean loss of the last epoch, and a function that trains all of them anew."""
        train = peer.many(self)
        return (train(),), train

    def model(self, i: int) -> "tuple[Problem, Array]":
        """The problem of one of the models, and the orders of its epochs."""
        workload = dataclasses.replace(self.problem.workload, lr=float(self.rates[i]))
        return dataclasses.replace(self.problem, workload=workload), self.orders[i if self.of_groups else 0]

    def disagreement(self, result: "tuple[Array, ...]") -> str | None:
        epochs, steps = self.orders.shape[1:3]
        terms = epochs * steps * self.problem.workload.terms  # the roundings of all steps add up in the weights
        return beyond_rounding(result[0][self._checked], self.expected, terms)

    @property
    def _checked(self) -> "Array":
        return np.linspace(0, len(self.rates) - 1, CHECKED).astype(int)

    @cached_property
    def expected(self) -> "Array":
        from .peers.numpy_ import NumpyTraining

        losses = []
        for problem, orders in map(self.model, self._checked):
            training = NumpyTraining(problem, "float64")
            losses.append([training.epoch(order).mean() for order in orders][-1])
        return np.array(losses)


def sweep(models: int = 200, workload: Workload = WORKLOADS["W6"], epochs: int = 2) -> Many:
    """Models that differ in their learning rate."""
    problem = make_problem(workload)
    rates = np.geomspace(0.01, 0.3, models)
    orders = _orders(len(problem.x), workload, epochs)[None]
    return Many(f"{models} models of {workload.title}, {epochs} epochs", problem, rates, orders)


def groups(count: int = 100, workload: Workload = GROUP, epochs: int = 50) -> Many:
    """Models that differ in their rows."""
    rows = workload.steps * workload.batch
    problem = make_problem(dataclasses.replace(workload, steps=workload.steps * count))
    problem = dataclasses.replace(problem, workload=workload)
    orders = _orders(rows, workload, epochs) + rows * np.arange(count).reshape(-1, 1, 1, 1)
    name = f"{count} groups of {rows} rows, {workload.title.removeprefix('G ')}, {epochs} epochs"
    return Many(name, problem, np.full(count, workload.lr), orders)


def _orders(rows: int, workload: Workload, epochs: int) -> "Array":
    """The orders in which a Trainer takes the rows."""
    import fastnn

    loader = fastnn.DataLoader(np.empty(rows), workload.batch, shuffle=True, seed=SEED)
    return np.stack([loader.order(epoch).reshape(-1, workload.batch) for epoch in range(epochs)])


# ---- fastnn alone -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AllGroups:
    """`fit_groups` on as many groups as a night has, each with a short last batch."""

    count: int = 10_000
    rows: int = 500
    epochs: int = 50

    bytes: ClassVar[int] = 0
    memory: ClassVar[int] = 0
    steps: ClassVar[int] = 1

    @property
    def flops(self) -> int:
        return GROUP.flops * self.count * self.epochs * self.rows // GROUP.batch

    @property
    def name(self) -> str:
        return f"{self.count:,} groups of {self.rows} rows, MLP 20-32-32-1, batch 32, {self.epochs} epochs"

    def start(self, peer: "Peer") -> "tuple[None, Callable[[], object]]":
        import fastnn

        rng = np.random.default_rng(SEED)
        x = rng.standard_normal((self.count * self.rows, 20), np.float32)
        y, names = x @ rng.standard_normal(20, np.float32), np.repeat(np.arange(self.count), self.rows)

        def train() -> object:
            models = fastnn.fit_groups(
                lambda: fastnn.MLPRegression(1, [32, 32], lr=0.01),
                x, y, names, self.epochs, batch_size=32, seed=SEED, max_workers=peer.threads, progress=False,
            )  # fmt: skip
            if len(models) < self.count:
                raise RuntimeError(f"{self.count - len(models)} groups have no model")
            return models

        return None, train

    def disagreement(self, result: "tuple[Array, ...]") -> str | None:
        return None


@dataclass(frozen=True)
class TwoFits:
    """Two models, each by a Trainer on one core: one after the other on one thread, side by side on two."""

    problem: Problem
    epochs: int = 1

    bytes: ClassVar[int] = 0
    memory: ClassVar[int] = 0
    steps: ClassVar[int] = 1

    @property
    def flops(self) -> int:
        return 2 * self.epochs * self.problem.flops

    @property
    def name(self) -> str:
        return f"two fits of {self.problem.name}, {self.epochs} epoch{'s' if self.epochs > 1 else ''}"

    def start(self, peer: "Peer") -> "tuple[None, Callable[[], object]]":
        from concurrent.futures import ThreadPoolExecutor

        import fastnn

        workload = self.problem.workload
        data = fastnn.data.ArrayData(self.problem.x, self.problem.y, batch_size=workload.batch)
        pool = ThreadPoolExecutor(peer.threads)

        def fit(seed: int) -> object:
            model = fastnn.MLP(workload.sizes[-1], list(workload.sizes[1:-1]), lr=workload.lr)
            return fastnn.Trainer(self.epochs, num_threads=1, seed=seed, progress=False).fit(model, data)

        return None, lambda: list(pool.map(fit, (0, 1)))

    def disagreement(self, result: "tuple[Array, ...]") -> str | None:
        return None
