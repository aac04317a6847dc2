"""Losses: values against their formulas in float64, gradients against differences, errors."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.testing import check_gradients

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3))
LOGITS, LABELS = 3 * RNG.normal(size=(6, 4)), np.array([0, 3, 1, 2, 3, 3])
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


ELEMENTWISE = [
    (nn.MSELoss, A, B, (A - B) ** 2),
    (nn.L1Loss, A, B, np.abs(A - B)),
    (nn.HuberLoss, A, B, np.where(abs(A - B) < 1, (A - B) ** 2 / 2, abs(A - B) - 0.5)),
    (nn.BCEWithLogitsLoss, A, sigmoid(B), -sigmoid(B) * np.log(sigmoid(A)) - (1 - sigmoid(B)) * np.log(sigmoid(-A))),
]


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "expected"), ELEMENTWISE, ids=lambda v: getattr(v, "__name__", "")
)
def test_elementwise_losses_are_their_formula_under_every_reduction(loss, prediction, target, expected) -> None:
    for reduction, reduced in (("none", expected), ("sum", expected.sum()), ("mean", expected.mean())):
        got = loss(reduction=reduction)(fn.tensor(prediction), fn.tensor(target)).numpy()
        np.testing.assert_allclose(got, reduced, rtol=1e-13)  # a few dozen float64 roundings


@pytest.mark.parametrize(("loss", "prediction", "target", "_"), ELEMENTWISE, ids=lambda v: getattr(v, "__name__", ""))
def test_gradients_of_elementwise_losses_agree_with_differences(loss, prediction, target, _) -> None:
    check_gradients(loss(), prediction, target)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.BCEWithLogitsLoss()])
def test_a_target_of_another_shape_is_an_error_not_a_broadcast(loss: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\)"):
        loss(fn.zeros(4, 1), fn.zeros(4))


def test_huber_loss_is_linear_beyond_delta() -> None:
    loss = nn.HuberLoss(delta=2.0, reduction="none")
    assert loss(fn.tensor([1.0, 2.0, 5.0]), fn.zeros(3)).tolist() == [0.5, 2.0, 8.0]
    with pytest.raises(ValueError, match="delta = 0"):
        nn.HuberLoss(delta=0)


def test_binary_cross_entropy_neither_overflows_nor_loses_its_gradient_at_zero() -> None:
    logits = fn.tensor([0.0, -1000.0, 1000.0], requires_grad=True)
    loss = nn.BCEWithLogitsLoss(reduction="none")(logits, fn.tensor([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(loss.numpy(), [np.log(2), 0, 1000], rtol=2**-22)
    loss.sum().backward()
    assert logits.grad.tolist() == [-0.5, 0.0, 1.0]  # sigmoid(logits) - target


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("ignored", [-100, 3])
def test_cross_entropy_is_the_weighted_mean_over_labels_that_count(weight, ignored: int) -> None:
    w = (np.ones(4) if weight is None else weight)[LABELS] * (ignored != LABELS)
    expected = -(w * log_softmax(LOGITS)[np.arange(6), LABELS]).sum() / w.sum()
    given = None if weight is None else fn.tensor(weight)
    by_logits = nn.CrossEntropyLoss(weight=given, ignore_index=ignored)
    by_logs = nn.NLLLoss(weight=given, ignore_index=ignored)
    assert by_logits(fn.tensor(LOGITS), fn.tensor(LABELS)).item() == pytest.approx(expected, rel=1e-13)
    assert by_logs(fn.tensor(log_softmax(LOGITS)), fn.tensor(LABELS)).item() == pytest.approx(expected, rel=1e-13)
    check_gradients(lambda x: by_logits(x, fn.tensor(LABELS)), LOGITS)
    check_gradients(lambda x: by_logs(x, fn.tensor(LABELS)), log_softmax(LOGITS))


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8, bool])
def test_cross_entropy_takes_one_hot_targets_of_any_dtype(dtype) -> None:
    loss = nn.CrossEntropyLoss()
    one_hot = np.eye(4)[LABELS].astype(dtype)
    expected = loss(fn.tensor(LOGITS), fn.tensor(LABELS)).item()
    assert loss(fn.tensor(LOGITS), fn.tensor(one_hot)).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "uint64"])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_labels_may_be_integers_of_any_width(dtype: str, ignored: int) -> None:
    for loss in (nn.CrossEntropyLoss(ignore_index=ignored), nn.NLLLoss(ignore_index=ignored)):
        logs = fn.tensor(log_softmax(LOGITS))
        assert loss(logs, fn.tensor(LABELS.astype(dtype))).item() == loss(logs, fn.tensor(LABELS)).item()


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_the_mean_over_no_labels_is_an_error_and_their_sum_zero(loss: type[nn.Module]) -> None:
    logs, labels = fn.zeros(0, 4), fn.zeros(0, dtype="int64")
    with pytest.raises(ValueError, match="empty batch: the mean of nothing is undefined"):
        loss()(logs, labels)
    assert loss(reduction="sum")(logs, labels).item() == 0.0
    assert loss(reduction="none")(logs, labels).shape == (0,)


def test_label_smoothing_mixes_with_the_uniform_distribution() -> None:
    q = 0.9 * np.eye(4)[LABELS] + 0.1 / 4
    expected = -(q * log_softmax(LOGITS)).sum(1).mean()
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert loss(fn.tensor(LOGITS), fn.tensor(LABELS)).item() == pytest.approx(expected, rel=1e-13)


def test_a_log_probability_of_minus_infinity_elsewhere_does_not_matter() -> None:
    logs = np.array([[np.log(0.25), np.log(0.75), -np.inf]])
    assert nn.NLLLoss()(fn.tensor(logs), fn.tensor([0])).item() == pytest.approx(np.log(4))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss()])
@pytest.mark.parametrize("label", [-1, 4, 2**31])
def test_a_label_outside_the_classes_is_an_error(loss: nn.Module, label: int) -> None:
    with pytest.raises(ValueError, match=rf"target\[1\] = {label}|\[1\] = {label}"):
        loss(fn.tensor(LOGITS), fn.tensor(np.array([0, label, 1, 2, 3, 3])))


@pytest.mark.parametrize(
    "make", [lambda: nn.MSELoss(reduction="avg"), lambda: nn.CrossEntropyLoss(label_smoothing=1.5)]
)
def test_settings_out_of_range_are_errors(make) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()
