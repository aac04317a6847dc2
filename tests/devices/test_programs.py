"""Programs put together by hand: whatever comes before the labels, where outputs lie, and what changes between runs."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels.sampling import Array

from fastnn import _core

RNG = np.random.default_rng(0)
ROWS = RNG.integers(0, 6, 3 * 8)  # of three steps
LOGITS = RNG.normal(size=(8, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 1, 0, 2])
FIXED = np.array([5, 0, 3, 3, 1, 2, 4, 0])

# Labels, and what cross_entropy reads of a batch of them.
TARGETS: dict[str, tuple[Array, Callable[[Array], Array]]] = {
    "gathered by rows": (LABELS, lambda t: t),
    "of several columns": (np.stack([LABELS, LABELS[::-1]], 1).copy(), lambda t: t.reshape(-1)[:8]),
    "some of them": (LABELS, lambda t: t[:5]),
    "apart": (LABELS, lambda t: t[::2]),
    "half of their bits": (LABELS % 1, lambda t: t.view(np.int32)[:8]),
    "bits of floats": ((LABELS % 1).astype(np.uint8), lambda t: t.view(np.int32)),
}


def losses(device: str, name: str, fixed: bool) -> list[list[float]]:
    labels, part_of = TARGETS[name]
    data, rows = _core.transfer(labels, device=device), np.zeros(8, np.int64)
    dtype = "float32" if labels.dtype == np.uint8 else "int64"
    batch = _core.empty((8, *labels.shape[1:]), dtype, device)
    loss = _core.empty((), "float32", device)
    target = part_of(batch)
    logits = _core.transfer(LOGITS[: len(target)], device=device)
    by = _core.transfer(FIXED, device=device) if fixed else rows
    program = _core.Program([loss])
    program.record(lambda: _core.gather(data, by, dtype=dtype, out=batch))
    program.record(lambda: _core.cross_entropy(logits, target, out=loss))
    found: list[list[float]] = program.run(3, ROWS, rows).tolist()
    return found


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("name", TARGETS)
def test_labels_are_those_of_the_step_whatever_they_are_read_from(name: str, fixed: bool) -> None:
    assert losses("cuda", name, fixed) == losses("cpu", name, fixed)


def test_more_rows_than_one_part_of_the_block_has_room_for() -> None:
    count = 2**13 + 1
    data = RNG.normal(size=(100, 2)).astype(np.float32)
    order = RNG.integers(0, 100, 2 * count)

    def totals(device: str) -> list[list[float]]:
        x, rows = _core.transfer(data, device=device), np.zeros(count, np.int64)
        outputs = [_core.empty((), "float32", device) for _ in range(2)]
        program = _core.Program(outputs)
        for out in outputs:
            program.record(lambda out=out: _core.sum(_core.gather(x, rows), out=out))
        found: list[list[float]] = program.run(2, order, rows).tolist()
        return found

    assert totals("cuda") == totals("cpu")


def test_outputs_may_lie_on_the_cpu() -> None:
    x, here, there = np.arange(4.0), np.zeros(()), _core.empty((), "float64", "cuda")
    on_device = _core.transfer(x, device="cuda")
    program = _core.Program([here, there])
    program.record(lambda: _core.add(on_device, on_device, out=on_device))
    program.record(lambda: _core.sum(on_device, out=there))
    program.record(lambda: _core.transfer(there, device="cpu", out=here))
    assert program.run(0).tolist() == []
    assert program.run(3).tolist() == [[12.0, 12.0], [24.0, 24.0], [48.0, 48.0]]


def test_kernels_run_on_either_side_of_a_program() -> None:
    here, rows = np.arange(6.0), np.zeros(2, np.int64)
    batch, there = np.zeros(2), _core.empty((2,), "float64", "cuda")
    total = _core.empty((), "float64", "cuda")
    program = _core.Program([total])
    program.record(lambda: _core.gather(here, rows, out=batch))
    program.record(lambda: _core.transfer(batch, device="cuda", out=there))
    program.record(lambda: _core.exp(there, out=there))
    program.record(lambda: _core.sum(there, out=total))
    expected = np.exp(here[:4]).reshape(2, 2).sum(1)
    assert np.allclose(program.run(2, np.arange(4), rows)[:, 0], expected, rtol=1e-15)


def test_a_step_may_read_several_labels() -> None:
    labels, rows = _core.transfer(LABELS, device="cuda"), np.zeros(8, np.int64)
    logits = _core.transfer(LOGITS, device="cuda")
    outputs = [_core.empty((), "float32", "cuda") for _ in range(2)]
    program = _core.Program(outputs)
    for out in outputs:
        program.record(lambda out=out: _core.cross_entropy(logits, _core.gather(labels, rows), out=out))
    expected = [loss for (loss,) in losses("cpu", "gathered by rows", fixed=False)]
    assert program.run(3, ROWS, rows).tolist() == [[loss, loss] for loss in expected]


def test_what_travels_in_a_program_may_have_gaps() -> None:
    x = np.arange(12.0).reshape(3, 4)
    there, back = _core.empty((4, 3), "float64", "cuda"), np.zeros((4, 3))
    program = _core.Program([])
    program.record(lambda: _core.transfer(x.T, device="cuda", out=there))
    program.record(lambda: _core.add(there, there, out=there))
    program.record(lambda: _core.transfer(there.T, device="cpu", out=back.T))
    for _ in range(2):
        x += 1
        program.run(1)
        assert np.array_equal(back, 2 * x.T)


def test_a_program_may_grow_and_read_rows_elsewhere() -> None:
    x = _core.transfer(np.arange(6.0), device="cuda")
    total, twice = (_core.empty((), "float64", "cuda") for _ in range(2))
    memory = np.zeros(4, np.int64)
    program = _core.Program([total, twice])
    program.record(lambda: _core.transfer(x[2:3].reshape(()), device="cuda", out=twice))
    program.record(lambda: _core.sum(_core.gather(x, memory[:2]), out=total))
    assert program.run(2, np.array([0, 1, 2, 3]), memory[:2]).tolist() == [[1.0, 2.0], [5.0, 2.0]]
    assert program.run(1, np.array([4, 5, 0, 0]), memory).tolist() == [[9.0, 2.0]]
    memory[:2] = 5, 5
    assert program.run(1).tolist() == [[10.0, 2.0]]
    program.record(lambda: _core.add(total, total, out=twice))
    assert program.run(1).tolist() == [[10.0, 20.0]]
    assert program.run(2, np.array([0, 1, 2, 3]), memory[:2]).tolist() == [[1.0, 2.0], [5.0, 10.0]]


def test_rows_that_are_only_begun_with_what_a_run_is_given_stay() -> None:
    x = _core.transfer(np.arange(6.0), device="cuda")
    memory, total = np.array([0, 1, 2, 3]), _core.empty((), "float64", "cuda")
    program = _core.Program([total])
    program.record(lambda: _core.sum(_core.gather(x, memory), out=total))
    assert program.run(2, np.array([4, 5, 5, 5]), memory[:2]).tolist() == [[14.0], [15.0]]


def test_a_graph_that_is_broken_off_is_made_again(cuda: ctypes.CDLL) -> None:
    x = _core.transfer(np.arange(4.0), device="cuda")
    total = _core.empty((), "float64", "cuda")
    program = _core.Program([total])
    program.record(lambda: _core.sum(x, out=total))
    cuda.standin_break_graphs(1)
    assert program.run(2).tolist() == [[6.0], [6.0]]
    program.record(lambda: _core.add(x, x, out=x))
    cuda.standin_break_graphs(2)
    with pytest.raises(_core.DeviceError, match=r"^\[standin\] a graph was broken off$"):
        program.run(1)
    assert program.run(2).tolist() == [[6.0], [12.0]]


@pytest.mark.parametrize("use", [_core.transfer, lambda x, device: _core.empty((1,), "float32", device)])
def test_another_name_is_no_device(use: Any) -> None:
    with pytest.raises(ValueError, match=r"device = 'gpu' is not there: use 'cpu'"):
        use(np.zeros(1), device="gpu")
