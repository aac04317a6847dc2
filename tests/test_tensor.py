"""Facts about Tensor: values, dtypes, arithmetic, and the way to and from other libraries."""

import copy
import pickle

import numpy as np
import pytest

from fastnn import functional as F
from fastnn.tensor import Tensor, from_dlpack

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def same(tensor, array):
    np.testing.assert_array_equal(np.asarray(tensor), array)
    assert tensor.dtype == np.asarray(array).dtype


# ---- creation and dtypes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1.0, 2.0], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        (range(3), "int64"),
        ([True, False], "bool"),
        (np.zeros(2), "float64"),
        (np.float64(2.0), "float64"),
        (np.zeros(2, np.float32), "float32"),
        (np.zeros(2, np.uint8), "uint8"),
        (np.zeros(2, ">f8"), "float64"),
        (np.zeros(2, ">i4"), "int32"),
        (np.array([-1, 127], np.int8), "int64"),
        (np.array([-1, 2**15 - 1], np.int16), "int64"),
        (np.array([0, 2**16 - 1], np.uint16), "int64"),
        (np.array([0, 2**32 - 1], np.uint32), "int64"),
        (np.array([0, 2**63 - 1], np.uint64), "int64"),
        ([], "float32"),
    ],
)
def test_dtype_of_new_tensor(data, dtype):
    tensor = F.tensor(data)
    assert tensor.dtype == dtype
    assert tensor.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(tensor), np.asarray(data))


@pytest.mark.parametrize("data", ["text", 1j, None, np.zeros(2, np.float16), [object()]])
def test_other_dtypes_are_refused_by_name(data):
    with pytest.raises(TypeError, match=r"\[tensor\] dtype .* is not supported"):
        F.tensor(data)


def test_dtype_can_be_chosen():
    same(F.tensor([1.0, 2.0], dtype=np.float64), np.array([1.0, 2.0]))
    same(F.tensor(np.ones(2), dtype="float32"), np.ones(2, np.float32))
    same(F.zeros(2, dtype="int64"), np.zeros(2, np.int64))
    same(F.ones_like(F.zeros(2, dtype="float64")), np.ones(2))


@pytest.mark.parametrize("dtype", ["complex64", "float16", "int16", "uint64", "U5", "M8", ">f4", "nonsense", object])
def test_a_dtype_that_tensors_lack_is_refused_by_name(dtype):
    makers = {
        "tensor": lambda: F.tensor([1.0], dtype=dtype),
        "zeros": lambda: F.zeros(2, dtype=dtype),
        "full": lambda: F.full((2,), 3, dtype=dtype),
        "ones_like": lambda: F.ones_like(F.zeros(2), dtype=dtype),
        "arange": lambda: F.arange(3, dtype=dtype),
    }
    for name, make in makers.items():
        with pytest.raises(TypeError, match=rf"\[{name}\] dtype = .* is not supported: use float32, .* or bool"):
            make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: F.tensor([2**63]), r"\[tensor\] 9223372036854775808 does not fit int64, which holds -922"),
        (lambda: F.tensor(np.array([0, 2**64 - 1], np.uint64)), r"\[tensor\] 18446744073709551615 does not fit"),
        (lambda: F.tensor([300], dtype="uint8"), r"\[tensor\] 300 does not fit uint8, which holds 0 to 255"),
        (lambda: F.tensor([2, -1], dtype="uint8"), r"\[tensor\] -1 does not fit uint8"),
        (lambda: F.tensor([2.0**63], dtype="int64"), r"\[tensor\] 9.22\S+ does not fit int64"),
        (lambda: F.tensor([1.0, np.nan], dtype="int64"), r"\[tensor\] nan does not fit int64"),
        (lambda: F.tensor([1.0, -np.inf], dtype="int32"), r"\[tensor\] -inf does not fit int32"),
        (lambda: F.tensor([[1.0, 2.5]], dtype="int64"), r"\[tensor\] 2.5 does not fit int64: round it first"),
        (lambda: F.arange(0, 1, 0.25, dtype="int64"), r"\[arange\] 0.25 does not fit int64"),
        (lambda: F.arange(257, dtype="uint8"), r"\[arange\] 256 does not fit uint8"),
        (lambda: F.full((2,), 256, dtype="uint8"), r"\[full\] 256 does not fit uint8"),
        (lambda: F.zeros(2, dtype="int64").fill_(0.5), r"\[fill_\] 0.5 does not fit int64"),
        (lambda: F.zeros(2, dtype="int64").copy_([0.5, 1.0]), r"\[setitem\] 0.5 does not fit int64"),
        (lambda: F.full((2,), [1, 2]), r"\[full\] value has shape \(2,\): one number"),
    ],
)
def test_a_number_that_a_dtype_does_not_hold_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_numbers_at_the_ends_of_a_dtype_fit():
    same(F.tensor([0.0, 255.0], dtype="uint8"), np.array([0, 255], np.uint8))
    same(F.tensor([-(2**63), 2**63 - 1]), np.array([-(2**63), 2**63 - 1]))
    same(F.tensor([-(2.0**63)], dtype="int64"), np.array([-(2**63)]))
    same(F.tensor([], dtype="int64"), np.zeros(0, np.int64))
    same(F.tensor([0.5, 0.0], dtype="bool"), np.array([True, False]))


def test_array_is_shared_without_a_copy():
    array = np.zeros(3)
    tensor = F.tensor(array)
    array[0] = 5.0
    assert tensor[0].item() == 5.0
    assert np.shares_memory(np.asarray(tensor), array)
    assert np.asarray(tensor) is np.asarray(tensor)


def test_from_numpy_shares_memory_or_says_why_not():
    array = np.zeros(3)
    shared = F.from_numpy(array)
    shared += 1
    assert array.tolist() == [1, 1, 1]
    for other in (np.zeros(2, np.int16), np.zeros(2, ">f8"), np.zeros(9, np.uint8)[1:].view("f8")):
        with pytest.raises(TypeError, match=r"\[from_numpy\] array of .* cannot be shared: use fastnn.tensor"):
            F.from_numpy(other)
    with pytest.raises(TypeError, match=r"\[from_numpy\] array is a list"):
        F.from_numpy([1.0])


def test_tensor_of_a_tensor_is_a_copy():
    original = F.zeros(2)
    other = F.tensor(original, requires_grad=True)
    other.data.fill_(1.0)
    same(original, np.zeros(2, np.float32))
    assert other.is_leaf


def test_only_floating_point_can_require_a_gradient():
    with pytest.raises(TypeError, match=r"\[requires_grad\] .* not int64"):
        F.tensor([1], requires_grad=True)
    with pytest.raises(TypeError, match=r"\[requires_grad\] .* not bool"):
        F.tensor([True]).requires_grad_()


def test_arange_counts_as_numpy_does():
    same(F.arange(3), np.arange(3))
    same(F.arange(1, 7, 2), np.arange(1, 7, 2))
    same(F.arange(-1.0, 1.0, 0.5), np.arange(-1.0, 1.0, 0.5, dtype=np.float32))
    assert F.arange(3.0, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match=r"\[arange\] .* step = 0"):
        F.arange(0, 1, 0)


def test_shapes_are_given_as_numbers_or_tuples():
    assert F.zeros(2, 3).shape == F.zeros((2, 3)).shape == F.rand(2, 3).shape == F.randn([2, 3]).shape == (2, 3)
    assert F.zeros(()).shape == F.zeros().shape == ()
    assert F.full((2,), 3).dtype == "int64"
    for make in (F.zeros, F.ones, F.rand, F.randn):
        assert make(size=(2, 3)).shape == (2, 3)
        assert make(size=()).shape == ()
        with pytest.raises(TypeError, match=r"the shape is given twice, as \(2,\) and as size = 2: give one"):
            make(2, size=2)
    with pytest.raises(ValueError, match=r"\[zeros\] shape \(2, -1\) has a negative size"):
        F.zeros(2, -1)
    for make in (lambda: F.zeros(2.5), lambda: F.zeros((2, 3), 4), lambda: F.rand("2"), lambda: F.zeros(2, None)):
        with pytest.raises(TypeError, match=r"\[(zeros|rand)\] size \(.*\) must be integers, or one tuple of them"):
            make()


def test_another_device_is_refused():
    assert F.zeros(1).device == "cpu"
    assert F.zeros(1).to("cpu").device == "cpu"
    with pytest.raises(ValueError, match=r"\[ones\] device = 'cuda:1'"):
        F.ones(1, device="cuda:1")


def test_casts_between_dtypes():
    x = F.tensor([0.0, 1.7, -1.7])
    same(x.long(), np.array([0, 1, -1]))
    same(x.bool(), np.array([False, True, True]))
    same(x.double().float(), np.asarray(x))
    same(x.type(np.float64), np.asarray(x).astype(np.float64))
    same(x.to("int32"), np.array([0, 1, -1], np.int32))
    same(x.to(dtype=F.zeros(1, dtype="float64").dtype), np.asarray(x).astype(np.float64))
    assert x.float() is x


@pytest.mark.parametrize(
    ("a", "b", "dtype"),
    [
        ("float32", "float64", "float64"),
        ("int64", "float32", "float32"),
        ("int64", "float64", "float64"),
        ("bool", "float32", "float32"),
        ("uint8", "int64", "int64"),
        ("bool", "bool", "int64"),
        ("uint8", "uint8", "int64"),
        ("int32", "int32", "int64"),
    ],
)
def test_sum_of_two_dtypes(a, b, dtype):
    assert (F.ones(2, dtype=a) + F.ones(2, dtype=b)).dtype == dtype
    assert (F.ones(2, dtype=b) + F.ones(2, dtype=a)).dtype == dtype


@pytest.mark.parametrize(
    ("tensor", "number", "dtype"),
    [
        ("float32", 2, "float32"),
        ("float32", 2.5, "float32"),
        ("float32", np.float64(2.5), "float32"),
        ("float64", 2.5, "float64"),
        ("int64", 2, "int64"),
        ("int64", 2.5, "float32"),
        ("bool", 2, "int64"),
        ("uint8", True, "int64"),
        ("int32", 2**40, "int64"),
    ],
)
def test_a_number_never_widens_a_tensor(tensor, number, dtype):
    assert (F.ones(2, dtype=tensor) * number).dtype == dtype
    assert (number * F.ones(2, dtype=tensor)).dtype == dtype


def test_a_number_beyond_a_dtype_is_compared_and_added_as_int64():
    x = F.tensor(np.array([1, 255], np.uint8))
    same(x < 300, np.array([True, True]))
    same(x != -100, np.array([True, True]))
    same(x == 255, np.array([False, True]))
    same(x - 300, np.array([-299, -45]))
    same(F.where(x > 1, x, -1), np.array([-1, 255]))
    with pytest.raises(ValueError, match=r"\[arithmetic\] 9223372036854775808 does not fit int64"):
        x + 2**63


def test_a_tensor_without_dimensions_never_widens_one_with():
    single = F.tensor(np.float64(2.0))
    assert (F.ones(2) * single).dtype == "float32"
    assert (single * F.ones(2)).dtype == "float32"
    assert (single * F.tensor(1.0)).dtype == "float64"
    assert (F.ones(2, dtype="int64") * single).dtype == "float64"


def test_division_of_integers_is_float32():
    same(F.tensor([1, 2]) / F.tensor([2, 2]), np.array([0.5, 1.0], np.float32))
    same(1 / F.tensor([2]), np.array([0.5], np.float32))


def test_comparisons_give_bool():
    x = F.tensor([1.0, 2.0, 3.0])
    same(x > 2, np.array([False, False, True]))
    same(2 >= x, np.array([True, True, False]))
    same(x == F.tensor([1, 5, 3]), np.array([True, False, True]))
    same(x != 1.0, np.array([False, True, True]))
    same(~(x < 2), np.array([False, True, True]))
    assert x != None  # noqa: E711
    assert len({x, x, F.tensor([1.0])}) == 2


def test_only_bool_is_inverted():
    same(~F.tensor([True, False]), np.array([False, True]))
    for dtype in ("int64", "uint8", "float32"):
        with pytest.raises(TypeError, match=rf"\[~\] the tensor is {dtype}: only bool"):
            ~F.ones(2, dtype=dtype)


def test_arrays_on_the_left_give_tensors():
    for left in (np.ones(2, np.float32), np.float32(1.0)):
        total = left + F.ones(2)
        assert isinstance(total, Tensor)
        same(total, np.full(2, 2, np.float32))
    same(np.ones((1, 2), np.float32) @ F.ones(2, 1), np.array([[2.0]], np.float32))


def test_what_is_no_operand_is_named():
    with pytest.raises(TypeError, match="must be a Tensor, a number or an array, not str"):
        F.ones(2) + "text"
    for number in (np.str_("text"), np.complex64(1j)):
        with pytest.raises(TypeError, match=r"must be a Tensor, a number or an array, not (str|complex)"):
            F.tensor([1]) + number


def test_arithmetic_is_that_of_numpy():
    a = np.array([[1.0, -2.0, 4.0]], np.float32)
    b = np.array([[3.0], [0.5]], np.float32)
    x, y = F.tensor(a), F.tensor(b)
    same(x + y, a + b)
    same(x - y, a - b)
    same(x * y, a * b)
    same(x / y, a / b)
    same(1 - x, 1 - a)
    same(2 / x, 2 / a)
    same(-x, -a)
    same(abs(x), abs(a))
    same(x**2, a * a)
    same(x.abs() ** 0.5, np.sqrt(np.abs(a)))
    same(x**3, a**3)
    same(x.clamp(-1, 2), np.clip(a, -1, 2))
    same(x.clamp(min=0), np.maximum(a, 0))


def test_negative_zero_survives_as_a_number():
    x = F.tensor([1.0])
    assert str((x * 0.0).item()) == "0.0"
    assert str((x * -0.0).item()) == "-0.0"


# ---- to and from other libraries ------------------------------------------------------------------------------


def test_numpy_protocol():
    x = F.tensor([1.0, 2.0])
    assert np.asarray(x) is x.numpy()
    assert np.array(x) is not x.numpy()
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.exp(x).tolist() == np.exp(np.array([1, 2], np.float32)).tolist()
    with pytest.raises(ValueError, match="needs a copy"):
        x.__array__(np.float64, copy=False)


def test_dlpack_both_ways_shares_memory():
    x = F.zeros(3)
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.numpy())
    own = np.arange(3)
    assert np.shares_memory(from_dlpack(own).numpy(), own)
    same(from_dlpack(x), np.zeros(3, np.float32))


def test_python_numbers():
    assert F.tensor([[2.5]]).item() == 2.5
    assert (float(F.tensor(2.5)), int(F.tensor(2)), [10, 11, 12][F.tensor(2)]) == (2.5, 2, 12)
    assert F.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert f"{F.tensor(2.5):.2f}" == "2.50"
    assert bool(F.tensor([1.0])) is True
    for function in (F.zeros(2).item, F.zeros(2).__float__, F.zeros(2).__bool__):
        with pytest.raises(ValueError, match=r"shape \(2,\)"):
            function()
    with pytest.raises(TypeError, match=r"\[index\] a tensor of float32 is not an index"):
        F.tensor(1.0).__index__()


def test_repr_is_readable():
    assert repr(F.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(F.tensor([0.5])) == "tensor([0.5000])"
    assert repr(F.tensor([1.0], dtype="float64", requires_grad=True)) == (
        "tensor([1.], dtype=float64, requires_grad=True)"
    )
    assert repr(F.tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    assert repr(F.tensor(np.float32("nan"))) == "tensor(nan)"
    assert repr(F.zeros(0)) == "tensor([])"
    assert repr(F.tensor([1.0, float("inf")])) == "tensor([ 1., inf])"
    assert repr(F.tensor([0.5, float("nan")])) == "tensor([0.5000,    nan])"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["copy", "pickle"])
def test_copies_are_independent(duplicate):
    w = F.tensor([1.0, 2.0], requires_grad=True)
    other = duplicate(w)
    assert other.requires_grad
    other.data.zero_()
    same(w, np.array([1, 2], np.float32))


def test_serial_numbers_are_never_reused():
    serials = [F.zeros(1)._storage.serial for _ in range(1000)]
    assert sorted(set(serials)) == serials
