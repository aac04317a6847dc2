"""Tests of devices run on a stand-in, registered as "cuda"."""

import ctypes

import pytest
import standin


@pytest.fixture(scope="session")
def cuda() -> ctypes.CDLL:
    """The stand-in, which counts what it is asked for."""
    return standin.library()
