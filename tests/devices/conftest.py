"""Tests of devices run on a stand-in, registered as "cuda".

With FASTNN_TEST_DEVICE=cuda they run on what is really there, and with the path of a shared library on the backend
that its function `backend` gives.
"""

import ctypes
import os
import shutil
import sys
from pathlib import Path

import pytest
import standin

from fastnn import devices

ANOTHER = os.environ.get("FASTNN_TEST_DEVICE")


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    """A device."""
    if ANOTHER is None:
        standin.library()
    elif ANOTHER == "cuda":
        devices.resolve("tests", "cuda")
    else:
        backend = ctypes.CDLL(ANOTHER).backend
        backend.restype = ctypes.c_void_p
        standin.register(backend())


@pytest.fixture
def cuda(registered: None) -> ctypes.CDLL:
    """The stand-in, which counts what it is asked for."""
    if ANOTHER is not None:
        pytest.skip("only the stand-in tells what it does")
    return standin.library()


@pytest.fixture(scope="session")
def library(registered: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """cuBLASLt, as NVIDIA's package brings it; emulated devices have a stand-in beside them."""
    if ANOTHER != "cuda":
        site = tmp_path_factory.mktemp("site")
        place = site / "nvidia" / "cu13" / "lib" / "libcublasLt.so.13"
        place.parent.mkdir(parents=True)
        if ANOTHER is None:
            place.touch()
        else:
            shutil.copy(Path(ANOTHER).with_name(place.name), place)
        sys.path.append(str(site))
    devices._load_library()
