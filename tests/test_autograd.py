"""Facts about the tape: what backward gives, what it refuses, and functions of one's own."""

import gc
import threading
import weakref

import numpy as np
import pytest

from fastnn import autograd, dispatch
from fastnn import functional as F
from fastnn.autograd import Function, no_grad
from fastnn.tensor import Tensor


def leaf(*values):
    return F.tensor(list(values), requires_grad=True)


def kernels_run(monkeypatch, function):
    """Names of the kernels that `function` runs."""
    names = []

    class Observer:
        def kernel(self, kernel, operands, scalars, results, writes):
            names.append(kernel)

        def gradient(self, leaf):
            pass

    monkeypatch.setattr(dispatch.state, "recorder", Observer())
    function()
    monkeypatch.setattr(dispatch.state, "recorder", None)
    return names


# ---- what backward gives --------------------------------------------------------------------------------------


def test_gradient_of_a_sum_of_squares():
    x = leaf(1.0, 2.0)
    (x**2).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert not x.grad.requires_grad


def test_gradients_add_up_in_place_after_the_first():
    x = leaf(1.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first
    assert x.grad.tolist() == [5.0]


def test_a_value_used_many_times_gets_all_its_gradients():
    x = leaf(3.0)
    y = x * x
    (y * y + y + x + y * x).sum().backward()  # x**4 + x**2 + x + x**3
    assert x.grad.tolist() == [4 * 27 + 6 + 1 + 27]


def test_gradients_of_two_leaves_never_share_memory():
    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    (a + b + c.reshape(1)).sum().backward()
    a.grad.zero_()
    b.grad.fill_(7.0)
    assert (a.grad.item(), b.grad.item(), c.grad.item()) == (0.0, 7.0, 1.0)


def test_a_gradient_never_shares_memory_with_what_was_saved_or_given():
    p, target, seed = leaf(1.0, 2.0), F.zeros(2), F.ones(2)
    loss = F.mse_loss(p, target)
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    assert p.grad.tolist() == [2.0, 4.0]
    q = leaf(1.0, 2.0)
    (q + 0.0).backward(seed)
    q.grad.zero_()
    assert seed.tolist() == [1.0, 1.0]


def test_gradient_of_a_broadcast_operand_has_its_shape():
    for shape in [(), (1,), (3,), (2, 1), (1, 3), (2, 3)]:
        x = F.ones(shape, requires_grad=True)
        (x * F.ones(4, 2, 3)).sum().backward()
        assert x.grad.shape == shape
        assert np.all(np.asarray(x.grad) == 24 / x.numel())


def test_a_gradient_is_contiguous():
    x = F.zeros(2, 3, requires_grad=True)
    (x.T * F.tensor(np.arange(6, dtype=np.float32).reshape(3, 2))).sum().backward()
    assert x.grad._array.flags.c_contiguous
    assert x.grad.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_a_leaf_is_its_own_gradient():
    x = F.tensor(2.0, requires_grad=True)
    x.backward()
    x.backward(F.tensor(3.0))
    assert x.grad.item() == 4.0


def test_backward_takes_the_gradient_of_a_tensor():
    x = leaf(1.0, 2.0)
    (x * x).backward(gradient=F.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


def test_detached_values_are_constants():
    x = leaf(2.0)
    y = x * x
    (y.detach() * x).sum().backward()
    assert x.grad.tolist() == [4.0]


def test_only_needed_gradients_are_computed(monkeypatch):
    x, w, b = F.ones(4, 2), F.ones(3, 2, requires_grad=True), F.zeros(3, requires_grad=True)
    loss = F.linear(x, w, b).sum()
    assert kernels_run(monkeypatch, loss.backward) == ["cast", "matmul", "sum"]


def test_a_loss_costs_no_multiplication_by_one(monkeypatch):
    p = F.ones(4, 1, requires_grad=True)
    prediction = p * 2
    loss = F.mse_loss(prediction, F.zeros(4, 1))
    assert kernels_run(monkeypatch, loss.backward) == ["multiply"]


def test_a_step_of_the_fused_regression_runs_six_kernels(monkeypatch):
    x, y = F.ones(4, 2), F.ones(4, 1)
    w, b = F.ones(1, 2, requires_grad=True), F.zeros(1, requires_grad=True)

    def step():
        F.mse_loss(F.linear(x, w, b), y).backward()
        for parameter in (w, b):
            dispatch.run("sgd_update", parameter, parameter.grad, None, lr=0.1)

    expected = ["linear", "mse_loss_with_grad", "matmul", "sum", "sgd_update", "sgd_update"]
    assert kernels_run(monkeypatch, step) == expected


def test_long_chains_need_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 0.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_the_graph_is_freed_without_the_cycle_collector():
    x = leaf(1.0)
    y = (x.exp() * x.softmax(0)).sum()
    reference = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert reference() is None
    finally:
        gc.enable()


# ---- no_grad --------------------------------------------------------------------------------------------------


def test_no_grad_puts_nothing_on_the_tape():
    x = leaf(1.0)
    with no_grad():
        assert (x * 2).is_leaf
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (leaf(1.0) * 2).requires_grad


def test_no_grad_decorates():
    @no_grad()
    def double(x):
        """Twice x."""
        return x * 2

    assert not double(leaf(1.0)).requires_grad
    assert double.__doc__ == "Twice x."


def test_no_grad_holds_in_its_own_thread_only():
    results = []
    with no_grad():
        thread = threading.Thread(target=lambda: results.append((leaf(1.0) * 2).requires_grad))
        thread.start()
        thread.join()
    assert results == [True]


# ---- what is refused ------------------------------------------------------------------------------------------


def test_a_second_backward_needs_retain_graph():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match=r"\[backward\] the values that .* kept are freed: .* retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [4.0]


def test_changing_a_saved_operand_in_place_is_noticed():
    x, y = leaf(1.0), F.tensor([5.0])
    product = (x * y).sum()
    y += 1
    with pytest.raises(RuntimeError, match=r"\[backward\] b of multiply was changed in place"):
        product.backward()
    assert x.grad is None


@pytest.mark.parametrize(
    "change",
    ["y.zero_()", "y[0] = 1", "y.detach().mul_(2)", "y.reshape(1).fill_(0)", "y.data = F.ones(1)"],
)
def test_every_way_of_changing_a_saved_result_is_noticed(change):
    x = leaf(1.0)
    y = x.exp()
    total = y.sum()
    with no_grad():
        exec(change, {"y": y, "F": F})
    with pytest.raises(RuntimeError, match=r"\[backward\] y of exp was changed in place"):
        total.backward()


def test_changing_indices_in_place_is_noticed():
    x, indices, labels = F.ones(3, 2, requires_grad=True), F.tensor([0, 2]), F.tensor([1, 1])
    rows, elements = x[indices].sum(), x[[0, 1], labels].sum()
    indices[0] = 1
    labels.zero_()
    with pytest.raises(RuntimeError, match="indices of gather was changed in place"):
        rows.backward()
    with pytest.raises(RuntimeError, match="columns of pick was changed in place"):
        elements.backward()


def test_memory_taken_over_by_data_is_noticed():
    x, y = leaf(1.0), F.tensor([5.0])
    product = x * y
    y.data = F.ones(3)
    with pytest.raises(RuntimeError, match=r"\[backward\] b of multiply was changed in place"):
        product.backward()


def test_changing_what_no_rule_needs_is_allowed():
    x, y = leaf(1.0), F.tensor([5.0])
    total = (x + y).sum()
    y += 1
    total.backward()
    assert x.grad.tolist() == [1.0]


def test_a_tensor_of_many_elements_needs_a_gradient():
    with pytest.raises(RuntimeError, match=r"\[backward\] gradient is missing: a tensor of shape \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward()
    (F.ones(1, 1, requires_grad=True) * 2).backward()


def test_a_gradient_of_another_shape_or_dtype_is_refused():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(ValueError, match=r"\[backward\] gradient is float32 \(3,\), the tensor float32 \(2,\)"):
        y.backward(F.ones(3))
    with pytest.raises(ValueError, match=r"\[backward\] gradient is float64"):
        y.backward(F.ones(2, dtype="float64"))
    with pytest.raises(TypeError, match=r"\[backward\] takes Tensors, not ndarray"):
        y.backward(np.ones(2, np.float32))


def test_what_requires_no_gradient_has_no_backward():
    with pytest.raises(RuntimeError, match=r"\[backward\] this tensor does not require a gradient"):
        F.ones(1).backward()


def test_a_failing_rule_leaves_gradients_and_mode_as_they_were():
    class Broken(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            raise ZeroDivisionError

    x = leaf(1.0)
    total = (Broken.apply(x) + x).sum()
    with pytest.raises(ZeroDivisionError):
        total.backward()
    assert x.grad is None
    assert (x * 2).requires_grad


def test_plus_equals_where_a_gradient_flows_makes_a_new_tensor():
    x = leaf(2.0)
    y = x * 3
    before = y
    y += x * x
    y *= 2
    y.sum().backward()
    assert x.grad.tolist() == [2 * (3 + 4)]
    assert before.tolist() == [6.0]
    total = F.zeros(1)
    total += x
    assert total.requires_grad


def test_assigning_what_requires_a_gradient_is_refused():
    with pytest.raises(RuntimeError, match=r"\[setitem\] the value requires a gradient"):
        F.zeros(2)[0] = leaf(1.0)[0]


def test_a_computed_tensor_cannot_give_up_its_gradient():
    y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match=r"use detach\(\)"):
        y.requires_grad_(False)
    x = leaf(1.0).requires_grad_(False)
    assert (x * 2).is_leaf


def test_units_are_shared_by_dtype():
    assert autograd.unit(F.ones(1)) is autograd.unit(F.zeros(2, 3))
    assert isinstance(autograd.unit(F.ones(1, dtype="float64")), Tensor)
