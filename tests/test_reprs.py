"""What objects say of themselves: what they were made with, as it would be typed, and as tables in notebooks."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import callbacks, nn, optim, reprs
from fastnn.data import ArrayDataset, TableData

X, Y = np.eye(10, dtype=np.float32), np.arange(10) % 2


def weight(*shape: int) -> fn.Tensor:
    return fn.zeros(*shape, requires_grad=True)


def trained() -> fn.Trainer:
    trainer = fn.Trainer(3, seed=0, callbacks=[callbacks.EarlyStopping(patience=7)])
    trainer.fit(fn.MLP(2, 4, lr=0.1), fn.ArrayData(X, Y, val=0.2, batch_size=4))
    return trainer


class Scaled(callbacks.Callback):
    """A callback of one's own, which keeps only one of its arguments."""

    def __init__(self, factor: float, other: object = None) -> None:
        self.factor, self._other = factor, other


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (fn.Trainer(3), "Trainer(max_epochs=3)"),
        (fn.Trainer(3, seed=1, checkpoint=Path("run")), "Trainer(max_epochs=3, seed=1, checkpoint='run')"),
        (
            fn.Trainer(3, callbacks=[callbacks.CSVLogger("x.csv")]),
            "Trainer(max_epochs=3, callbacks=(CSVLogger(path='x.csv'),))",
        ),
        (callbacks.EarlyStopping("val_acc", 3), "EarlyStopping(monitor='val_acc', patience=3, mode='max')"),
        (callbacks.ModelCheckpoint("best"), "ModelCheckpoint(path='best', mode='min')"),
        (callbacks.PlotHistory("a.png"), "PlotHistory(path='a.png')"),
        (callbacks.ReduceLROnPlateau(factor=0.5), "ReduceLROnPlateau(factor=0.5, mode='min')"),
        (
            callbacks.LearningRateScheduler(optim.SquareRootScheduler(0.5)),
            "LearningRateScheduler(schedule=SquareRootScheduler(lr=0.5))",
        ),
        (Scaled(2.0, object()), "Scaled(factor=2.0)"),
        (
            optim.SGD([weight(2), weight(3)], lr=0.1),
            "SGD(2 parameters, lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)",
        ),
        (
            optim.AdamW([{"params": weight(2), "lr": 0.5}, {"params": weight(3)}]),
            "AdamW(\n  (0): 1 parameter, lr=0.5, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01"
            "\n  (1): 1 parameter, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01\n)",
        ),
        (
            optim.AdamW(weight(2), lr=weight),
            "AdamW(1 parameter, lr=weight, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)",
        ),
        (optim.CosineScheduler(10), "CosineScheduler(max_update=10, base_lr=0.01, final_lr=0.0, warmup_steps=0, "
                                    "warmup_begin_lr=0.0)"),
        (fn.SyntheticRegression([2, -3.4], 4.2), "SyntheticRegression(w=[2, -3.4], b=4.2)"),
        (
            fn.ArrayData(X, Y, val=0.2, batch_size=4),
            "ArrayData(X=<float32 (10, 10)>, y=<int64 (10,)>, batch_size=4)\n"
            "  train: ArrayDataset(8 rows of float32 (10,), int64 ())\n"
            "  val: ArrayDataset(2 rows of float32 (10,), int64 ())",
        ),
        (
            fn.DataLoader((X, Y), batch_size=5, shuffle=True),
            "DataLoader(dataset=ArrayDataset(10 rows of float32 (10,), int64 ()), batch_size=5, shuffle=True)",
        ),
        (ArrayDataset(np.zeros((12345, 3))), "ArrayDataset(12,345 rows of float64 (3,))"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)  # fmt: skip
def test_what_was_asked_for_can_be_read(thing: object, text: str) -> None:
    assert repr(thing) == text


def test_lazy_parameters_are_counted_before_they_have_shapes() -> None:
    assert repr(fn.MLP(2, 4, lr=0.1).configure_optimizers()).startswith("SGD(4 parameters, lr=0.1,")


def test_long_values_are_shortened() -> None:
    assert len(repr(fn.SyntheticRegression(list(range(1000)), 0))) < 100


def test_a_table_tells_of_its_examples() -> None:
    data = TableData({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.5, 2.5, 1.0, 9.0]}, "b", val=0.25)
    assert repr(data).splitlines()[1] == "  train: ArrayDataset(3 rows of float32 (1,), float32 (1,))"


def test_a_data_module_of_ones_own_needs_no_constructor() -> None:
    class Own(fn.DataModule):
        def __init__(self) -> None:
            pass

    assert repr(Own()) == "Own()"


def test_a_plan_is_its_table() -> None:
    plan = trained().plan
    assert repr(plan) == str(plan)
    assert "linear + relu" in repr(plan)


def test_notebooks_show_a_trainer_and_what_came_of_it() -> None:
    html = trained()._repr_html_()
    for part in ("<caption>Trainer</caption>", "max_epochs", ">seed<", "epoch: steps run natively", "val_acc",
                 "EarlyStopping(patience=7, mode=&#x27;min&#x27;)"):  # fmt: skip
        assert part in html
    assert "execution" not in fn.Trainer(3)._repr_html_()


def test_notebooks_show_what_data_hold() -> None:
    html = fn.ArrayData(X, Y, val=0.2)._repr_html_()
    assert re.search(r"<td [^>]*>val</td><td [^>]*>2</td>", html)
    assert "float32 (10,), int64 ()" in html


def test_notebooks_show_sweeps_and_reports() -> None:
    data = fn.ArrayData(X, Y, batch_size=5)
    sweep = fn.fit_many(lambda lr: fn.SoftmaxRegression(2, lr), data, {"lr": [0.1, 0.2]}, 1, monitor="train_loss")
    assert "<caption>Sweep of 2 rows</caption>" in sweep._repr_html_()
    models = fn.fit_groups(lambda: fn.LinearRegression(0.1), X, Y * 1.0, Y, max_epochs=1)
    assert "<caption>Report of 2 rows</caption>" in models.report._repr_html_()
    assert repr(models) == "GroupModels(2 of 2 groups have a LinearRegression)"


def test_a_step_that_prints_its_trainer_runs_natively_all_the_same() -> None:
    class Prints(fn.SoftmaxRegression):
        def training_step(self, batch):
            repr(self.trainer), repr(self.trainer.optim), repr(self)
            return super().training_step(batch)

    trainer = fn.Trainer(3, seed=0)
    trainer.fit(Prints(2, lr=0.1), fn.ArrayData(X, Y, batch_size=2))
    assert trainer.execution.startswith("epoch: steps run natively")


def test_arguments_of_a_layer_without_any() -> None:
    assert reprs.call(nn.ReLU()) == "ReLU()"
