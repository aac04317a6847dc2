"""Arrays of a device for other libraries and theirs for this one: DLPack, and the CUDA array interface.

What goes out is shared. What comes in is copied: it may lie in memory that the CPU cannot address.
"""

from typing import Any

import numpy as np

from fastnn import _core, devices, dispatch
from fastnn.dispatch import Array

_CPU, _CUDA, _CUDA_MANAGED = 1, 2, 13  # DLPack's numbers of devices
_LEGACY_STREAM = 1  # in both protocols: the default stream
_DTYPES = {"float32", "float64", "int64", "int32", "uint8", "bool"}


def dlpack_device(array: Array) -> tuple[int, int]:
    """DLPack's type of the device of `array`, and the device's number."""
    if dispatch.device_of(array) == "cpu":
        return array.__dlpack_device__()
    return _CUDA, _core.device_place()[0]


def dlpack(
    array: Array,
    *,
    stream: int | None = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """An array of the device as a capsule, for a consumer that goes on with it on `stream`.

    Managed memory is CUDA's to most libraries; one that asks for it is given it under its own type, or as the CPU's.
    Raises BufferError for other devices, and where it is read-only and the consumer knows no version that can tell.
    """
    number, own = _core.device_place()
    if dl_device is not None and tuple(dl_device) == (_CPU, 0):
        if stream is not None:
            raise ValueError(f"[__dlpack__] stream = {stream}: there are no streams on the CPU, leave it out")
        dispatch.synchronize()
        return array.__dlpack__(max_version=max_version, copy=copy) if copy or max_version else array.__dlpack__()
    if dl_device is not None and tuple(dl_device) not in ((_CUDA, number), (_CUDA_MANAGED, number)):
        raise BufferError(f"[__dlpack__] dl_device = {dl_device}: the tensor is on device {(_CUDA, number)}")
    if stream is not None and (stream < -1 or stream == 0):
        raise ValueError(f"[__dlpack__] stream = {stream} must be -1, 1, 2 or the address of a stream")
    array = dispatch.copy_of(array) if copy else array
    managed = dl_device is not None and dl_device[0] == _CUDA_MANAGED
    versioned = max_version is not None and max_version[0] >= 1
    capsule = _core.lend(array, managed=managed, versioned=versioned, copied=bool(copy))
    if stream != -1:
        _core.order(own, _LEGACY_STREAM if stream is None else stream)
    return capsule


def from_dlpack(source: Any) -> Array:
    """An array of what has ``__dlpack__``: its own memory on the CPU, a copy on the device of what is on one."""
    device = tuple(source.__dlpack_device__())
    if device[0] not in (_CUDA, _CUDA_MANAGED):
        return np.from_dlpack(source)
    devices.resolve("from_dlpack", "cuda")
    number, own = _core.device_place()
    if device[1] != number:
        raise ValueError(
            f"[from_dlpack] source is on device {device[1]} of CUDA, but fastnn uses {number}: move it there"
        )
    return _core.from_dlpack(source.__dlpack__(stream=own))


def array_interface(array: Array) -> dict[str, Any]:
    """What describes an array of the device to Numba, CuPy, PyTorch and their like: version 3 of the interface."""
    own = _core.device_place()[1]
    return {
        "version": 3,
        "shape": array.shape,
        "typestr": array.dtype.str,
        "data": (array.ctypes.data if array.size else 0, not array.flags.writeable),
        "strides": None if array.flags.c_contiguous else array.strides,
        "stream": own,
    }


def has_array_interface(source: Any) -> bool:
    """Whether `source` lies on a device that can be used here."""
    return hasattr(source, "__cuda_array_interface__") and devices.why_not() is None


def from_array_interface(source: Any, operation: str) -> Array:
    """A copy on the device of what has ``__cuda_array_interface__``, when the stream that it names has made it.

    Raises TypeError for dtypes that no Tensor has.
    """
    devices.resolve(operation, "cuda")
    described = source.__cuda_array_interface__
    if described.get("mask") is not None:
        raise TypeError(f"[{operation}] data has a mask: fill what it hides")
    dtype = np.dtype(described["typestr"])
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise TypeError(f"[{operation}] data on the device is {dtype}: make it one of {', '.join(sorted(_DTYPES))}")
    if (stream := described.get("stream")) is not None:
        _core.order(stream, _core.device_place()[1])
    if 0 in described["shape"]:  # at no address
        return _core.empty(described["shape"], dtype.name, device="cuda")
    # NumPy's view of the memory, which nobody looks through.
    view = type("View", (), {"__array_interface__": {**described, "version": 3, "data": (described["data"][0], True)}})
    return _core.copy_of_foreign(np.asarray(view()))
