"""The engine: recorded steps, run natively, many in a call, have the bits of eager ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_steps import BATCH, STEP_KINDS, STEPS, Soft, class_batches, fused_softmax_regression, regression_batches

from fastnn import functional as F
from fastnn import nn, num_threads, optim, random, set_num_threads
from fastnn.autograd import Function
from fastnn.data import ArrayDataset, Column
from fastnn.dispatch import wrap
from fastnn.record import Engine, Memory, Operand, Plan, Role, Step, log, record
from fastnn.record.layout import ALIGNMENT, lay_out, lifetimes, place

RECORDED = 3  # steps that are run from Python to get a plan


def logging_its_loss(make):
    """The parameters and the step that `make` makes; the step also logs its loss."""
    state, step = make()

    def logged(*batch):
        loss = step(*batch)
        log("loss", loss)
        return loss

    logged.watch = getattr(step, "watch", ())
    return state, logged


def eager(make, batches):
    """The losses of steps from Python, and the state they lead to."""
    random.manual_seed(11)
    state, step = logging_its_loss(make)
    losses = []
    for batch in batches:
        random.begin_step()
        losses.append(step(*batch).item())
    return losses, [tensor.numpy().tobytes() for tensor in state]


def recorded(make, batches):
    """The state, the losses of the recorded steps, and their plan."""
    random.manual_seed(11)
    state, step = logging_its_loss(make)
    plan = record(step, batches[:RECORDED], watch=step.watch)
    assert isinstance(plan, Plan), str(plan)
    return state, [output.loss.item() for output in plan.outputs], plan


def losses_of(engine, results):
    return results[:, engine.names.index("loss")].tolist()


def rows_and_dataset(batches, seed=3):
    """All examples of `batches` as arrays, and an order that brings them in other batches."""
    columns = [np.concatenate([batch[i].numpy() for batch in batches]) for i in (0, 1)]
    return np.random.default_rng(seed).permutation(len(columns[0])), ArrayDataset(*columns)


def gathered(dataset, rows):
    return [dataset.take(F.tensor(part)) for part in rows.reshape(-1, BATCH)]


# ---- the bits of eager ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_steps_one_by_one_have_the_bits_of_eager_ones(kind):
    make_batches, make = STEP_KINDS[kind]
    batches = make_batches()
    state, losses, plan = recorded(make, batches)
    engine = Engine(plan)
    for batch in batches[RECORDED:]:
        engine.load(batch)
        losses += losses_of(engine, engine.run(1))
    expected, expected_state = eager(make, batches)
    assert losses == expected
    assert [tensor.numpy().tobytes() for tensor in state] == expected_state
    assert len(set(losses)) > STEPS // 2


@pytest.mark.parametrize("kind", STEP_KINDS)
@pytest.mark.parametrize("calls", [(17,), (1, 5, 11)], ids=str)
def test_many_steps_in_a_call_on_gathered_rows_have_the_bits_of_eager_ones(kind, calls):
    make_batches, make = STEP_KINDS[kind]
    rows, dataset = rows_and_dataset(make_batches())
    batches = gathered(dataset, rows)
    state, losses, plan = recorded(make, batches)
    engine = Engine(plan, dataset.add_to, BATCH)
    at = RECORDED * BATCH
    for steps in calls:
        losses += losses_of(engine, engine.run(steps, rows[at : at + steps * BATCH]))
        at += steps * BATCH
    assert at == len(rows)
    expected, expected_state = eager(make, batches)
    assert losses == expected
    assert [tensor.numpy().tobytes() for tensor in state] == expected_state


def wide_mlp(dtype="float32"):
    """Layers that are worth several threads."""
    net = nn.Sequential(
        nn.Linear(60, 200), nn.GELU(), nn.Dropout(0.2), nn.Linear(200, 100), nn.Tanh(), nn.Linear(100, 5)
    )
    net.to(dtype)
    updates = optim.Adam(net.parameters(), optim.SquareRootScheduler(0.01), weight_decay=0.1)

    def step(X, y):
        loss = F.cross_entropy(net(X), y)
        updates.zero_grad()
        loss.backward()
        log("norm", F.clip_grad_norm_(net.parameters(), 0.5))
        updates.step()
        return loss

    step.watch = [*net.modules(), updates]
    return list(net.parameters()), step


def wide_data(dtype="float32"):
    rng = np.random.default_rng(5)
    return rng.permutation(8 * 256), ArrayDataset(
        rng.normal(size=(8 * 256, 60)).astype(dtype), rng.integers(0, 5, 8 * 256)
    )


def run_wide(threads, dtype="float32"):
    """Losses and state of eight steps, five of them native."""
    rows, dataset = wide_data(dtype)
    batches = [dataset.take(F.tensor(part)) for part in rows.reshape(8, 256)]
    before = num_threads()
    set_num_threads(threads)
    try:
        state, losses, plan = recorded(lambda: wide_mlp(dtype), batches)
        engine = Engine(plan, dataset.add_to, 256)
        losses += losses_of(engine, engine.run(5, rows[3 * 256 :]))
    finally:
        set_num_threads(before)
    return losses, [tensor.numpy().tobytes() for tensor in state]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(dtype):
    rows, dataset = wide_data(dtype)
    expected = eager(lambda: wide_mlp(dtype), [dataset.take(F.tensor(part)) for part in rows.reshape(8, 256)])
    for threads in (1, 2, 3, 8):
        assert run_wide(threads, dtype) == expected


def test_slots_have_their_values_of_each_step_afterwards():
    rows, dataset = rows_and_dataset(regression_batches())
    _, _, plan = recorded(STEP_KINDS["adam"][1], gathered(dataset, rows))
    Engine(plan, dataset.add_to, BATCH).run(5, rows[: 5 * BATCH])
    optimizer = plan.before_step[-1].__self__
    assert optimizer.updates == 8
    assert optimizer.lr.value == 0.1 / 8**0.5
    assert random.get_state()[1] == 8


def test_versions_grow_and_gradients_are_gone_after_native_steps():
    rows, dataset = rows_and_dataset(class_batches())
    (W, b), _, plan = recorded(fused_softmax_regression, gathered(dataset, rows))
    version = W._storage.version
    Engine(plan, dataset.add_to, BATCH).run(4, rows[: 4 * BATCH])
    assert W._storage.version == version + 4
    assert W.grad is None
    assert b.grad is None


# ---- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_outside_the_classes_is_named_and_leaves_the_parameters_as_before_its_step(label):
    rows, dataset = rows_and_dataset(class_batches())
    batches = gathered(dataset, rows)
    state, _, plan = recorded(fused_softmax_regression, batches)
    engine = Engine(plan, dataset.add_to, BATCH)
    dataset.columns[1].data.numpy()[rows[9 * BATCH + 2]] = label  # in the tenth step
    with pytest.raises(ValueError, match=rf"target\[2\] = {label} is not a class index"):
        engine.run(17, rows[RECORDED * BATCH :])
    _, expected = eager(fused_softmax_regression, batches[:9])
    assert [tensor.numpy().tobytes() for tensor in state] == expected
    dataset.columns[1].data.numpy()[rows[9 * BATCH + 2]] = batches[9][1].numpy()[2]
    engine.run(11, rows[9 * BATCH :])
    assert [tensor.numpy().tobytes() for tensor in state] == eager(fused_softmax_regression, batches)[1]


class Trip(Exception):
    pass


class Fragile(Soft):
    """A layer in NumPy that stops working."""

    trips_in = ""

    @staticmethod
    def forward(ctx, x, sharpness):
        if Fragile.trips_in == "forward":
            raise Trip("forward")
        return Soft.forward(ctx, x, sharpness)

    @staticmethod
    def backward(ctx, grad):
        if Fragile.trips_in == "backward":
            raise Trip("backward")
        return Soft.backward(ctx, grad)


def fragile_layer():
    w = F.normal(0, 0.5, (1, 2), requires_grad=True)

    def step(X, y):
        w.grad = None
        loss = F.mse_loss(Fragile.apply(F.linear(X, w), 2.0), y)
        loss.backward()
        w.data.sub_(0.01 * w.grad)
        return loss

    return [w], step


@pytest.mark.parametrize("half", ["forward", "backward"])
def test_an_exception_of_a_function_comes_through_and_leaves_the_parameters(monkeypatch, half):
    batches = regression_batches()
    state, _, plan = recorded(fragile_layer, batches)
    engine = Engine(plan)
    engine.load(batches[3])
    monkeypatch.setattr(Fragile, "trips_in", half)
    before = state[0].tolist()
    with pytest.raises(Trip, match=half):
        engine.run(1)
    assert state[0].tolist() == before
    monkeypatch.undo()
    engine.load(batches[3])
    engine.run(1)
    assert [tensor.numpy().tobytes() for tensor in state] == eager(fragile_layer, batches[:4])[1]


def test_a_function_may_keep_its_arguments():
    arguments = []

    class Keeping(Function):
        @staticmethod
        def forward(ctx, x):
            arguments.append(x)
            return x * np.float32(2)

        @staticmethod
        def backward(ctx, grad):
            return grad * np.float32(2)

    def step(X, y):
        return Keeping.apply(X).sum()

    batches = regression_batches()
    plan = record(step, batches[:3])
    engine = Engine(plan)
    for batch in batches[3:]:
        engine.load(batch)
        engine.run(1)
    assert [x.tolist() for x in arguments] == [X.tolist() for X, _ in batches]


def test_a_batch_that_does_not_fit_is_refused():
    _, _, plan = recorded(fused_softmax_regression, class_batches())
    engine = Engine(plan, rows_and_dataset(class_batches())[1].add_to, BATCH)
    with pytest.raises(ValueError, match=r"\[replay\] batch\[0\] is float32 \(3, 1, 3, 2\)"):
        engine.load([part[:3] for part in class_batches()[0]])
    with pytest.raises(ValueError, match=r"rows must be contiguous int64, 2 times rows_to"):
        engine.run(2, np.zeros(BATCH, np.int64))


# ---- where the data are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "a file"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_data_are_gathered_from_where_they_are(tmp_path, where, dtype):
    rng = np.random.default_rng(7)
    X = (rng.random((64, 1, 3, 2)) * 255).astype(dtype)
    if where == "a file":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    dataset = ArrayDataset(Column(wrap(X), divisor=255.0, dtype="float32"), rng.integers(0, 3, 64))
    rows = rng.permutation(64)
    batches = gathered(dataset, rows)
    state, losses, plan = recorded(fused_softmax_regression, batches)
    engine = Engine(plan, dataset.add_to, BATCH)
    losses += losses_of(engine, engine.run(5, rows[RECORDED * BATCH :]))
    expected, expected_state = eager(fused_softmax_regression, batches)
    assert losses == expected
    assert [tensor.numpy().tobytes() for tensor in state] == expected_state


def test_data_changed_between_calls_are_seen():
    rows, dataset = rows_and_dataset(regression_batches())
    _, make = STEP_KINDS["fused linear regression"]
    state, _, plan = recorded(make, gathered(dataset, rows))
    engine = Engine(plan, dataset.add_to, BATCH)
    X = dataset.columns[0].data.numpy()
    X *= 2
    changed = gathered(dataset, rows)
    X /= 2
    _, expected = eager(make, [*gathered(dataset, rows)[:3], *changed[3:5]])
    X *= 2
    engine.run(2, rows[3 * BATCH : 5 * BATCH])
    assert [tensor.numpy().tobytes() for tensor in state] == expected


def test_the_short_last_batch_has_an_engine_of_its_own():
    rows, dataset = rows_and_dataset(class_batches())
    random.manual_seed(11)
    state, step = logging_its_loss(fused_softmax_regression)
    whole = record(step, gathered(dataset, rows)[:3])
    short = record(step, [dataset.take(F.tensor(rows[:3]))] * 3)
    engines = [Engine(whole, dataset.add_to, BATCH), Engine(short, dataset.add_to, 3)]
    for _ in range(2):
        engines[0].run(2, rows[: 2 * BATCH])
        engines[1].run(1, rows[-3:])
    batches = gathered(dataset, rows)
    tail, short_batch = dataset.take(F.tensor(rows[-3:])), dataset.take(F.tensor(rows[:3]))
    epoch = [*batches[:2], tail]
    _, expected = eager(fused_softmax_regression, [*batches[:3], *[short_batch] * 3, *epoch, *epoch])
    assert [tensor.numpy().tobytes() for tensor in state] == expected


# ---- the layout -----------------------------------------------------------------------------------------------

FLOAT = np.dtype("float32")


@st.composite
def plans(draw):
    """Plans whose kernels read any of what is there and make something new; some results are logged."""
    memory = [Memory(Role.INPUT, FLOAT, draw(st.integers(0, 300))) for _ in range(draw(st.integers(1, 3)))]
    inputs = list(range(len(memory)))
    memory.append(Memory(Role.CONSTANT, FLOAT, 4, values=np.zeros(4, FLOAT)))
    steps = []

    def operand(number):
        return Operand(number, 0, (memory[number].size,), (1,), memory[number].dtype)

    for _ in range(draw(st.integers(1, 25))):
        read = draw(st.lists(st.integers(0, len(memory) - 1), max_size=3))
        temporaries = [n for n in range(len(memory)) if memory[n].role is Role.TEMPORARY]
        if temporaries and draw(st.booleans()):
            written = (operand(draw(st.sampled_from(temporaries))),)
            steps.append(Step("cast", tuple(map(operand, read)), {}, written, written, "here"))
            continue
        dtype = np.dtype(draw(st.sampled_from(["float32", "float64", "bool"])))
        memory.append(Memory(Role.TEMPORARY, dtype, draw(st.integers(0, 300))))
        steps.append(Step("cast", tuple(map(operand, read)), {}, (operand(len(memory) - 1),), (), "here"))
    made = [n for n in range(len(memory)) if memory[n].role is Role.TEMPORARY]
    logs = {str(n): operand(n) for n in (draw(st.lists(st.sampled_from(made), max_size=3)) if made else [])}
    shapes = [(memory[n].size,) for n in inputs]
    return Plan(memory, steps, inputs, shapes, None, logs, [], [])


@given(plans())
def test_what_lives_at_the_same_time_never_overlaps(plan):
    offsets, size = place(plan)
    lives = dict(lifetimes(plan))
    assert set(plan.inputs) <= set(offsets)
    ends = {n: offset + plan.memory[n].size * plan.memory[n].dtype.itemsize for n, offset in offsets.items()}
    assert all(offset % ALIGNMENT == 0 for offset in offsets.values())
    assert all(end <= size for end in ends.values())
    for n in offsets:
        for m in offsets:
            if n < m and lives[n][0] <= lives[m][1] and lives[m][0] <= lives[n][1]:
                assert ends[n] <= offsets[m] or ends[m] <= offsets[n]


@given(plans())
def test_a_layout_is_no_larger_than_all_it_holds_and_as_large_as_what_lives_at_once(plan):
    offsets, size = place(plan)
    lives = dict(lifetimes(plan))
    sizes = {n: plan.memory[n].size * plan.memory[n].dtype.itemsize for n in offsets}
    at_once = [
        sum(sizes[n] for n, (first, last) in lives.items() if first <= step <= last) for step in range(len(plan.steps))
    ]
    assert max(at_once) <= size <= sum(-(-n // ALIGNMENT) * ALIGNMENT for n in sizes.values())


@given(plans())
def test_every_input_and_temporary_that_is_touched_has_an_array(plan):
    arrays = lay_out(plan)
    touched = {number: plan.memory[number] for number, _ in lifetimes(plan)}
    assert {n: (a.size, a.dtype) for n, a in arrays.items()} == {n: (m.size, m.dtype) for n, m in touched.items()}
    assert all(a.flags.c_contiguous for a in arrays.values())


def test_a_step_takes_less_memory_than_its_temporaries():
    _, _, plan = recorded(wide_mlp, [wide_data()[1].take(F.tensor(np.arange(256)))] * 3)
    _, size = place(plan)
    temporaries = sum(m.size * m.dtype.itemsize for m in plan.memory if m.role is Role.TEMPORARY)
    assert size < 0.7 * temporaries


def test_several_steps_without_rows_are_refused():
    _, _, plan = recorded(fused_softmax_regression, class_batches())
    engine = Engine(plan)
    engine.load(class_batches()[0])
    with pytest.raises(ValueError, match="steps = 2 needs rows"):
        engine.run(2)
