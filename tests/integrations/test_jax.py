"""JAX: arrays are shared by DLPack, and are training data. In processes of their own: JAX warns of forks."""

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")

SHARED = """
import jax, fastnn as fn
ours, theirs = fn.zeros(64), jax.numpy.arange(64.0)
assert jax.numpy.from_dlpack(ours).unsafe_buffer_pointer() == ours.numpy().ctypes.data
shared = fn.from_dlpack(theirs).numpy()
assert shared.ctypes.data == theirs.unsafe_buffer_pointer()
assert not shared.flags.writeable  # no array of JAX may be changed
"""
DATA = """
import jax, numpy as np, fastnn as fn
X = jax.numpy.linspace(-1, 1, 40).reshape(20, 2)
data = fn.ArrayData(X, np.arange(20) % 2)
assert data.train.columns[0].data.numpy().ctypes.data == X.unsafe_buffer_pointer()
"""


def run(program: str) -> None:
    child = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def test_memory_is_shared_both_ways() -> None:
    run(SHARED)


def test_its_arrays_are_training_data_where_they_lie() -> None:
    run(DATA)
