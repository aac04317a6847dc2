"""What memory an array has decides nothing: the bits are those of the contiguous copy, or there is an error.

Operands of every case in every layout; results into `out`; operands and results that overlap.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fastnn import _core, kernels, reference
from kernels.cases import CASES, Call, Case
from kernels.comparing import same_bits
from kernels.sampling import Array

WITH_OPERANDS = [case for case in CASES if case.seeded().arrays]
every_case_with_operands = pytest.mark.parametrize("case", WITH_OPERANDS, ids=str)
every_case_with_out = pytest.mark.parametrize("case", [case for case in CASES if case.takes_out], ids=str)
every_case_with_both = pytest.mark.parametrize("case", [case for case in WITH_OPERANDS if case.takes_out], ids=str)
updates = pytest.mark.parametrize("case", [case for case in CASES if case.written], ids=str)


def is_copied(name: str, x: Array) -> bool:
    """Labels and indices are copied before anything is written."""
    return name in {"indices", "rows", "columns", "labels"} or (name == "target" and x.dtype.kind in "iu")


@pytest.mark.parametrize("case", [case for case in CASES if "out" not in case.written], ids=str)
def test_result_is_a_fresh_contiguous_aligned_array(case: Case) -> None:
    call = case.seeded(large=True)
    results = case.run(kernels, call)
    for result in results[: len(results) - len(case.written)]:
        assert type(result) is np.ndarray
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert result.ctypes.data % 64 == 0
        assert not any(np.shares_memory(result, x) for x in call.arrays.values())


def test_every_integer_type_of_c_is_the_one_of_its_size() -> None:
    """Where long has 64 bits, long long is another type for NumPy, and so is int where long has 32."""
    for letter in "ilq":
        x = np.array([3, -4], letter)
        assert kernels.equal(x, x.astype(f"int{8 * x.itemsize}")).all()
    for letter in "bhilqBHILQ":
        labels = np.array([1, 0], letter)
        assert kernels.accuracy(np.eye(2, dtype=np.float32)[[1, 0]], labels) == 1


def test_windows_that_run_backwards_are_read_as_any_other_array() -> None:
    """A step along an axis leads to the place that a step back along the other does."""
    x = np.arange(99, dtype=np.float32) / 99
    windows = np.lib.stride_tricks.as_strided(x[49:], (50, 50), (4, -4))
    assert same_bits(kernels.exp(windows), kernels.exp(windows.copy()))


def test_result_in_the_memory_of_its_operand_is_refused_where_elements_change_places() -> None:
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    for out in (x.T, x.view(np.int32)):
        with pytest.raises(ValueError, match=r"^\[cast\] out overlaps x in memory"):
            kernels.cast(x, dtype=out.dtype.name, out=out)
    assert same_bits(x, np.arange(9, dtype=np.float32).reshape(3, 3))


def unlike(dtype: np.dtype) -> np.dtype:
    return np.dtype("float64" if dtype == np.float32 else "float32")


def sliced(x: Array) -> Array:
    """Every second element of every axis of a larger array."""
    larger = np.zeros([2 * n + 1 for n in x.shape], x.dtype)
    view = larger[(*(slice(1, None, 2),) * x.ndim, ...)]
    view[...] = x
    return view


def slice_of_columns(x: Array) -> Array:
    """Contiguous rows, apart."""
    if not x.ndim:
        return x
    larger = np.zeros((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
    larger[..., 1:-2] = x
    return larger[..., 1:-2]


def shifted(x: Array) -> Array:
    """Contiguous, but one element away from an aligned address."""
    larger = np.empty(x.size + 1, x.dtype)
    larger[1:] = x.ravel()
    return larger[1:].reshape(x.shape)


def transposed(x: Array) -> Array:
    """The first axis moved in front of the last in memory."""
    return np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0) if x.ndim else x


def fortran(x: Array) -> Array:
    return x.copy(order="F")


def backwards(x: Array) -> Array:
    reverse = (*(slice(None, None, -1),) * x.ndim, ...)
    return x[reverse].copy()[reverse]


def broadcast(axis: int) -> Callable[[Array], Array]:
    """The first element along `axis` for all of them."""

    def view(x: Array) -> Array:
        if not x.ndim or not x.size:
            return x
        return np.broadcast_to(np.take(x, [0], axis=axis), x.shape)

    return view


def read_only(x: Array) -> Array:
    view = x.view()
    view.flags.writeable = False
    return view


def mapped(folder: Path) -> Callable[[Array], Array]:
    def view(x: Array) -> Array:
        if not x.size:
            return x
        path = folder / str(len(list(folder.iterdir())))
        x.tofile(path)
        return np.memmap(path, x.dtype, "r", shape=x.shape)

    return view


LAYOUTS: dict[str, Callable[[Path], Callable[[Array], Array]]] = {
    "fortran": lambda _: fortran,
    "transposed": lambda _: transposed,
    "backwards": lambda _: backwards,
    "sliced": lambda _: sliced,
    "slice of columns": lambda _: slice_of_columns,
    "shifted": lambda _: shifted,
    "broadcast first": lambda _: broadcast(0),
    "broadcast last": lambda _: broadcast(-1),
    "read-only": lambda _: read_only,
    "memory map": mapped,
}


def calls(case: Case) -> list[Call]:
    """A few calls, of which at least one has elements."""
    return [case.seeded(salt) for salt in range(4)] + [case.seeded(0, large=True)]


def names(call: Call, case: Case) -> list[str]:
    return [name for name in call.arrays if name not in case.written]


@every_case_with_operands
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_operands_changes_no_bit(case: Case, layout: str, tmp_path: Path) -> None:
    view = LAYOUTS[layout](tmp_path)
    for call in calls(case):
        for chosen in [*([name] for name in names(call, case)), names(call, case)]:
            arrays = call.arrays | {name: view(call.arrays[name]) for name in chosen}
            copies = {name: np.array(x, order="C") for name, x in arrays.items()}
            expected = case.run(kernels, Call(copies, call.scalars))
            for actual, wanted in zip(case.run(kernels, Call(arrays, call.scalars)), expected, strict=True):
                assert same_bits(actual, wanted), f"{case.name}({call}), {layout}: {', '.join(chosen)}"


def refused(case: Case, call: Call, argument: str, **more: Any) -> None:
    """The call raises an error that names the kernel and the argument, and changes nothing."""
    arrays = call.arrays | more

    def contents() -> list[bytes]:
        return [x.tobytes() for value in arrays.values() for x in (value if isinstance(value, tuple) else (value,))]

    before = contents()
    operation = case.kernel.removesuffix("_with_grad")
    with pytest.raises((TypeError, ValueError), match=rf"^\[{operation}(_with_grad)?\] .*\b{argument}\b"):
        getattr(kernels, case.kernel)(**arrays, **call.scalars)
    assert contents() == before


def refusal(case: Case, call: Call, **more: Array) -> str | None:
    """What the call's ValueError says, if it raises one."""
    try:
        getattr(kernels, case.kernel)(**call.arrays, **call.scalars, **more)
    except ValueError as error:
        return str(error)
    return None


def byte_swapped(x: Array) -> Array:
    return x.astype(x.dtype.newbyteorder())


def unaligned(x: Array) -> Array:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    view = memory[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


FOREIGN: dict[str, Callable[[Array], Array]] = {
    "byte-swapped": byte_swapped,
    "unaligned": unaligned,
    "object": lambda x: np.zeros(x.shape, object),
    "float16": lambda x: np.zeros(x.shape, np.float16),
    "complex": lambda x: np.zeros(x.shape, complex),
    "text": lambda x: np.zeros(x.shape, "U4"),
    "dates": lambda x: np.zeros(x.shape, "datetime64[s]"),
    "records": lambda x: np.zeros(x.shape, [("x", "float32")]),
}


@every_case_with_operands
@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_array_is_refused_by_name(case: Case, foreign: str) -> None:
    call = case.seeded(large=True)
    for name, x in call.arrays.items():
        if x.dtype.itemsize == 1 and foreign in ("byte-swapped", "unaligned"):
            continue  # a byte has no order and no alignment
        if (case.kernel, name, foreign) == ("gather", "data", "float16"):
            continue  # the one place for it
        refused(case, call, name, **{name: FOREIGN[foreign](x)})


def mixed_operands() -> list[Any]:
    """Each floating-point operand of a case that has several."""
    pairs = []
    for case in WITH_OPERANDS:
        floats = [name for name, x in case.seeded().arrays.items() if x.dtype.kind == "f"]
        pairs += [pytest.param(case, name, id=f"{case}-{name}") for name in floats if len(floats) > 1]
    return pairs


@pytest.mark.parametrize(("case", "operand"), mixed_operands())
def test_operand_of_another_dtype_is_refused_by_name(case: Case, operand: str) -> None:
    call = case.seeded()
    x = call.arrays[operand]
    refused(case, call, operand, **{operand: np.zeros(x.shape, unlike(x.dtype))})


@pytest.mark.parametrize("kernel", ["gather", "pick"])
def test_rows_are_read_where_they_stand(kernel: str) -> None:
    """Of a slice of columns beyond memory; a copy of it could not be had."""
    row = np.arange(1024, dtype="float32")
    vast = np.lib.stride_tricks.as_strided(row, (2**40, 1000), (0, 4), writeable=False)
    places = np.array([2**40 - 1, 0, -1])
    if kernel == "gather":
        assert same_bits(kernels.gather(vast, places), np.tile(row[:1000], (3, 1)))
        assert kernels.gather(vast, places[:0]).shape == (0, 1000)
    else:
        assert same_bits(kernels.pick(vast, places, np.array([3, 1, -1])), row[[3, 1, 999]])


def test_float16_is_copied_between_any_strides() -> None:
    x = np.arange(60, dtype=np.float16).reshape(6, 10)
    for view in (x, x.T, x[::-1, ::3], np.broadcast_to(x[0], (4, 10))):
        for out in (None, np.zeros(view.shape, np.float16), np.zeros(view.shape[::-1], np.float16).T):
            assert same_bits(_core.transfer(view, device="cpu", out=out), view)


# ---- out ------------------------------------------------------------------------------------------------------


@every_case_with_out
def test_result_goes_to_out(case: Case) -> None:
    for call in calls(case):
        (expected,) = case.run(kernels, call)
        out = np.full(expected.shape, 77, expected.dtype)
        (result,) = case.run(kernels, call, out=out)
        assert result is out
        assert same_bits(out, expected), f"{case.name}({call}, out=...)"


@every_case_with_out
@pytest.mark.parametrize("layout", [sliced, fortran, backwards])
def test_strided_out_is_filled_or_refused(case: Case, layout: Callable[[Array], Array]) -> None:
    """Elementwise kernels write to any layout; others may ask for contiguous rows, and say so before they write."""
    for call in calls(case):
        (expected,) = case.run(kernels, call)
        out = layout(np.full(expected.shape, 77, expected.dtype))
        message = refusal(case, call, out=out)
        if message is None:
            assert same_bits(out, expected), f"{case.name}({call}, out=strided)"
        else:
            assert not case.elementwise, message
            assert message.startswith(f"[{case.kernel}] out must "), message
            assert np.all(out == np.asarray(77, out.dtype))


@every_case_with_out
def test_out_that_does_not_fit_is_refused(case: Case) -> None:
    call = case.seeded(large=True)
    (result,) = case.run(kernels, call)
    if case.kernel == "cast":  # what it is not told, it takes from out
        call.scalars.update(dtype=str(result.dtype), shape=result.shape)
    fitting = np.full(result.shape, 77, result.dtype)
    refused(case, call, "out", out=read_only(fitting))
    refused(case, call, "out", out=byte_swapped(fitting.astype("int64" if fitting.itemsize == 1 else fitting.dtype)))
    refused(case, call, "out", out=fitting.astype("uint16"))
    refused(case, call, "out", out=np.zeros(result.shape, unlike(result.dtype)))
    refused(case, call, "out", out=np.full((1, *result.shape), 77, result.dtype))
    refused(case, call, "out", out=np.full((*result.shape, 2), 77, result.dtype))
    if result.size > 1:
        one_place = np.lib.stride_tricks.as_strided(fitting, result.shape, (0,) * result.ndim, writeable=True)
        refused(case, call, "out", out=one_place)


@pytest.mark.parametrize("module", [kernels, reference], ids=["native", "reference"])
def test_cast_makes_what_it_is_told_and_takes_the_rest_from_out(module: ModuleType) -> None:
    x, out = np.arange(3), np.zeros((2, 3), "float32")
    for said in ({}, {"dtype": "float32"}, {"shape": (2, 3)}):
        assert module.cast(x, out=out, **said) is out
        assert same_bits(out, np.array([[0, 1, 2]] * 2, "float32"))
    with pytest.raises(TypeError, match=r"^\[cast\] out is float32 but the result is int64"):
        module.cast(x, dtype="int64", out=out)
    with pytest.raises(ValueError, match=r"^\[cast\] out has shape \(2, 3\) but the result has \(1, 3\)"):
        module.cast(x, shape=(1, 3), out=out)


def windows(shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """int64 with strides in elements."""
    memory = np.zeros(100, np.int64)[50:]
    return np.lib.stride_tricks.as_strided(memory, shape, [8 * step for step in strides], writeable=True)


@pytest.mark.parametrize(
    ("shape", "strides"), [((4, 4), (1, 1)), ((4, 3), (2, 1)), ((3, 4), (-3, 1)), ((2, 3, 4), (9, 3, 1)), ((2,), (0,))]
)
def test_out_whose_elements_share_memory_is_refused(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Threads that write one element at once would race."""
    a, out = np.arange(math.prod(shape)).reshape(shape), windows(shape, strides)
    with pytest.raises(ValueError, match=r"^\[add\] out has elements that share memory"):
        kernels.add(a, a, out=out)
    assert not out.any()


@pytest.mark.parametrize(
    ("shape", "strides"),
    [((4, 4), (1, 4)), ((3, 4), (-4, 1)), ((2, 3, 4), (2, 16, 4)), ((1, 3), (0, 1)), ((0, 2), (0, 0))],
)
def test_out_whose_elements_stand_apart_is_filled(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    a, out = np.arange(math.prod(shape)).reshape(shape), windows(shape, strides)
    kernels.add(a, a, out=out)
    assert np.array_equal(out, a + a)


def overlapping(x: Array, result: Array) -> tuple[Array, Array]:
    """A copy of `x` and an array for the result that starts in its second element."""
    size = max(x.itemsize, result.itemsize)
    memory = np.zeros(x.nbytes + size + result.nbytes, np.uint8)
    copy = memory[: x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy, memory[size : size + result.nbytes].view(result.dtype).reshape(result.shape)


@every_case_with_both
def test_out_that_overlaps_an_operand_is_refused(case: Case) -> None:
    call = case.seeded(large=True)
    (result,) = case.run(kernels, call)
    for name, x in call.arrays.items():
        if not is_copied(name, x) and x.nbytes > max(x.itemsize, result.itemsize) and result.size:
            copy, out = overlapping(x, result)
            refused(case, Call(call.arrays | {name: copy}, call.scalars), "out", out=out)


@every_case_with_both
def test_operand_as_out_is_exact_or_refused(case: Case) -> None:
    """Elementwise kernels work in place; others refuse an operand as `out`, or give what the copy gives."""
    for call in calls(case):
        (expected,) = case.run(kernels, call)
        for name, x in call.arrays.items():
            if (x.shape, x.dtype) != (expected.shape, expected.dtype):
                continue
            place = x.copy()
            moved = Call(call.arrays | {name: place}, call.scalars)
            message = refusal(case, moved, out=place)
            if message is None:
                assert same_bits(place, expected), f"{case.name}({call}), {name} as out"
            else:
                assert not case.elementwise, message
                assert message.startswith(f"[{case.kernel}] out overlaps {name}"), message
                assert same_bits(place, x)


@pytest.mark.parametrize("case", [case for case in CASES if case.gives_pair], ids=str)
def test_places_for_two_results_are_filled_or_refused(case: Case) -> None:
    call = case.seeded(large=True)
    expected = case.run(kernels, call)
    out = tuple(np.full(result.shape, 77, result.dtype) for result in expected)
    given = getattr(kernels, case.kernel)(**call.arrays, **call.scalars, out=out)
    assert given[0] is out[0]
    assert given[1] is out[1]
    assert all(map(same_bits, out, expected))
    loss, grad = out
    x = next(iter(call.arrays.values()))
    for wrong in [(loss, read_only(grad)), (loss[None], grad), (loss, grad[..., None]), (loss, x), (loss, grad[::-1])]:
        refused(case, call, "out", out=wrong)
    if loss.size == grad.size:
        refused(case, call, "out", out=(loss, loss.reshape(grad.shape)))


# ---- operands that are written --------------------------------------------------------------------------------


@updates
def test_update_refuses_what_it_cannot_write(case: Case) -> None:
    call = case.seeded(large=True)
    for name in case.written:
        x = call.arrays[name]
        refused(case, call, name, **{name: read_only(x)})
        refused(case, call, name, **{name: np.broadcast_to(x[:1], x.shape)})


@updates
@pytest.mark.parametrize("layout", [sliced, fortran, backwards])
def test_update_of_strided_arrays_is_exact_or_refused(case: Case, layout: Callable[[Array], Array]) -> None:
    call = case.seeded(large=True)
    expected = case.run(kernels, call)
    for name in case.written:
        arrays = {key: x.copy() for key, x in call.arrays.items()} | {name: layout(call.arrays[name].copy())}
        message = refusal(case, Call(arrays, call.scalars))
        if message is None:
            for key, wanted in zip(case.written, expected[-len(case.written) :], strict=True):
                assert same_bits(arrays[key].copy(), wanted)
        else:
            assert re.match(rf"\[{case.kernel}\] {name} must (be C-contiguous|have contiguous rows)", message), message
            assert all(same_bits(x.copy(), call.arrays[key]) for key, x in arrays.items())


@updates
def test_update_of_overlapping_arrays_is_refused(case: Case) -> None:
    call = case.seeded(large=True)
    for name in case.written:
        for other, x in call.arrays.items():
            if other != name:
                place, view = overlapping(call.arrays[name], x)
                view[...] = x
                refused(case, call, name, **{name: place, other: view})
                if x.shape == place.shape:
                    refused(case, call, name, **{name: x, other: x})
