"""Layers that gather their rows and end in a loss: the bits of one kernel after the other, wherever memory lies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels.sampling import Array

from fastnn import _core

RNG = np.random.default_rng(0)
STEPS, BATCH, EXAMPLES = 3, 150, 90  # several items of a layer of 784 inputs
Step = tuple[Callable[[], object], list[Array]]
"""A step, and the arrays that it may change."""


def softmax_regression(
    inputs: int = 144,
    outputs: int = 10,
    dtype: str = "float32",
    data: str | None = None,
    divisor: float = 1.0,
    activation: str | None = None,
    bias: bool = True,
    **options: Any,
) -> tuple[Array, Step]:
    """The rows of a batch, and a step: rows are gathered, multiplied by weights, and compared with labels."""
    rng = np.random.default_rng(inputs + outputs)
    rows = np.zeros(BATCH, np.int64)
    x = (
        rng.integers(0, 256, (EXAMPLES, inputs)).astype(data)
        if data
        else rng.normal(size=(EXAMPLES, inputs)).astype(dtype)
    )
    y = rng.integers(0, outputs, EXAMPLES)
    weight, offset = rng.normal(size=(outputs, inputs)).astype(dtype) / 16, rng.normal(size=outputs).astype(dtype)
    batch, labels = np.zeros((BATCH, inputs), dtype), np.zeros(BATCH, np.int64)
    logits, grad = np.zeros((BATCH, outputs), dtype), np.zeros((BATCH, outputs), dtype)
    loss = np.zeros(BATCH if options.get("reduction") == "none" else (), dtype)
    how = {"dtype": dtype, "divisor": divisor} if data else {}

    def step() -> None:
        _core.gather(y, rows, out=labels)
        _core.gather(x, rows, out=batch, **how)
        _core.linear(batch, weight, offset if bias else None, activation=activation, out=logits)
        _core.cross_entropy_with_grad(logits, labels, out=(loss, grad), **options)

    return rows, (step, [batch, labels, logits, loss, grad])


def check(rows: Array, step: Step) -> None:
    """One call after the other, and a program of them on one thread and on three."""
    run, results = step
    order = RNG.integers(0, EXAMPLES, (STEPS, BATCH))
    before, expected = [result.copy() for result in results], []
    for batch in order:
        rows[:] = batch
        run()
        expected.append([result.tobytes() for result in results])
    program = _core.Program([])
    program.record(run)
    for threads in (1, 3):
        _core.set_num_threads(threads)
        for result, old in zip(results, before, strict=True):
            result[...] = old
        for batch, wanted in zip(order, expected, strict=True):
            program.run(1, batch, rows)
            assert [result.tobytes() for result in results] == wanted


@pytest.fixture(autouse=True)
def _threads_as_before() -> Any:
    before = _core.num_threads()
    yield
    _core.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
def test_layers_of_few_outputs(dtype: str, outputs: int) -> None:
    check(*softmax_regression(outputs=outputs, dtype=dtype))


@pytest.mark.parametrize("inputs", [16, 127, 128, 136, 150, 4096 + 144])
def test_layers_of_any_number_of_inputs(inputs: int) -> None:
    check(*softmax_regression(inputs))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("data", "divisor"), [("uint8", 255), ("uint8", 1), ("uint8", 3.7e38), ("float16", 1), ("float16", 3)]
)
def test_data_of_another_dtype(dtype: str, data: str, divisor: float) -> None:
    check(*softmax_regression(dtype=dtype, data=data, divisor=divisor if dtype == "float64" else min(divisor, 3e38)))


@pytest.mark.parametrize("inputs", [64, 784])
@pytest.mark.parametrize("outputs", [2, 10, 40, 300])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False, "activation": "relu"},
        {"reduction": "none"},
        {"reduction": "sum", "label_smoothing": 0.1},
        {"ignore_index": 1},
    ],
    ids=str,
)
def test_losses_of_all_kinds(inputs: int, outputs: int, options: dict[str, Any]) -> None:
    check(*softmax_regression(inputs, outputs, data="uint8", divisor=255, **options))


def test_weights_of_classes() -> None:
    check(*softmax_regression(weight=RNG.uniform(size=10).astype(np.float32)))


# ---- memory that is shared ------------------------------------------------------------------------------------

SHAPE, FEW = (BATCH, 784), (BATCH, 10)


def numbers(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def views(*places: tuple[int, tuple[int, ...]]) -> list[Array]:
    """Arrays in one block of numbers, each from a place on."""
    memory = numbers(150_000)
    return [memory[first : first + int(np.prod(shape))].reshape(shape) for first, shape in places]


def arrays_of(name: str) -> dict[str, Array]:
    """What a step reads and writes, some of it in the same memory."""
    a = {"x": numbers(EXAMPLES, 784), "batch": numbers(*SHAPE), "weight": numbers(10, 784), "logits": numbers(*FEW)}
    a |= {"labels": np.arange(BATCH) % 10, "loss": np.zeros((), np.float32), "grad": numbers(*FEW)}
    match name:
        case "logits over the data":
            a["x"], a["logits"] = views((0, (EXAMPLES, 784)), (20_000, FEW))
        case "weights among the rows":
            a["weight"] = a["batch"][20:30]
        case "gradients over the rows":
            a["grad"] = a["batch"].reshape(-1)[-BATCH * 10 :].reshape(FEW)
        case "gradients over the weights":
            a["weight"], a["grad"] = views((0, (10, 784)), (100, FEW))
        case "gradients over the data":
            a["grad"] = a["x"].reshape(-1)[100 : 100 + BATCH * 10].reshape(FEW)
        case "labels of the logits":  # of the lowest byte of 0, and of 1 in what was there before
            a["labels"] = a["logits"].view(np.uint8).reshape(-1)[: 4 * BATCH : 4]
        case "labels of the rows":
            a["labels"] = a["batch"].view(np.uint8).reshape(-1)[: 4 * BATCH : 4]
        case "labels of the rows, backwards":
            a["labels"] = a["batch"].view(np.uint8).reshape(-1)[4 * BATCH - 4 :: -4]
        case "logits for probabilities":
            a["labels"] = a["logits"]
    if name.startswith("labels of"):
        a["x"][...] = a["weight"][...] = 0
        a["batch"][...] = a["logits"][...] = np.float32(1e-45)
    return a


@pytest.mark.parametrize(
    "name",
    [
        "logits over the data",
        "weights among the rows",
        "gradients over the rows",
        "gradients over the weights",
        "gradients over the data",
        "labels of the logits",
        "labels of the rows",
        "labels of the rows, backwards",
        "logits for probabilities",
    ],
)
def test_what_shares_memory_keeps_its_order(name: str) -> None:
    rows, a = np.zeros(BATCH, np.int64), arrays_of(name)

    def step() -> None:
        _core.gather(a["x"], rows, out=a["batch"])
        _core.linear(a["batch"], a["weight"], out=a["logits"])
        _core.cross_entropy_with_grad(a["logits"], a["labels"], out=(a["loss"], a["grad"]))

    check(rows, (step, [*a.values()]))


def neighbours_of(name: str) -> Callable[[dict[str, Array]], None]:
    """A step in which something begins where a layer reads or writes, and is not all of that."""

    def step(a: dict[str, Array]) -> None:
        rows, wide, flat = a["rows"], a["wide"], a["flat"]
        batch, weight, out, labels = a["batch"], a["weight"], flat[:1500].reshape(FEW), a["labels"]
        x = {
            "rows of them": batch[:100],
            "columns of them": batch[:, :128],
            "turned": wide.reshape(-1)[: BATCH * BATCH].reshape(BATCH, BATCH).T,
            "closer rows": np.lib.stride_tricks.as_strided(batch, SHAPE, (780 * 4, 4)),
            "of other bits": wide.view(np.float32),
        }.get(name, batch)
        if name == "turned":
            _core.gather(a["square"], rows, out=x.T)
        elif name == "of other bits":
            _core.gather(a["doubles"], rows, out=wide)
        else:
            _core.gather(a["x"], rows, out=batch)
        if name == "in longer rows":
            _core.linear(x, weight, out=flat[:3000].reshape(BATCH, 20)[:, :10])
        else:
            _core.linear(x, weight[:, : x.shape[1]], out=out[: len(x)])
        logits = {
            "some logits": out[:100],
            "more logits": flat[:3000].reshape(BATCH, 20),
            "doubles": flat[:3000].view(np.float64).reshape(FEW),
            "other logits": a["other"],
        }.get(name, out[: len(x)])
        if name == "no loss":
            return
        loss, grad = a["loss"], a["grad"].reshape(-1)[: logits.size].reshape(logits.shape)
        if name == "doubles":
            loss, grad = a["loss64"], a["grad64"]
        _core.cross_entropy_with_grad(logits, labels[: len(logits)], out=(loss, grad))

    return step


@pytest.mark.parametrize(
    "name",
    [
        "rows of them",
        "columns of them",
        "turned",
        "closer rows",
        "of other bits",
        "in longer rows",
        "some logits",
        "more logits",
        "doubles",
        "other logits",
        "no loss",
    ],
)
def test_neighbours_are_what_a_layer_reads_and_writes_all_of(name: str) -> None:
    rows = np.zeros(BATCH, np.int64)
    a = arrays_of("") | {
        "rows": rows,
        "wide": np.zeros((BATCH, 392)),
        "doubles": RNG.normal(size=(EXAMPLES, 392)),
        "square": numbers(EXAMPLES, BATCH).astype(np.float64),
        "flat": numbers(3000),
        "other": numbers(*FEW),
        "grad": numbers(BATCH, 20),
        "grad64": np.zeros(FEW),
        "loss64": np.zeros(()),
    }
    if name == "turned":
        a["square"], a["wide"] = numbers(EXAMPLES, BATCH), np.zeros((BATCH, 392), np.float32)
    step = neighbours_of(name)
    check(rows, (lambda: step(a), [value for key, value in a.items() if key != "rows"]))
