"""Chapter 3 of the book, retold: linear regression, and the classes that everything later is built on.

The ranges of errors and norms hold 98% of 200 seeds of the same updates in NumPy (docs/lecture.md); the mean over some
seeds stays well inside.
"""

import math
import random

import numpy as np
import pytest

import fastnn as torch
from fastnn import nn
from fastnn.integrations import d2l

W, B = d2l.tensor([2, -3.4]), 4.2
SEEDS = range(6)


def errors(model, data, w, b):
    with torch.no_grad():
        return d2l.reduce_sum((data.w - d2l.reshape(w, data.w.shape)) ** 2).item() ** 0.5, abs(data.b - b).item()


def assert_half_loss(found):
    error_w, error_b = np.mean(found, 0)
    assert 0.129 < error_w < 0.278
    assert 0.177 < error_b < 0.277


def assert_whole_loss(found):
    error_w, error_b = np.mean(found, 0)
    assert 0.005 < error_w < 0.020
    assert 0.006 < error_b < 0.018


def test_3_1_one_addition_of_vectors_is_many_of_numbers(plt):
    n = 50
    a, b, c = d2l.ones(n), d2l.rand(n), d2l.zeros(n)
    timer = d2l.Timer()
    for i in range(n):
        c[i] = a[i] + b[i]
    assert timer.stop() > 0
    assert c.tolist() == (a + b).tolist()

    def density(x, mean, std):
        return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))

    x = np.arange(-9, 9, 0.01)
    curves = [density(x, mean, std) for mean, std in [(0, 1), (0, 2), (3, 1)]]
    d2l.plot(x, curves, xlabel="x", ylabel="p(x)", legend=["0, 1", "0, 2", "3, 1"], figsize=(4.5, 2.5))
    for line in plt.gca().lines:
        assert abs(line.get_ydata().sum() * 0.01 - 1) < 1e-4  # what lies beyond 4.5 standard deviations


def test_3_2_classes_grow_keep_their_arguments_and_draw():
    class Counter:
        def __init__(self):
            self.n = 4

    counter = Counter()

    @d2l.add_to_class(Counter)
    def twice(self):
        return 2 * self.n

    assert counter.twice() == 8

    class Settings(d2l.HyperParameters):
        def __init__(self, lr, momentum, secret):
            self.save_hyperparameters(ignore=["secret"])

    settings = Settings(lr=1, momentum=2, secret=3)
    assert (settings.lr, settings.momentum, hasattr(settings, "secret")) == (1, 2, False)

    board = d2l.ProgressBoard("x")
    for x in np.arange(0, 10, 0.1):
        board.draw(x, np.sin(x), "sin", every_n=2)
        board.draw(x, np.cos(x), "cos", every_n=10)
    assert {label: len(points) for label, points in board.data.items()} == {"sin": 50, "cos": 10}

    class Module(d2l.nn_Module, d2l.HyperParameters):
        def __init__(self, plot_train_per_epoch=2):
            super().__init__()
            self.save_hyperparameters()
            self.board = d2l.ProgressBoard()

        def plot(self, key, value, train):
            self.board.draw(0, d2l.numpy(d2l.to(value, d2l.cpu())), ("train_" if train else "val_") + key)

    module = Module()
    module.plot("loss", d2l.reduce_mean(d2l.ones(3) * 2), train=True)
    assert module.board.data == {"train_loss": [(0, 2)]}


def test_3_3_data_are_made_and_read_in_batches():
    class SyntheticRegressionData(d2l.DataModule):
        def __init__(self, w, b, noise=0.01, num_train=1000, num_val=1000, batch_size=32):
            super().__init__()
            self.save_hyperparameters()
            self.X = d2l.randn(num_train + num_val, len(w))
            self.y = d2l.matmul(self.X, d2l.reshape(w, (-1, 1))) + b + d2l.randn(num_train + num_val, 1) * noise

    data = SyntheticRegressionData(W, B)
    assert (data.X[0].shape, data.y[0].shape) == ((2,), (1,))

    @d2l.add_to_class(SyntheticRegressionData)
    def get_dataloader(self, train):
        rows = range(self.num_train) if train else range(self.num_train, len(self.X))
        left = random.sample(rows, len(rows)) if train else list(rows)
        while left:
            chosen, left = d2l.tensor(left[: self.batch_size]), left[self.batch_size :]
            yield self.X[chosen], self.y[chosen]

    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, y.shape) == ((32, 2), (32, 1))
    assert sum(len(X) for X, _ in data.val_dataloader()) == 1000

    @d2l.add_to_class(d2l.DataModule)
    def get_tensorloader(self, tensors, train, indices=slice(0, None)):
        dataset = torch.utils.data.TensorDataset(*[tensor[indices] for tensor in tensors])
        return torch.utils.data.DataLoader(dataset, self.batch_size, shuffle=train)

    @d2l.add_to_class(SyntheticRegressionData)
    def get_dataloader(self, train):  # noqa: F811  # another cell puts another in its place
        first, last = (0, self.num_train) if train else (self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, slice(first, last))

    assert len(data.train_dataloader()) == 32
    seen = np.concatenate([X.numpy() for X, _ in data.train_dataloader()])
    assert sorted(map(tuple, seen)) == sorted(map(tuple, data.X[:1000].tolist()))

    model, trainer = d2l.LinearRegression(lr=0.03), d2l.Trainer(max_epochs=3, seed=0)
    trainer.fit(model, data)
    assert trainer.execution.startswith("epoch")


def scratch():
    """The cells of 3.4: a model, its loss and its optimizer."""

    class LinearRegressionScratch(d2l.Module):
        def __init__(self, num_inputs, lr, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.b = d2l.zeros(1, requires_grad=True)
            self.w = d2l.normal(0, sigma, (num_inputs, 1), requires_grad=True)

    @d2l.add_to_class(LinearRegressionScratch)
    def forward(self, X):
        return self.b + d2l.matmul(X, self.w)

    @d2l.add_to_class(LinearRegressionScratch)
    def loss(self, y_hat, y):
        error = y_hat - y
        return d2l.reduce_mean(0.5 * error**2)

    class SGD(d2l.HyperParameters):
        def __init__(self, params, lr):
            self.save_hyperparameters()

        def zero_grad(self):
            for p in filter(lambda p: p.grad is not None, self.params):
                p.grad.zero_()

        def step(self):
            for p in self.params:
                p -= self.lr * p.grad

    @d2l.add_to_class(LinearRegressionScratch)
    def configure_optimizers(self):
        return SGD([self.w, self.b], self.lr)

    return LinearRegressionScratch


def test_3_4_linear_regression_from_scratch_comes_near_the_truth():
    found = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model, trainer = scratch()(2, lr=0.03), d2l.Trainer(max_epochs=3)
        data = d2l.SyntheticRegressionData(W, B)
        trainer.fit(model, data)
        assert trainer.execution.startswith("epoch")
        found.append(errors(model, data, model.w, model.b))
    assert_half_loss(found)


def test_3_4_an_epoch_of_ones_own_is_run_from_python():
    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return batch

    @d2l.add_to_class(d2l.Trainer)
    def learn_from(self, batch):
        loss = self.model.training_step(batch)
        self.optim.zero_grad()
        loss.backward()
        self.clip_gradients(self.gradient_clip_val, self.model)
        with torch.no_grad():
            self.optim.step()
        self.train_batch_idx += 1

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        self.model.train()
        for batch in map(self.prepare_batch, self.train_dataloader):
            self.learn_from(batch)
        self.model.eval()
        with torch.no_grad():
            for batch in map(self.prepare_batch, self.val_dataloader):
                self.model.validation_step(batch)
                self.val_batch_idx += 1

    torch.manual_seed(0)
    model, trainer = scratch()(2, lr=0.03), d2l.Trainer(max_epochs=3, gradient_clip_val=100)
    data = d2l.SyntheticRegressionData(W, B)
    trainer.fit(model, data)
    assert trainer.execution == "eager: fit_epoch is defined by the model or the trainer"
    assert (trainer.train_batch_idx, trainer.val_batch_idx) == (96, 96)
    assert {label: len(points) for label, points in model.board.data.items()} == {"train_loss": 6, "val_loss": 3}
    assert_half_loss([errors(model, data, model.w, model.b)])


def test_3_5_linear_regression_by_a_layer_comes_nearer():
    class LinearRegression(d2l.Module):
        def __init__(self, lr):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.LazyLinear(1)
            self.net.weight.data.normal_(0, 0.01)
            self.net.bias.data.fill_(0)

        def forward(self, X):
            return self.net(X)

    @d2l.add_to_class(LinearRegression)
    def loss(self, y_hat, y):
        return nn.MSELoss()(y_hat, y)

    @d2l.add_to_class(LinearRegression)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)

    @d2l.add_to_class(LinearRegression)
    def get_w_b(self):
        return self.net.weight.data, self.net.bias.data

    found = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model, trainer = LinearRegression(lr=0.03), d2l.Trainer(max_epochs=3)
        data = d2l.SyntheticRegressionData(W, B)
        trainer.fit(model, data)
        assert trainer.execution.startswith("epoch")
        found.append(errors(model, data, *model.get_w_b()))
    assert_whole_loss(found)


def test_3_6_a_richer_model_fits_its_examples_better_and_others_worse():
    """The section has no cells; this is what it tells."""
    torch.manual_seed(0)
    x = torch.rand(40, 1) * 2 - 1
    y = 1 + 2 * x - 3 * x**2 + torch.randn(40, 1) * 0.5
    losses = {}
    for degree in (1, 2, 14):
        X = d2l.concat([x**i for i in range(1, degree + 1)], 1)
        data = torch.ArrayData(X[:20], y[:20], val=(X[20:], y[20:]))
        model = d2l.LinearRegression(lr=0.1)
        model.solve(data)
        losses[degree] = [
            model.loss(model(d2l.tensor(part)), y_).item() for part, y_ in ((X[:20], y[:20]), (X[20:], y[20:]))
        ]
    training, others = zip(*losses.values(), strict=True)
    assert training[0] > training[1] > training[2]
    assert others[0] > others[1] < others[2]


def test_3_7_weights_decay_by_a_penalty():
    class Data(d2l.DataModule):
        def __init__(self, num_train, num_val, num_inputs, batch_size):
            self.save_hyperparameters()
            self.X = d2l.randn(num_train + num_val, num_inputs)
            line = d2l.reduce_sum(self.X * 0.01, 1, keepdims=True) + 0.05
            self.y = line + d2l.normal(0, 0.01, line.shape)

        def get_dataloader(self, train):
            first, last = (0, self.num_train) if train else (self.num_train, None)
            return self.get_tensorloader([self.X, self.y], train, slice(first, last))

    def l2_penalty(w):
        return 0.5 * d2l.reduce_sum(w * w)

    class WeightDecayScratch(d2l.LinearRegressionScratch):
        def __init__(self, num_inputs, lambd, lr, sigma=0.01):
            super().__init__(num_inputs, lr, sigma)
            self.save_hyperparameters()

        def loss(self, y_hat, y):
            penalty = self.lambd * l2_penalty(self.w)
            return penalty + super().loss(y_hat, y)

    trainer, norms = d2l.Trainer(max_epochs=10), {0: [], 3: []}
    for seed in SEEDS:
        torch.manual_seed(seed)
        data = Data(num_train=20, num_val=100, num_inputs=200, batch_size=5)
        for lambd, found in norms.items():
            model = WeightDecayScratch(num_inputs=200, lambd=lambd, lr=0.01)
            model.board.yscale = "log"
            trainer.fit(model, data)
            assert trainer.execution.startswith("epoch")
            found.append(float(l2_penalty(model.w)))
    assert 0.0082 < np.mean(norms[0]) < 0.0126
    assert 0.0010 < np.mean(norms[3]) < 0.0021


@pytest.mark.parametrize("groups", ["the book's", "WeightDecay"])
def test_3_7_weights_decay_by_the_optimizer(groups):
    class Own(d2l.LinearRegression):
        def __init__(self, wd, lr):
            super().__init__(lr)
            self.save_hyperparameters()
            self.wd = wd

        def configure_optimizers(self):
            weight = {"params": self.net.weight, "weight_decay": self.wd}
            return torch.optim.SGD([weight, {"params": self.net.bias}], lr=self.lr)

    norms = {0: [], 3: []}
    for seed in SEEDS:
        torch.manual_seed(seed)
        data = d2l.Data(num_train=20, num_val=100, num_inputs=200, batch_size=5)
        for wd, found in norms.items():
            model = (Own if groups == "the book's" else d2l.WeightDecay)(wd=wd, lr=0.01)
            d2l.Trainer(max_epochs=10).fit(model, data)
            found.append(float(d2l.l2_penalty(model.get_w_b()[0])))
    # 20 examples show 20 of 200 directions. Along the others each of 40 steps leaves 1 - 0.01 * 3 of the weights.
    shrunken = 0.9 * 0.97 ** (2 * 40)
    assert shrunken * np.mean(norms[0]) < np.mean(norms[3]) < (shrunken + 0.2) * np.mean(norms[0])
