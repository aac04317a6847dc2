"""Chapter 2 of the book, retold: what a notebook needs of tensors before anything is trained."""

import math
import random

import numpy as np
import pytest

import fastnn as torch
from fastnn.integrations import d2l


def test_2_1_tensors_are_made_indexed_joined_and_shared_with_numpy():
    x = torch.arange(6, dtype=torch.float32)
    X = x.reshape(2, 3)
    assert (X.numel(), X.shape, torch.zeros((2, 1)).shape, torch.randn(4, 5).shape) == (6, (2, 3), (2, 1), (4, 5))
    X[0, 1] = 9
    X[:, 2] = 7
    assert x.tolist() == [0, 9, 7, 3, 4, 7]  # a view
    assert (X[-1].tolist(), X[0:1].shape) == ([3, 4, 7], (1, 3))
    a, b = torch.tensor([1.0, 2]), torch.tensor([3, 3])
    assert [op.tolist() for op in (a + b, a - b, a * b, b / a, a**b)] == [[4, 5], [-2, -1], [3, 6], [3, 1.5], [1, 8]]
    assert torch.cat((X, X), dim=0).shape == (4, 3)
    assert torch.cat((X, X), dim=1).shape == (2, 6)
    assert (X == X).sum().item() == 6
    column, row = torch.arange(3).reshape((3, 1)), torch.arange(2).reshape((1, 2))
    assert (column + row).tolist() == [[0, 1], [1, 2], [2, 3]]
    Z = torch.zeros_like(X)
    place = id(Z)
    Z[:] = X + 1
    Z += X
    assert (id(Z), Z[0, 0].item()) == (place, 1)
    A = X.numpy()
    B = torch.from_numpy(A)
    B[0, 0] = 5
    assert (type(A), type(B), x[0].item()) == (np.ndarray, torch.Tensor, 5)
    one = torch.tensor([2.5])
    assert (one.item(), float(one), int(one)) == (2.5, 2.5, 2)


def test_2_2_a_table_becomes_tensors():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"Rooms": [None, 2.0, 4.0], "Roof": ["Slate", None, None], "Price": [3.0, 1.0, 2.0]})
    inputs = pd.get_dummies(table.iloc[:, :2], dummy_na=True)
    inputs = inputs.fillna(inputs.mean())
    X, y = torch.tensor(inputs.to_numpy(dtype=float)), torch.tensor(table["Price"].to_numpy(dtype=float))
    assert X.tolist() == [[3, 1, 0], [2, 0, 1], [4, 0, 1]]
    assert (y.tolist(), y.dtype) == ([3, 1, 2], "float64")


def test_2_3_sums_products_and_norms():
    A = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    assert (A.T.shape, A.clone().tolist(), (2 * A * A)[1, 2].item()) == ((3, 2), A.tolist(), 50)
    assert (A.sum(axis=0).tolist(), A.sum(axis=1).tolist(), A.sum(axis=[0, 1]).item()) == ([3, 5, 7], [3, 12], 15)
    assert A.mean().item() == (A.sum() / A.numel()).item()
    assert (A / A.sum(axis=1, keepdims=True)).sum(axis=1).tolist() == [1, 1]
    assert A.cumsum(axis=0).tolist() == [[0, 1, 2], [3, 5, 7]]
    x, B = torch.arange(3, dtype=torch.float32), torch.ones(3, 4)
    assert torch.dot(x, torch.ones(3)).item() == torch.sum(x * 1).item() == 3
    assert torch.mv(A, x).tolist() == (A @ x).tolist() == [5, 14]
    assert torch.mm(A, B).tolist() == (A @ B).tolist() == [[3] * 4, [12] * 4]
    u = torch.tensor([3.0, -4.0])
    assert (torch.norm(u).item(), torch.abs(u).sum().item(), torch.norm(torch.ones((4, 9))).item()) == (5, 7, 6)


def test_2_4_differences_come_near_the_slope(plt):
    f = lambda x: x**3 / 3  # noqa: E731
    for h in 10.0 ** np.arange(-1, -6, -1):
        assert abs((f(2 + h) - f(2)) / h - 4) <= 3 * h  # its next term is 2 h
    x = np.arange(0, 3, 0.1)
    d2l.plot(x, [f(x), 4 * x - 16 / 3], "x", "f(x)", legend=["f", "tangent"])
    curve, tangent = (line.get_ydata() for line in plt.gca().lines)
    assert np.argmin(curve - tangent) == 20
    d2l.set_figsize((4, 2))
    assert d2l.plt.rcParams["figure.figsize"] == [4, 2]


def test_2_5_gradients_of_products_of_control_flow_and_of_detached_parts():
    x = torch.arange(4.0)
    x.requires_grad_(True)
    assert x.grad is None
    (2 * torch.dot(x, x)).backward()
    assert (x.grad == 4 * x).tolist() == [True] * 4
    x.grad.zero_()
    y = x * x
    y.backward(gradient=torch.ones(len(y)))
    assert (x.grad == 2 * x).tolist() == [True] * 4
    x.grad.zero_()
    y = x * x
    u = y.detach()
    (u * x).sum().backward()
    assert (x.grad == u).tolist() == [True] * 4

    def scaled(a):
        b = a * 3
        while b.norm() < 50:
            b = b * 3
        return b if b.sum() > 0 else 10 * b

    a = torch.randn(size=(), requires_grad=True)
    d = scaled(a)
    d.backward()
    assert abs((a.grad - d / a).item()) <= abs(a.grad.item()) * 32 * 2**-24  # a product rounds in each turn


def test_2_6_frequencies_come_near_the_probability(plt):
    """The distributions of PyTorch are missing; the coins are thrown by Python."""
    random.seed(0)
    throws = torch.tensor([[random.random() < 0.5] * 2 for _ in range(10000)]).long()
    throws[:, 1] = 1 - throws[:, 0]
    counts = throws.cumsum(dim=0)
    estimates = (counts / counts.sum(dim=1, keepdims=True)).numpy()
    assert abs(estimates[-1, 0] - 0.5) < 5 * 0.5 / math.sqrt(10000)  # five standard deviations
    d2l.plt.plot(estimates[:, 0], label="heads")
    d2l.plt.legend()
    assert not hasattr(torch, "distributions")


def test_2_7_functions_tell_what_they_do():
    assert "Ones of shape" in torch.ones.__doc__
    assert {"ones", "matmul", "Tensor"} <= set(dir(torch))
