"""Optimizers, schedules, clipping: rules, state, errors. Whole training runs are in tests/test_training_steps.py."""

import math

import numpy as np
import pytest

import fastnn as fn
from fastnn import functional as F
from fastnn import optim


def leaf(*values: float) -> fn.Tensor:
    return fn.tensor(list(values), requires_grad=True)


def with_gradient(parameter: fn.Tensor, *gradient: float) -> fn.Tensor:
    parameter.grad = fn.tensor(list(gradient))
    return parameter


# ---- steps ----------------------------------------------------------------------------------------------------


def test_momentum_takes_the_first_gradient_whole_and_dampens_the_later_ones() -> None:
    w = leaf(0.0)
    optimizer = optim.SGD([w], lr=1.0, momentum=0.5, dampening=0.25)
    places = []
    for _ in range(3):
        with_gradient(w, 1.0)
        optimizer.step()
        places.append(w.item())
    # velocities 1, 0.5 + 0.75, 0.625 + 0.75
    assert places == [-1.0, -2.25, -3.625]


def test_nesterov_and_weight_decay_in_one_step() -> None:
    w = with_gradient(leaf(2.0), 1.0)
    optim.SGD([w], lr=0.5, momentum=0.5, weight_decay=0.25, nesterov=True).step()
    assert w.item() == 2.0 - 0.5 * (1.5 + 0.5 * 1.5)  # g = 1 + 0.25 * 2, then g + momentum * velocity


def test_a_first_adam_step_is_as_long_as_the_learning_rate() -> None:
    w = with_gradient(leaf(1.0, 1.0), 0.001, -1000.0)
    optim.Adam([w], lr=0.25).step()
    np.testing.assert_allclose(w.numpy(), [0.75, 1.25], rtol=0, atol=0.25 * 2e-5)  # eps / gradient is 1e-5


def test_adamw_decays_the_weight_itself_and_adam_the_gradient() -> None:
    adamw, adam = with_gradient(leaf(1.0), 0.0), with_gradient(leaf(1.0), 0.0)
    optim.AdamW([adamw], lr=0.25, weight_decay=0.5).step()
    optim.Adam([adam], lr=0.25, weight_decay=0.5).step()
    assert adamw.item() == 0.875
    assert adam.item() == pytest.approx(0.75)


def test_groups_have_settings_of_their_own_and_defaults() -> None:
    a, b = with_gradient(leaf(1.0), 1.0), with_gradient(leaf(1.0), 1.0)
    optimizer = optim.SGD([{"params": a, "weight_decay": 1.0}, {"params": [b], "lr": 0.5}], lr=0.25)
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.5)
    optimizer.param_groups[1]["lr"] = 0.0
    optimizer.step()
    assert b.item() == 0.5
    assert a.item() < 0.5


def test_a_parameter_without_gradient_takes_no_part_and_does_not_age() -> None:
    a, b, fresh = leaf(1.0), leaf(1.0), leaf(1.0)
    late, early = optim.Adam([a, b], lr=0.25), optim.Adam([fresh], lr=0.25)
    for _ in range(5):
        with_gradient(a, 1.0)
        late.step()
    assert b.item() == 1.0
    late.zero_grad()
    assert a.grad is None
    with_gradient(b, 3.0)
    late.step()
    with_gradient(fresh, 3.0)
    early.step()
    assert b.item() == fresh.item()


def test_a_step_is_seen_by_backward_as_a_change_in_place() -> None:
    w = leaf(2.0)
    loss = (w * w).sum()
    with_gradient(w, 1.0)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_an_optimizer_that_restarted_makes_the_steps_of_a_new_one_in_the_same_memory(kind) -> None:
    settings = {"momentum": 0.9} if kind is optim.SGD else {}

    def train(w: fn.Tensor, optimizer: optim.Optimizer) -> list[float]:
        w.data = fn.tensor([1.0, -2.0])
        for gradient in (0.5, -0.25, 2.0):
            with_gradient(w, gradient, 1.0)
            optimizer.step()
        return w.tolist()

    def memory() -> list[int]:
        state = optimizer.state_dict()["state"][0]
        return [value.numpy().ctypes.data for value in state.values() if isinstance(value, fn.Tensor)]

    w, other = leaf(1.0, -2.0), leaf(1.0, -2.0)
    optimizer = kind([w], lr=0.1, **settings)
    train(w, optimizer)
    before = memory()
    optimizer.restart(like=kind([other], lr=0.3, **settings))
    assert train(w, optimizer) == train(other, kind([other], lr=0.3, **settings))
    assert (memory(), optimizer.num_updates, optimizer.lr) == (before, 3, 0.3)


# ---- learning rates -------------------------------------------------------------------------------------------


def test_a_schedule_is_asked_for_the_number_of_updates_done() -> None:
    asked: list[int] = []

    def schedule(num_update: int) -> float:
        asked.append(num_update)
        return 0.5**num_update

    w = leaf(0.0)
    optimizer = optim.SGD([w], lr=schedule)
    places = []
    for _ in range(3):
        with_gradient(w, 1.0)
        optimizer.step()
        places.append(w.item())
    assert asked == [0, 1, 2]
    assert places == [-1.0, -1.5, -1.75]
    assert optimizer.lr == 0.25


def test_schedules_are_those_of_the_book() -> None:
    """D2L, section 12.11, with the calls made there."""
    factor = optim.FactorScheduler(factor=0.9, stop_factor_lr=1e-2, base_lr=2.0)
    assert [factor(t) for t in (0, 1)] == pytest.approx([1.8, 1.62])
    assert factor(1000) == 1e-2
    multi = optim.MultiFactorScheduler(step=(15, 30), factor=0.5, base_lr=0.5)
    assert [multi(t) for t in (0, 14, 15, 29, 30)] == [0.5, 0.5, 0.25, 0.25, 0.125]
    assert [optim.SquareRootScheduler(lr=0.1)(t) for t in (0, 99)] == pytest.approx([0.1, 0.01])
    cosine = optim.CosineScheduler(20, warmup_steps=5, base_lr=0.3, final_lr=0.01)
    assert [cosine(t) for t in (0, 1, 5, 20, 30)] == pytest.approx([0.0, 0.06, 0.3, 0.01, 0.01])
    assert cosine(10) == pytest.approx(0.01 + 0.29 * (1 + math.cos(math.pi * 5 / 15)) / 2)
    with pytest.raises(ValueError, match="warmup_steps = 5"):
        optim.CosineScheduler(5, warmup_steps=5)


# ---- state ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda params: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5),
        lambda params: optim.Adam(params, lr=0.1),
        lambda params: optim.AdamW(params, lr=optim.SquareRootScheduler(0.1)),
    ],
    ids=["SGD", "Adam", "AdamW"],
)
def test_state_taken_over_continues_bit_by_bit(make) -> None:
    def steps(optimizer: optim.Optimizer, w: fn.Tensor, count: int) -> None:
        for _ in range(count):
            w.grad = fn.tensor(w.numpy() ** 2 + 1)
            optimizer.step()

    w = leaf(1.0, -2.0)
    first = make([w])
    steps(first, w, 3)
    other = leaf(*w.tolist())
    second = make([other])
    second.load_state_dict(first.state_dict())
    steps(first, w, 3)
    steps(second, other, 3)
    assert w.tolist() == other.tolist()
    assert second.num_updates == 6


def test_state_of_other_parameters_is_an_error_and_changes_nothing() -> None:
    w = with_gradient(leaf(1.0, 2.0), 1.0, 1.0)
    source = optim.SGD([w], lr=0.1, momentum=0.9)
    source.step()
    target = optim.SGD([leaf(1.0)], lr=0.2, momentum=0.9)
    with pytest.raises(ValueError, match=r"momentum_buffer of parameter 0 is float32 \(2,\)"):
        target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["lr"] == 0.2
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters, this optimizer of \[2\]"):
        optim.SGD([leaf(1.0), leaf(1.0)], lr=0.1).load_state_dict(source.state_dict())


# ---- clipping -------------------------------------------------------------------------------------------------


def test_clipping_scales_all_gradients_by_one_factor() -> None:
    a, b = with_gradient(leaf(0.0), 3.0), with_gradient(leaf(0.0), 4.0)
    norm = optim.clip_grad_norm_([a, b, leaf(0.0)], 1.0)
    assert norm.item() == 5.0
    np.testing.assert_allclose([a.grad.item(), b.grad.item()], [0.6, 0.8], rtol=1e-6)  # 1e-6 is added to the norm
    optim.clip_grad_norm_([a, b], 10.0)
    np.testing.assert_allclose([a.grad.item(), b.grad.item()], [0.6, 0.8], rtol=1e-6)


# ---- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: optim.SGD([], lr=0.1), r"\[SGD\] params is empty"),
        (lambda w: optim.SGD([w], lr=-0.1), r"\[SGD\] lr = -0.1"),
        (lambda w: optim.SGD([w], lr=math.nan), r"\[SGD\] lr = nan"),
        (lambda w: optim.SGD([w], lr=math.inf), r"\[SGD\] lr = inf"),
        (lambda w: optim.SGD([w], lr=0.1, momentum=-1), r"\[SGD\] momentum = -1"),
        (lambda w: optim.SGD([w], lr=0.1, weight_decay=-1), r"\[SGD\] weight_decay = -1"),
        (lambda w: optim.SGD([w], lr=0.1, nesterov=True), r"\[SGD\] nesterov needs momentum"),
        (lambda w: optim.SGD([w], lr=0.1, momentum=0.9, dampening=0.1, nesterov=True), r"\[SGD\] nesterov needs"),
        (lambda w: optim.SGD([w, w], lr=0.1), r"\[SGD\] params names a parameter twice"),
        (lambda w: optim.SGD([w * 2], lr=0.1), r"\[SGD\] params has a computed Tensor"),
        (lambda w: optim.SGD([{"params": [w], "rate": 0.1}], lr=0.1), r"\[SGD\] setting 'rate' is unknown"),
        (lambda w: optim.SGD([{"params": [w], "lr": -1}], lr=0.1), r"\[SGD\] lr = -1"),
        (lambda w: optim.Adam([w], betas=(0.9, 1.0)), r"\[Adam\] betas = \(0.9, 1.0\)"),
        (lambda w: optim.AdamW([w], eps=-1.0), r"\[AdamW\] eps = -1.0"),
    ],
)
def test_settings_that_no_step_could_use_are_errors(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(leaf(1.0))


@pytest.mark.parametrize("params", [[1.0], [{"lr": 0.1}], [np.zeros(2)]])
def test_what_is_no_parameter_is_a_type_error(params) -> None:
    with pytest.raises(TypeError, match=r"\[SGD\] params must be Tensors"):
        optim.SGD(params, lr=0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: F.tensor([1]), "int64"),
        (lambda: F.tensor(np.asfortranarray(np.ones((3, 2), "f4")), requires_grad=True), "not contiguous"),
        (lambda: F.ones(4, 2).T.requires_grad_(), "not contiguous"),
    ],
    ids=["integers", "Fortran order", "a transposed view"],
)
def test_a_parameter_that_no_update_could_write_is_refused_before_any_is_updated(make, words):
    with pytest.raises((TypeError, ValueError), match=rf"\[SGD\] params .*{words}"):
        optim.SGD([F.ones(2, requires_grad=True), make()], lr=0.1)


@pytest.mark.parametrize(
    "settings", [{"lr": "0.1"}, {"lr": None}, {"lr": 0.1, "dampening": float("nan"), "momentum": 0.9}]
)
def test_settings_that_are_no_finite_numbers_are_refused(settings):
    with pytest.raises(ValueError, match=r"\[SGD\] (lr|dampening) = "):
        optim.SGD([F.ones(2, requires_grad=True)], **settings)


def test_adam_wants_two_betas():
    with pytest.raises(ValueError, match=r"betas = \(0.9,\) must be two"):
        optim.Adam([F.ones(2, requires_grad=True)], betas=(0.9,))


def test_a_learning_rate_that_became_negative_is_refused_when_it_is_used():
    w = F.ones(2, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    w.sum().backward()
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"\[SGD\] lr = -1.0"):
        optimizer.step()
    assert w.tolist() == [1.0, 1.0]
