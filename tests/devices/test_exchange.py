"""DLPack and the CUDA array interface, with libraries that are played by the tests."""

import ctypes
import gc

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn

api = ctypes.pythonapi
get_pointer, set_name, new_capsule = api.PyCapsule_GetPointer, api.PyCapsule_SetName, api.PyCapsule_New
get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
set_name.argtypes = [ctypes.py_object, ctypes.c_char_p]
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int32),
        ("number", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Managed(ctypes.Structure):
    pass


Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(Managed))
Managed._fields_ = (("tensor", DLTensor), ("owner", ctypes.c_void_p), ("deleter", Deleter))


class Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("owner", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    )


CODES = {"f": 2, "i": 0, "u": 1, "b": 6}
DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]


def opened(capsule: object, kind: type = Managed) -> "Managed | Versioned":
    name = b"dltensor" if kind is Managed else b"dltensor_versioned"
    managed = kind.from_address(get_pointer(capsule, name))
    managed.capsule = capsule  # kept
    return managed


def shared(tensor: DLTensor) -> np.ndarray:
    """What a consumer sees, over the same memory."""
    dtype = np.dtype(f"{next(kind for kind, code in CODES.items() if code == tensor.code)}{tensor.bits // 8}")
    shape, strides = tensor.shape[: tensor.rank], tensor.strides[: tensor.rank]
    low = sum(min(0, stride * (side - 1)) for stride, side in zip(strides, shape, strict=True)) * dtype.itemsize
    high = sum(max(0, stride * (side - 1)) for stride, side in zip(strides, shape, strict=True)) * dtype.itemsize
    memory = (ctypes.c_char * (high - low + dtype.itemsize)).from_address(tensor.data + low)
    return np.ndarray(shape, dtype, memory, -low, [stride * dtype.itemsize for stride in strides])


class Producer:
    """An array of another library on the device, by DLPack; on a real one, in memory of CUDA."""

    def __init__(
        self, array: np.ndarray, device: tuple[int, int] = (2, 0), contiguous: bool = False, lanes: int = 1
    ) -> None:
        self.array, self.device, self.streams, self.ended = array, device, [], 0
        self.shape = (ctypes.c_int64 * 16)(*array.shape)
        self.strides = (ctypes.c_int64 * 16)(*[stride // array.itemsize for stride in array.strides])
        self.deleter = Deleter(self.end)
        self.contiguous, self.lanes = contiguous, lanes

    def end(self, _: object) -> None:
        self.ended += 1

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, stream: int | None = None) -> object:
        self.streams.append(stream)
        a = self.array
        strides = None if self.contiguous else self.strides
        code, bits = CODES.get(a.dtype.kind, 5), 8 * a.itemsize
        tensor = DLTensor(a.ctypes.data - 8, *self.device, a.ndim, code, bits, self.lanes, self.shape, strides, 8)
        self.managed = Managed(tensor, None, self.deleter)
        return new_capsule(ctypes.addressof(self.managed), b"dltensor", None)


class Described:
    """An array of another library on the device, by the CUDA array interface."""

    def __init__(self, array: np.ndarray, **changes: object) -> None:
        self.array = array  # kept
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data if array.size else 0, not array.flags.writeable),
            "strides": None if array.flags.c_contiguous else array.strides,
            "version": 3,
        } | changes


VIEWS = {
    "whole": lambda a: a,
    "transposed": lambda a: a.T,
    "a part, backwards": lambda a: a[1:, ::-2],
    "a number": lambda a: a[1, 2],
    "broadcast": lambda a: np.broadcast_to(a[:1], (4, 5)),
}


def values(dtype: str) -> np.ndarray:
    return (np.arange(15).reshape(3, 5) % 7).astype(dtype)


# ---- out ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", ["whole", "transposed"])
def test_a_capsule_shares_the_memory(dtype: str, view: str) -> None:
    x = VIEWS[view](fn.tensor(values(dtype), device="cuda"))
    assert x.__dlpack_device__() == (2, 0)
    capsule = x.__dlpack__()
    managed = opened(capsule)
    assert (managed.tensor.type, managed.tensor.number) == (2, 0)
    seen = shared(managed.tensor)
    assert seen.dtype == x.dtype
    assert np.array_equal(seen, VIEWS[view](values(dtype)))
    seen[1, 1] = not seen[1, 1]
    assert x[1, 1].item() == seen[1, 1].item()


def test_views_come_with_their_strides() -> None:
    x = fn.tensor(values("int64"), device="cuda")[1:, 1:4]
    tensor = opened(x.__dlpack__()).tensor
    assert tensor.strides[:2] == [5, 1]
    assert np.array_equal(shared(tensor), values("int64")[1:, 1:4])


@pytest.mark.parametrize(("asked", "waits"), [(None, 1), (1, 1), (2, 2), (12345, 12345)])
def test_the_stream_of_a_consumer_waits_for_what_is_computed(cuda: ctypes.CDLL, asked: int | None, waits: int) -> None:
    x = fn.ones(3, device="cuda") * 2
    before, number = cuda.standin_waits(), orders(cuda)
    capsule = x.__dlpack__(stream=asked)
    assert order(cuda, number) == (7, waits)
    assert orders(cuda) == number + 1
    assert shared(opened(capsule).tensor).tolist() == [2, 2, 2]
    assert cuda.standin_waits() == before + 1  # the stand-in's way of making another stream wait


def test_a_consumer_that_wants_no_waiting_gets_none(cuda: ctypes.CDLL) -> None:
    x = fn.ones(3, device="cuda") * 2
    before, number = cuda.standin_waits(), orders(cuda)
    capsule = x.__dlpack__(stream=-1)
    assert (cuda.standin_waits(), orders(cuda)) == (before, number)
    del capsule


def test_memory_is_kept_for_the_consumer_and_given_back_when_its_work_is_over(cuda: ctypes.CDLL) -> None:
    before = cuda.standin_in_use()
    x = fn.ones(1000, device="cuda")
    capsule = x.__dlpack__()
    managed = opened(capsule)
    set_name(capsule, b"used_dltensor")
    del x, capsule
    gc.collect()
    assert cuda.standin_in_use() > before
    assert shared(managed.tensor).sum() == 1000
    settled = cuda.standin_settled()
    managed.deleter(managed)
    assert cuda.standin_settled() == settled + 1
    assert cuda.standin_in_use() == before


def test_memory_that_a_consumer_may_still_use_is_not_given_out_again(cuda: ctypes.CDLL) -> None:
    before = cuda.standin_in_use()
    capsule = fn.ones(1000, device="cuda").__dlpack__()
    cuda.standin_fail()
    del capsule  # its end cannot be waited for
    assert cuda.standin_in_use() > before
    fn.ones(3, device="cuda").tolist()  # the device works on


def test_a_capsule_that_nobody_takes_gives_its_memory_back(cuda: ctypes.CDLL) -> None:
    before = cuda.standin_in_use()
    for versions in ({}, {"max_version": (1, 0)}):
        fn.ones(1000, device="cuda").__dlpack__(**versions)
    assert cuda.standin_in_use() == before


def test_consumers_choose_what_the_memory_is_called() -> None:
    x = fn.tensor([1.0, 2.0], device="cuda")
    assert opened(x.__dlpack__(dl_device=(2, 0))).tensor.type == 2
    assert opened(x.__dlpack__(dl_device=(13, 0))).tensor.type == 13
    assert opened(x.__dlpack__(dl_device=(1, 0))).tensor.type == 1  # NumPy's: the CPU can address it
    with pytest.raises(BufferError, match=r"dl_device = \(2, 1\): the tensor is on device \(2, 0\)"):
        x.__dlpack__(dl_device=(2, 1))
    with pytest.raises(ValueError, match="there are no streams on the CPU"):
        x.__dlpack__(dl_device=(1, 0), stream=1)


@pytest.mark.parametrize("stream", [0, -2])
def test_streams_that_the_protocol_forbids(stream: int) -> None:
    with pytest.raises(ValueError, match=f"stream = {stream} must be -1, 1, 2 or the address of a stream"):
        fn.ones(2, device="cuda").__dlpack__(stream=stream)


def test_a_copy_is_one_and_says_so() -> None:
    x = fn.ones(2, device="cuda")
    capsule = x.__dlpack__(copy=True, max_version=(1, 1))
    versioned = opened(capsule, Versioned)
    assert (versioned.major, versioned.minor, versioned.flags) == (1, 0, 2)
    shared(versioned.tensor)[0] = 5
    assert x.tolist() == [1, 1]
    assert opened(x.__dlpack__(max_version=(1, 0)), Versioned).flags == 0


def test_memory_that_is_read_only_is_lent_where_that_can_be_told() -> None:
    x = fn.ones(2, device="cuda")
    x._array.flags.writeable = False
    with pytest.raises(BufferError, match=r"\[__dlpack__\] the tensor is read-only"):
        x.__dlpack__()
    assert opened(x.__dlpack__(max_version=(1, 0)), Versioned).flags == 1
    assert x.__cuda_array_interface__["data"][1] is True


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_array_interface_tells_where_the_memory_is(dtype: str) -> None:
    x = fn.tensor(values(dtype), device="cuda")
    described = x.__cuda_array_interface__
    address = x.numpy().ctypes.data
    assert described == {
        "version": 3,
        "shape": (3, 5),
        "typestr": np.dtype(dtype).str,
        "data": (address, False),
        "strides": None,
        "stream": _core.device_place()[1],
    }
    assert x.T.__cuda_array_interface__["strides"] == values(dtype).T.strides
    assert x[1:, 2:].__cuda_array_interface__["data"][0] == address + 7 * x.dtype.itemsize
    assert x[:0].__cuda_array_interface__["data"][0] == 0


def test_the_array_interface_waits_for_nothing(cuda: ctypes.CDLL) -> None:
    x = fn.ones(3, device="cuda") * 2
    before = cuda.standin_waits()
    assert x.__cuda_array_interface__["stream"] == 7
    assert cuda.standin_waits() == before


def test_a_tensor_on_the_cpu_has_no_array_interface_for_cuda() -> None:
    assert not hasattr(fn.ones(2), "__cuda_array_interface__")
    assert fn.ones(2).__dlpack_device__() == (1, 0)
    with pytest.raises(ValueError, match="x is on the CPU"):
        _core.lend(np.ones(2), managed=False, versioned=False, copied=False)


# ---- in -------------------------------------------------------------------------------------------------------------


def orders(cuda: ctypes.CDLL) -> int:
    """How often one stream was told to wait for another."""
    number = 0
    while cuda.standin_ordered(number, False):
        number += 1
    return number


def order(cuda: ctypes.CDLL, number: int) -> tuple[int, int]:
    return cuda.standin_ordered(number, False), cuda.standin_ordered(number, True)


@pytest.fixture
def theirs(cuda: ctypes.CDLL) -> None:
    """On the stand-in, memory of another library is any."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("theirs")
def test_arrays_come_in_as_copies_by_dlpack(dtype: str, view: str) -> None:
    source = Producer(np.asarray(VIEWS[view](values(dtype))))
    x = fn.from_dlpack(source)
    assert (x.device, x.dtype) == ("cuda", source.array.dtype)
    assert x.tolist() == source.array.tolist()
    assert source.streams == [7]  # ours: the producer sees to it that it waits
    assert source.ended == 1
    assert not np.shares_memory(x.numpy(), source.array)


@pytest.mark.usefixtures("theirs")
def test_a_capsule_without_strides_is_contiguous() -> None:
    assert fn.from_dlpack(Producer(values("int32"), contiguous=True)).tolist() == values("int32").tolist()


@pytest.mark.usefixtures("theirs")
def test_managed_memory_of_others_comes_in_too() -> None:
    assert fn.from_dlpack(Producer(values("float32"), (13, 0))).device == "cuda"


@pytest.mark.usefixtures("theirs")
def test_arrays_that_no_tensor_can_be() -> None:
    with pytest.raises(ValueError, match=r"\[from_dlpack\] source is on device 1 of CUDA, but fastnn uses 0"):
        fn.from_dlpack(Producer(values("float32"), (2, 1)))
    half = Producer(values("float32").astype(np.float16))
    with pytest.raises(TypeError, match=r"\[from_dlpack\] source has elements of DLPack's type 2 in 16 bits"):
        fn.from_dlpack(half)
    assert half.ended == 1
    with pytest.raises(TypeError, match="elements of DLPack's type 5 in 128 bits"):
        fn.from_dlpack(Producer(values("float32").astype(complex)))
    with pytest.raises(TypeError, match="elements of DLPack's type 2 in 32 bits"):
        fn.from_dlpack(Producer(values("float32"), lanes=2))
    with pytest.raises(ValueError, match=r"\[from_dlpack\] source has 9 dimensions; at most 8"):
        fn.from_dlpack(Producer(np.zeros((1,) * 9)))
    with pytest.raises(
        ValueError, match=r"\[from_dlpack\] source is on a device of DLPack's type 1, which is not CUDA"
    ):
        _core.from_dlpack(np.zeros(3).__dlpack__())
    with pytest.raises(TypeError, match="is not what __dlpack__ gives"):
        _core.from_dlpack(object())


@pytest.mark.usefixtures("theirs")
def test_capsules_without_elements_without_an_end_and_of_version_1() -> None:
    assert fn.from_dlpack(Producer(np.zeros((0, 3)))).shape == (0, 3)
    endless = Producer(values("int64"))
    endless.deleter = Deleter()
    assert fn.from_dlpack(endless).tolist() == values("int64").tolist()
    ours = fn.tensor(values("int64"), device="cuda")
    copy = _core.from_dlpack(ours.__dlpack__(max_version=(1, 0)))
    assert fn.tensor(copy).tolist() == ours.tolist()


def test_tensors_of_the_device_come_back() -> None:
    x = fn.tensor(values("float32"), device="cuda").T
    for y in (fn.from_dlpack(x), fn.tensor(Described(x.numpy()))):
        assert y.device == "cuda"
        assert y.tolist() == x.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("theirs")
def test_arrays_come_in_as_copies_by_the_array_interface(dtype: str, view: str) -> None:
    source = Described(np.asarray(VIEWS[view](values(dtype))))
    x = fn.tensor(source)
    assert (x.device, x.dtype) == ("cuda", source.array.dtype)
    assert x.tolist() == source.array.tolist()
    assert not np.shares_memory(x.numpy(), source.array)


@pytest.mark.usefixtures("theirs")
def test_arrays_of_others_become_what_is_asked_for() -> None:
    source = Described(values("int32"))
    assert fn.tensor(source, dtype="float64", device="cpu").tolist() == values("float64").tolist()
    assert fn.tensor(source, dtype="float64").dtype == np.float64
    x = fn.tensor(Described(values("float32")), requires_grad=True)
    nn.functional.cross_entropy(x, fn.tensor([0, 1, 2])).backward()
    assert x.grad is not None
    assert x.grad.device == "cuda"
    assert fn.tensor(Described(np.ones((0, 3), np.float32))).shape == (0, 3)


def test_our_stream_waits_for_that_of_the_producer(cuda: ctypes.CDLL) -> None:
    number = orders(cuda)
    fn.tensor(Described(values("float32"), stream=2))
    assert order(cuda, number) == (2, 7)
    fn.tensor(Described(values("float32"), stream=None))
    assert orders(cuda) == number + 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Described(values("float32").astype(np.float16)), r"\[tensor\] data on the device is float16: make it one of"),
        (Described(values("float32").astype(">f4")), r"\[tensor\] data on the device is >f4"),
        (Described(values("float32"), mask=object()), r"\[tensor\] data has a mask"),
    ],
    ids=["half", "swapped", "masked"],
)
def test_descriptions_that_no_tensor_can_be(source: Described, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        fn.tensor(source)
