"""Facts about differentiable functions of one's own, written in NumPy."""

import numpy as np
import pytest

from fastnn import functional as F
from fastnn.autograd import Function
from fastnn.testing import check_gradients


def leaf(*values):
    return F.tensor(list(values), requires_grad=True)


class Scale(Function):
    """x * y * factor, where factor is a number."""

    @staticmethod
    def forward(ctx, x, factor, y):
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        return x * y * factor

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * y * ctx.factor, None, grad * x * ctx.factor


def test_a_function_of_ones_own_has_the_gradient_it_says():
    rng = np.random.default_rng(0)
    check_gradients(lambda x, y: Scale.apply(x, 3.0, y) * x, rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))


def test_a_function_needs_no_gradient_for_all_operands():
    x, y = leaf(2.0), F.tensor([5.0])
    Scale.apply(x, 1.0, y).sum().backward()
    assert x.grad.tolist() == [5.0]
    assert y.grad is None
    assert Scale.apply(y, 1.0, y).is_leaf


def test_a_function_may_return_its_input():
    class Identity(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad

    a, b = leaf(1.0), leaf(2.0)
    (Identity.apply(a) + b).sum().backward()
    a.grad.zero_()
    assert b.grad.tolist() == [1.0]
    assert not np.shares_memory(Identity.apply(a).numpy(), a.numpy())


def test_a_function_cannot_write_into_its_operands():
    class Overwriting(Function):
        @staticmethod
        def forward(ctx, x):
            x[...] = 0
            return x

    with pytest.raises(ValueError, match="read-only"):
        Overwriting.apply(leaf(1.0))


def test_a_function_notices_changed_operands_and_a_second_backward():
    x, y = leaf(2.0), F.tensor([5.0])
    product = Scale.apply(x, 1.0, y).sum()
    y += 1
    with pytest.raises(RuntimeError, match=r"argument 2 of Scale was changed in place"):
        product.backward()
    product = Scale.apply(x, 1.0, y)
    product.backward()
    with pytest.raises(RuntimeError, match=r"the values that Scale kept are freed"):
        product.backward()


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        (lambda g: g, r"\[Two.backward\] gave 1 gradients for 2 arguments"),
        (lambda g: (g, np.zeros(7)), r"\[Two.backward\] gradient 1 is \(7,\), the argument \(1,\)"),
    ],
)
def test_wrong_gradients_of_a_function_are_named(gradients, message):
    class Two(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, grad):
            return gradients(grad)

    with pytest.raises(ValueError, match=message):
        Two.apply(leaf(1.0), leaf(2.0)).backward()
