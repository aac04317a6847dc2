"""The stand-in for a device (tests/native/standin.cpp): compiled where a test wants it, and registered as "cuda"."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from kernels.test_contract import DECLARED

from fastnn import _core, devices

ROOT = Path(__file__).parents[1]


@functools.cache
def library() -> ctypes.CDLL:
    """The stand-in, registered for the rest of the process. With FASTNN_GUARDED=1 in the environment, memory of the
    device that is touched while something is enqueued ends the process."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler for the stand-in of a device")
    kernels = " ".join(f"X({name})" for name in DECLARED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "standin.so")
        options = ["-std=c++20", "-O1", "-fPIC", "-shared", f"-I{ROOT / 'csrc'}", f"-DKERNELS(X)={kernels}"]
        subprocess.run([compiler, *options, ROOT / "tests" / "native" / "standin.cpp", "-o", path], check=True)
        standin = ctypes.CDLL(str(path))
    standin.standin.restype, standin.standin.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_bool]
    for counter in (standin.standin_launches, standin.standin_waits, standin.standin_in_use):
        counter.restype = ctypes.c_int64
    standin.standin_limit.argtypes = [ctypes.c_int64]
    register(backend(standin))
    return standin


def backend(standin: ctypes.CDLL) -> int:
    """The address of the stand-in's DeviceBackend."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get_pointer(_core.kernel_table, b"fastnn.Table")
    address: int = standin.standin(table, os.environ.get("FASTNN_GUARDED") == "1")
    return address


def register(backend: int) -> None:
    """Takes the DeviceBackend at an address into use."""
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.restype = ctypes.py_object
    new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    _core.register_device(new_capsule(backend, b"fastnn.DeviceBackend", None))
    assert devices.resolve("test", "cuda") == "cuda"
