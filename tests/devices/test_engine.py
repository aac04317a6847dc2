"""Programs on a device: a graph for a step, launched again and again, with the bits of the CPU."""

import numpy as np
import pytest
from recorded_steps import BATCH, STEP_KINDS, STEPS, class_batches, fused_softmax_regression
from test_engine import RECORDED, eager, gathered, losses_of, recorded, rows_and_dataset, run_wide, wide_mlp

import fastnn as fn
from fastnn import functional as F
from fastnn.data import ArrayDataset, Column
from fastnn.record import Engine, Replayer
from fastnn.record.fuse import fuse

# Those that make no Tensor on the CPU within a step.
KINDS = [kind for kind in STEP_KINDS if kind not in ("MLP from scratch", "powers and masked places")]


def on_device(dataset):
    return ArrayDataset(*[column.to("cuda") for column in dataset.columns])


def moved(make):
    """What `make` makes, with its state on the device."""

    def there():
        state, step = make()
        for tensor in state:
            tensor.data = tensor.data.to("cuda")
        return state, step

    return there


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("calls", [(17,), (1, 5, 11)], ids=str)
def test_many_steps_in_a_call_have_the_bits_of_eager_ones_on_the_cpu(kind, calls):
    make_batches, make = STEP_KINDS[kind]
    rows, dataset = rows_and_dataset(make_batches())
    there = on_device(dataset)
    state, losses, plan = recorded(moved(make), gathered(there, rows))
    engine = Engine(plan, there.add_to, BATCH)
    at = RECORDED * BATCH
    for steps in calls:
        losses += losses_of(engine, engine.run(steps, rows[at : at + steps * BATCH]))
        at += steps * BATCH
    expected, expected_state = eager(make, gathered(dataset, rows))
    assert {tensor.device for tensor in state} == {"cuda"}
    assert losses == expected
    assert [tensor.numpy().tobytes() for tensor in state] == expected_state


@pytest.mark.parametrize("kind", KINDS)
def test_steps_one_by_one_have_the_bits_of_eager_ones_on_the_cpu(kind):
    make_batches, make = STEP_KINDS[kind]
    batches = make_batches()
    there = [[part.to("cuda") for part in batch] for batch in batches]
    state, losses, plan = recorded(moved(make), there)
    engine, naive = Engine(plan), Replayer(plan)
    for i, batch in enumerate(there[RECORDED:]):
        if i % 2:
            losses.append(naive.replay(batch).loss.item())
        else:
            engine.load(batches[RECORDED + i] if i % 4 else batch)
            losses += losses_of(engine, engine.run(1))
    expected, expected_state = eager(make, batches)
    assert losses == expected
    assert [tensor.numpy().tobytes() for tensor in state] == expected_state


def test_nothing_is_waited_for_within_a_call(cuda):
    rows, dataset = rows_and_dataset(class_batches())
    there = on_device(dataset)
    _, _, plan = recorded(moved(fused_softmax_regression), gathered(there, rows))
    engine = Engine(plan, there.add_to, BATCH)
    engine.run(STEPS, rows)  # its graph is made
    waits = []
    for steps in (1, 5, STEPS):
        before = cuda.standin_waits(), cuda.standin_launches()
        engine.run(steps, rows[: steps * BATCH])
        waits.append(cuda.standin_waits() - before[0])
        assert cuda.standin_launches() == before[1]  # the graph has them
    assert waits == [2, 2, 2]  # before it and after it


OPTIMIZERS = {
    "SGD": [lambda params: fn.optim.SGD(params, lr=0.1)],
    "momentum": [lambda params: fn.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01)],
    "Adam": [lambda params: fn.optim.Adam(params, lr=0.01)],
    "AdamW, at two rates": [
        lambda params: fn.optim.AdamW([{"params": params[:2], "lr": 0.01}, {"params": params[2:], "lr": 0.1}])
    ],
    "SGD between Adams": [
        lambda params: fn.optim.Adam(params[3:], lr=0.01),
        lambda params: fn.optim.SGD(params[2:3], lr=0.1),  # of a weight: it goes with its product
        lambda params: fn.optim.Adam(params[:2], lr=0.01),
    ],
    "SGD, twice": [lambda params: fn.optim.SGD(params, lr=0.1), lambda params: fn.optim.SGD(params, lr=0.2)],
}


def updated_by(*rounds):
    """A network of three layers, and a step of rounds, each of which ends with updates by optimizers of its own."""

    def make():
        fn.manual_seed(1)
        net = fn.nn.Sequential(
            fn.nn.Flatten(), fn.nn.Linear(6, 8), fn.nn.ReLU(), fn.nn.Linear(8, 8), fn.nn.ReLU(), fn.nn.Linear(8, 3)
        )
        params = list(net.parameters())
        made = []

        def step(X, y):
            if not made:  # now that the parameters are where they stay
                made.extend([optimizer(params) for optimizer in optimizers] for optimizers in rounds)
            for optimizers in made:
                for param in params:
                    param.grad = None
                loss = fn.nn.functional.cross_entropy(net(X), y)
                loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
            return loss

        return params, step

    return make


def of_two_dtypes():
    a, b = (fn.ones(3, dtype=dtype, requires_grad=True) for dtype in ("float32", "float64"))
    made = []

    def step(X, y):
        made[:] = made or [fn.optim.SGD([a, b], lr=0.1)]
        a.grad = b.grad = None
        loss = (a * a * X.mean()).sum()
        loss.backward()
        (b * b).sum().backward()
        made[0].step()
        return loss + (a.detach() * a.detach()).sum()  # as it is after the update

    return [a, b], step


MAKERS = {name: updated_by(optimizers) for name, optimizers in OPTIMIZERS.items()}
MAKERS["two rounds"] = updated_by(OPTIMIZERS["SGD"], OPTIMIZERS["Adam"], OPTIMIZERS["momentum"])
MAKERS["two dtypes"] = of_two_dtypes


@pytest.mark.parametrize("name", MAKERS)
def test_updates_in_one_launch_have_the_bits_of_eager_ones_on_the_cpu(name):
    batches = class_batches()
    there = [[part.to("cuda") for part in batch] for batch in batches]
    state, losses, plan = recorded(moved(MAKERS[name]), there)
    engine = Engine(plan)
    for batch in there[RECORDED:]:
        engine.load(batch)
        losses += losses_of(engine, engine.run(1))
    expected, expected_state = eager(MAKERS[name], batches)
    assert losses == expected
    assert [tensor.numpy().tobytes() for tensor in state] == expected_state


@pytest.mark.parametrize(
    ("name", "kernel", "launches"),
    [
        ("SGD", "sgd_update", 1),
        ("Adam", "adam_update", 1),
        ("SGD between Adams", "adam_update", 1),
        ("SGD, twice", "sgd_update", 2),
    ],
)
def test_updates_of_a_step_are_one_launch(cuda, name, kernel, launches):
    there = [[part.to("cuda") for part in batch] for batch in class_batches()]
    _, _, plan = recorded(moved(MAKERS[name]), there)
    engine = Engine(plan)
    engine.load(there[0])
    before = cuda.standin_launches()
    engine.run(1)  # makes the graph
    kernels = [step.kernel for step in fuse(plan).steps]
    updates = kernels.count(kernel)
    assert updates >= 3
    assert cuda.standin_launches() - before == len(kernels) - updates + launches


def test_gradients_are_kept_on_the_device_where_they_are_asked_for():
    rows, dataset = rows_and_dataset(class_batches())
    there = on_device(dataset)
    grads = []
    for data, make in ((dataset, fused_softmax_regression), (there, moved(fused_softmax_regression))):
        (W, _), _, plan = recorded(make, gathered(data, rows))
        Engine(plan, data.add_to, BATCH, keeps_gradients=True).run(3, rows[: 3 * BATCH])
        grads.append(W.grad)
    assert grads[1].device == "cuda"
    assert np.array_equal(grads[0].numpy(), grads[1].numpy())


@pytest.mark.parametrize("label", [3, -1])
def test_a_wrong_label_ends_a_call_where_it_does_on_the_cpu(label):
    rows, dataset = rows_and_dataset(class_batches())
    results = []
    for device in ("cpu", "cuda"):
        data = dataset if device == "cpu" else on_device(dataset)
        make = fused_softmax_regression if device == "cpu" else moved(fused_softmax_regression)
        state, _, plan = recorded(make, gathered(data, rows))
        engine = Engine(plan, data.add_to, BATCH)
        labels = data.columns[1].data
        place = int(rows[5 * BATCH + 2])
        kept = labels[place].item()
        labels[place] = label
        with pytest.raises(ValueError, match=rf"\[cross_entropy\] target\[2\] = {label} is not a class index") as error:
            engine.run(10, rows[: 10 * BATCH])
        labels[place] = kept
        engine.run(2, rows[: 2 * BATCH])  # it works on
        results.append((str(error.value), [tensor.numpy().tobytes() for tensor in state]))
    assert results[0] == results[1]


def test_a_row_that_is_not_there_is_an_error():
    rows, dataset = rows_and_dataset(class_batches())
    there = on_device(dataset)
    _, _, plan = recorded(moved(fused_softmax_regression), gathered(there, rows))
    engine = Engine(plan, there.add_to, BATCH)
    with pytest.raises(IndexError, match=r"indices\[0\] = 999 is out of range for 160 rows"):
        engine.run(1, np.full(BATCH, 999))
    engine.run(1, rows[:BATCH])


@pytest.mark.parametrize("columns", ["converted", "small integers"])
def test_columns_that_are_converted(columns):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 255, (160, 1, 3, 2)).astype(np.uint8), rng.integers(0, 3, 160)
    if columns == "converted":
        made = [Column(F.tensor(X), 255.0, "float32"), Column(F.tensor(y.astype(np.int32)), dtype="int64")]
    else:
        made = [Column(F.tensor(X.astype(np.float64)), dtype="float32"), Column(F.tensor(y.astype(np.uint8)))]
    dataset = ArrayDataset(*made)
    rows = rng.permutation(160)
    there = on_device(dataset)
    results = []
    for data, make in ((dataset, fused_softmax_regression), (there, moved(fused_softmax_regression))):
        state, losses, plan = recorded(make, gathered(data, rows))
        engine = Engine(plan, data.add_to, BATCH)
        losses += losses_of(engine, engine.run(17, rows[3 * BATCH :]))
        results.append((losses, [tensor.numpy().tobytes() for tensor in state]))
    assert results[0] == results[1]


def test_a_wide_network_with_a_schedule():
    def there(dtype):
        return moved(lambda: wide_mlp(dtype))

    expected = run_wide(1)
    rng = np.random.default_rng(5)
    rows = rng.permutation(8 * 256)
    data = on_device(ArrayDataset(rng.normal(size=(8 * 256, 60)).astype("f"), rng.integers(0, 5, 8 * 256)))
    batches = [data.take(F.tensor(part)) for part in rows.reshape(8, 256)]
    state, losses, plan = recorded(there("float32"), batches)
    engine = Engine(plan, data.add_to, 256)
    losses += losses_of(engine, engine.run(5, rows[3 * 256 :]))
    assert (losses, [tensor.numpy().tobytes() for tensor in state]) == expected


def test_memory_of_a_program_is_given_back(cuda):
    rows, dataset = rows_and_dataset(class_batches())
    there = on_device(dataset)
    state, _, plan = recorded(moved(fused_softmax_regression), gathered(there, rows))
    for leaf in state:
        leaf.grad = None  # of the recorded steps
    before = cuda.standin_in_use()
    engine = Engine(plan, there.add_to, BATCH)
    engine.run(5, rows[: 5 * BATCH])
    assert cuda.standin_in_use() > before
    del engine
    assert cuda.standin_in_use() == before
