"""Training on a device: the bits of the CPU, the data moved once, files that know no device."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import LABELS, TARGETS, Batches, ScratchSGD, Setup, Small, X, classes, fit, values

import fastnn as fn
from fastnn import _core, cli, nn
from fastnn.cli import verify
from fastnn.integrations import d2l

ROOT = Path(__file__).parents[2]


class Weighted(Small):
    """With a Tensor among its attributes that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = fn.tensor([1.0, 2.0, 0.5])

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return nn.functional.cross_entropy(y_hat, y, self.weight)


class Halved(Small):
    """Prepares batches of its own."""

    def prepare_batch(self, batch: Any) -> Any:
        return tuple(part[::2] for part in batch)


class OwnEpoch(Small):
    """An epoch by hand, as in the book's section 3.4."""

    def fit_epoch(self) -> None:
        trainer = self.trainer
        for batch in trainer.train_dataloader:
            loss = self.training_step(trainer.prepare_batch(batch))
            trainer.optim.zero_grad()
            loss.backward()
            trainer.optim.step()


def sparse_rows() -> Any:
    """Some of X, which SciPy gathers on the CPU in each step."""
    return pytest.importorskip("scipy.sparse").csr_array(np.where(X > 0, X, 0))


def mlp(**options: Any) -> fn.Model:
    return fn.MLP(3, [7, 5], lr=0.2, **options)


SETUPS: dict[str, Callable[[], Setup]] = {
    "softmax regression": lambda: Setup(fn.SoftmaxRegression(3, lr=0.2), classes(val=0.25)),
    "MLP with dropout": lambda: Setup(mlp(dropout=0.3), classes(rows=70, val=0.25)),
    "GELU": lambda: Setup(mlp(activation="gelu"), classes()),
    "linear regression": lambda: Setup(fn.LinearRegression(lr=0.05), values(val=0.25)),
    "MLP of values, float64": lambda: Setup(
        fn.MLPRegression(1, 5, lr=0.05), fn.ArrayData(X, TARGETS, batch_size=8, dtype="float64")
    ),
    "uint8": lambda: Setup(mlp(), fn.ArrayData((X * 10).astype(np.uint8), np.arange(72) % 3, batch_size=8)),
    "sparse rows": lambda: Setup(mlp(), fn.ArrayData(sparse_rows(), LABELS, batch_size=8, val=0.25)),
    "float16": lambda: Setup(mlp(), fn.ArrayData(X.astype(np.float16), np.arange(72) % 3, batch_size=8)),
    "clipped": lambda: Setup(mlp(), classes(), options={"gradient_clip_val": 0.1}),
    "code of one's own": lambda: Setup(Small(), classes(val=0.25)),
    "momentum": lambda: Setup(Small(lambda p: fn.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1)), classes()),
    "Adam with a schedule": lambda: Setup(
        Small(lambda p: fn.optim.Adam(p, fn.optim.CosineScheduler(20, 0.1, warmup_steps=3))), classes()
    ),
    "an optimizer by hand": lambda: Setup(Small(lambda p: ScratchSGD(p, 0.1)), classes()),
    "batches of one's own": lambda: Setup(Small(), Batches()),
    "a prepared batch": lambda: Setup(Halved(), classes()),
    "an epoch by hand": lambda: Setup(OwnEpoch(), classes()),
    "weights of classes": lambda: Setup(Weighted(), classes()),
    "each step from Python": lambda: Setup(mlp(), classes(), options={"replay": False}),
    "each step compared": lambda: Setup(mlp(dropout=0.3), classes(), options={"verify": "every_step"}),
    "diverging": lambda: Setup(fn.LinearRegression(lr=1e20), values(), options={"terminate_on_nan": False}),
}


@pytest.mark.parametrize("name", SETUPS)
def test_a_run_is_the_same_on_every_device(name: str) -> None:
    here, there = fit(SETUPS[name]), fit(SETUPS[name], device="cuda")
    assert here == there
    assert here.execution == there.execution
    assert there.trainer.device == "cuda"
    assert {p.device for p in there.trainer.model.parameters()} == {"cuda"}


PUBLISHED = [run for run in verify.read()[1] if "fashion" not in run.name]


@pytest.mark.parametrize("run", PUBLISHED, ids=lambda run: run.name)
def test_published_runs_have_their_hashes(run: verify.Run) -> None:
    model, data = run.make()
    fn.Trainer(run.epochs, device="cuda", seed=run.seed).fit(model, data)
    assert verify.weights(model) == run.sha256


def test_the_data_are_copied_once_and_those_given_stay_where_they_are() -> None:
    data = classes(val=0.25)
    trainer = fn.Trainer(2, device="cuda", seed=0)
    trainer.fit(mlp(), data)
    columns = trainer.train_dataloader.dataset.columns
    assert {column.data.device for column in columns} == {"cuda"}
    assert columns[0].data is trainer.val_dataloader.dataset.columns[0].data
    assert {column.data.device for column in data.train.columns} == {"cpu"}


def test_predictions_need_no_thought_of_devices() -> None:
    here, there = mlp(), mlp()
    for model, device in ((here, "cpu"), (there, "cuda")):
        fn.Trainer(2, device=device, seed=0).fit(model, classes())
    assert np.array_equal(here.predict(X), there.predict(X))
    assert np.array_equal(here.predict(fn.tensor(X, device="cuda")), there.predict(fn.tensor(X)))
    assert np.array_equal(here.predict_proba(X), there.predict_proba(X))
    assert here.evaluate(X, np.zeros(72, int)) == there.evaluate(X, np.zeros(72, int))
    assert str(here.summary()) == str(there.summary())


def test_files_do_not_know_the_device(tmp_path: Path) -> None:
    models = [mlp(), mlp()]
    for model, device in zip(models, ("cpu", "cuda"), strict=True):
        fn.Trainer(2, device=device, seed=0).fit(model, classes())
        model.save(tmp_path / f"{device}.safetensors")
    assert (tmp_path / "cpu.safetensors").read_bytes() == (tmp_path / "cuda.safetensors").read_bytes()
    loaded = fn.load(tmp_path / "cuda.safetensors")
    assert {p.device for p in loaded.parameters()} == {"cpu"}
    models[1].load(tmp_path / "cpu.safetensors")
    assert {p.device for p in models[1].parameters()} == {"cuda"}


@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
@pytest.mark.parametrize("optimizer", [fn.optim.Adam, lambda p: fn.optim.SGD(p, 0.1, momentum=0.9)])
def test_a_run_goes_on_on_another_device(first: str, second: str, optimizer: Any, tmp_path: Path) -> None:
    def setup() -> Setup:
        return Setup(Small(optimizer), classes(val=0.25), options={"terminate_on_nan": True})

    whole = fit(setup)
    path = tmp_path / "run.safetensors"
    fit(setup, max_epochs=2, device=first, checkpoint=path, checkpoint_every=5)
    assert fit(setup, resume=path, device=second).weights == whole.weights


def test_a_lazy_model_resumes_on_a_device(tmp_path: Path) -> None:
    def setup() -> Setup:
        return Setup(mlp(dropout=0.3), classes())

    path = tmp_path / "run.safetensors"
    fit(setup, max_epochs=2, checkpoint=path)
    resumed = fit(setup, resume=path, device="cuda")
    assert resumed.weights == fit(setup).weights
    assert {p.device for p in resumed.trainer.model.parameters()} == {"cuda"}


def test_a_model_comes_back_to_the_cpu() -> None:
    model, data = mlp(), classes()
    fn.Trainer(1, device="cuda", seed=0).fit(model, data)
    fn.Trainer(1, device="cpu", seed=0).fit(model, data)
    assert {p.device for p in model.parameters()} == {"cpu"}


def test_auto_takes_the_device_where_there_is_one() -> None:
    assert fn.Trainer(1, device="auto").device == "cuda"
    assert fn.Trainer(1).device == "cpu"


def test_the_book_finds_the_device() -> None:
    assert (d2l.num_gpus(), d2l.try_gpu(), d2l.try_gpu(1), d2l.try_all_gpus()) == (1, "cuda:0", "cpu", ["cuda:0"])
    trainer = d2l.Trainer(max_epochs=1, num_gpus=2)
    assert (trainer.gpus, trainer.device) == (["cuda:0"], "cuda")
    assert fn.ones(2, device=d2l.try_gpu()).device == "cuda"


def test_show_config_describes_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    fn.show_config()
    assert f"cuda: {_core.device_description()}" in capsys.readouterr().out


def test_the_shell_trains_and_verifies_on_a_device(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "flowers.csv"
    table.write_text("width,species\n" + "".join(f"{i % 3},{'abc'[i % 3]}\n" for i in range(30)))
    out = [tmp_path / "cpu", tmp_path / "cuda"]
    for folder in out:
        options = ["--target", "species", "--epochs", "3", "--seed", "1", "--device", folder.name, "--out", str(folder)]
        assert cli.main(["train", str(table), *options]) == 0
    assert " on cuda; --seed 1" in capsys.readouterr().out
    assert (out[0] / "model.safetensors").read_bytes() == (out[1] / "model.safetensors").read_bytes()
    assert cli.main(["verify", "linear-regression", "--device", "cuda"]) == 0
    assert "identical to the published run" in capsys.readouterr().out


def test_no_memory_ends_training_and_the_next_run_is_as_ever(cuda: Any) -> None:
    expected = fit(SETUPS["code of one's own"], device="cuda")
    gc.collect()
    cuda.standin_limit(cuda.standin_in_use() + 2**14)
    try:
        failed = fit(SETUPS["code of one's own"], device="cuda")
    finally:
        cuda.standin_limit(2**31)
    assert failed.error is not None
    assert failed.error.startswith("MemoryError")
    assert fit(SETUPS["code of one's own"], device="cuda") == expected


def test_threads_train_at_the_same_time() -> None:
    if os.environ.get("FASTNN_GUARDED"):
        pytest.skip("another thread's work makes the device busy")

    def weights(seed: int) -> str:
        model = mlp()
        fn.Trainer(6, device="cuda", seed=seed).fit(model, classes())
        return verify.weights(model)

    expected = [weights(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert list(pool.map(weights, range(4))) == expected


# ---- in processes of their own ----------------------------------------------------------------------------------


def test_python_touches_no_memory_of_a_busy_device() -> None:
    """The tests of this folder once more, where that would end the process."""
    if os.environ.get("FASTNN_GUARDED") or os.environ.get("FASTNN_TEST_DEVICE"):
        pytest.skip("this is that process, or no stand-in")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", Path(__file__).parent]
    environment = os.environ | {"FASTNN_GUARDED": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


def output_of(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_without_a_device_cuda_is_an_error_that_says_why() -> None:
    program = """
import sys
sys.modules["fastnn._cuda"] = None  # as if it had not been built
import fastnn as fn
for use in (lambda: fn.Trainer(1, device="cuda"), lambda: fn.ones(1).cuda(), lambda: fn.nn.Linear(1, 1).to("cuda")):
    try:
        use()
    except fn.DeviceError as error:
        print(error)
print(fn.Trainer(1, device="auto").device)
fn._core.synchronize()  # there is nothing to wait for
print(fn._core.device_name(), fn._core.device_description())
fn.show_config()
"""
    lines = output_of(program).splitlines()
    reason = "device = 'cuda' cannot be used: CUDA is not built: this installation has no CUDA kernels; use 'cpu'"
    assert lines[:5] == [f"[Trainer] {reason}", f"[to] {reason}", f"[to] {reason}", "cpu", "None None"]
    assert "cuda: not built: this installation has no CUDA kernels" in lines


def test_a_backend_that_finds_no_device_says_why() -> None:
    program = """
import sys, types
def backend():
    raise RuntimeError("there is no driver")
sys.modules["fastnn._cuda"] = types.SimpleNamespace(backend=backend)
import fastnn as fn
try:
    fn.ones(1, device="cuda")
except fn.DeviceError as error:
    print(error)
"""
    expected = "[ones] device = 'cuda' cannot be used: CUDA is not available: there is no driver; use 'cpu'\n"
    assert output_of(program) == expected


def test_importing_fastnn_looks_for_no_device() -> None:
    assert output_of("import sys, fastnn; print('fastnn._cuda' in sys.modules)") == "False\n"
