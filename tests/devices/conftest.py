"""Tests of devices run on a stand-in, registered as "cuda"; with FASTNN_TEST_DEVICE=cuda on what is really there."""

import os

import pytest
import standin

from fastnn import device

IS_REAL = os.environ.get("FASTNN_TEST_DEVICE") == "cuda"


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    """A device."""
    if IS_REAL:
        device.resolve("tests", "cuda")
    else:
        standin.library()


@pytest.fixture
def cuda(registered: None) -> standin.ctypes.CDLL:
    """The stand-in, which counts what it is asked for."""
    if IS_REAL:
        pytest.skip("a real device does not tell what it does")
    return standin.library()
