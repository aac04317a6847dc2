"""Facts about the seam between Tensors and kernels."""

import numpy as np
import pytest

from fastnn import dispatch
from fastnn import functional as F
from fastnn.dispatch import Slot, constant, run

FLOAT32 = np.dtype("float32")


class Listener:
    """Keeps what a recorder is told."""

    def __init__(self):
        self.heard = []

    def kernel(self, *event):
        self.heard.append(event)

    def escape(self, what):
        self.heard.append(what)

    def before_step(self, callback):
        self.heard.append(callback)


@pytest.fixture
def heard(monkeypatch):
    listener = Listener()
    monkeypatch.setattr(dispatch.state, "recorder", listener)
    return listener.heard


def test_results_are_tensors_without_history():
    w = F.ones(2, requires_grad=True)
    y = run("add", w, w)
    assert (y.tolist(), y.requires_grad, y.is_leaf) == ([2.0, 2.0], False, True)
    loss, grad = run("mse_loss_with_grad", w, F.zeros(2))
    assert (loss.item(), grad.tolist()) == (1.0, [1.0, 1.0])


def test_out_receives_the_result_and_its_version_rises():
    x, out = F.ones(2), F.zeros(2)
    assert run("add", x, x, out=out) is out
    assert out.tolist() == [2.0, 2.0]
    assert (out._storage.version, x._storage.version) == (1, 0)


def test_in_place_kernels_raise_the_versions_of_what_they_change():
    param, grad, velocity = F.ones(2), F.ones(2), F.zeros(2)
    assert run("sgd_update", param, grad, velocity, lr=0.5, momentum=0.9) is None
    assert [t._storage.version for t in (param, grad, velocity)] == [1, 0, 1]
    tensors = [F.ones(2) for _ in range(4)]
    run("adam_update", *tensors, lr=0.1, correction1=0.1, correction2=0.001)
    assert [t._storage.version for t in tensors] == [1, 0, 1, 1]


def test_a_recorder_hears_operands_scalars_results_and_writes(heard):
    x, lr = F.tensor([1.0]), Slot(0.5)
    y = run("multiply", x, x)
    run("add", x, y, out=y)
    run("sgd_update", x, y, None, lr=lr)
    weight = F.tensor([1.0, 1.0])
    loss = run("cross_entropy", F.tensor([[1.0, 0.0]]), F.tensor([0]), weight)
    assert heard[0] == ("multiply", (x, x), {}, (y,), ())
    assert heard[1] == ("add", (x, y), {}, (y,), (y,))
    assert heard[2] == ("sgd_update", (x, y, None), {"lr": lr}, (), (x,))
    assert heard[3][1][2] is weight
    assert heard[3][3] == (loss,)


def test_escapes_and_callbacks_reach_the_recorder(heard):
    F.zeros(1).item()
    dispatch.before_step(print)
    assert heard[1:] == ["item()", print]


def test_callbacks_run_at_once_without_a_recorder():
    called = []
    dispatch.before_step(called.append)
    assert called == [1]


def test_constants_are_cached_read_only_and_known_by_their_serial():
    two = constant(2.0, FLOAT32)
    assert constant(2.0, FLOAT32) is two
    assert two._storage.serial < 0
    assert not two._array.flags.writeable
    assert constant(2.0, np.dtype("float64")) is not two
    assert np.signbit(constant(-0.0, FLOAT32)._array)
    assert not np.signbit(constant(0.0, FLOAT32)._array)


def test_python_functions_see_read_only_arrays():
    (y,) = dispatch.call(lambda a: (a * 2,), F.ones(2))
    assert y.tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        dispatch.call(lambda a: (a.fill(0),), F.ones(2))


@pytest.mark.parametrize(
    "function",
    [F.relu, F.exp, F.sum, F.mean, F.negative, lambda x: F.linear(x, F.ones(2, 2)), lambda x: F.cross_entropy(x, x)],
)
def test_arrays_in_place_of_tensors_are_named(function):
    with pytest.raises(TypeError, match=r"\[\w+\] takes Tensors, not ndarray: use fastnn.tensor"):
        function(np.ones((2, 2), np.float32))
