"""Malformed arguments of native entry points: an exception in the house's words, or the right result. What the campaign
of `faults.arguments` has found stands here as a test of its own.
"""

import dataclasses
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, kernels
from faults import arguments, malformed
from faults.entries import ENTRIES, native_parameters

x = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_every_native_entry_point_is_called_by_the_campaign() -> None:
    found = native_parameters()
    properties = {"Slot.value"}
    assert set(found) == set(ENTRIES) - properties
    for name, parameters in found.items():
        assert [parameter for parameter in parameters if parameter != "self"] == list(ENTRIES[name].kinds), name


def test_malformed_arguments_are_refused_in_the_house_words_or_give_the_right_result() -> None:
    """Every 17th case, a prime: all entry points, and everything in the catalogue somewhere."""
    report = arguments.campaign(every=17, more=2000)
    assert report.findings == {}
    assert report.calls > 5000


def test_the_campaign_finds_what_is_planted() -> None:
    def problem(function: Any, name: str, label: str) -> str:
        entry = dataclasses.replace(ENTRIES["exp"], function=function)
        return str(arguments.Case(entry, "exp-float32", ((name, label),)).problem())

    def writes_and_refuses(x: Any, **_: Any) -> None:
        x[...] = 0
        raise ValueError("[exp] x is not to my taste")

    def mumbles(**_: Any) -> None:
        raise TypeError("no")

    def writes_beside(x: Any, **_: Any) -> Any:
        if x.base is not None:  # as of the plain copy
            x.base[0] = 1
        return kernels.exp(x)

    assert problem(kernels.exp, "x", "astype float16") == problem(kernels.exp, "x", "fortran") == "None"
    assert problem(writes_and_refuses, "num_threads", "0").startswith("wrote, and raised")
    assert problem(lambda **_: x, "x", "list").startswith("was accepted")
    assert problem(mumbles, "x", "list") == "says 'no'"
    assert problem(writes_beside, "num_threads", "2") == "changed what is no result"
    assert problem(lambda x, **_: x.base is None, "x", "backwards").startswith("gave")


def test_a_crash_and_a_hang_end_the_watch(tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    progress.write_bytes(b"12")
    for program, end in {
        "print('done')": None,
        "import os; os.abort()": "ended with -6: ",
        "1/0": "ended with 1: ",
        "import time; time.sleep(600)": "hung for 0.5 seconds",
    }.items():
        seconds = 0.5 if "sleep" in program else arguments.SECONDS
        found, lines = arguments.watched([sys.executable, "-P", "-c", program], progress, seconds)
        assert found == end or found.startswith(end)
        assert lines == (["done"] if end is None else [])


# ---- found ------------------------------------------------------------------------------------------------------

FRACTIONS = [np.float32(0.9), np.float16(1.0), np.array(1.7), Decimal("0.9"), Fraction(9, 10), np.longdouble(1), 0.5]


@pytest.mark.parametrize("fraction", FRACTIONS, ids=repr)
def test_a_fraction_is_never_cut_to_an_integer(fraction: Any) -> None:
    """pybind11 calls int() for what is a number and no float: 0.9 became axis 0."""
    for call in (
        lambda: kernels.softmax(x, axis=fraction),
        lambda: kernels.sum(x, axis=fraction),
        lambda: kernels.sum(x, axis=(fraction,)),
        lambda: kernels.permutation(fraction, seed=1),
        lambda: kernels.permutation(3, seed=fraction),
        lambda: kernels.uniform((fraction,), seed=1),
        lambda: kernels.one_hot(np.array([0]), fraction),
        lambda: kernels.exp(x, num_threads=fraction),
        lambda: fn.set_num_threads(fraction),
    ):
        with pytest.raises(TypeError, match=r"^\[\w+\] \w+ = "):
            call()


def test_functions_of_tensors_speak_the_same_words() -> None:
    for axis in ("q", 2**70, 10**5000, "q" * 10**6, [0], malformed.Hostile()):
        with pytest.raises(
            TypeError, match=r"^\[softmax\] axis = .{3,200} does not fit axis: int = -1, in type or range$"
        ):
            fn.softmax(fn.tensor(x), axis)


def test_a_tuple_is_no_axis_of_a_position() -> None:
    with pytest.raises(TypeError, match=r"^\[argmax\] axis = \(0,\) must be None or an integer"):
        kernels.argmax(x, axis=(0,))  # type: ignore[arg-type]


def test_a_name_is_text_to_its_end() -> None:
    for name in ("mean\0sum", b"mean", b"\xff", "\ud800", "m" * 1000):
        with pytest.raises(TypeError, match=r"^\[mse_loss\] reduction = .{3,200} does not fit reduction: str"):
            kernels.mse_loss(x, x, reduction=name)  # type: ignore[arg-type]


def test_a_flag_is_true_or_false() -> None:
    for flag in (None, 1, 0.0, np.nan, np.array([True, False]), "no"):
        with pytest.raises(TypeError, match=r"^\[sum\] .*keepdims"):
            kernels.sum(x, keepdims=flag)  # type: ignore[arg-type]
    assert kernels.sum(x, keepdims=np.bool_(True)).shape == (1, 1)  # type: ignore[arg-type]


def test_a_dtype_is_one_that_kernels_have() -> None:
    """None was float64, as for NumPy, and another byte order was overlooked."""
    for dtype in (None, ">f4", np.dtype(">i8"), [("x", "f4")], malformed.Hostile()):
        with pytest.raises(TypeError, match=r"^\[uniform\] dtype = .* is not supported"):
            kernels.uniform((2,), seed=1, dtype=dtype)  # type: ignore[arg-type]


def test_a_side_of_zero_excuses_no_other() -> None:
    with pytest.raises(ValueError, match=r"^\[uniform\] size overflows"):
        kernels.uniform((0, 2**62), seed=1)
    assert kernels.uniform((0, 2**40), seed=1).shape == (0, 2**40)


@pytest.mark.parametrize("entries", [65, 2**40])
def test_a_shape_or_axes_beyond_all_ranks_take_no_memory(entries: int) -> None:
    """Room for all of them was asked for first."""
    many = np.broadcast_to(np.int64(1), (entries,))
    for call in (lambda: kernels.uniform(many, seed=1), lambda: kernels.cast(x, shape=many)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^\[\w+\] shape .* does not fit "):
            call()
    with pytest.raises(TypeError, match=r"^\[sum\] axis = "):
        kernels.sum(x, axis=many)  # type: ignore[arg-type]


def test_an_array_without_dimensions_is_no_sequence() -> None:
    for call in (
        lambda: kernels.uniform(np.array(3), seed=1),  # type: ignore[arg-type]
        lambda: kernels.mse_loss_with_grad(x, x, out=np.array(3.0)),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"^\[\w+\] .* does not fit "):
            call()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("rows_to=np.zeros(3, np.int64)", "ValueError: [Program] rows and rows_to need each other"),
        ("slots=[None], values=np.zeros((1, 1))", "TypeError: run(): incompatible function arguments"),
    ],
)
def test_a_program_without_its_memory_does_not_run(tmp_path: Path, arguments: str, error: str) -> None:
    """In a process of its own: both of them ended it."""
    program = f"import numpy as np; from fastnn import _core; _core.Program([]).run(1, {arguments})"
    run = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert error in run.stderr


def test_a_program_whose_rows_overflow_does_not_run() -> None:
    with pytest.raises(ValueError, match=r"^\[Program\] size overflows"):
        _core.Program([]).run(2**61, np.zeros(0, np.int64), np.zeros(8, np.int64))
