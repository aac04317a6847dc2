"""What the benchmarks measure: workloads, kernels and whole processes, held against float64 on tiny sizes."""

import dataclasses
import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import harness, kernels, many, process, train  # noqa: E402
from benchmarks.peers import open_peer  # noqa: E402
from benchmarks.peers.numpy_ import NumpyTraining  # noqa: E402

TINY = [
    train.Workload("W1", (2, 1), 4, 6, 0.03),
    train.Workload("W2", (12, 3), 8, 6, 0.1, images=True),
    train.Workload("W6", (5, 4, 6, 3), 8, 6, 0.1),
]
TINY_CASES: list[Callable[[], kernels.Case]] = [
    *(lambda shape=shape, which=which: kernels._product(shape, which)
      for shape in ("5x7x3", "16x9x16") for which in kernels.PRODUCTS),
    lambda: kernels._cross_entropy(6, 4),
    lambda: kernels._sgd_update(33),
    lambda: kernels._relu(33),
    lambda: kernels._gather(20, 5, 7),
]  # fmt: skip
PEERS = [("numpy", "numpy"), ("torch", "torch"), ("jax", "jax"), ("sklearn", "sklearn"), ("fastnn", "fastnn._core")]
WITHOUT_KERNELS = ("sklearn",)


FASHION_MNIST = train.fashion_mnist


@pytest.fixture(autouse=True)
def made_up_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "fashion_mnist", lambda: None)


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize(
    ("name", "megaflops"), [("W1", 0.0003), ("W2", 8), ("W3", 209), ("W4", 26), ("W5", 411), ("W6", 2.9), ("W7", 23471)]
)
def test_workloads_have_the_arithmetic_of_their_products(name: str, megaflops: float) -> None:
    assert train.WORKLOADS[name].flops / 1e6 == pytest.approx(megaflops, rel=0.15)


@pytest.mark.parametrize("workload", TINY, ids=lambda workload: workload.title)
def test_an_epoch_takes_every_row_once_in_an_order_of_its_own(workload: train.Workload) -> None:
    problem = train.make_problem(workload)
    first, second = problem.orders
    assert np.array_equal(np.sort(first.ravel()), np.arange(len(problem.x)))
    assert np.array_equal(np.sort(second.ravel()), np.arange(len(problem.x)))
    assert not np.array_equal(first, second)
    assert np.array_equal(train.make_problem(workload).orders[0], first)


@pytest.mark.parametrize("workload", TINY, ids=lambda workload: workload.title)
def test_the_yardstick_steps_along_the_gradient(workload: train.Workload) -> None:
    """One step in float64 against central differences of the loss, for every weight and bias."""
    problem = train.make_problem(workload)
    rows = problem.orders[0][:1]
    after = NumpyTraining(problem, "float64")
    after.epoch(rows)
    before = NumpyTraining(problem, "float64")

    def loss() -> float:
        copy = NumpyTraining(problem, "float64")
        copy.layers = [(w.copy(), b.copy()) for w, b in before.layers]
        return float(copy.epoch(rows)[0])

    for layer, moved_layer in zip(before.layers, after.layers, strict=True):
        for param, moved in zip(layer, moved_layer, strict=True):
            for place in np.ndindex(param.shape):
                value = param[place]
                param[place] = value + 1e-6
                above = loss()
                param[place] = value - 1e-6
                slope = (above - loss()) / 2e-6
                param[place] = value
                assert (value - moved[place]) / workload.lr == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W4", "W6"])
def test_a_learning_rate_wrong_by_one_percent_is_noticed(name: str) -> None:
    workload = train.WORKLOADS[name]
    problem = train.make_problem(dataclasses.replace(workload, steps=3))
    wrong = dataclasses.replace(problem, workload=dataclasses.replace(problem.workload, lr=1.01 * workload.lr))
    (right_losses,), _ = problem.start(open_peer("numpy", 1))
    (wrong_losses,), _ = wrong.start(open_peer("numpy", 1))
    assert problem.disagreement((right_losses,)) is None
    assert "losses differ" in str(problem.disagreement((wrong_losses,)))


@pytest.mark.parametrize("case", TINY_CASES, ids=lambda case: case().name)
def test_a_wrong_result_of_a_kernel_is_noticed(case: Any) -> None:
    made = case()
    result, _ = made.start(open_peer("numpy", 1))
    assert made.disagreement(result) is None
    result[-1].flat[1] += 1e-3
    assert "results differ" in str(made.disagreement(result))
    result[-1].flat[1] = np.nan
    assert "results differ" in str(made.disagreement(result))


@pytest.mark.parametrize("name", [name for name, module in PEERS if installed(module)])
def test_a_peer_agrees_with_float64(name: str) -> None:
    """In a process of its own, as in a run: kernels where the peer has them, then training on all workloads."""
    worker = harness.Worker(name, 1)
    try:
        worker.opened()
        tasks: list[Any] = [*(make() for make in TINY_CASES), *map(train.make_problem, TINY)]
        for task in tasks:
            if isinstance(task, kernels.Case) and name in WITHOUT_KERNELS:
                with pytest.raises(harness.Failed, match="Unsupported"):
                    worker.load(task)
                continue
            result = worker.load(task)
            assert result is not None
            assert task.disagreement(result) is None
            worker.run(2)
    finally:
        worker.close()


TINY_MANY = [
    lambda: many.sweep(5, train.Workload("W6", (5, 4, 6, 3), 8, 6, 0.1)),
    lambda: many.groups(4, train.Workload("G", (3, 4, 1), 4, 3, 0.03), epochs=3),
]


@pytest.mark.parametrize("name", [name for name, module in PEERS if installed(module) and name != "numpy"])
def test_a_peer_trains_many_models_to_the_losses_of_float64(name: str) -> None:
    worker = harness.Worker(name, 1)
    try:
        worker.opened()
        for make in TINY_MANY:
            task = make()
            result = worker.load(task)
            assert result is not None
            assert task.disagreement(result) is None
            assert "losses differ" in str(task.disagreement((1.01 * result[0],)))
    finally:
        worker.close()


def test_groups_have_rows_of_their_own_and_a_sweep_shares_them() -> None:
    sweep, groups = (make() for make in TINY_MANY)
    assert (sweep.orders.shape, groups.orders.shape) == ((1, 2, 6, 8), (4, 3, 3, 4))
    for i, orders in enumerate(groups.orders):
        assert all(np.array_equal(np.sort(order, axis=None), np.arange(12) + 12 * i) for order in orders)


@pytest.mark.parametrize("task", [many.AllGroups(3, 20, 4), many.TwoFits(train.make_problem(TINY[2]))])
def test_fastnn_trains_all_groups_and_two_fits(task: Any) -> None:
    _, call = task.start(open_peer("fastnn", 2))
    assert len(call()) in (2, 3)


def test_a_whole_process_trains_to_the_loss_of_float64(tmp_path: Path) -> None:
    run = process.softmax_regression(["numpy"], 1, tmp_path, train.make_problem(TINY[1]))
    command = process.Command("numpy", 1)
    result = command.load(run)
    assert result is not None
    assert run.disagreement(result) is None
    assert "losses differ" in str(run.disagreement((1.01 * result[0],)))
    with pytest.raises(harness.Failed, match="ZeroDivisionError"):
        command.load(process.Run("broken", {"numpy": "1 / 0"}))


def test_fashion_mnist_is_taken_as_published_where_it_is_found() -> None:
    found = FASHION_MNIST()
    if found is None:
        pytest.skip("Fashion-MNIST is not on this machine")
    images, labels = found
    assert (images.shape, images.dtype) == ((60000, 784), np.dtype("uint8"))
    assert np.bincount(labels).tolist() == [6000] * 10


def test_a_problem_and_a_case_survive_the_pipe() -> None:
    for task in (train.make_problem(TINY[1]), kernels._gather(20, 5, 7)):
        assert pickle.loads(pickle.dumps(task)).name == task.name
