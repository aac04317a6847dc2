"""A recorded step replays with the bits of the eager one."""

import re

import numpy as np
import pytest
from recorded_steps import (
    BATCH,
    STEP_KINDS,
    STEPS,
    adam,
    class_batches,
    fused_linear_regression,
    fused_softmax_regression,
    regression_batches,
)

from fastnn import dispatch, kernels, nn, optim, random
from fastnn import functional as F
from fastnn.dispatch import Slot, run
from fastnn.record import Plan, Replayer, Role, record


def run_eagerly(make, batches):
    random.manual_seed(11)
    state, step = make()
    losses = []
    for batch in batches:
        random.begin_step()
        losses.append(step(*batch).numpy().tobytes())
    return state, losses


def run_recorded(make, batches):
    random.manual_seed(11)
    state, step = make()
    plan = record(step, batches, watch=getattr(step, "watch", ()))
    assert isinstance(plan, Plan), str(plan)
    replayer = Replayer(plan)
    outputs = [*plan.outputs, *(replayer.replay(batch) for batch in batches[3:])]
    return state, outputs, plan


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_replay_has_the_bits_of_the_eager_step(kind):
    make_batches, make = STEP_KINDS[kind]
    state, losses = run_eagerly(make, make_batches())
    recorded_state, outputs, _ = run_recorded(make, make_batches())
    assert [output.loss.tobytes() for output in outputs] == losses
    assert len(set(losses)) > STEPS // 2
    for eager, replayed in zip(state, recorded_state, strict=True):
        assert eager.numpy().tobytes() == replayed.numpy().tobytes()
        assert eager.requires_grad == (eager.grad is not None)
        if eager.requires_grad:
            assert eager.grad.numpy().tobytes() == replayed.grad.numpy().tobytes()


def test_logged_values_are_read_after_each_replay():
    batches = class_batches()
    values = []

    def make():
        params, step = fused_softmax_regression()

        def observed(X, y):
            values.append(F.accuracy(F.linear(X.flatten(1), *params), y).item())
            return step(X, y)

        return params, observed

    run_eagerly(make, batches)
    _, outputs, _ = run_recorded(fused_softmax_regression, batches)
    assert [output.logs["acc"].item() for output in outputs] == values
    assert len(set(values)) > 2


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_layers_and_optimizers_of_the_package_replay_with_the_eager_bits(name):
    def make():
        net = nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.Dropout(0.5), nn.LazyLinear(3))
        net(class_batches()[0][0])
        settings = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {}
        optimizer = getattr(optim, name)(net.parameters(), optim.CosineScheduler(15), weight_decay=0.01, **settings)
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)

        def step(X, y):
            error = loss(net(X), y)
            optimizer.zero_grad()
            error.backward()
            F.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            return error

        step.watch = [*net.modules(), optimizer]
        return list(net.parameters()), step

    state, losses = run_eagerly(make, class_batches())
    recorded_state, outputs, _ = run_recorded(make, class_batches())
    assert [output.loss.tobytes() for output in outputs] == losses
    assert [w.numpy().tobytes() for w in state] == [w.numpy().tobytes() for w in recorded_state]


# ---- the plan -------------------------------------------------------------------------------------------------


def test_plan_of_the_fused_regression():
    _, _, plan = run_recorded(fused_linear_regression, regression_batches())
    assert [step.name for step in plan.steps] == [
        "linear",
        "mse_loss_with_grad",
        "matmul",
        "sum",
        "sgd_update",
        "sgd_update",
    ]
    roles = [memory.role for memory in plan.memory]
    assert [roles.count(role) for role in (Role.INPUT, Role.STATE, Role.TEMPORARY, Role.CONSTANT)] == [2, 2, 5, 0]
    linear, _, product = plan.steps[:3]
    assert [plan.memory[operand.memory].role for operand in linear.operands] == [Role.INPUT, Role.STATE, Role.STATE]
    assert (linear.operands[0].offset, linear.operands[0].shape, linear.operands[0].strides) == (0, (BATCH, 2), (2, 1))
    assert product.scalars == {"transpose_a": True}
    assert all(re.fullmatch(r".*recorded_steps\.py:\d+", step.where) for step in plan.steps)


def test_plan_prints_a_line_per_kernel():
    _, _, plan = run_recorded(fused_linear_regression, regression_batches())
    lines = str(plan).splitlines()
    assert lines[0] == "6 steps of 6 kernels, 0.000 MFLOP, 0.000 MB"
    assert len(lines) == 2 + 6
    *cells, product = re.split("  +", lines[2])
    assert cells == ["0", "linear", "t4(8,1)", "in0(8,2) s2(1,2) s3(1)", "0.000", "0.1"]
    x, weight = np.zeros((8, 2), np.float32), np.zeros((1, 2), np.float32)
    assert product == kernels.explain_product(x, weight, transpose_b=True)
    assert "lr=0.03" in lines[-1]


def test_views_are_offsets_and_strides():
    w = F.tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    seen = []

    def step(X):
        seen.append(run("add", w[1:, ::2].T, X))

    del seen[:]
    plan = record(lambda X: step(X) or seen.clear(), [[F.zeros(2, 1)]] * 3)
    operand = plan.steps[0].operands[0]
    assert (operand.offset, operand.shape, operand.strides) == (3, (2, 1), (2, 3))


def test_slots_stay_slots_and_their_callbacks_are_kept():
    _, _, plan = run_recorded(adam, regression_batches())
    update = plan.steps[-1]
    assert isinstance(update.scalars["lr"], Slot)
    assert [callback.__name__ for callback in plan.before_step] == ["advance", "advance"]


def test_replay_refuses_other_shapes():
    _, _, plan = run_recorded(fused_linear_regression, regression_batches())
    before = plan.memory[2].storage.array.copy()
    replayer = Replayer(plan)
    with pytest.raises(ValueError, match=r"\[replay\] batch\[0\] is float32 \(5, 2\), but float32 \(8, 2\)"):
        replayer.replay((F.zeros(5, 2), F.zeros(5, 1)))
    with pytest.raises(ValueError, match=r"\[replay\] batch\[1\] is float64"):
        replayer.replay((F.zeros(8, 2), F.zeros(8, 1, dtype="float64")))
    with pytest.raises(ValueError, match=r"\[replay\] a batch of 1 arrays, but 2 were recorded"):
        replayer.replay((F.zeros(8, 2),))
    assert np.array_equal(plan.memory[2].storage.array, before)


def test_replay_raises_the_version_of_states():
    batches = regression_batches()
    (w, _), _, plan = run_recorded(fused_linear_regression, batches)
    loss = (w * w).sum()
    Replayer(plan).replay(batches[0])
    with pytest.raises(RuntimeError, match="was changed in place"):
        loss.backward()


def test_a_short_batch_needs_its_own_plan():
    random.manual_seed(0)
    _, step = fused_linear_regression()
    short = [(X[:3], y[:3]) for X, y in regression_batches()]
    plan = record(step, short)
    assert isinstance(plan, Plan)
    assert plan.input_shapes == [(3, 2), (3, 1)]
    with pytest.raises(ValueError, match=r"\[record\] batches of different shapes"):
        record(step, [*short[:2], regression_batches()[0]])
    with pytest.raises(ValueError, match=r"\[record\] batches holds 2, but recording takes three"):
        record(step, short[:2])


def test_arrays_make_batches_too():
    arrays = [(X.numpy(), y.numpy()) for X, y in regression_batches()]
    state, _, _ = run_recorded(fused_linear_regression, arrays)
    expected, _ = run_eagerly(fused_linear_regression, regression_batches())
    assert state[0].tolist() == expected[0].tolist()


def test_all_three_steps_are_ordinary_steps():
    batches = regression_batches()
    state, _ = run_eagerly(fused_linear_regression, batches[:3])
    random.manual_seed(11)
    recorded_state, step = fused_linear_regression()
    record(step, batches)
    assert [w.tolist() for w in state] == [w.tolist() for w in recorded_state]


def test_an_exception_ends_the_recording():
    def step(X, y):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        record(step, regression_batches())
    assert dispatch.state.recorder is None


def test_a_step_cannot_record_another():
    with pytest.raises(RuntimeError, match=r"\[record\] a step is being recorded already"):
        record(lambda X, y: record(lambda X, y: None, [(X, y)] * 3), regression_batches())


def test_table_counts_arithmetic_and_bytes_of_products_and_of_what_is_fused():
    from fastnn.record.fuse import fuse
    from fastnn.record.table import bytes_of, flops_of, kernels_of

    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    optimizer, loss = optim.SGD(net.parameters(), lr=0.1), nn.CrossEntropyLoss()

    def step(X, y):
        error = loss(net(X), y)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        return error

    plan = record(step, [(F.ones(4, 6), F.tensor([0, 1, 2, 1]))] * 3)
    fused = fuse(plan)
    assert [" + ".join(kernels_of(step)) for step in fused.steps] == [
        "linear + relu",
        "linear",
        "cross_entropy_with_grad",
        "sum",
        "matmul + relu_backward",
        "sum",
        "matmul + sgd_update",
        "sgd_update",
        "matmul + sgd_update",
        "sgd_update",
    ]
    assert sum(len(kernels_of(step)) for step in fused.steps) == len(plan.steps)
    assert [flops_of(fused.steps[i]) for i in (0, 1, 4, 6, 8)] == [2 * 4 * 6 * 5, *[2 * 4 * 5 * 3] * 2, 240, 120]
    assert bytes_of(fused.steps[0]) == 4 * (4 * 6 + 5 * 6 + 5 + 4 * 5)
