"""Fusions: which steps become one, which stay, and that no bit changes."""

import numpy as np
import pytest

from fastnn import functional as F
from fastnn import nn, optim, random
from fastnn.record import Engine, Plan, Replayer, log, record
from fastnn.record.fuse import fuse
from fastnn.record.table import kernels_of


def fused_names(step, batch):
    plan = record(step, [batch] * 3)
    assert isinstance(plan, Plan), plan
    return [" + ".join(kernels_of(step)) for step in fuse(plan).steps]


X, W, B, COLUMN = F.ones(4, 3), F.ones(3, 2), F.ones(2), F.ones(4, 1)
UNIT = F.ones(1)


def test_product_and_bias_of_handwritten_code_are_a_layer():
    assert fused_names(lambda x: log("y", F.relu(x @ W + B).sum()), [X]) == ["linear + relu", "sum"]
    assert fused_names(lambda x: log("y", (B + x @ W).sum()), [X]) == ["linear", "sum"]
    assert fused_names(lambda x: log("y", (x @ W + COLUMN).sum()), [X]) == ["matmul", "add", "sum"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "fused"), [(127, 12, True), (128, 12, False), (784, 10, False), (128, 13, True)]
)
def test_a_fusion_does_not_take_the_order_of_a_layer_of_few_outputs(inputs, outputs, fused):
    random.manual_seed(0)
    x, w, b = F.randn(5, inputs), F.randn(inputs, outputs), F.randn(outputs)
    assert fused_names(lambda x: log("y", (x @ w + b).sum()), [x]) == [
        *(["linear"] if fused else ["matmul", "add"]),
        "sum",
    ]
    same = F.linear(x, w.T).numpy() == (x @ w).numpy()
    assert same.all() == fused


def test_a_result_with_two_readers_stays():
    def step(x):
        y = x @ W
        log("z", ((y + y) * F.relu(y)).sum())

    assert fused_names(step, [X]) == ["matmul", "add", "relu", "multiply", "sum"]


def test_a_logged_result_stays():
    def step(x):
        y = x.T @ COLUMN
        log("y", y)
        log("z", (y + UNIT).sum())

    assert fused_names(step, [COLUMN]) == ["matmul", "add", "sum"]


def test_what_nobody_reads_is_left_out():
    def step(x):
        _ = x.exp().log()
        log("y", x.sum())

    assert fused_names(step, [X]) == ["sum"]


def test_a_product_is_not_moved_behind_a_change_of_its_operands():
    v = F.ones(3, 2)

    def step(x):
        y = x @ v
        v.data.add_(1.0)
        log("y", F.relu(y + B).sum())

    names = fused_names(step, [X])
    assert names[0] == "matmul"


def test_gradients_that_are_clipped_are_not_fused_with_the_update():
    w = F.ones(3, 2, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)

    def step(x):
        loss = (x @ w).sum()
        optimizer.zero_grad()
        loss.backward()
        F.clip_grad_norm_([w], 1.0)
        optimizer.step()

    names = fused_names(step, [X])
    assert "sgd_update" in names
    assert "matmul + sgd_update" not in names


ACTIVATIONS = [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.__name__)
@pytest.mark.parametrize("sizes", [(7, 33, 5), (70, 20, 1), (3, 1, 16)], ids=str)
@pytest.mark.parametrize(
    "settings", [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}], ids=["sgd", "all"]
)
def test_fused_steps_have_the_bits_of_the_naive_replay(activation, sizes, settings):
    def run(runner):
        random.manual_seed(3)
        inputs, hidden, outputs = sizes
        net = nn.Sequential(nn.Linear(inputs, hidden), activation(), nn.Linear(hidden, outputs))
        optimizer = optim.SGD(net.parameters(), lr=0.05, **settings)
        rng = np.random.default_rng(0)
        batches = [
            (
                F.tensor(rng.standard_normal((19, inputs), np.float32)),
                F.tensor(rng.standard_normal((19, outputs), "f4")),
            )
            for _ in range(8)
        ]

        def step(x, y):
            loss = F.mse_loss(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            log("loss", loss)

        plan = record(step, batches)
        replayer = runner(plan)
        for batch in batches[3:]:
            if isinstance(replayer, Engine):
                replayer.load(batch)
                replayer.run(1)
            else:
                replayer.replay(batch)
        return len(replayer.plan.steps), [p.numpy().tobytes() for p in net.parameters()]

    (fused, native), (steps, naive) = run(Engine), run(Replayer)
    assert native == naive
    assert fused < steps
