"""One hash: that of the weights that a published run ends with, whatever it is run by."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import environment
from interrupting import broken_off

import fastnn as fn
from fastnn import _core, checkpoint
from fastnn.cli import verify

pytestmark = pytest.mark.skipif(
    not _core.config()["fused_multiply_add"], reason="without fused multiply-add a machine has bits of its own"
)
(RUN,) = [run for run in verify.read()[1] if run.name == "mlp-dropout"]
WIDTHS = [isa for isa in _core.config()["isas"] if isa != "baseline"]


def trained(data: Any = None, resume: Path | None = None, **options: Any) -> str:
    """The hash of the run, or of what it would be on other data."""
    model, published = RUN.make()
    fn.Trainer(RUN.epochs, seed=RUN.seed, **options).fit(model, data or published, resume)
    return verify.weights(model)


@pytest.mark.parametrize("threads", range(1, 17))
def test_threads_of_native_steps(threads: int) -> None:
    assert trained(num_threads=threads) == RUN.sha256


@pytest.mark.parametrize("threads", [1, 2, 7, 16])
def test_threads_of_steps_from_python(threads: int) -> None:
    assert trained(num_threads=threads, replay=False) == RUN.sha256


def test_native_steps_that_are_compared_with_those_from_python() -> None:
    assert trained(verify="every_step") == RUN.sha256


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "every second column": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "float64": lambda x: x.astype(np.float64),
    "Tensor": fn.tensor,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_dtypes_of_inputs(layout: str) -> None:
    _, published = RUN.make()
    X = LAYOUTS[layout](published.X)
    assert trained(fn.ArrayData(X, published.y, batch_size=published.batch_size)) == RUN.sha256


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64"])
def test_dtypes_of_labels(dtype: str) -> None:
    _, published = RUN.make()
    assert trained(fn.ArrayData(published.X, published.y.astype(dtype), batch_size=published.batch_size)) == RUN.sha256


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "float16", "float64"])
def test_bytes_are_what_they_are_as_floats(dtype: str) -> None:
    """Of images without greys: a hash of their own, and one."""
    _, published = RUN.make()
    X = published.X > 0.5
    expected = trained(fn.ArrayData(X.astype(np.float32), published.y, batch_size=published.batch_size))
    assert (
        trained(fn.ArrayData(X.astype(dtype), published.y, batch_size=published.batch_size)) == expected != RUN.sha256
    )


@pytest.mark.parametrize("written", [1, 2, 4, 7], ids=lambda written: f"after checkpoint {written}")
def test_resuming(tmp_path: Path, written: int) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), broken_off(written):
        trained(checkpoint=path, checkpoint_every=3)
    assert trained(resume=path, num_threads=2) == RUN.sha256


@pytest.mark.parametrize("isa", WIDTHS)
def test_processes_and_vector_widths(isa: str) -> None:
    """Each in a process of its own, whose dicts and sets are in an order of their own."""
    command = [sys.executable, "-P", "-m", "fastnn", "verify", RUN.name]
    child = subprocess.run(
        command, env=environment() | {"FASTNN_ISA": isa}, capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert "identical to the published run" in child.stdout


def test_one_bit_of_one_weight_is_another_hash() -> None:
    model, data = dataclasses.replace(RUN, epochs=1).make()
    fn.Trainer(1, seed=0).fit(model, data)
    before = verify.weights(model)
    weight = model.net[1].weight.data.numpy()
    weight.view(np.uint32)[0, 0] ^= 1
    assert verify.weights(model) != before
    assert checkpoint.digest({"x": weight}) != checkpoint.digest({"y": weight})
