"""The bits of a result depend on its operands alone: not on threads, instruction set, position, or fusion."""

import ctypes
import functools
import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import _core, kernels
from kernels.cases import CASES, Call, Case
from kernels.comparing import same_bits
from kernels.sampling import Array, Sampler

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
def test_number_of_threads_changes_no_bit(case: Case) -> None:
    for salt in range(2):
        call = case.seeded(salt, large=True)
        alone = case.run(kernels, call, num_threads=1)
        for threads in (2, 3, 8):
            for actual, wanted in zip(case.run(kernels, call, num_threads=threads), alone, strict=True):
                assert same_bits(actual, wanted), f"{case.name}({call}), {threads} threads"


UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine())  # FE_UPWARD of <fenv.h>


@pytest.mark.skipif(sys.platform != "linux" or UPWARD is None, reason="how this C library rounds upward is not known")
@every_case
def test_what_the_caller_does_to_floating_point_changes_no_bit(case: Case) -> None:
    """Rounding stands for all of it, flush-to-zero too: one register holds them."""
    math = ctypes.CDLL("libm.so.6")
    call = case.seeded(large=True)
    expected = case.run(kernels, call)
    for threads in (1, 2):
        try:
            math.fesetround(UPWARD)
            actual = case.run(kernels, call, num_threads=threads)
            assert math.fegetround() == UPWARD
        finally:
            math.fesetround(0)
        assert all(map(same_bits, actual, expected)), f"{case.name}({call}), {threads} threads"


def test_calls_at_the_same_time_change_no_bit() -> None:
    cases = [case for case in CASES if case.dtype == "float32"]
    calls = [(case, case.seeded(large=True)) for case in cases]
    alone = [case.run(kernels, call) for case, call in calls]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda pair: pair[0].run(kernels, pair[1]), calls * 4))
    for i, results in enumerate(together):
        case, call = calls[i % len(calls)]
        for actual, wanted in zip(results, alone[i % len(calls)], strict=True):
            assert same_bits(actual, wanted), f"{case.name}({call})"


@functools.cache
def under(isa: str) -> dict[str, dict[str, str | None]]:
    """What `report.py` says of every case under one instruction set."""
    run = subprocess.run(
        [sys.executable, "-m", "kernels.report"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"FASTNN_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report.pop("isa") == isa
    assert report.keys() == {str(case) for case in CASES}
    return report


ISAS = _core.config()["isas"]


@pytest.mark.parametrize("isa", ISAS)
def test_results_are_within_their_bounds_under_every_instruction_set(isa: str) -> None:
    """Without fused multiply-add too: a product of k terms then rounds twice as often, and still loses gamma(k)."""
    assert {name: case["problem"] for name, case in under(isa).items() if case["problem"]} == {}


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="this machine or build lacks AVX2 or AVX-512")
def test_vector_width_changes_no_bit() -> None:
    narrow, wide = under("avx2"), under("avx512")
    assert [name for name in narrow if narrow[name]["digest"] != wide[name]["digest"]] == []


# ---- one expression per element -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.elementwise or c.kernel in ("sgd_update", "adam_update")], ids=str
)
def test_position_of_an_element_changes_no_bit(case: Case) -> None:
    """Whole vectors, tails, and the slices that threads get all compute one expression."""
    for salt in range(3):
        call = case.seeded(salt, large=True)
        flat = dict(zip(call.arrays, map(np.ravel, np.broadcast_arrays(*call.arrays.values())), strict=True))
        whole = case.run(kernels, Call(flat, call.scalars))
        for first, last in [(1, None), (7, -5), (33, 34), (0, 15)]:
            piece = Call({name: x[first:last] for name, x in flat.items()}, call.scalars)
            for actual, wanted in zip(case.run(kernels, piece), whole, strict=True):
                assert same_bits(actual, wanted[first:last]), f"{case.name}({piece}) from {first}"


def sampler(data: st.DataObject) -> Sampler:
    return Sampler(lambda low, high: data.draw(st.integers(low, high)))


floats = pytest.mark.parametrize("dtype", ["float32", "float64"])


@floats
@given(data=st.data())
def test_element_of_a_product_depends_on_its_row_and_column_alone(dtype: str, data: st.DataObject) -> None:
    s = sampler(data)
    m, n, k = s.size(66, least=1), s.size(66, least=1), s.size(600)
    a, b = s.array((m, k), dtype), s.array((k, n), dtype)
    row, column = s.integer(0, m - 1), s.integer(0, n - 1)
    rows, columns = s.integer(row, m - 1) + 1, s.integer(column, n - 1) + 1
    part = kernels.matmul(a[row:rows], b[:, column:columns])
    assert same_bits(part, kernels.matmul(a, b)[row:rows, column:columns].copy())


@floats
@pytest.mark.parametrize("kernel", ["softmax", "log_softmax", "sum", "mean"])
@given(data=st.data())
def test_slice_along_the_axis_decides_its_result_alone(kernel: str, dtype: str, data: st.DataObject) -> None:
    s = sampler(data)
    shape, axis = s.shape(2, 3, least=1), -1
    x = s.array(shape, dtype, -30, 30)
    place = tuple(s.integer(0, n - 1) for n in shape[:-1])
    function = getattr(kernels, kernel)
    assert same_bits(function(x, axis)[place], function(x[place], axis))


ACTIVATIONS = [None, "relu", "sigmoid", "tanh", "gelu"]


@floats
@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(data=st.data())
def test_linear_is_its_three_steps(activation: str | None, dtype: str, data: st.DataObject) -> None:
    s = sampler(data)
    n, inputs, outputs = s.size(66), s.size(600), s.size(66)
    x, weight, bias = s.array((n, inputs), dtype), s.array((outputs, inputs), dtype), s.array((outputs,), dtype)
    product = kernels.linear(x, weight)
    if outputs > 12 or inputs < 128:  # else it adds in another order
        assert same_bits(product, kernels.matmul(x, weight, transpose_b=True))
    y = kernels.add(product, bias)
    expected = getattr(kernels, activation)(y) if activation else y
    assert same_bits(kernels.linear(x, weight, bias, activation), expected)


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy-probabilities", "mse_loss"])
@floats
@given(data=st.data())
def test_loss_is_the_same_with_and_without_gradient(name: str, dtype: str, data: st.DataObject) -> None:
    (case,) = [case for case in CASES if str(case) == f"{name}-{dtype}"]
    call = case.make(sampler(data), dtype)
    loss, _ = getattr(kernels, f"{case.kernel}_with_grad")(**call.arrays, **call.scalars)
    assert same_bits(loss, *case.run(kernels, call))


@floats
def test_gradient_of_a_summed_loss_times_a_mean_is_the_mean_gradient(dtype: str) -> None:
    """A power of two as batch size: scaling by it rounds nothing."""
    rng = np.random.default_rng(1)
    logits, target = rng.normal(size=(64, 10)).astype(dtype), rng.integers(0, 10, 64)
    _, summed = kernels.cross_entropy_with_grad(logits, target, reduction="sum")
    _, mean = kernels.cross_entropy_with_grad(logits, target)
    scaled: Array = summed / np.asarray(64, dtype)
    assert same_bits(mean, scaled)
