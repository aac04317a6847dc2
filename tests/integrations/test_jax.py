"""JAX: arrays are shared by DLPack, and are training data."""

import numpy as np
import pytest

import fastnn as fn

jax = pytest.importorskip("jax")


def test_memory_is_shared_both_ways() -> None:
    ours, theirs = fn.zeros(64), jax.numpy.arange(64.0)
    assert jax.numpy.from_dlpack(ours).unsafe_buffer_pointer() == ours.numpy().ctypes.data
    shared = fn.from_dlpack(theirs).numpy()
    assert shared.ctypes.data == theirs.unsafe_buffer_pointer()
    assert not shared.flags.writeable  # no array of JAX may be changed


def test_its_arrays_are_training_data_where_they_lie() -> None:
    X = jax.numpy.linspace(-1, 1, 40).reshape(20, 2)
    data = fn.ArrayData(X, np.arange(20) % 2)
    assert data.train.columns[0].data.numpy().ctypes.data == X.unsafe_buffer_pointer()
