"""A step that cannot be repeated is run by Python, and says why, with file and line."""

import random as python_random
import re
import threading

import numpy as np
import pytest
from recorded_steps import adam, regression_batches

from fastnn import dispatch
from fastnn import functional as F
from fastnn.dispatch import Slot, run
from fastnn.record import Eager, Plan, Replayer, log, record


def reason(step, batches=None, watch=()):
    """Why `step` is run by Python, after it was run three times."""
    runs = []

    def counted(*batch):
        runs.append(1)
        return step(*batch)

    outcome = record(counted, batches or [[F.ones(2)]] * 3, watch)
    assert len(runs) == 3
    assert isinstance(outcome, Eager), str(outcome)
    assert str(outcome) == f"eager: {outcome.reason}"
    assert len(outcome.outputs) == 3
    return outcome.reason


ESCAPES = {
    "item()": lambda t: t[0].item(),
    "numpy()": lambda t: t.numpy(),
    "conversion to an array": lambda t: np.asarray(t),
    "bool()": lambda t: t[0] > 0 and None,
    "float()": lambda t: float(t[0]),
    "int()": lambda t: int(t[0]),
    "index": lambda t: range(t[0].long()),
    "tolist()": lambda t: t.tolist(),
    "DLPack": lambda t: np.from_dlpack(t),
    "print()": lambda t: repr(t),
    "format()": lambda t: f"{t[0]:.1f}",
    "iteration": lambda t: [None for row in t],
    "a boolean mask": lambda t: t[t > 0] and None,
    "pickling": lambda t: t.__reduce__() and None,
}


@pytest.mark.parametrize("what", ESCAPES)
def test_a_value_that_leaves_makes_it_eager_with_file_and_line(what):
    escape = ESCAPES[what]
    if what == "a boolean mask":
        escape = lambda t: t[t > 0].shape and None  # noqa: E731
    line = escape.__code__.co_firstlineno

    def step(X):
        escape(X * 2)

    assert reason(step) == f"{what} at {__file__}:{line} takes a value out of the step"


def test_a_tensor_kept_by_the_user_makes_it_eager():
    kept = []

    def step(X):
        kept.append(X * 2)

    line = step.__code__.co_firstlineno + 1
    assert reason(step) == f"the result of multiply at {__file__}:{line} outlives the step"


def test_a_kept_loss_or_gradient_or_logged_value_makes_it_eager():
    w, kept = F.ones(2, requires_grad=True), []

    def keep_loss(X):
        loss = (w * X).sum()
        kept.append(loss)
        return loss

    def keep_gradient(X):
        w.grad = None
        (w * X).sum().backward()
        kept.append(w.grad)

    def keep_logged(X):
        kept.append(X.sum())
        log("sum", kept[-1])

    for step in (keep_loss, keep_gradient, keep_logged):
        assert "outlives the step" in reason(step)
        kept.clear()


def test_a_gradient_that_something_else_holds_goes_on_sharing_its_memory():
    w, kept = F.ones(2, requires_grad=True), []
    for keep in (lambda grad: grad, lambda grad: grad.detach()):

        def step(X, keep=keep):
            w.grad = None
            (w * X).sum().backward()
            kept.append(keep(w.grad))

        assert "outlives the step" in reason(step)
        w.grad.mul_(5.0)
        assert kept[-1].tolist() == [5.0, 5.0]
        kept.clear()


def test_a_value_carried_from_step_to_step_makes_it_eager():
    running = {"mean": F.zeros(())}

    def step(X):
        running["mean"] = running["mean"] * 0.9 + X.mean() * 0.1

    assert "outlives the step" in reason(step)


def test_what_only_a_cycle_keeps_does_not_outlive_the_step():
    def step(X):
        cycle = [X * 2]
        cycle.append(cycle)

    assert isinstance(record(step, [[F.ones(2)]] * 3), Plan)


def test_a_state_replaced_between_steps_makes_it_eager():
    states = [F.ones(2) for _ in range(3)]
    count = iter(range(3))

    def step(X):
        return (states[next(count)] * X).sum()

    assert reason(step).startswith("a state was replaced by another tensor between two steps, used at")


def test_changing_numbers_make_it_eager():
    numbers = iter([1.0, 2.0, 3.0])

    def step(X):
        return (X * next(numbers)).sum()

    assert reason(step).startswith("values from Python or NumPy changed between two steps, used at")
    zeros = iter([0.0, 0.0, -0.0])
    assert reason(lambda X: (X * next(zeros)).sum()).startswith("values from Python or NumPy changed")


def test_changing_arrays_make_it_eager():
    rng = np.random.default_rng(0)

    def step(X):
        return (X * rng.normal(size=2).astype(np.float32)).sum()

    assert reason(step).startswith("values from Python or NumPy changed between two steps")


def test_a_changing_scalar_makes_it_eager():
    w, rates = F.ones(2), iter([0.1, 0.2, 0.3])

    def step(X):
        run("sgd_update", w, X, None, lr=next(rates))

    line = step.__code__.co_firstlineno + 1
    assert reason(step) == f"lr of sgd_update at {__file__}:{line} changed from 0.2 to 0.3"


def test_another_path_makes_it_eager():
    count = iter(range(3))

    def step(X):
        return X.exp().sum() if next(count) % 2 else X.tanh().sum()

    assert re.match(r"exp at .* was tanh at .* in the next step", reason(step))
    more = iter(range(3))

    def longer(X):
        for _ in range(next(more)):
            X = X + 1.0

    assert reason(longer) == "one step ran 1 kernels, the next 2"


def test_a_slot_that_changes_within_the_step_makes_it_eager():
    w, lr = F.ones(2), Slot(0.1)

    def after(X):
        run("sgd_update", w, X, None, lr=lr)
        lr.value += 1

    def between(X):
        run("sgd_update", w, X, None, lr=lr)
        lr.value *= 0.5
        run("sgd_update", w, X, None, lr=lr)

    for step in (after, between):
        assert reason(step).startswith("a slot changed within the step")


def test_changed_attributes_make_it_eager():
    class Model:
        pass

    model = Model()
    model.steps, model.parts, model.rng = 0, {"seen": [1]}, np.random.default_rng(0)

    def count(X):
        model.steps += 1

    def collect(X):
        model.parts["seen"].append(2)

    def draw(X):
        model.rng.normal()

    def add(X):
        setattr(model, f"new{model.parts}", 1)
        model.parts = dict(model.parts, more=len(model.parts))

    for step, name in [(count, "steps"), (collect, "parts"), (draw, "rng")]:
        assert reason(step, watch=[model]) == f"Model.{name} changed during the step"
        assert isinstance(record(step, [[F.ones(2)]] * 3), Plan)
    assert re.match(r"Model\..* changed during the step", reason(add, watch=[model]))


def test_attributes_that_contain_themselves_can_be_watched():
    class Model:
        pass

    model = Model()
    model.parts = [1]
    model.parts.append(model.parts)
    assert isinstance(record(lambda X: X.sum(), [[F.ones(2)]] * 3, watch=[model]), Plan)


def test_what_a_callback_changes_is_no_change_by_the_step():
    _, step = adam()
    optimizer = step.watch[0]
    assert isinstance(record(step, regression_batches(), watch=[optimizer]), Plan)
    assert optimizer.updates == 3

    def counting(X, y):
        optimizer.updates += 1
        return step(X, y)

    assert reason(counting, regression_batches(), [optimizer]) == "Adam.updates changed during the step"


def test_what_the_code_of_a_step_names_may_not_change():
    class Model:
        def step(self, X):
            steps.append(1)

    steps, model = [], Model()
    assert reason(model.step, watch=[model]) == "steps of step() changed during the step"
    steps = iter([1, 2, 3])
    Model.step = lambda self, X: next(steps) and None
    assert reason(model.step, watch=[model]) == "steps of <lambda>() changed during the step"
    steps = zip("abc", "abc", strict=True)
    assert "is an iterator, and how far it has come" in reason(model.step, watch=[model])


def test_a_name_that_is_logged_twice_makes_it_eager():
    def step(X):
        log("sum", X.sum())
        log("sum", X.mean())

    line = step.__code__.co_firstlineno + 2
    assert reason(step) == f"sum is logged twice in a step, at {__file__}:{line}"


def test_a_part_of_the_batch_kept_by_the_user_makes_it_eager():
    kept = []
    assert reason(lambda X: kept.append(X.T)) == "part 0 of the batch outlives the step"


def test_an_array_that_changes_between_two_uses_makes_it_eager():
    values = np.ones(2, np.float32)
    tensor = F.tensor(values)

    def step(X):
        fresh = F.tensor(values)
        values[...] = 1
        y = X * fresh
        values[...] = 2
        return (y * fresh).sum()

    line = step.__code__.co_firstlineno + 5
    assert reason(step) == f"values from Python or NumPy changed within the step, before {__file__}:{line}"
    assert tensor.tolist() == [2.0, 2.0]


def test_drawing_from_other_generators_makes_it_eager():
    assert reason(lambda X: np.random.rand() and None) == "the state of np.random changed during the step"  # noqa: NPY002
    assert reason(lambda X: python_random.random() and None) == "the state of random changed during the step"


def test_writing_into_inputs_or_constants_makes_it_eager():
    def into_input(X):
        X += 1.0

    def into_constant(X):
        total = F.tensor([0.0, 0.0])
        total += X

    assert re.match(r"add at .*:\d+ writes into input memory", reason(into_input))
    assert re.match(r"add at .*:\d+ writes into constant memory", reason(into_constant))


def test_a_filled_tensor_may_be_written_into():
    w = F.ones(2, requires_grad=True)

    def step(X):
        total = F.zeros(2)
        total += X
        total[0] = 5.0
        total[total > 4.0] = 3.0
        w.data.add_(total)

    plan = record(step, [[F.ones(2)]] * 3)
    Replayer(plan).replay([F.full((2,), 2.0)])
    assert w.tolist() == [1 + 4 * 3.0, 1 + 3 * 1.0 + 2.0]


def test_states_that_share_memory_make_it_eager():
    array = np.zeros(4, np.float32)
    whole, part = F.tensor(array), F.tensor(array[2:])

    def read_both(X):
        return (whole.sum() * part.sum() * X).sum()

    def write_one(X):
        whole.add_(1.0)
        return (part[0] * X).sum()

    assert isinstance(record(read_both, [[F.ones(2)]] * 3), Plan)
    assert reason(write_one) == "a state that the step changes shares its memory with another"


def test_a_state_that_is_not_contiguous_makes_it_eager():
    state = dispatch.wrap(np.ones((2, 3), np.float32).T)
    assert "is not contiguous" in reason(lambda X: (state * X).sum())


def test_a_step_that_returns_something_else_is_eager():
    assert reason(lambda X: [X.sum()]) == "the step returned a list, neither a Tensor nor None"


def test_accumulated_gradients_are_a_state():
    w = F.ones(2, requires_grad=True)

    def step(X):
        (w * X).sum().backward()

    plan = record(step, [[F.ones(2)]] * 3)
    assert isinstance(plan, Plan)
    Replayer(plan).replay([F.full((2,), 5.0)])
    assert w.grad.tolist() == [8.0, 8.0]


def test_another_thread_is_not_recorded():
    def step(X):
        thread = threading.Thread(target=lambda: F.ones(3).exp().sum().item())
        thread.start()
        thread.join()
        return X.sum()

    plan = record(step, [[F.ones(2)]] * 3)
    assert [step.name for step in plan.steps] == ["sum"]
