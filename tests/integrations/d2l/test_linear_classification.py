"""Chapter 4 of the book, retold: softmax regression on pictures of clothes.

Fashion-MNIST is a small one that is always there; where the whole is on this machine, its accuracies are those that the
book reports.
"""

import math

import numpy as np
import pytest
import tiny_fashion_mnist

import fastnn as torch
from fastnn import nn
from fastnn.integrations import d2l
from fastnn.nn import functional as F

BY_CHANCE = 0.1 + 5 * math.sqrt(0.1 * 0.9 / tiny_fashion_mnist.NUM_VAL)  # five standard deviations beyond guessing


@pytest.fixture
def clothes(tmp_path, monkeypatch):
    """Fewer of them, beside the folder of the notebook."""
    (tmp_path / "notebook").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "notebook")
    tiny_fashion_mnist.install(tmp_path / "data", monkeypatch).rename(tmp_path / "data" / "fashion-mnist")


def test_4_1_softmax_regression_has_a_weight_for_each_feature_and_class():
    """The section has no cells; these are its numbers."""
    net = nn.Linear(4, 3)
    assert (net.weight.numel(), net.bias.numel()) == (12, 3)
    logits = torch.randn(5, 4) @ net.weight.T + net.bias
    probabilities = d2l.softmax(logits)
    assert (d2l.argmax(probabilities, axis=1) == d2l.argmax(logits, axis=1)).tolist() == [True] * 5
    y = torch.tensor([[0.0, 1.0, 0.0]])
    o = torch.tensor([[1.0, 2.0, 0.5]], requires_grad=True)
    F.cross_entropy(o, y).backward()
    # softmax minus the label; a few roundings of numbers below 1
    assert np.abs(np.asarray(o.grad - (d2l.softmax(o.detach()) - y))).max() <= 8 * 2.0**-24


@pytest.mark.usefixtures("clothes")
def test_4_2_pictures_come_in_batches_at_any_size(plt):
    """The cell that defines the class takes the pictures from torchvision; here the class is there already."""
    d2l.use_svg_display()
    data = d2l.FashionMNIST(resize=(32, 32))
    assert (len(data.train), len(data.val)) == (tiny_fashion_mnist.NUM_TRAIN, tiny_fashion_mnist.NUM_VAL)
    assert data.train[0][0].shape == (1, 32, 32)

    @d2l.add_to_class(d2l.FashionMNIST)
    def get_dataloader(self, train):
        part = self.train if train else self.val
        return torch.utils.data.DataLoader(part, self.batch_size, shuffle=train, num_workers=self.num_workers)

    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((64, 1, 32, 32), torch.float32, (64,), torch.int64)
    timer = d2l.Timer()
    assert sum(len(y) for _, y in data.train_dataloader()) == tiny_fashion_mnist.NUM_TRAIN
    assert timer.stop() > 0

    data.visualize(next(iter(data.val_dataloader())))
    shown = [cell for cell in plt.gcf().axes if cell.images]
    assert [cell.get_title() for cell in shown[:3]] == data.text_labels([0, 1, 2]) == ["t-shirt", "trouser", "pullover"]
    assert len(shown) == 8


def test_4_3_a_classifier_measures_its_accuracy():
    @d2l.add_to_class(d2l.Module)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    @d2l.add_to_class(d2l.Classifier)
    def accuracy(self, Y_hat, Y, averaged=True):
        guesses = d2l.astype(d2l.argmax(d2l.reshape(Y_hat, (-1, Y_hat.shape[-1])), axis=1), Y.dtype)
        right = d2l.astype(guesses == d2l.reshape(Y, -1), d2l.float32)
        return d2l.reduce_mean(right) if averaged else right

    @d2l.add_to_class(d2l.Classifier)
    def validation_step(self, batch):
        *inputs, Y = batch
        Y_hat = self(*inputs)
        for key, value in (("loss", self.loss(Y_hat, Y)), ("acc", self.accuracy(Y_hat, Y))):
            self.plot(key, value, train=False)

    X = d2l.randn(300, 2)
    y = d2l.astype(X[:, 0] > X[:, 1], "int64")
    model, trainer = d2l.SoftmaxRegression(num_outputs=2, lr=0.5), d2l.Trainer(max_epochs=5)
    trainer.fit(model, torch.ArrayData(X, y, val=0.3))
    assert trainer.execution.startswith("epoch")
    assert model.board.data["val_acc"][-1].y > 0.9
    assert model.accuracy(model(X), y, averaged=False).shape == (300,)


def scratch():
    """The cells of 4.4."""

    def softmax(X):
        raised = d2l.exp(X)
        return raised / d2l.reduce_sum(raised, 1, keepdims=True)

    def cross_entropy(y_hat, y):
        chosen = y_hat[list(range(len(y_hat))), y]
        return d2l.reduce_mean(-d2l.log(chosen))

    class SoftmaxRegressionScratch(d2l.Classifier):
        def __init__(self, num_inputs, num_outputs, lr, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.b = torch.zeros(num_outputs, requires_grad=True)
            self.W = torch.normal(0, sigma, size=(num_inputs, num_outputs), requires_grad=True)

        def parameters(self):
            return [self.b, self.W]

    @d2l.add_to_class(SoftmaxRegressionScratch)
    def forward(self, X):
        rows = d2l.reshape(X, (-1, len(self.W)))
        return softmax(self.b + d2l.matmul(rows, self.W))

    @d2l.add_to_class(SoftmaxRegressionScratch)
    def loss(self, y_hat, y):
        return cross_entropy(y_hat, y)

    return softmax, cross_entropy, SoftmaxRegressionScratch


def test_4_4_softmax_and_cross_entropy():
    softmax, cross_entropy, _ = scratch()
    X = d2l.rand((2, 5))
    assert d2l.reduce_sum(X, 0, keepdims=True).shape == (1, 5)
    assert abs(np.asarray(d2l.reduce_sum(softmax(X), 1)) - 1).max() <= 9 * 2.0**-24  # five terms, four sums
    y, y_hat = d2l.tensor([0, 2]), d2l.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
    assert y_hat[[0, 1], y].tolist() == [np.float32(0.1), np.float32(0.5)]
    assert round(cross_entropy(y_hat, y).item(), 4) == round(d2l.cross_entropy(y_hat, y).item(), 4) == 1.4979


@pytest.mark.usefixtures("clothes")
def test_4_4_softmax_regression_from_scratch_learns_and_shows_what_it_gets_wrong(plt):
    data = d2l.FashionMNIST(batch_size=20)
    model = scratch()[-1](num_inputs=784, num_outputs=10, lr=0.1)
    trainer = d2l.Trainer(max_epochs=3, seed=0)
    trainer.fit(model, data)
    assert trainer.execution.startswith("epoch")
    assert model.board.data["val_acc"][-1].y > BY_CHANCE

    X, y = next(iter(data.val_dataloader()))
    preds = d2l.argmax(model(X), axis=1)
    y = torch.where(torch.arange(len(y)) < 2, 9 - y, y)  # two labels that are none of these pictures
    wrong = d2l.astype(preds, y.dtype) != y
    X, y, preds = X[wrong], y[wrong], preds[wrong]
    assert len(X) >= 2
    labels = [f"{right}\n{guess}" for right, guess in zip(data.text_labels(y), data.text_labels(preds), strict=True)]
    data.visualize([X, y], labels=labels)
    assert [cell.get_title() for cell in plt.gcf().axes[:2]] == labels[:2]


@pytest.mark.usefixtures("clothes")
def test_4_5_softmax_regression_by_a_layer_learns():
    class SoftmaxRegression(d2l.Classifier):
        def __init__(self, num_outputs, lr):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))

        def forward(self, X):
            return self.net(X)

    @d2l.add_to_class(d2l.Classifier)
    def loss(self, Y_hat, Y, averaged=True):
        logits, labels = d2l.reshape(Y_hat, (-1, Y_hat.shape[-1])), d2l.reshape(Y, (-1,))
        return F.cross_entropy(logits, labels, reduction="mean" if averaged else "none")

    model, trainer = SoftmaxRegression(num_outputs=10, lr=0.1), d2l.Trainer(max_epochs=3, seed=0)
    trainer.fit(model, d2l.FashionMNIST(batch_size=20))
    assert trainer.execution.startswith("epoch")
    assert model.board.data["val_acc"][-1].y > BY_CHANCE


def test_4_6_an_accuracy_is_as_sure_as_its_examples_are_many():
    """The section has no cells; this is its rule of thumb."""
    model, n = d2l.SoftmaxRegression(num_outputs=2, lr=0.1), 400
    measured = [model.accuracy(d2l.randn(n, 2), d2l.zeros(n, dtype="int64")).item() for _ in range(200)]
    # A spread of 200 numbers is itself known to 1 / sqrt(400) of it.
    assert abs(np.std(measured) / (0.5 / math.sqrt(n)) - 1) < 5 / math.sqrt(400)


def test_4_7_other_shares_of_the_labels_are_found_by_what_is_confused():
    """The section has no cells; this is its remedy where the shares of the classes have changed, and nothing else."""

    def examples(shares):
        y = torch.tensor(np.repeat(np.arange(3), shares))
        return F.one_hot(y, 3) * 2 + d2l.randn(len(y), 3), y

    model = d2l.SoftmaxRegression(num_outputs=3, lr=0.1)
    d2l.Trainer(max_epochs=5, seed=0).fit(model, torch.ArrayData(*examples([1000] * 3)))
    X, y = examples([1000] * 3)
    guesses = F.one_hot(d2l.argmax(model(X), axis=1), 3)
    confusion = np.stack([np.asarray(d2l.reduce_mean(guesses[y == label], 0)) for label in range(3)], axis=1)
    X, _ = examples([2100, 600, 300])
    seen = np.asarray(d2l.reduce_mean(F.one_hot(d2l.argmax(model(X), axis=1), 3), 0))
    corrected = np.linalg.solve(confusion, seen)
    true = np.array([0.7, 0.2, 0.1])
    assert abs(corrected - true).max() < abs(seen - true).max() / 2


@pytest.mark.parametrize("concise", [False, True])
def test_softmax_regression_reaches_the_books_accuracy(concise, monkeypatch):
    monkeypatch.setenv("FASTNN_OFFLINE", "1")
    try:
        data = d2l.FashionMNIST(batch_size=256)
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not on this machine: `fastnn data fetch fashion-mnist` gets it")
    model = d2l.SoftmaxRegression(10, lr=0.1) if concise else scratch()[-1](num_inputs=784, num_outputs=10, lr=0.1)
    history = d2l.Trainer(max_epochs=10, seed=0).fit(model, data)
    assert 0.82 < np.mean(history.val_acc[-3:]) < 0.85
