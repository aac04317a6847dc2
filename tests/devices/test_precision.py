"""Products in tf32 and bf16, by choice: where they are made, how near they are, and that a step has one set of bits.

On the stand-in for a device, factors are rounded and multiplied by the CPU's kernels; how cuBLASLt is used is a test of
its own (tests/native/cuda/cublaslt_test.cpp).
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels.sampling import Array
from training_runs import Setup, Small, classes, fit

import fastnn as fn
from fastnn import _core, devices, dispatch, kernels, nn, reference, settings
from fastnn.cli import main

ROOT = Path(__file__).parents[2]
MANTISSA = {"tf32": 10, "bf16": 7}
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(40, 70)).astype(np.float32), RNG.normal(size=(70, 30)).astype(np.float32)


pytestmark = pytest.mark.usefixtures("library")


@pytest.fixture(params=MANTISSA)
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """One that is set while a test runs."""
    fn.set_float32_matmul_precision(request.param)
    yield request.param
    fn.set_float32_matmul_precision("float32")


def moved(x: Array) -> Array:
    return _core.transfer(x, device="cuda")


def looked_at(x: Array) -> Array:
    dispatch.synchronize()
    return np.array(x)


def is_near(found: Array, a: Array, b: Array, precision: str) -> bool:
    """Whether `found` is a b but for factors that have lost all behind their mantissa, and sums in float32.

    Each factor is off by u of its size at most, so each product by 2 u + u^2, and k additions by k 2^-24 of what has
    been added up. Hardware may cut off where the specification rounds, so u is a whole last bit.
    """
    u = 2.0 ** -MANTISSA[precision]
    size = np.abs(a).astype(np.float64) @ np.abs(b)
    bound = (2 * u + u * u + a.shape[1] * 2.0**-24) * size
    return bool((np.abs(found - a.astype(np.float64) @ b) <= bound).all())


# ---- kernels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANTISSA)
def test_the_specification_rounds_to_nearest(name: str) -> None:
    kept = MANTISSA[name]
    x = np.concatenate([RNG.normal(size=1000) * 10.0 ** RNG.integers(-30, 30, 1000), [0, -0.0]]).astype(np.float32)
    identity = np.eye(1, dtype=np.float32)
    rounded = reference.matmul(x[:, None], identity, precision=name)[:, 0]
    assert not (rounded.view(np.uint32) & np.uint32(2 ** (23 - kept) - 1)).any()
    assert (np.abs(rounded.astype(np.float64) - x) <= np.abs(x) * 2.0 ** -(kept + 1)).all()
    ties = np.array([1 + 2.0 ** -(kept + 1), 1 + 3 * 2.0 ** -(kept + 1)], np.float32)[:, None]
    assert reference.matmul(ties, identity, precision=name)[:, 0].tolist() == [1, 1 + 2 * 2.0**-kept]
    beyond = np.array([[np.inf], [-np.inf], [np.nan]], np.float32)
    assert np.array_equal(reference.linear(beyond, identity, precision=name), beyond, equal_nan=True)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "rows": lambda x: x,
    "columns": lambda x: x.T,
    "a part": lambda x: x[3:, 5:],
    "every second": lambda x: x[:, ::2],
    "backwards": lambda x: x[::-1],
    "one row for all": lambda x: np.broadcast_to(x[:1], (30, 40)),
    "one column for all": lambda x: np.broadcast_to(x[:1], (30, 40)).T,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", MANTISSA)
def test_products_are_as_near_as_the_specification_in_any_layout(name: str, layout: str) -> None:
    x, view = RNG.normal(size=(40, 40)).astype(np.float32), LAYOUTS[layout]
    a, there = view(x), view(moved(x))
    for left, right, here in ((there, there.T, (a, a.T)), (there.T, there, (a.T, a))):
        found = looked_at(kernels.matmul(left, right, precision=name))
        assert is_near(found, *here, name)
        assert is_near(reference.matmul(*here, precision=name), *here, name)
        assert not np.allclose(found, here[0] @ here[1], rtol=1e-6, atol=1e-6)


def test_nothing_to_multiply_is_zero_in_any_precision() -> None:
    there = moved(np.ones((3, 0), np.float32))
    assert not looked_at(kernels.matmul(there, there.T, precision="bf16")).any()
    assert kernels.matmul(there.T, moved(np.ones((3, 2), np.float32)), precision="bf16").shape == (0, 2)


@pytest.mark.parametrize("name", MANTISSA)
def test_what_follows_a_product_has_the_bits_of_its_kernels(name: str) -> None:
    x, weight, bias = map(moved, (A, B.T.copy(), B[0]))
    plain = kernels.linear(x, weight, precision=name)
    fused = kernels.linear(x, weight, bias, "relu", precision=name)
    assert np.array_equal(looked_at(fused), looked_at(kernels.relu(kernels.add(plain, bias))))
    updated, expected = moved(np.ones((40, 30), np.float32)), moved(np.ones((40, 30), np.float32))
    rule: Any = {"lr": 0.1, "weight_decay": 0.01}
    kernels.matmul_sgd_update(updated, x, weight, transpose_b=True, **rule, precision=name)
    kernels.sgd_update(expected, kernels.matmul(x, weight.T, precision=name), **rule)
    assert np.array_equal(looked_at(updated), looked_at(expected))


def test_a_kernel_of_the_cpu_and_one_of_float64_refuse_it() -> None:
    words = r"\[matmul\] precision = 'tf32' is for float32 on a GPU: leave it out"
    with pytest.raises(ValueError, match=words):
        kernels.matmul(A, B, precision="tf32")
    with pytest.raises(ValueError, match=words):
        kernels.matmul(moved(A.astype(np.float64)), moved(B.astype(np.float64)), precision="tf32")
    with pytest.raises(ValueError, match=r"\[linear\] precision = 'half' must be 'float32', 'tf32' or 'bf16'"):
        kernels.linear(moved(A), moved(A), precision="half")
    assert kernels.matmul(A, B, precision="float32").tobytes() == kernels.matmul(A, B).tobytes()


# ---- operations ---------------------------------------------------------------------------------------------------


def test_products_of_tensors_and_their_gradients_are_made_in_it(precision: str) -> None:
    a, b = (fn.tensor(x, device="cuda", requires_grad=True) for x in (A, B))
    y = a @ b
    y.sum().backward()
    ones = moved(np.ones((40, 30), np.float32))
    assert np.array_equal(y.numpy(), looked_at(kernels.matmul(moved(A), moved(B), precision=precision)))
    assert a.grad is not None
    expected = looked_at(kernels.matmul(ones, moved(B), transpose_b=True, precision=precision))
    assert np.array_equal(a.grad.numpy(), expected)
    layer = nn.functional.linear(fn.tensor(A, device="cuda"), fn.tensor(B.T.copy(), device="cuda"))
    assert is_near(layer.numpy(), A, B, precision)
    assert fn.get_float32_matmul_precision() == precision


def test_the_cpu_and_float64_are_as_ever(precision: str) -> None:
    assert np.array_equal((fn.tensor(A) @ fn.tensor(B)).numpy(), kernels.matmul(A, B))
    a, b = A.astype(np.float64), B.astype(np.float64)
    assert np.array_equal((fn.tensor(a, device="cuda") @ fn.tensor(b, device="cuda")).numpy(), kernels.matmul(a, b))


def test_it_is_float32_until_it_is_set() -> None:
    assert fn.get_float32_matmul_precision() == "float32"
    there = (fn.tensor(A, device="cuda") @ fn.tensor(B, device="cuda")).numpy()
    assert np.array_equal(there, kernels.matmul(A, B))
    with pytest.raises(ValueError, match=r"\[set_float32_matmul_precision\] precision = 'high' must be 'float32', 'tf"):
        fn.set_float32_matmul_precision("high")


# ---- training -----------------------------------------------------------------------------------------------------


class FromScratch(fn.Classifier):
    """Layers written out, which are fused when a step is recorded."""

    def __init__(self) -> None:
        self.lr = 0.2
        self.first, self.first_bias = nn.Parameter(fn.randn(6, 9) * 0.5), nn.Parameter(fn.zeros(9))
        self.second, self.second_bias = nn.Parameter(fn.randn(9, 3) * 0.5), nn.Parameter(fn.zeros(3))

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        hidden = fn.relu(x.reshape(len(x), -1) @ self.first + self.first_bias)
        return hidden @ self.second + self.second_bias


SETUPS: dict[str, Callable[[], Setup]] = {
    "MLP": lambda: Setup(fn.MLP(3, [7, 5], lr=0.2, dropout=0.3), classes(val=0.25)),
    "code of one's own": lambda: Setup(Small(), classes(val=0.25)),
    "written out": lambda: Setup(FromScratch(), classes()),
    "momentum": lambda: Setup(Small(lambda p: fn.optim.SGD(p, 0.1, momentum=0.9)), classes()),
    "Adam": lambda: Setup(Small(lambda p: fn.optim.Adam(p, 0.01)), classes()),
}


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("name", MANTISSA)
def test_native_steps_have_the_bits_of_those_from_python(name: str, setup: str) -> None:
    native = fit(SETUPS[setup], device="cuda", precision=name)
    assert native.error is None
    assert native.trainer.execution.startswith("epoch: ")
    assert native.weights == fit(SETUPS[setup], device="cuda", precision=name, replay=False).weights
    assert native.weights != fit(SETUPS[setup], device="cuda").weights
    compared = fit(SETUPS[setup], device="cuda", precision=name, verify="every_step")
    assert (compared.error, compared.weights) == (None, native.weights)


def test_the_plan_tells_the_precision() -> None:
    run = fit(SETUPS["MLP"], device="cuda", precision="bf16")
    lines = str(run.trainer.plan).splitlines()
    products = [line for line in lines if "linear" in line or "matmul" in line]
    assert len(products) == 8
    assert all("precision=bf16" in line and line.endswith("cuBLASLt") for line in products)
    assert "precision" not in str(fit(SETUPS["MLP"], device="cuda").trainer.plan)


def test_losses_are_near_those_of_float32() -> None:
    losses = [fit(SETUPS["MLP"], device="cuda", precision=name).history["train_loss"] for name in ("tf32", "float32")]
    assert np.allclose(losses[0], losses[1], rtol=2e-2)
    assert losses[0] != losses[1]


def test_a_trainer_takes_what_is_set_and_keeps_it(precision: str) -> None:
    class Changes(fn.callbacks.Callback):
        def on_epoch_end(self, trainer: Any) -> None:
            fn.set_float32_matmul_precision("float32")

    assert fit(SETUPS["MLP"], device="cuda").weights == fit(SETUPS["MLP"], device="cuda", precision=precision).weights
    changed = fit(SETUPS["MLP"], device="cuda", callbacks=[Changes()])
    assert changed.weights == fit(SETUPS["MLP"], device="cuda", precision=precision).weights
    assert fn.get_float32_matmul_precision() == "float32"


def test_a_precision_of_its_own_ends_with_the_run() -> None:
    fit(SETUPS["MLP"], device="cuda", precision="tf32")
    assert fn.get_float32_matmul_precision() == "float32"


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[Trainer\] precision = 'tf32' is for a GPU: use device='cuda' or 'auto'"):
        fn.Trainer(1, precision="tf32")
    with pytest.raises(ValueError, match=r"\[Trainer\] precision = '16-mixed' must be None, 'float32', 'tf32' or 'bf"):
        fn.Trainer(1, device="cuda", precision="16-mixed")
    assert fn.Trainer(1, precision="float32").precision == "float32"
    assert fn.Trainer(1, device="auto", precision="bf16").precision == "bf16"


def test_auto_without_a_gpu_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "device_of", lambda trainer: "cpu")
    assert fn.Trainer(1, device="auto", precision="bf16").precision is None


# ---- the library --------------------------------------------------------------------------------------------------


def test_show_config_names_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    fn.show_config()
    assert main(["info"]) == 0
    assert (
        capsys.readouterr().out.count(f"{_core.device_description()}; tf32 and bf16 by {devices._load_library()[0]}")
        == 2
    )


def test_without_the_library_a_precision_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load_library(file: str) -> str:
        asked.append(file)
        raise _core.DeviceError(f"{file}: cannot open shared object file")

    monkeypatch.setattr(_core, "load_library", load_library)
    monkeypatch.setattr(devices, "_load_library", devices._load_library.__wrapped__)
    words = "cuBLASLt, which is not available: install nvidia-cublas \\(libcublasLt.so.13: cannot open"
    with pytest.raises(fn.DeviceError, match=rf"\[Trainer\] precision = 'tf32' needs {words}"):
        fn.Trainer(1, device="cuda", precision="tf32")
    with pytest.raises(fn.DeviceError, match=rf"\[set_float32_matmul_precision\] precision = 'bf16' needs {words}"):
        fn.set_float32_matmul_precision("bf16")
    assert fn.get_float32_matmul_precision() == "float32"
    assert "; cuBLASLt is not available: install nvidia-cublas (" in devices.status()
    assert asked[0] == "libcublasLt.so.13"  # as the loader finds it, then in packages, then the one before
    assert "libcublasLt.so.12" in asked


def test_without_a_gpu_a_precision_says_so() -> None:
    program = """
import sys
sys.modules["fastnn._cuda"] = None  # as if it had not been built
import fastnn as fn
try:
    fn.set_float32_matmul_precision("tf32")
except fn.DeviceError as error:
    print(error)
print(fn.Trainer(1, device="auto", precision="tf32").precision)
try:
    fn._core.load_library("a file")
except fn.DeviceError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-P", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    reason = "CUDA is not built: this installation has no CUDA kernels"
    assert output.stdout.splitlines() == [
        f"[set_float32_matmul_precision] precision = 'tf32' is for a GPU, but {reason}",
        "None",
        "[load_library] there is no device",
    ]


def test_a_library_may_lie_deep(cuda: object, tmp_path: Path) -> None:
    place = tmp_path / ("environment" * 15) / "libcublasLt.so.13"
    place.parent.mkdir()
    place.touch()
    assert fn._core.load_library(str(place)) == "a file"
