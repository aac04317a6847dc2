"""The trainer: fastnn's own, natively where it can, and every number it measures a part of a curve on the board."""

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import functional as F
from fastnn.integrations import d2l

W, B = fn.tensor([2, -3.4]), 4.2
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(60, 1, 4, 4)).astype(np.float32), np.arange(60) % 3

MODELS = {
    "LinearRegressionScratch": lambda: d2l.LinearRegressionScratch(num_inputs=2, lr=0.03),
    "LinearRegression": lambda: d2l.LinearRegression(lr=0.03),
    "WeightDecayScratch": lambda: d2l.WeightDecayScratch(num_inputs=2, lambd=0.1, lr=0.03),
    "WeightDecay": lambda: d2l.WeightDecay(wd=0.1, lr=0.03),
    "SoftmaxRegressionScratch": lambda: d2l.SoftmaxRegressionScratch(num_inputs=16, num_outputs=3, lr=0.1),
    "SoftmaxRegression": lambda: d2l.SoftmaxRegression(num_outputs=3, lr=0.1),
    "MLPScratch": lambda: d2l.MLPScratch(num_inputs=16, num_outputs=3, num_hiddens=8, lr=0.1),
    "MLP": lambda: d2l.MLP(num_outputs=3, num_hiddens=8, lr=0.1),
    "DropoutMLPScratch": lambda: d2l.DropoutMLPScratch(3, 8, 8, 0.5, 0.2, lr=0.1),
    "DropoutMLP": lambda: d2l.DropoutMLP(3, 8, 8, 0.5, 0.2, lr=0.1),
}


def data_for(model: fn.Model) -> Any:
    if isinstance(model, d2l.Classifier):
        return fn.ArrayData(IMAGES, LABELS, val=0.25, batch_size=8)
    return d2l.SyntheticRegressionData(W, B, num_train=100, num_val=40)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_trained_natively_and_drawn(name: str) -> None:
    model, trainer = MODELS[name](), d2l.Trainer(max_epochs=3, seed=0)
    history = trainer.fit(model, data_for(model))
    assert trainer.execution == "epoch: steps run natively, shuffling and gathering included"
    assert history.train_loss[-1] < history.train_loss[0]
    curves = ["train_loss", "val_loss", "val_acc"] if isinstance(model, d2l.Classifier) else ["train_loss", "val_loss"]
    assert list(model.board.data) == curves
    assert [point.y for point in model.board.data["val_loss"]] == history.val_loss
    assert model.board.xlim == [0, 3]


@pytest.mark.parametrize(("ours", "name"), [(fn.MLP, "MLP"), (fn.SoftmaxRegression, "SoftmaxRegression")])
def test_models_have_the_bits_of_those_of_fastnn(ours: Any, name: str) -> None:
    model = MODELS[name]()
    same = ours(**model.hparams)
    histories = []
    for each, trainer in ((model, d2l.Trainer(2, seed=1)), (same, fn.Trainer(2, seed=1))):
        fn.manual_seed(0)
        histories.append(trainer.fit(each, data_for(model)).train_loss)
    assert histories[0] == histories[1]
    for p, q in zip(model.parameters(), same.parameters(), strict=True):
        assert p.tolist() == q.tolist()


def test_training_is_drawn_in_two_points_an_epoch() -> None:
    model, trainer = MODELS["LinearRegression"](), d2l.Trainer(max_epochs=2, seed=0)
    steps = trainer.fit(model, d2l.SyntheticRegressionData(W, B, num_train=256)).steps["train_loss"]
    points = model.board.data["train_loss"]
    assert [point.x for point in points] == [(0 + 3) / 16, (4 + 7) / 16, 1 + (0 + 3) / 16, 1 + (4 + 7) / 16]
    np.testing.assert_allclose([point.y for point in points], np.reshape(steps, (4, 4)).mean(1), rtol=1e-15)


@pytest.mark.parametrize(("per_epoch", "train", "val"), [((2, 1), 8, 4), ((100, 100), 16, 4), ((0.5, 0.5), 2, 2)])
def test_points_per_epoch_may_be_more_than_batches_or_less_than_one(per_epoch, train, val) -> None:
    model = MODELS["LinearRegression"]()
    d2l.Module.__init__(model, *per_epoch)
    d2l.Trainer(max_epochs=4).fit(model, d2l.SyntheticRegressionData(W, B, num_train=128, num_val=64))
    assert (len(model.board.data["train_loss"]), len(model.board.data["val_loss"])) == (train, val)


@pytest.mark.parametrize("name", ["plot_train_per_epoch", "plot_valid_per_epoch"])
def test_no_points_per_epoch_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"\[Module\] {name} = 0 must be above 0: board.display = False"):
        d2l.Module(**{name: 0})


def test_whatever_a_model_plots_is_measured_and_drawn() -> None:
    class Line(d2l.LinearRegression):
        def training_step(self, batch):
            loss = super().training_step(batch)
            self.plot("bias", self.net.bias, train=True)
            return loss

        def validation_step(self, batch):
            super().validation_step(batch)
            self.plot("worst", abs(self(batch[0]) - batch[1]).max(), train=False)

    model, trainer = Line(lr=0.03), d2l.Trainer(max_epochs=3, seed=0)
    history = trainer.fit(model, data_for(model))
    assert trainer.execution.startswith("epoch")
    assert {"train_bias", "val_worst"} < set(history)
    assert set(model.board.data) == {"train_bias", "train_loss", "val_loss", "val_worst"}


def test_a_plot_of_ones_own_takes_its_place() -> None:
    seen = []

    class Line(d2l.LinearRegression):
        def plot(self, key, value, train):
            seen.append((key, train))
            super().plot(key, value, train)

    d2l.Trainer(max_epochs=1).fit(Line(lr=0.03), d2l.SyntheticRegressionData(W, B, num_train=64, num_val=32))
    assert seen == [("loss", True), ("loss", True), ("loss", False)]


def test_batches_need_no_length() -> None:
    class Stream(d2l.DataModule):
        def get_dataloader(self, train):
            return iter(data.get_dataloader(train)) if train else None

    model = MODELS["LinearRegression"]()
    data = d2l.SyntheticRegressionData(W, B, num_train=256)
    d2l.Trainer(max_epochs=1).fit(model, Stream())
    assert len(model.board.data["train_loss"]) == 2


def test_another_run_goes_on_the_same_board() -> None:
    model, trainer = MODELS["LinearRegression"](), d2l.Trainer(max_epochs=2)
    for _ in range(2):
        trainer.fit(model, data_for(model))
    assert [point.x for point in model.board.data["val_loss"]] == [1, 2, 1, 2]


def test_gpus_are_used_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fn.devices, "why_not", lambda: "not built")
    assert d2l.num_gpus() == 0
    trainer = d2l.Trainer(max_epochs=1, num_gpus=2)
    assert (trainer.num_gpus, trainer.gpus, trainer.device) == (2, [], "cpu")
    assert (d2l.gpu(), d2l.gpu(1), d2l.try_gpu(), d2l.try_all_gpus()) == ("cuda:0", "cuda:1", "cpu", ["cpu"])


def test_options_are_those_of_fastnn() -> None:
    class Epochs(fn.callbacks.Callback):
        told = 0

        def on_epoch_end(self, state):
            self.told += 1

    epochs = Epochs()
    trainer = d2l.Trainer(2, gradient_clip_val=1, seed=7, callbacks=[epochs], replay=False)
    history = trainer.fit(MODELS["LinearRegression"](), d2l.SyntheticRegressionData(W, B))
    assert (history.seed, trainer.gradient_clip_val, epochs.told) == (7, 1, 2)
    assert trainer.execution == "eager: replay=False"


def test_models_of_fastnn_are_trained_without_a_board() -> None:
    model = fn.MLP(3, 8, lr=0.1)
    assert len(d2l.Trainer(max_epochs=2).fit(model, data_for(MODELS["MLP"]())).val_acc) == 2
    assert not hasattr(model, "board")


def test_a_function_put_into_a_class_of_the_book_is_compared_like_any_of_the_users() -> None:
    n = 0

    @d2l.add_to_class(d2l.LinearRegression)
    def loss(self, y_hat, y):
        nonlocal n
        n += 1
        return F.mse_loss(y_hat, y) * (1.0 if n < 3 else 0.5)

    trainer = d2l.Trainer(max_epochs=2)
    trainer.fit(d2l.LinearRegression(lr=0.03), d2l.SyntheticRegressionData(W, B))
    assert trainer.execution == "eager: n of loss() changed during the step"
