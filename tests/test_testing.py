"""Facts about the gradient checker: what it finds, and what it leaves as it was."""

import numpy as np
import pytest

from fastnn import functional as F
from fastnn.autograd import Function
from fastnn.testing import check_gradients


def test_check_gradients_names_the_worst_element():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            wrong = 2 * grad
            wrong[1] += 0.5
            return wrong

    with pytest.raises(AssertionError, match=r"the gradient of input 0 at \(1,\) is .*, but differences give"):
        check_gradients(Wrong.apply, np.ones(3))
    with pytest.raises(AssertionError, match="requires no gradient"):
        check_gradients(lambda x: x.detach(), np.ones(3))


def test_check_gradients_reports_a_missing_gradient():
    with pytest.raises(AssertionError, match="input 1"):
        check_gradients(lambda x, y: x + y.detach(), np.ones(2), np.ones(2))


def test_check_gradients_covers_parameters_and_puts_them_back():
    class Layer:
        def __init__(self):
            self.weight = F.tensor([[1.0, 2.0]], requires_grad=True)
            self.right = True

        def named_parameters(self):
            return [("weight", self.weight)]

        def __call__(self, x):
            return F.linear(x, self.weight if self.right else self.weight.detach() + 0.0 * self.weight)

    layer = Layer()
    check_gradients(layer, np.ones((3, 2)))
    assert (layer.weight.dtype, layer.weight.grad) == (np.float32, None)
    layer.right = False
    with pytest.raises(AssertionError, match="weight at"):
        check_gradients(layer, np.ones((3, 2)))
    assert layer.weight.dtype == np.float32


def test_check_gradients_draws_the_same_random_numbers_each_time():
    check_gradients(lambda x: F.dropout(x, 0.5), np.random.default_rng(0).normal(size=(4, 4)))
