"""What models of the book have in common: kept arguments, methods put in later, losses, accuracies, files."""

from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.integrations import d2l

LOGITS = fn.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [0.0, 1.0, 5.0], [4.0, 1.0, 0.0]])
LABELS = fn.tensor([0, 1, 2, 1])


def test_arguments_are_kept_but_for_those_ignored_or_with_an_underscore() -> None:
    class Kept(d2l.HyperParameters):
        def __init__(self, a, b=2, *rest, c, _hidden=0, **options):
            beside = a + b
            self.save_hyperparameters(ignore=["b"])
            self.beside = beside

    kept = Kept(1, 5, 6, 7, c=3, _hidden=4, d=8)
    assert kept.hparams == {"a": 1, "rest": (6, 7), "c": 3, "options": {"d": 8}}
    assert (kept.a, kept.rest, kept.c, kept.options, kept.beside) == (1, (6, 7), 3, {"d": 8}, 6)
    assert not hasattr(kept, "b")
    assert not hasattr(kept, "_hidden")


def test_every_constructor_in_a_line_of_classes_keeps_its_own() -> None:
    model = d2l.WeightDecayScratch(num_inputs=3, lambd=2, lr=0.1)
    assert model.hparams == {"num_inputs": 3, "lambd": 2, "lr": 0.1, "sigma": 0.01}
    assert (model.plot_train_per_epoch, model.plot_valid_per_epoch, model.num_inputs) == (2, 1, 3)


def test_a_method_is_put_into_a_class_and_its_objects() -> None:
    class Thing:
        n = 3

    thing = Thing()

    @d2l.add_to_class(Thing)
    def double(self):
        return 2 * self.n

    assert thing.double() == 6
    assert double(thing) == 6


def test_loss_of_labels_one_hot_rows_and_single_examples_agree() -> None:
    model = d2l.SoftmaxRegression(num_outputs=3, lr=0.1)
    whole = model.loss(LOGITS, LABELS).item()
    assert model.loss(LOGITS, fn.functional.one_hot(LABELS, 3)).item() == whole
    assert model.loss(LOGITS.reshape(2, 2, 3), LABELS.reshape(2, 2)).item() == whole
    each = model.loss(LOGITS, LABELS, averaged=False)
    assert each.shape == (4,)
    np.testing.assert_allclose(each.mean().item(), whole, rtol=8 * 2**-24)


def test_accuracy_is_the_share_of_right_rows() -> None:
    model = d2l.SoftmaxRegression(num_outputs=3, lr=0.1)
    assert model.accuracy(LOGITS, LABELS).item() == 0.75
    assert model.accuracy(LOGITS, LABELS, averaged=False).tolist() == [1, 1, 1, 0]
    assert model.accuracy(LOGITS, fn.functional.one_hot(LABELS, 3)).item() == 0.75
    assert d2l.accuracy(LOGITS, LABELS) == d2l.accuracy(LABELS, fn.tensor([0, 1, 2, 2])) == 3.0


def test_targets_that_would_broadcast_are_refused() -> None:
    model = d2l.LinearRegressionScratch(num_inputs=2, lr=0.1)
    with pytest.raises(ValueError, match=r"\[LinearRegressionScratch\] y is float32 \(4,\) but the predictions"):
        model.training_step((fn.ones(4, 2), fn.ones(4)))


def test_a_model_without_loss_says_so() -> None:
    class Bare(d2l.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.LazyLinear(1)

    with pytest.raises(NotImplementedError, match=r"\[Bare\] loss\(y_hat, y\) is missing"):
        Bare().training_step((fn.ones(4, 2), fn.ones(4, 1)))


def test_probabilities_of_a_model_that_gives_them_sum_to_one() -> None:
    model = d2l.SoftmaxRegressionScratch(num_inputs=4, num_outputs=3, lr=0.1, sigma=1)
    X = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(model.predict_proba(X), np.asarray(model(fn.tensor(X))))
    assert abs(model.predict_proba(X).sum(1) - 1).max() <= 8 * 2**-24


def test_apply_init_gives_lazy_layers_their_shapes_and_the_first_values() -> None:
    model = d2l.MLP(num_outputs=3, num_hiddens=4, lr=0.1)
    model.apply_init([fn.ones(2, 5)], lambda layer: type(layer) is nn.Linear and nn.init.constant_(layer.weight, 0.5))
    assert [p.shape for p in model.parameters()] == [(4, 5), (4,), (3, 4), (3,)]
    assert model.net[1].weight.tolist() == [[0.5] * 5] * 4


def test_layer_summary_prints_a_line_for_each_layer(capsys: pytest.CaptureFixture[str]) -> None:
    d2l.MLP(num_outputs=3, num_hiddens=4, lr=0.1).layer_summary((2, 1, 5, 5))
    lines = [line.split(" output shape:\t ") for line in capsys.readouterr().out.splitlines()]
    assert lines == [["Flatten", "(2, 25)"], ["Linear", "(2, 4)"], ["ReLU", "(2, 4)"], ["Linear", "(2, 3)"]]


@pytest.mark.parametrize("name", ["MLP", "DropoutMLP", "SoftmaxRegressionScratch"])
def test_models_come_back_from_files(name: str, tmp_path: Path) -> None:
    arguments = {
        "MLP": {"num_outputs": 3, "num_hiddens": 4},
        "DropoutMLP": dict(zip(["num_outputs", "num_hiddens_1", "num_hiddens_2"], [3, 4, 5], strict=True))
        | {"dropout_1": 0.5, "dropout_2": 0.5},
        "SoftmaxRegressionScratch": {"num_inputs": 6, "num_outputs": 3},
    }[name]
    kind = getattr(d2l, name)
    model, X = kind(**arguments, lr=0.1), np.ones((2, 6), np.float32)
    before = model.predict_proba(X)
    model.save(tmp_path / "model.safetensors")
    again = fn.load(tmp_path / "model.safetensors", cls=kind)
    assert again.hparams == model.hparams
    assert np.array_equal(again.predict_proba(X), before)


def test_dropout_and_penalty_as_functions() -> None:
    X = fn.arange(16, dtype=fn.float32).reshape((2, 8))
    assert d2l.dropout_layer(X, 0).tolist() == X.tolist()
    assert d2l.dropout_layer(X, 1).tolist() == [[0] * 8] * 2
    assert {*np.ravel(d2l.dropout_layer(X, 0.5) - 2 * X).tolist()} <= {0.0, *np.ravel(-2 * X).tolist()}
    assert d2l.l2_penalty(fn.tensor([[3.0], [4.0]])).item() == 12.5


def test_the_same_numbers_under_the_names_for_every_backend() -> None:
    x = fn.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert d2l.reduce_sum(x, 0, keepdims=True).tolist() == [[4, 6]]
    assert d2l.reduce_mean(x).item() == 2.5
    assert d2l.concat([x, x], 1).shape == (2, 4)
    assert d2l.astype(d2l.argmax(x, axis=1), d2l.int32).dtype == "int32"
    assert d2l.expand_dims(x, 0).shape == (1, 2, 2)
    assert d2l.transpose(x).tolist() == [[1, 3], [2, 4]]
    assert (d2l.size(x), d2l.reshape(x, (-1,)).shape) == (4, (4,))
    assert np.shares_memory(d2l.numpy(x), d2l.numpy(d2l.to(x, d2l.cpu())))


def test_a_timer_adds_up_what_it_measures() -> None:
    timer = d2l.Timer()
    first = timer.stop()
    timer.start()
    second = timer.stop()
    assert timer.times == [first, second]
    assert timer.sum() == first + second
    assert timer.cumsum() == [first, first + second]
    assert timer.avg() == pytest.approx((first + second) / 2, rel=2**-51)
