"""Arrays that go to other libraries of the GPU, and come from them: for a real one, with what is installed."""

import os

import numpy as np
import pytest

import fastnn as fn

pytestmark = pytest.mark.skipif(os.environ.get("FASTNN_TEST_DEVICE") != "cuda", reason="FASTNN_TEST_DEVICE is not cuda")
NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_pytorch() -> None:
    torch = pytest.importorskip("torch")
    ours = fn.tensor(NUMBERS, device="cuda") * 2
    theirs = torch.from_dlpack(ours)
    assert theirs.is_cuda
    assert theirs.tolist() == (NUMBERS * 2).tolist()
    theirs[0, 0] = 7.0
    torch.cuda.synchronize()
    assert ours[0, 0].item() == 7
    new = torch.tensor(NUMBERS, device="cuda").T + 1
    for back in (fn.from_dlpack(new), fn.tensor(new)):
        assert back.device == "cuda"
        assert back.tolist() == (NUMBERS.T + 1).tolist()


def test_cupy() -> None:
    cupy = pytest.importorskip("cupy")
    ours = fn.tensor(NUMBERS, device="cuda") * 2
    for theirs in (cupy.from_dlpack(ours), cupy.asarray(ours)):
        assert theirs.tolist() == (NUMBERS * 2).tolist()
    new = cupy.asarray(NUMBERS).T + 1
    for back in (fn.from_dlpack(new), fn.tensor(new)):
        assert back.device == "cuda"
        assert back.tolist() == (NUMBERS.T + 1).tolist()


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    if jax.default_backend() != "gpu":
        pytest.skip("JAX has no GPU here")
    theirs = jax.dlpack.from_dlpack(fn.tensor(NUMBERS, device="cuda") * 2)
    assert theirs.tolist() == (NUMBERS * 2).tolist()
    back = fn.from_dlpack(jax.numpy.asarray(NUMBERS) + 1)
    assert back.device == "cuda"
    assert back.tolist() == (NUMBERS + 1).tolist()
