"""The book's from-scratch cells (D2L 1.0.3, PyTorch tab) as they stand, with fastnn in the place of torch."""

import random

import numpy as np
import pytest

import fastnn as torch


def synthetic_data(w, b, noise=0.01, num_train=1000):
    X = torch.randn(num_train, len(w))
    y = torch.matmul(X, w.reshape((-1, 1))) + b + torch.randn(num_train, 1) * noise
    return X, y


def batches(X, y, batch_size):
    indices = list(range(len(X)))
    random.shuffle(indices)
    for i in range(0, len(indices), batch_size):
        batch_indices = torch.tensor(indices[i : i + batch_size])
        yield X[batch_indices], y[batch_indices]


class SGD:
    def __init__(self, params, lr):
        self.params, self.lr = params, lr

    def step(self):
        for param in self.params:
            param -= self.lr * param.grad

    def zero_grad(self):
        for param in self.params:
            if param.grad is not None:
                param.grad.zero_()


def fit(params, loss, data, lr, batch_size, max_epochs):
    optim = SGD(params, lr)
    for _ in range(max_epochs):
        for batch in batches(*data, batch_size):
            l = loss(*batch)  # noqa: E741
            optim.zero_grad()
            with torch.no_grad():
                l.backward()
                optim.step()


def test_linear_regression_reaches_the_books_errors():
    """The ranges hold 98% of the seeds; the mean over some stays well inside."""
    errors = []
    for seed in range(6):
        torch.manual_seed(seed)
        random.seed(seed)
        data = synthetic_data(torch.tensor([2, -3.4]), 4.2)
        w = torch.normal(0, 0.01, (2, 1), requires_grad=True)
        b = torch.zeros(1, requires_grad=True)

        def loss(X, y, w=w, b=b):
            y_hat = torch.matmul(X, w) + b
            l = (y_hat - y) ** 2 / 2  # noqa: E741
            return l.mean()

        fit([w, b], loss, data, lr=0.03, batch_size=32, max_epochs=3)
        with torch.no_grad():
            error_w = torch.tensor([2, -3.4]) - w.reshape(torch.tensor([2, -3.4]).shape)
            errors.append([abs((4.2 - b).item()), float((error_w**2).sum().sqrt())])
    error_b, error_w = np.mean(errors, 0)
    assert 0.177 < error_b < 0.277
    assert 0.129 < error_w < 0.278


@pytest.mark.parametrize(("lambd", "low", "high"), [(0, 0.0082, 0.0126), (3, 0.0010, 0.0021)])
def test_weight_decay_reaches_the_books_norms(lambd, low, high):
    def l2_penalty(w):
        return (w**2).sum() / 2

    norms = []
    for seed in range(6):
        torch.manual_seed(seed)
        random.seed(seed)
        X = torch.randn(20, 200)
        y = torch.matmul(X, torch.ones((200, 1)) * 0.01) + 0.05 + torch.randn(20, 1) * 0.01
        w = torch.normal(0, 0.01, (200, 1), requires_grad=True)
        b = torch.zeros(1, requires_grad=True)

        def loss(X, y, w=w, b=b):
            l = (torch.matmul(X, w) + b - y) ** 2 / 2  # noqa: E741
            return l.mean() + lambd * l2_penalty(w)

        fit([w, b], loss, (X, y), lr=0.01, batch_size=5, max_epochs=10)
        norms.append(float(l2_penalty(w)))
    assert low < np.mean(norms) < high


def softmax(X):
    X_exp = torch.exp(X)
    partition = X_exp.sum(1, keepdims=True)
    return X_exp / partition


def cross_entropy(y_hat, y):
    return -torch.log(y_hat[list(range(len(y_hat))), y]).mean()


def accuracy(Y_hat, Y, averaged=True):
    Y_hat = Y_hat.reshape((-1, Y_hat.shape[-1]))
    preds = Y_hat.argmax(axis=1).type(Y.dtype)
    compare = (preds == Y.reshape(-1)).type(torch.float32)
    return compare.mean() if averaged else compare


def relu(X):
    a = torch.zeros_like(X)
    return torch.max(X, a)


def dropout_layer(X, dropout):
    assert 0 <= dropout <= 1
    if dropout == 1:
        return torch.zeros_like(X)
    mask = (torch.rand(X.shape) > dropout).float()
    return mask * X / (1.0 - dropout)


def test_softmax_rows_sum_to_one():
    X = torch.rand((2, 5))
    X_prob = softmax(X)
    # Five terms that each round once, and a sum that rounds four times.
    assert abs(np.asarray(X_prob.sum(1)) - 1).max() <= 9 * 2.0**-24


def test_cross_entropy_of_the_book():
    y = torch.tensor([0, 2])
    y_hat = torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
    assert y_hat[[0, 1], y].tolist() == [np.float32(0.1), np.float32(0.5)]
    assert round(cross_entropy(y_hat, y).item(), 4) == 1.4979


def test_dropout_layer():
    X = torch.arange(16, dtype=torch.float32).reshape((2, 8))
    assert dropout_layer(X, 0).tolist() == X.tolist()
    half = np.asarray(dropout_layer(X, 0.5))
    assert np.all((half == 0) | (half == 2 * np.asarray(X)))
    assert dropout_layer(X, 1).tolist() == [[0.0] * 8] * 2


def test_mlp_learns_what_no_linear_model_can():
    torch.manual_seed(0)
    random.seed(0)
    X = torch.rand(512, 1, 1, 2) - 0.5
    y = (X.reshape(-1, 2)[:, 0] * X.reshape(-1, 2)[:, 1] > 0).type(torch.int64)
    W1 = torch.normal(0, 1, (2, 32), requires_grad=True)
    b1 = torch.zeros(32, requires_grad=True)
    W2 = torch.normal(0, 0.1, (32, 2), requires_grad=True)
    b2 = torch.zeros(2, requires_grad=True)

    def forward(X, dropout=0.0):
        X = X.reshape((-1, 2))
        H = relu(torch.matmul(X, W1) + b1)
        if dropout:
            H = dropout_layer(H, dropout)
        return softmax(torch.matmul(H, W2) + b2)

    before = accuracy(forward(X), y).item()
    fit([W1, b1, W2, b2], lambda X, y: cross_entropy(forward(X, 0.1), y), (X, y), 0.5, 32, 40)
    assert before < 0.75
    assert accuracy(forward(X), y).item() > 0.9
    assert accuracy(forward(X), y, averaged=False).shape == (512,)


def test_automatic_differentiation_chapter():
    x = torch.arange(4.0, requires_grad=True)
    y = 2 * torch.matmul(x, x)
    y.backward()
    assert (x.grad == 4 * x).tolist() == [True] * 4
    x.grad.zero_()
    y = x * x
    y.backward(gradient=torch.ones(len(y)))
    assert (x.grad == 2 * x).tolist() == [True] * 4
    x.grad.zero_()
    y = x * x
    u = y.detach()
    z = u * x
    z.sum().backward()
    assert (x.grad == u).tolist() == [True] * 4

    def f(a):
        b = a * 2
        while (b * b).sum() < 1e6:
            b = b * 2
        return b if b.sum() > 0 else 100 * b

    a = torch.randn((), requires_grad=True)
    d = f(a)
    d.backward()
    assert a.grad.item() == (d / a).item()
