"""Checkpoints of runs: an interrupted run that goes on ends with the weights of one that was not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupting import broken_off

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
@pytest.mark.parametrize("every", [None, 1, 4])
@pytest.mark.parametrize("step", [7, 17, 23])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, optimizer: str, every: int | None, step: int) -> None:
    whole = Net(optimizer)
    expected = fn.Trainer(5, seed=4).fit(whole, data())

    path = tmp_path / "runs" / "run"
    interrupted = fn.Trainer(5, seed=4, checkpoint=path, checkpoint_every=every, callbacks=[StopAt(step)])
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(Net(optimizer), data())
    fn.manual_seed(99)
    resumed = Net(optimizer)
    history = fn.Trainer(5, checkpoint=path).fit(resumed, data(), resume=path)
    assert weights(resumed) == weights(whole)
    assert (history.train_loss, history.val_loss, history.lr) == (expected.train_loss, expected.val_loss, expected.lr)
    assert (history.seed, history.epochs) == (4, 5)


class Batches(fn.DataModule):
    """Without fastnn's loader: steps run one by one, and those that are done are read past."""

    def __init__(self) -> None:
        self.data = data()

    def train_dataloader(self) -> list[tuple[fn.Tensor, ...]]:
        return list(self.data.train_dataloader())

    def val_dataloader(self) -> fn.DataLoader:
        return self.data.val_dataloader()


@pytest.mark.parametrize("written", [2, 3, 7])
@pytest.mark.parametrize("source", [data, Batches])
def test_a_run_goes_on_within_its_epoch(tmp_path: Path, source: Callable[[], Any], written: int) -> None:
    """From after so many checkpoints, with its steps run natively."""
    whole = Net("SGD")
    expected = fn.Trainer(4, seed=4, per_step=True).fit(whole, source())
    path = tmp_path / "run"
    settings = {"checkpoint": path, "checkpoint_every": 2, "per_step": True}
    with pytest.raises(KeyboardInterrupt), broken_off(written):
        fn.Trainer(4, seed=4, **settings).fit(Net("SGD"), source())
    resumed, again = Net("SGD"), fn.Trainer(4, **settings)
    history = again.fit(resumed, source(), resume=path)
    assert again.execution.startswith(("epoch", "step"))
    assert weights(resumed) == weights(whole)
    assert history.steps == expected.steps
    assert (history.train_loss, history.val_loss, history.lr) == (expected.train_loss, expected.val_loss, expected.lr)


def test_a_checkpoint_tells_where_in_its_epoch_a_run_is(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fn.Trainer(4, seed=4, checkpoint=path, checkpoint_every=4, callbacks=[StopAt(11)]).fit(Net("SGD"), data())
    arrays, metadata = checkpoint.read(path)
    assert metadata is not None
    run = metadata["training"]
    assert (run["epochs"], run["steps"], run["epoch"]["steps"]) == (1, 8, 2)
    assert arrays["training/epoch/0"][1].tolist() == [8, 8]
    seconds = fn.Trainer(2, seed=4).fit(Net("SGD"), data(), resume=path).train_seconds[1]
    assert seconds > run["epoch"]["seconds"] > 0


def test_a_run_does_not_go_on_in_a_shorter_epoch(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fn.Trainer(2, checkpoint=path, checkpoint_every=1, callbacks=[StopAt(5)]).fit(Net("SGD"), data())
    fewer = fn.ArrayData(X[:20], Y[:20], batch_size=8)
    with pytest.raises(ValueError, match=r"^\[fit\] resume = .* has made 4 steps .* 3 batches"):
        fn.Trainer(2).fit(Net("SGD"), fewer, resume=path)


class Exploding(Net):
    """Its loss is NaN after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__("SGD")
        self.steps = steps

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return super().loss(y_hat, y) * (1.0 if self.trainer.train_batch_idx < self.steps else float("nan"))


def test_what_has_diverged_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError):
        fn.Trainer(1, seed=1, checkpoint=tmp_path / "run", checkpoint_every=1).fit(Exploding(2), data())
    assert all(np.isfinite(array).all() for array in checkpoint.read(tmp_path / "run")[0].values())


@pytest.mark.parametrize("epochs", [0, 1], ids=["lazy", "trained"])
@pytest.mark.filterwarnings("ignore:.*Training ends")
def test_what_diverges_after_resuming_goes_back_to_before_its_epoch(tmp_path: Path, epochs: int) -> None:
    path, steps = tmp_path / "run", 6 * epochs + 4
    whole, resumed = Exploding(steps), Exploding(steps)
    fn.Trainer(3, seed=1, terminate_on_nan=True).fit(whole, data())
    stopped = fn.Trainer(
        3, seed=1, terminate_on_nan=True, checkpoint=path, checkpoint_every=1, callbacks=[StopAt(steps - 1)]
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(Exploding(steps), data())
    fn.Trainer(3, terminate_on_nan=True).fit(resumed, data(), resume=path)
    assert weights(resumed) == weights(whole)


class LoggingMuch(fn.SoftmaxRegression):
    def training_step(self, batch: Any) -> fn.Tensor:
        for name in ("z", "a/b"):
            self.log(name, 0.5)
        return super().training_step(batch)


def test_values_of_a_million_steps_are_no_metadata_and_columns_keep_their_order(tmp_path: Path) -> None:
    class Long(Callback):
        def on_epoch_end(self, state: fn.Trainer) -> None:
            state.history.steps["z"] += range(1_000_000)

    path = tmp_path / "run"
    first = fn.Trainer(1, seed=1, checkpoint=path, per_step=True, callbacks=[Long()])
    first.fit(LoggingMuch(2, lr=0.1), data())
    assert int.from_bytes(path.read_bytes()[:8], "little") < 5000
    history = fn.Trainer(1).fit(LoggingMuch(2, lr=0.1), data(), resume=path)
    assert history.steps == first.history.steps
    assert list(history) == list(first.history)
    assert history.to_dict() == first.history.to_dict()


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


def test_a_refused_run_leaves_the_weights_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    fn.Trainer(1, checkpoint=path, seed=0).fit(Net("SGD"), data())
    other = Net("Adam")
    other(fn.tensor(X))
    before = {name: value.numpy().copy() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match="is a run with SGD, not with Adam"):
        fn.Trainer(2).fit(other, data(), resume=path)
    assert all(np.array_equal(value.numpy(), before[name]) for name, value in other.state_dict().items())
