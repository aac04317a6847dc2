"""Trainer: what a run does, measures and repeats."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from training_runs import ScratchSGD

import fastnn as fn
from fastnn import nn
from fastnn.sharing import native_threads

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


def data(**options: object) -> fn.ArrayData:
    return fn.ArrayData(X, Y, **{"val": 0.2, "batch_size": 16, **options})


def weights(model: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


class ScratchSoftmax(fn.Model):
    """The book's softmax regression from scratch (D2L, section 4.4): nothing of it is fastnn's but the arithmetic."""

    def __init__(self, lr: float = 0.5) -> None:
        self.lr = lr
        self.W = fn.normal(0, 0.01, size=(4, 2), requires_grad=True)
        self.b = fn.zeros(2, requires_grad=True)

    def parameters(self) -> list[fn.Tensor]:
        return [self.W, self.b]

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        exp = fn.exp(fn.matmul(x.reshape((-1, self.W.shape[0])), self.W) + self.b)
        return exp / exp.sum(1, keepdims=True)

    def training_step(self, batch) -> fn.Tensor:
        y_hat, y = self(batch[0]), batch[1]
        return -fn.log(y_hat[list(range(len(y_hat))), y]).mean()

    def validation_step(self, batch) -> None:
        self.log("val_acc", (self(batch[0]).argmax(axis=1) == batch[1]).type(fn.float32).mean())

    def configure_optimizers(self) -> ScratchSGD:
        return ScratchSGD([self.W, self.b], self.lr)


# ---- training -------------------------------------------------------------------------------------------------


def test_a_model_learns_and_is_in_eval_mode_afterwards() -> None:
    model = fn.MLP(2, 16, lr=0.5)
    history = fn.Trainer(30, seed=0).fit(model, data())
    assert history.val_acc[-1] >= 0.9
    assert history.train_loss[-1] < history.train_loss[0] / 2
    assert not any(module.training for module in model.modules())


def test_a_model_from_scratch_trains_and_is_measured() -> None:
    model = ScratchSoftmax()
    history = fn.Trainer(20, seed=0).fit(model, data())
    assert history.val_acc[-1] >= 0.9
    assert history.train_loss[-1] < 0.5 < history.train_loss[0]  # logged by the trainer
    assert history.lr[-1] == 0.5
    assert list(model.state_dict()) == ["W", "b"]


def test_history_has_a_value_per_epoch_and_means_weigh_each_example_once() -> None:
    class Fixed(fn.Model):
        """Losses that are known: the mean of the batch's inputs."""

        def __init__(self) -> None:
            self.w = fn.zeros(1, requires_grad=True)

        def training_step(self, batch) -> fn.Tensor:
            return (batch[0] + 0 * self.w).mean()

        def validation_step(self, batch) -> None:
            self.log("val_loss", batch[0].mean())
            self.log("largest", batch[0].max())

        def configure_optimizers(self) -> fn.optim.SGD:
            return fn.optim.SGD(self.parameters(), lr=0.0)

    rows = np.arange(10, dtype=np.float32).reshape(-1, 1)
    arrays = fn.ArrayData(rows, rows, val=(2 * rows, rows), batch_size=4)  # batches of 4, 4 and 2
    history = fn.Trainer(2, seed=0, per_step=True).fit(Fixed(), arrays)
    assert history.train_loss == [4.5, 4.5]
    assert history.val_loss == [9.0, 9.0]
    assert history.largest == [(6 * 4 + 14 * 4 + 18 * 2) / 10] * 2
    assert len(history.steps["train_loss"]) == 6
    assert all(value > 0 for name in ("train_seconds", "val_seconds", "examples_per_second") for value in history[name])


def test_many_steps_are_read_in_parts_with_the_same_mean() -> None:
    rows = np.arange(3000, dtype=np.float32).reshape(-1, 1) / 3000
    history = fn.Trainer(1, seed=0, per_step=True).fit(
        fn.LinearRegression(lr=1e-3), fn.ArrayData(rows, rows, batch_size=1)
    )
    assert len(history.steps["train_loss"]) == 3000
    assert history.train_loss[0] == pytest.approx(np.mean(history.steps["train_loss"]))


def test_what_is_logged_is_its_value_then_not_at_the_end_of_the_epoch() -> None:
    class Watched(fn.LinearRegression):
        def training_step(self, batch) -> fn.Tensor:
            loss = super().training_step(batch)
            self.log("bias", self.net.bias)
            return loss

    model = Watched(lr=0.1)
    history = fn.Trainer(1, seed=0, per_step=True).fit(model, fn.ArrayData(X, X @ np.ones(4) + 1, batch_size=10))
    assert history.steps["bias"][0] == 0.0
    assert len(set(history.steps["bias"])) == 10


def test_a_step_outside_fit_logs_nothing() -> None:
    model, trainer = fn.SoftmaxRegression(2, lr=0.1), fn.Trainer(1, seed=0, per_step=True)
    trainer.fit(model, data())
    before = len(trainer._meter.values["train_loss"])
    assert model.training_step((fn.tensor(X), fn.tensor(Y))).item() > 0
    assert len(trainer._meter.values["train_loss"]) == before


def test_clipping_limits_the_step() -> None:
    model = fn.LinearRegression(lr=1.0)
    fn.Trainer(1, gradient_clip_val=1e-3, seed=0).fit(model, fn.ArrayData(X, 1e6 * X[:, 0], batch_size=100))
    w, b = model.get_w_b()
    # one step of norm 1e-3 from normal(0, 0.01) weights, whose norm stays under 0.1
    assert math.hypot(*w.numpy()[0], *b.numpy()) < 0.1


@pytest.mark.parametrize("where", ["model", "trainer"])
def test_prepare_batch_and_fit_epoch_of_ones_own_are_honoured(where: str) -> None:
    seen: list[str] = []

    def prepare_batch(self, batch) -> list[fn.Tensor]:
        seen.append("batch")
        return [2 * batch[0], batch[1]]

    def fit_epoch(self) -> None:
        """As the book writes it (D2L, section 3.2)."""
        seen.append("epoch")
        trainer = self.trainer if where == "model" else self
        trainer.model.train()
        for batch in trainer.train_dataloader:
            loss = trainer.model.training_step(trainer.prepare_batch(batch))
            trainer.optim.zero_grad()
            with fn.no_grad():
                loss.backward()
                trainer.optim.step()
            trainer.train_batch_idx += 1

    members = {"prepare_batch": prepare_batch, "fit_epoch": fit_epoch}
    model = type("Own", (fn.SoftmaxRegression,), members if where == "model" else {})(2, lr=0.1)
    trainer = type("Own", (fn.Trainer,), members if where == "trainer" else {})(2, seed=0)
    history = trainer.fit(model, data())
    assert seen == (["epoch"] + ["batch"] * 5) * 2
    assert history.train_loss[1] < history.train_loss[0]


def test_any_iterable_of_numpy_batches_is_a_loader() -> None:
    class Batches(fn.DataModule):
        def train_dataloader(self) -> list[tuple[np.ndarray, np.ndarray]]:
            return [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 100, 10)]

    class NoLength(Batches):
        def train_dataloader(self) -> "NoLength":
            return self

        def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            return iter(super().train_dataloader())

    runs = []
    for source in (Batches(), NoLength()):
        model = fn.SoftmaxRegression(2, lr=0.1)
        history = fn.Trainer(2, seed=0, progress=True).fit(model, source)
        runs.append(weights(model))
        assert "val_loss" not in history
        assert "val_seconds" not in history
    assert runs[0] == runs[1]


def test_the_bar_is_quiet_unless_stderr_is_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    fn.Trainer(1, seed=0).fit(fn.MLP(2, 4, lr=0.1), data())
    assert capfd.readouterr().err == ""
    fn.Trainer(2, seed=0, progress=True).fit(fn.MLP(2, 4, lr=0.1), data())
    assert "10/10" in capfd.readouterr().err


# ---- repeating a run ------------------------------------------------------------------------------------------


def run(seed: int | None, threads: int | None = None) -> tuple[bytes, fn.History]:
    model = fn.MLP(2, [8, 8], lr=0.1, dropout=0.3)
    history = fn.Trainer(2, seed=seed, num_threads=threads).fit(model, data())
    return weights(model), history


def test_one_seed_is_one_result_whatever_was_drawn_before() -> None:
    first, _ = run(7)
    fn.randn(100)
    assert run(7)[0] == first
    assert run(8)[0] != first


def test_a_drawn_seed_repeats_the_run() -> None:
    first, history = run(None)
    again, other = run(None)
    assert history.seed != other.seed
    assert again != first
    assert run(history.seed)[0] == first


def test_manual_seed_decides_the_drawn_seed() -> None:
    seeds = []
    for _ in range(2):
        fn.manual_seed(3)
        seeds.append([run(None)[1].seed, run(None)[1].seed])
    assert seeds[0] == seeds[1]
    assert seeds[0][0] != seeds[0][1]


def test_first_weights_depend_on_seed_and_name_alone() -> None:
    class Two(fn.Model):
        def __init__(self, names: list[str]) -> None:
            self.lr, self.names = 0.0, names
            for name in names:
                setattr(self, name, nn.LazyLinear(2))

        def forward(self, x: fn.Tensor) -> fn.Tensor:
            one, other = [getattr(self, name)(x) for name in self.names]
            return one + other

        def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
            return nn.CrossEntropyLoss()(y_hat, y)

    models = [Two(["first", "second"]), Two(["second", "first"])]
    for model in models:
        fn.Trainer(1, seed=5).fit(model, data())
    for name in ("first", "second"):
        np.testing.assert_array_equal(*[getattr(model, name).weight.numpy() for model in models])
    assert not np.array_equal(models[0].first.weight.numpy(), models[0].second.weight.numpy())


def test_threads_change_no_bit_and_are_put_back() -> None:
    before = fn.num_threads()
    assert run(1, threads=1)[0] == run(1, threads=2)[0]
    assert fn.num_threads() == before


def test_of_fits_at_once_the_last_to_end_puts_the_number_of_threads_back() -> None:
    before = fn.num_threads()
    first, second = native_threads(before + 1), native_threads(before + 2)
    seen = []
    for step in (first.__enter__, second.__enter__, lambda: first.__exit__(None, None, None)):
        step()
        seen.append(fn.num_threads() - before)
    second.__exit__(None, None, None)
    assert seen == [1, 2, 2]
    assert fn.num_threads() == before


def test_a_loader_keeps_its_own_seed_and_gives_back_a_lent_one() -> None:
    class Kept(fn.DataModule):
        def __init__(self, seed: int | None) -> None:
            self.loader = fn.DataLoader((X, Y), 16, shuffle=True, seed=seed)

        def train_dataloader(self) -> fn.DataLoader:
            return self.loader

    results = {}
    for loader_seed, seed in ((1, 0), (1, 1), (None, 0), (None, 1)):
        kept = Kept(loader_seed)
        model = ScratchSoftmax()
        model.W.data.fill_(0)
        fn.Trainer(1, seed=seed).fit(model, kept)
        assert kept.loader.seed == loader_seed
        results[loader_seed, seed] = weights(model)
    assert results[1, 0] == results[1, 1] == results[None, 1]
    assert results[None, 0] != results[None, 1]


# ---- what a recorder sees -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer", [lambda p: fn.optim.SGD(p, lr=fn.optim.SquareRootScheduler(), momentum=0.9), fn.optim.Adam]
)
def test_a_step_of_a_trainer_can_be_recorded(optimizer) -> None:
    class Recorded(fn.MLP):
        def configure_optimizers(self) -> fn.optim.Optimizer:
            return optimizer(self.parameters())

    model = Recorded(2, 8, lr=0.1, dropout=0.2)
    trainer = fn.Trainer(1, gradient_clip_val=1.0, seed=0)
    trainer.fit(model, data())
    model.train()

    def step(*batch: fn.Tensor) -> fn.Tensor:
        loss = model.training_step(batch)
        trainer.optim.zero_grad()
        with fn.no_grad():
            loss.backward()
            trainer.clip_gradients(1.0, model)
            trainer.optim.step()
        return loss

    batches = list(fn.DataLoader((X, Y), 20))[:3]
    recorded = fn.record.record(step, batches, watch=[model, trainer.optim])
    assert isinstance(recorded, fn.record.Plan), recorded
