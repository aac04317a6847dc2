"""Checkpoints of runs: an interrupted run that goes on ends with the weights of one that was not."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import checkpoint, nn
from fastnn.callbacks import Callback, EarlyStopping

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


class Net(fn.Model):
    """Everything that a run has to remember: lazy layers, dropout, an optimizer with state, a schedule."""

    def __init__(self, optimizer: str) -> None:
        self.optimizer = optimizer
        self.net = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Dropout(0.3), nn.LazyLinear(2))

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return nn.CrossEntropyLoss()(y_hat, y)

    def configure_optimizers(self) -> fn.optim.Optimizer:
        schedule = fn.optim.CosineScheduler(max_update=40, base_lr=0.1, warmup_steps=5)
        if self.optimizer == "Adam":
            return fn.optim.Adam(self.parameters(), lr=schedule)
        return fn.optim.SGD(self.parameters(), lr=schedule, momentum=0.9, dampening=0.1)


def data() -> fn.ArrayData:
    return fn.ArrayData(X, Y, val=0.25, batch_size=8)


def weights(model: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, state: fn.Trainer) -> None:
        if state.train_batch_idx == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("step", [7, 17, 23])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, optimizer: str, step: int) -> None:
    whole = Net(optimizer)
    expected = fn.Trainer(5, seed=4).fit(whole, data())

    path = tmp_path / "runs" / "run"
    with pytest.raises(KeyboardInterrupt):
        fn.Trainer(5, seed=4, checkpoint=path, callbacks=[StopAt(step)]).fit(Net(optimizer), data())
    fn.manual_seed(99)
    resumed = Net(optimizer)
    history = fn.Trainer(5, checkpoint=path).fit(resumed, data(), resume=path)
    assert weights(resumed) == weights(whole)
    assert (history.train_loss, history.val_loss, history.lr) == (expected.train_loss, expected.val_loss, expected.lr)
    assert (history.seed, history.epochs) == (4, 5)


def test_a_run_can_be_made_longer_and_a_finished_one_stays(tmp_path: Path) -> None:
    long, short, same = Net("SGD"), Net("SGD"), Net("SGD")
    fn.Trainer(4, seed=1).fit(long, data())
    fn.Trainer(2, seed=1, checkpoint=tmp_path / "run").fit(short, data())
    assert fn.Trainer(2).fit(same, data(), resume=tmp_path / "run").epochs == 2
    assert weights(same) == weights(short)
    assert fn.Trainer(4).fit(same, data(), resume=tmp_path / "run").epochs == 4
    assert weights(same) == weights(long)


def test_a_run_that_ended_early_does_not_go_on(tmp_path: Path) -> None:
    stopping = EarlyStopping("val_acc", patience=1, mode="min")
    first = fn.Trainer(9, seed=1, checkpoint=tmp_path / "run", callbacks=[stopping]).fit(Net("SGD"), data())
    assert first.epochs < 9
    again = fn.Trainer(9, callbacks=[stopping]).fit(Net("SGD"), data(), resume=tmp_path / "run")
    assert again.epochs == first.epochs


def test_an_optimizer_of_ones_own_without_state_can_be_resumed(tmp_path: Path) -> None:
    class Plain:
        def __init__(self, params: list[fn.Tensor]) -> None:
            self.params = params

        def step(self) -> None:
            for param in self.params:
                param -= 0.1 * param.grad

        def zero_grad(self) -> None:
            for param in self.params:
                param.grad = None

    class Scratch(fn.SoftmaxRegression):
        def configure_optimizers(self) -> Plain:
            return Plain(list(self.parameters()))

    whole, resumed = Scratch(2, lr=0.1), Scratch(2, lr=0.1)
    fn.Trainer(3, seed=1).fit(whole, data())
    fn.Trainer(1, seed=1, checkpoint=tmp_path / "run").fit(Scratch(2, lr=0.1), data())
    fn.Trainer(3).fit(resumed, data(), resume=tmp_path / "run")
    assert weights(resumed) == weights(whole)


def test_the_file_of_a_run_is_a_model_too(tmp_path: Path) -> None:
    model = fn.MLP(2, 8, lr=0.1)
    fn.Trainer(2, seed=1, checkpoint=tmp_path / "run").fit(model, data())
    np.testing.assert_array_equal(fn.load(tmp_path / "run").predict_proba(X), model.predict_proba(X))


def test_what_is_no_run_of_this_trainer_is_an_error_that_leaves_the_model_alone(tmp_path: Path) -> None:
    model = fn.MLP(2, 8, lr=0.1)
    fn.Trainer(1, seed=1, checkpoint=tmp_path / "run").fit(model, data())
    model.save(tmp_path / "model")
    before = weights(model)
    arrays, metadata = checkpoint.read(tmp_path / "run")
    assert metadata is not None
    broken = {**metadata, "training": {**metadata["training"], "random": [1]}}
    checkpoint.write(tmp_path / "broken", arrays, broken)
    (tmp_path / "torn").write_bytes((tmp_path / "run").read_bytes()[:-9])
    for name, error, message in (
        ("missing", FileNotFoundError, "missing"),
        ("model", ValueError, r"\[fit\] resume = .* holds no run"),
        ("broken", ValueError, r"\[fit\] resume = .* holds a broken run"),
        ("torn", ValueError, r"\[load\] .* is not a whole"),
    ):
        with pytest.raises(error, match=message):
            fn.Trainer(2).fit(model, data(), resume=tmp_path / name)
    with pytest.raises(ValueError, match=r"is a run of seed 1, not of the trainer's 2"):
        fn.Trainer(2, seed=2).fit(model, data(), resume=tmp_path / "run")
    with pytest.raises(ValueError, match=r"net.1.weight is \(8, 4\), not \(9, \?\)"):
        fn.Trainer(2).fit(fn.MLP(2, 9, lr=0.1), data(), resume=tmp_path / "run")
    assert weights(model) == before


PROGRAM = """
import os, sys, numpy as np, fastnn as fn
rows = np.random.default_rng(0).normal(size=(400, 10)).astype(np.float32)
data = fn.ArrayData(rows, (rows[:, 0] > 0).astype(np.int64), batch_size=8)
model = fn.MLP(2, 16, lr=0.05, dropout=0.2)
path = sys.argv[1]
fn.Trainer(40, seed=3, checkpoint=path).fit(model, data, resume=path if os.path.exists(path) else None)
model.save(path + ".done")
"""


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path: Path) -> None:
    """The kills fall anywhere, in the writing of a checkpoint too; which place it is may not matter."""
    subprocess.run([sys.executable, "-P", "-c", PROGRAM, tmp_path / "whole"], check=True)
    path, clock = tmp_path / "killed", random.Random(0)
    for _ in range(6):
        written = path.stat().st_mtime_ns if path.exists() else 0
        process = subprocess.Popen([sys.executable, "-P", "-c", PROGRAM, path])
        while process.poll() is None and not (path.exists() and path.stat().st_mtime_ns > written):
            time.sleep(0.001)
        time.sleep(clock.uniform(0, 0.02))
        process.kill()
        process.wait()
    subprocess.run([sys.executable, "-P", "-c", PROGRAM, path], check=True)
    assert weights(fn.load(f"{path}.done")) == weights(fn.load(tmp_path / "whole.done"))


def test_a_refused_run_leaves_the_weights_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    fn.Trainer(1, checkpoint=path, seed=0).fit(Net("SGD"), data())
    other = Net("Adam")
    other(fn.tensor(X))
    before = {name: value.numpy().copy() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match="is a run with SGD, not with Adam"):
        fn.Trainer(2).fit(other, data(), resume=path)
    assert all(np.array_equal(value.numpy(), before[name]) for name, value in other.state_dict().items())
