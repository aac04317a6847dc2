"""A kernel runs where its operands lie, and its result is there, with the bits that the CPU gives."""

import ctypes

import numpy as np
import pytest
import standin
from kernels.cases import CASES, Call, Case
from kernels.comparing import same_bits
from kernels.sampling import Array

from fastnn import _core, dispatch, kernels


def moved(x: Array) -> Array:
    """A copy on the device; of labels, int64, because the smaller integers are read on the CPU only."""
    known = x.dtype.kind not in "iu" or x.dtype in (np.int64, np.int32, np.uint8)
    return _core.transfer(x if known else x.astype(np.int64), device="cuda")


def integral(name: str, x: Array) -> bool:
    """Labels and indices, which may lie anywhere."""
    return name in {"indices", "rows", "columns", "labels"} or (name == "target" and x.dtype.kind in "iu")


def on_device(case: Case, call: Call, labels_too: bool = True) -> tuple[Array, ...]:
    """What the device makes of the call."""
    arrays = {name: x.copy() if integral(name, x) and not labels_too else moved(x) for name, x in call.arrays.items()}
    result = getattr(kernels, case.kernel)(**arrays, **call.scalars)
    results = result if isinstance(result, tuple) else () if result is None else (result,)
    return (*results, *(arrays[name] for name in case.written))


@pytest.mark.parametrize("case", [case for case in CASES if case.seeded().arrays], ids=str)
def test_results_are_on_the_device_with_the_bits_of_the_cpu(case: Case) -> None:
    for salt in range(3):
        call = case.seeded(salt)
        expected = case.run(kernels, call)
        for labels_too in (True, False):
            results = on_device(case, call, labels_too)
            somewhere = [x for name, x in call.arrays.items() if x.size and (labels_too or not integral(name, x))]
            dispatch.synchronize()
            for result, wanted in zip(results, expected, strict=True):
                assert result.size == 0 or not somewhere or _core.device_of(result) == "cuda"
                assert same_bits(result, wanted)


@pytest.mark.parametrize("case", [case for case in CASES if case.takes_out], ids=str)
def test_results_go_into_out_on_the_device(case: Case) -> None:
    call = case.seeded()
    (expected,) = case.run(kernels, call)
    out = _core.empty(expected.shape, expected.dtype, "cuda")
    getattr(kernels, case.kernel)(**{n: moved(x) for n, x in call.arrays.items()}, **call.scalars, out=out)
    dispatch.synchronize()
    assert same_bits(out, expected)


@pytest.mark.parametrize("view", [lambda x: x[::2, 1:], lambda x: x.T, lambda x: x[::-1], lambda x: x[3]])
def test_views_are_on_the_device(view) -> None:
    x = np.arange(42.0, dtype=np.float32).reshape(6, 7)
    given = view(moved(x))
    assert _core.device_of(given) == "cuda"
    total = kernels.sum(given)
    dispatch.synchronize()
    assert total == kernels.sum(np.ascontiguousarray(view(x)))


@pytest.mark.parametrize("shape", [(6, 7), (0, 3), ()])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "int32", "uint8", "bool"])
def test_there_and_back(shape: tuple[int, ...], dtype: str) -> None:
    x = np.array(np.random.default_rng(0).random(shape) * 9).astype(dtype)
    there = moved(x)
    back = _core.transfer(there, device="cpu")
    assert same_bits(back, x)
    assert _core.device_of(back) == "cpu"
    assert _core.device_of(there) == "cuda"


def test_strides_on_either_side_of_a_transfer() -> None:
    x = np.arange(42.0).reshape(6, 7)
    assert same_bits(_core.transfer(moved(x).T, device="cpu"), x.T.copy())
    out = moved(np.zeros((7, 12)))
    _core.transfer(x.T, device="cuda", out=out[:, ::2])
    dispatch.synchronize()
    assert same_bits(out[:, ::2].copy(), x.T.copy())
    assert not out[:, 1::2].any()


def test_operands_on_both_sides_are_an_error_that_says_which() -> None:
    a, b = np.ones((2, 2)), moved(np.ones((2, 2)))
    for operands in ((a, b), (b, a)):
        with pytest.raises(ValueError, match=r"\[matmul\] [ab] is on the CPU but [ab] is on cuda: move it with .to\("):
            kernels.matmul(*operands)
    with pytest.raises(ValueError, match=r"\[add\] out is on the CPU but [ab] is on cuda"):
        kernels.add(b, b, out=np.empty((2, 2)))
    with pytest.raises(ValueError, match=r"\[sgd_update\] grad is on the CPU but param is on cuda"):
        kernels.sgd_update(b, a, lr=0.1)


def test_what_is_empty_goes_with_anything() -> None:
    there = moved(np.ones((0, 3)))
    assert kernels.add(there, np.ones((0, 3))).shape == (0, 3)
    assert _core.device_of(moved(np.ones(4))[4:]) == "cuda"


def test_a_wrong_label_is_found_before_anything_is_launched(cuda) -> None:
    logits, out = moved(np.zeros((3, 4), np.float32)), moved(np.zeros((), np.float32))
    for labels in (np.array([0, 1, 4]), moved(np.array([0, 1, 4]))):
        before = cuda.standin_launches()
        with pytest.raises(ValueError, match=r"\[cross_entropy\] target\[2\] = 4 is not a class index"):
            kernels.cross_entropy(logits, labels, out=out)
        with pytest.raises(IndexError, match=r"\[gather\] indices\[2\] = 4 is out of range for 3 rows"):
            kernels.gather(logits, labels)
        assert cuda.standin_launches() == before


def test_kernels_run_where_their_operands_lie(cuda) -> None:
    x, there = np.ones((3, 4), np.float32), moved(np.ones((3, 4), np.float32))
    before = cuda.standin_launches()
    kernels.exp(x)
    assert cuda.standin_launches() == before
    kernels.exp(there)
    assert cuda.standin_launches() == before + 1
    kernels.normal((3, 4), seed=1, out=there)
    assert cuda.standin_launches() == before + 2


def test_no_memory_is_a_memory_error_and_the_device_works_on(cuda) -> None:
    before = cuda.standin_in_use()
    cuda.standin_limit(before + 2**20)
    try:
        with pytest.raises(MemoryError):
            _core.empty((2**20,), "float64", "cuda")
        with pytest.raises(MemoryError):
            kernels.add(moved(np.ones((2**9, 2**7))), moved(np.ones((2**9, 2**7))))
        assert cuda.standin_in_use() == before
        total = kernels.add(moved(np.ones(3)), moved(np.ones(3)))
        dispatch.synchronize()
        assert total.tolist() == [2, 2, 2]
    finally:
        cuda.standin_limit(2**31)


def test_what_goes_wrong_on_the_device_is_a_device_error_and_it_works_on(cuda) -> None:
    x = moved(np.ones(3))
    cuda.standin_fail()
    with pytest.raises(_core.DeviceError, match="a kernel failed"):
        dispatch.synchronize()
    y = kernels.add(x, x)
    dispatch.synchronize()
    assert y.tolist() == [2, 2, 2]


def test_memory_is_given_back(cuda) -> None:
    before = cuda.standin_in_use()
    x = moved(np.ones((100, 100)))
    for _ in range(10):
        x = kernels.exp(kernels.matmul(x, x, alpha=1e-4))
    assert cuda.standin_in_use() > before
    del x
    assert cuda.standin_in_use() == before


@pytest.mark.parametrize(
    ("version", "words"),
    [(999, "the backend was compiled for version 999 of the interface, and not for 4: install it anew"),
     (4, "cuda is registered already: there is one device for a process")],
)  # fmt: skip
def test_a_backend_of_another_version_or_a_second_one_is_refused(version: int, words: str) -> None:
    backend = (ctypes.c_int * 256)(version)
    with pytest.raises(_core.DeviceError, match=rf"^\[register_device\] {words}"):
        standin.register(ctypes.addressof(backend))


def test_a_backend_may_be_registered_again(cuda) -> None:
    standin.register(standin.backend(cuda))


def test_what_is_no_backend_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\[register_device\] capsule = .* is not what"):
        _core.register_device(object())
