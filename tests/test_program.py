"""Native programs: what they refuse before anything runs."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fastnn import _core

x = np.ones(3, np.float32)


def test_outputs_have_one_element_each() -> None:
    with pytest.raises(ValueError, match=r"^\[Program\] outputs must have one element each"):
        _core.Program([x])


def test_a_program_is_not_recorded_while_another_is() -> None:
    outer, inner = _core.Program([]), _core.Program([])
    with pytest.raises(ValueError, match=r"^\[Program\] a program is being recorded already"):
        outer.record(lambda: inner.record(lambda: _core.exp(x)))
    inner.record(lambda: _core.exp(x))  # and recording has ended
    assert (len(outer), len(inner)) == (0, 1)


BUSY = r"^\[Program\] this program is running or being recorded already"
USES: dict[str, Callable[[_core.Program], Any]] = {
    "run": lambda program: program.run(1),
    "record": lambda program: program.record(lambda: _core.exp(x)),
    "call": lambda program: program.call(lambda: None),
}


@pytest.mark.parametrize("use", USES)
def test_a_program_is_not_used_within_its_own_run(use: str) -> None:
    program, calls = _core.Program([]), []
    program.call(lambda: calls.append(USES[use](program)))
    for _ in range(2):  # it is free again afterwards
        with pytest.raises(ValueError, match=BUSY):
            program.run(1)
    assert calls == []
    assert len(program) == 1


@pytest.mark.parametrize("use", ["run", "call"])
def test_a_program_is_not_used_while_it_is_recorded(use: str) -> None:
    program = _core.Program([])
    for _ in range(2):
        with pytest.raises(ValueError, match=BUSY):
            program.record(lambda: USES[use](program))
    assert len(program) == 0


@pytest.mark.parametrize("during", ["run", "record"])
@pytest.mark.parametrize("use", USES)
def test_a_program_is_not_used_by_two_threads_at_once(during: str, use: str) -> None:
    program, begun, done = _core.Program([]), threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert done.wait(60)

    if during == "run":
        program.call(wait)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(program.run, 1) if during == "run" else pool.submit(program.record, wait)
        try:
            assert begun.wait(60)
            with pytest.raises(ValueError, match=BUSY):
                USES[use](program)
        finally:
            done.set()
        first.result()
    USES[use](program)


INTEGERS = np.zeros(4, np.int64)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": -1}, "count = -1 must be at least 0"),
        ({"rows": INTEGERS}, "rows and rows_to need each other"),
        ({"rows": INTEGERS.astype(np.int32), "rows_to": INTEGERS[:2]}, "rows must be contiguous int64"),
        ({"rows": INTEGERS, "rows_to": INTEGERS[:2].astype(np.float64)}, "rows must be contiguous int64"),
        ({"rows": np.zeros(8, np.int64)[::2], "rows_to": INTEGERS[:2]}, "rows must be contiguous int64"),
        ({"rows": INTEGERS, "rows_to": INTEGERS[::2]}, "rows must be contiguous int64"),
        ({"rows": INTEGERS, "rows_to": INTEGERS[:3]}, "rows must be contiguous int64, 2 times rows_to"),
        ({"slots": [_core.Slot(1.0)]}, "slots need values"),
        ({"slots": [_core.Slot(1.0)], "values": np.zeros((2, 1), np.float32)}, "values must be contiguous float64"),
        ({"slots": [_core.Slot(1.0)], "values": np.zeros((4, 1))[::2]}, "values must be contiguous float64"),
        ({"slots": [_core.Slot(1.0)], "values": np.zeros((1, 1))}, "values must be contiguous float64, one"),
    ],
)  # fmt: skip
def test_rows_and_values_fit_the_steps(arguments: dict[str, Any], words: str) -> None:
    program, calls = _core.Program([]), []
    program.call(lambda: calls.append(1))
    with pytest.raises(ValueError, match=re.escape(f"[Program] {words}")):
        program.run(**{"count": 2} | arguments)
    assert calls == []


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_outputs_are_read_after_every_step(dtype: str) -> None:
    output = np.zeros((), dtype)
    program = _core.Program([output])
    values = iter([1, 0, 1])

    def step() -> None:
        output[...] = next(values)

    program.call(step)
    assert program.run(3).tolist() == [[1.0], [0.0], [1.0]]


@pytest.mark.parametrize("error", [KeyError("key"), KeyboardInterrupt()])
def test_what_a_function_raises_ends_the_run(error: BaseException) -> None:
    program, calls = _core.Program([]), []

    def step() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise error

    program.call(step)
    with pytest.raises(type(error)):
        program.run(5)
    assert len(calls) == 2
