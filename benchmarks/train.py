"""Training steps: the workloads W1 to W7, from a linear model of three numbers to an MLP of eight million."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from .peers import Array, Peer

EPOCHS = 2
"""Orders that a contender goes through in turn."""

CHECKED = (0, 0, 0, 0, 0, 1, 2)
"""Batches of the steps that are compared: on one batch again and again a learning rate wrong by 1% shows."""


@dataclass(frozen=True)
class Workload:
    """A multilayer perceptron with ReLU (no hidden layer: linear), trained by plain SGD in float32.

    One output means regression by mean squared error, more mean cross-entropy on class indices. An epoch has `steps`
    full batches.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    steps: int
    lr: float
    images: bool = False

    @property
    def title(self) -> str:
        kind = "MLP" if len(self.sizes) > 2 else "linear" if self.regression else "softmax"
        return f"{self.name} {kind} {'-'.join(map(str, self.sizes))}, batch {self.batch}"

    @property
    def regression(self) -> bool:
        return self.sizes[-1] == 1

    @property
    def terms(self) -> int:
        """The most terms that a loss sums: an inner product, then the mean over the batch."""
        return max(self.sizes) + self.batch

    @property
    def flops(self) -> int:
        """Of the products of a step: forward, gradient of the weights, gradient of the inputs but the first."""
        products = [i * o for i, o in itertools.pairwise(self.sizes)]
        return 2 * self.batch * (2 * sum(products) + sum(products[1:]))


# W1 has a thousand steps, so that the dispatch of a whole epoch does not weigh on a peer of 1 microsecond a step.
WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", (2, 1), 32, 1000, 0.03),
        Workload("W2", (784, 10), 256, 234, 0.1, images=True),
        Workload("W3", (784, 256, 10), 256, 234, 0.1, images=True),
        Workload("W4", (784, 256, 10), 32, 468, 0.1, images=True),
        Workload("W5", (784, 512, 512, 10), 128, 117, 0.1, images=True),
        Workload("W6", (64, 64, 64, 10), 64, 93, 0.1),
        Workload("W7", (1024, 2048, 2048, 1000), 512, 4, 0.1),
    )
}


@dataclass(frozen=True)
class Problem:
    """A workload with its data, initial weights and batch orders: the same for every contender.

    `x` is (rows, inputs), float32, or uint8 for images (255 means 1.0); `y` is (rows, 1) float32 or (rows,) int64;
    `layers` hold weight (outputs, inputs) and bias (outputs,); an order is (steps, batch) row numbers.
    """

    workload: Workload
    x: "Array"
    y: "Array"
    layers: "list[tuple[Array, Array]]"
    orders: "list[Array]"
    source: str

    bytes: ClassVar[int] = 0
    memory: ClassVar[int] = 0  # what a step must move depends on the caches; the floor counts arithmetic only

    @property
    def name(self) -> str:
        return self.workload.title

    @property
    def flops(self) -> int:
        return self.workload.flops * self.steps

    @property
    def steps(self) -> int:
        return self.workload.steps

    def start(self, peer: "Peer") -> "tuple[tuple[Array, ...], Callable[[], Array]]":
        """The losses of the first steps, and a function that trains for another epoch at each call."""
        training = peer.training(self)
        losses = [training.epoch(training.prepare(batch[None])) for batch in self.checked()]
        orders = itertools.cycle([training.prepare(order) for order in self.orders])
        return (np.concatenate(losses),), lambda: training.epoch(next(orders))

    def disagreement(self, result: "tuple[Array, ...]") -> str | None:
        """What is wrong with a contender's losses: from those in float64 they may differ by rounding only."""
        return beyond_rounding(result[0], self.expected, self.workload.terms)

    @cached_property
    def expected(self) -> "Array":
        from .peers.numpy_ import NumpyTraining

        return NumpyTraining(self, "float64").epoch(self.checked())

    def shuffled(self, epoch: int) -> "Array":
        """The order of an epoch, made anew."""
        workload = self.workload
        order = np.random.default_rng(epoch).permutation(len(self.x))
        return order[: workload.steps * workload.batch].reshape(workload.steps, workload.batch)

    def checked(self) -> "Array":
        return self.orders[0][list(CHECKED)]


def beyond_rounding(losses: "Array", expected: "Array", terms: int, unit: float = 2.0**-24) -> str | None:
    """How losses in float32 differ from those in float64, where rounding in sums of so many terms does not explain it.

    Such a sum is off by at most 8 sqrt(terms) times `unit`, by which a term is rounded, relative to the magnitudes of
    its terms, in all but a negligible share of cases (Higham and Mary, A New Approach to Probabilistic Rounding Error
    Analysis, 2019).
    """
    worst = float(np.max(np.abs(losses - expected) / np.abs(expected)))
    allowed = 8 * math.sqrt(terms) * unit
    return None if worst <= allowed else f"losses differ by {worst:.1e} relative ({allowed:.1e} is rounding)"


def make_problem(workload: Workload) -> Problem:
    """The data of a workload: Fashion-MNIST for images where it is found on this machine, made up otherwise."""
    rng = np.random.default_rng(0)
    rows, source = workload.steps * workload.batch, "made up"
    found = fashion_mnist() if workload.images else None
    if found is not None:
        (x, y), source = found, "Fashion-MNIST"
    elif workload.images:
        pixels = rng.integers(0, 256, (rows, workload.sizes[0]), np.uint8)
        x = pixels * rng.integers(0, 2, pixels.shape, np.uint8)  # half of them black, about as in Fashion-MNIST
        y = _labels(rng, x / np.float32(255) - np.float32(0.25), workload.sizes[-1])
    else:
        x = rng.standard_normal((rows, workload.sizes[0]), np.float32)
        y = _targets(rng, x) if workload.regression else _labels(rng, x, workload.sizes[-1])
    problem = Problem(workload, x, y, _initial_layers(rng, workload.sizes), [], source)
    problem.orders.extend(problem.shuffled(epoch) for epoch in range(EPOCHS))
    return problem


def fashion_mnist() -> "tuple[Array, Array] | None":
    """Images (60000, 784) uint8 and labels (60000,) int64, where they are on this machine; nothing is downloaded."""
    from fastnn.data.fetch import find
    from fastnn.data.published import FASHION_MNIST

    try:
        arrays = find(FASHION_MNIST, download=False).arrays
    except FileNotFoundError:
        return None
    images, labels = arrays["train-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"]
    return images.reshape(len(images), -1), labels.astype(np.int64)


def _targets(rng: np.random.Generator, x: "Array") -> "Array":
    w = rng.standard_normal((x.shape[1], 1), np.float32)
    return x @ w + np.float32(4.2) + np.float32(0.01) * rng.standard_normal((len(x), 1), np.float32)


def _labels(rng: np.random.Generator, x: "Array", classes: int) -> "Array":
    teacher = rng.standard_normal((x.shape[1], classes), np.float32)
    labels: Array = np.argmax(x @ teacher, 1)
    return labels


def _initial_layers(rng: np.random.Generator, sizes: tuple[int, ...]) -> "list[tuple[Array, Array]]":
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        limit = 1 / math.sqrt(inputs)
        weight, bias = rng.uniform(-limit, limit, (outputs, inputs)), rng.uniform(-limit, limit, outputs)
        layers.append((weight.astype(np.float32), bias.astype(np.float32)))
    return layers
