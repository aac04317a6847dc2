"""Chapter 5 of the book, retold: multilayer perceptrons, and what keeps them from learning too little or too much."""

import hashlib

import numpy as np
import pytest

import fastnn as torch
from fastnn import nn
from fastnn.integrations import d2l
from fastnn.integrations.d2l import kaggle

HPARAMS = {"num_hiddens_1": 256, "num_hiddens_2": 256, "dropout_1": 0.5, "dropout_2": 0.5, "lr": 0.1, "num_outputs": 10}


class Quadrants(d2l.DataModule):
    """Points in four quadrants; the class tells whether the signs of both numbers agree, which no line separates."""

    def __init__(self, batch_size=32):
        super().__init__()
        self.save_hyperparameters()
        self.X = d2l.rand(1000, 1, 1, 2) - 0.5
        self.y = d2l.astype(self.X[:, 0, 0, 0] * self.X[:, 0, 0, 1] > 0, "int64")

    def get_dataloader(self, train):
        return self.get_tensorloader((self.X, self.y), train, slice(0, 800) if train else slice(800, None))


def accuracy_of(model, epochs=20):
    """After training on the quadrants, which a linear model cannot tell apart better than 3 of 4."""
    torch.manual_seed(0)
    trainer = d2l.Trainer(max_epochs=epochs, seed=0)
    trainer.fit(model, Quadrants())
    assert trainer.execution.startswith("epoch")
    return model.board.data["val_acc"][-1].y


@pytest.mark.parametrize(
    ("name", "slope", "steepest"),
    [
        ("relu", lambda x: x > 0, 1),
        ("sigmoid", lambda x: 1 / (2 + np.exp(x) + np.exp(-x)), 1 / 4),
        ("tanh", lambda x: 1 / np.cosh(x) ** 2, 1),
    ],
)
def test_5_1_activations_and_their_slopes(name, slope, steepest, plt):
    x = torch.arange(-8.0, 8.0, 0.1, requires_grad=True)
    y = getattr(torch, name)(x)
    d2l.plot(x.detach(), y.detach(), "x", f"{name}(x)", figsize=(5, 2.5))
    y.backward(torch.ones_like(x), retain_graph=True)
    d2l.plot(x.detach(), x.grad, "x", f"grad of {name}", figsize=(5, 2.5))
    drawn = plt.gca().lines[0].get_ydata()
    # A few ULP of numbers up to 1, as docs/numerics.md has them.
    np.testing.assert_allclose(drawn, slope(np.asarray(x, np.float64)), atol=8 * 2.0**-24)
    assert drawn.max() <= steepest
    x.grad.data.zero_()
    y.backward(torch.ones_like(x))
    assert np.array_equal(x.grad, drawn)


def test_5_2_a_hidden_layer_from_scratch_tells_the_quadrants_apart():
    class MLPScratch(d2l.Classifier):
        def __init__(self, num_inputs, num_outputs, num_hiddens, lr, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.b1, self.W1 = nn.Parameter(torch.zeros(num_hiddens)), self.start(num_inputs, num_hiddens)
            self.b2, self.W2 = nn.Parameter(torch.zeros(num_outputs)), self.start(num_hiddens, num_outputs)

        def start(self, *size):
            return nn.Parameter(self.sigma * torch.randn(*size))

    def relu(X):
        return torch.max(torch.zeros_like(X), X)

    @d2l.add_to_class(MLPScratch)
    def forward(self, X):
        hidden = relu(self.b1 + d2l.matmul(d2l.reshape(X, (-1, self.num_inputs)), self.W1))
        return self.b2 + d2l.matmul(hidden, self.W2)

    assert accuracy_of(d2l.SoftmaxRegression(num_outputs=2, lr=0.1)) < 0.75
    assert accuracy_of(MLPScratch(num_inputs=2, num_outputs=2, num_hiddens=64, lr=0.5, sigma=1)) > 0.9


def test_5_2_a_hidden_layer_by_layers_does_so_too():
    class MLP(d2l.Classifier):
        def __init__(self, num_outputs, num_hiddens, lr):
            super().__init__()
            self.save_hyperparameters()
            layers = [nn.Flatten(), nn.LazyLinear(num_hiddens), nn.ReLU(), nn.LazyLinear(num_outputs)]
            self.net = nn.Sequential(*layers)

    assert accuracy_of(MLP(num_outputs=2, num_hiddens=64, lr=0.5)) > 0.9


def test_5_3_backpropagation_is_the_chain_rule_backwards():
    """The section has no cells; this is its example, one hidden layer with weight decay, in NumPy and on the tape."""
    x, y = torch.randn(4, 1), torch.tensor([[1.5]])
    W1, W2 = torch.randn(3, 4, requires_grad=True), torch.randn(1, 3, requires_grad=True)
    lambd = 0.1
    h = torch.tanh(torch.mm(W1, x))
    loss = d2l.reduce_sum((torch.mm(W2, h) - y) ** 2) / 2 + lambd * (d2l.l2_penalty(W1) + d2l.l2_penalty(W2))
    loss.backward()

    error = np.asarray(W2) @ np.asarray(h) - np.asarray(y)
    dW2 = error @ np.asarray(h).T + lambd * np.asarray(W2)
    dh = np.asarray(W2).T @ error
    dW1 = (dh * (1 - np.asarray(h) ** 2)) @ np.asarray(x).T + lambd * np.asarray(W1)
    np.testing.assert_allclose(W2.grad, dW2, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(W1.grad, dW1, rtol=1e-5, atol=1e-5)


def test_5_4_gradients_vanish_and_explode(plt):
    x = torch.arange(-8.0, 8.0, 0.1, requires_grad=True)
    y = torch.sigmoid(x)
    y.backward(torch.ones_like(x))
    d2l.plot(
        x.detach().numpy(), [y.detach().numpy(), x.grad.numpy()], legend=["sigmoid", "gradient"], figsize=(4.5, 2.5)
    )
    curves = [line.get_ydata() for line in plt.gca().lines]
    assert max(curves[1][[0, -1]]) < 1e-3 < curves[1].max() <= 0.25

    M = torch.normal(0, 1, size=(4, 4))
    for _ in range(100):
        M = torch.mm(M, torch.normal(0, 1, size=(4, 4)))
    assert torch.abs(M).max().item() > 1e6


def test_5_4_units_that_begin_equal_stay_equal():
    def equally(layer):
        if type(layer) is nn.Linear:
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)

    model = d2l.MLP(num_outputs=2, num_hiddens=8, lr=0.5)
    model.apply_init([torch.ones(1, 1, 1, 2)], equally)
    before = model.net[1].weight.tolist()
    accuracy_of(model, epochs=2)
    after = model.net[1].weight.tolist()
    assert after == [after[0]] * 8 != before


def test_5_5_stopping_early_keeps_a_model_from_learning_noise():
    """The section has no cells; fastnn has its remedy as a callback."""
    torch.manual_seed(0)
    X, y = d2l.randn(200, 20), (d2l.rand(200) > 0.5).long()
    model = d2l.MLP(num_outputs=2, num_hiddens=64, lr=0.1)
    stop = torch.callbacks.EarlyStopping("val_loss", patience=3)
    trainer = d2l.Trainer(max_epochs=100, callbacks=[stop], seed=0)
    history = trainer.fit(model, torch.ArrayData(X, y, val=0.5, batch_size=10))
    assert history.epochs < 100
    assert np.argmin(history.val_loss) == history.epochs - 4


def test_5_6_dropout_leaves_the_expectation():
    def dropout_layer(X, dropout):
        if dropout == 1:
            return torch.zeros_like(X)
        kept = (torch.rand(X.shape) > dropout).float()
        return kept * X / (1.0 - dropout)

    X = torch.arange(16, dtype=torch.float32).reshape((2, 8))
    for layer in (dropout_layer, d2l.dropout_layer):
        assert layer(X, 0).tolist() == X.tolist()
        assert layer(X, 1).tolist() == [[0] * 8] * 2
        half = np.asarray(layer(X, 0.5))
        assert np.all((half == 0) | (half == 2 * np.asarray(X)))
        many = layer(torch.ones(100000), 0.3).mean().item()
        assert abs(many - 1) < 5 * np.sqrt(0.3 / 0.7 / 100000)  # five standard deviations


def dropout_scratch():
    """The cells of 5.6."""

    class DropoutMLPScratch(d2l.Classifier):
        def __init__(self, num_outputs, num_hiddens_1, num_hiddens_2, dropout_1, dropout_2, lr):
            super().__init__()
            self.save_hyperparameters()
            self.relu = nn.ReLU()
            self.lin1, self.lin2 = nn.LazyLinear(num_hiddens_1), nn.LazyLinear(num_hiddens_2)
            self.lin3 = nn.LazyLinear(num_outputs)

        def thinned(self, X, dropout):
            return (torch.rand(X.shape) > dropout).float() * X / (1.0 - dropout) if self.training else X

        def forward(self, X):
            H1 = self.thinned(self.relu(self.lin1(X.reshape((X.shape[0], -1)))), self.dropout_1)
            return self.lin3(self.thinned(self.relu(self.lin2(H1)), self.dropout_2))

    return DropoutMLPScratch


def test_5_6_models_with_dropout_learn_and_predict_without_it():
    class DropoutMLP(d2l.Classifier):
        def __init__(self, num_outputs, num_hiddens_1, num_hiddens_2, dropout_1, dropout_2, lr):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(
                *(nn.Flatten(), nn.LazyLinear(num_hiddens_1), nn.ReLU(), nn.Dropout(dropout_1)),
                *(nn.LazyLinear(num_hiddens_2), nn.ReLU(), nn.Dropout(dropout_2), nn.LazyLinear(num_outputs)),
            )

    for kind in (dropout_scratch(), DropoutMLP):
        model = kind(num_outputs=2, num_hiddens_1=32, num_hiddens_2=32, dropout_1=0.2, dropout_2=0.2, lr=0.5)
        assert accuracy_of(model, epochs=40) > 0.9
        X = np.ones((2, 1, 1, 2), np.float32)
        assert np.array_equal(model.predict_proba(X), model.predict_proba(X))


HOUSES = 60


@pytest.fixture
def houses(tmp_path, monkeypatch):
    """Houses made up, in the place of those that are fetched: each room adds a tenth, a garden a fifth."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pooch")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Id": range(80), "Rooms": rng.integers(1, 9, 80), "Garden": rng.choice(["Yes", "No"], 80)})
    prices = np.exp(1 + 0.1 * table["Rooms"] + 0.2 * (table["Garden"] == "Yes"))
    (tmp_path / "notebook").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "notebook")
    hashes = {}
    for name, part in zip(kaggle._HOUSES, (table.assign(SalePrice=prices)[:HOUSES], table[HOUSES:]), strict=True):
        part.to_csv(tmp_path / "data" / name, index=False)
        hashes[name] = hashlib.sha1((tmp_path / "data" / name).read_bytes()).hexdigest()
    monkeypatch.setattr(kaggle, "_HOUSES", hashes)
    return pd


def test_5_7_prices_of_houses_by_an_ensemble(houses):
    pd = houses

    class KaggleHouse(d2l.DataModule):
        def __init__(self, batch_size, train=None, val=None):
            super().__init__()
            self.save_hyperparameters()
            if self.train is None:
                self.raw_train, self.raw_val = (
                    pd.read_csv(d2l.download(d2l.DATA_URL + name, self.root, sha1_hash=sha1))
                    for name, sha1 in kaggle._HOUSES.items()
                )

    @d2l.add_to_class(KaggleHouse)
    def preprocess(self):
        inputs = pd.concat((self.raw_train.drop(columns="SalePrice"), self.raw_val)).drop(columns="Id")
        rooms = inputs["Rooms"]
        inputs = pd.get_dummies(inputs.assign(Rooms=(rooms - rooms.mean()) / rooms.std()))
        self.train, self.val = inputs[:HOUSES].copy(), inputs[HOUSES:].copy()
        self.train["SalePrice"] = self.raw_train["SalePrice"]

    @d2l.add_to_class(KaggleHouse)
    def get_dataloader(self, train):
        rows = self.train if train else self.val
        if "SalePrice" not in rows:
            return None
        X, y = (
            d2l.tensor(part.values.astype(float), dtype=d2l.float32)
            for part in (rows.drop(columns="SalePrice"), rows["SalePrice"])
        )
        return self.get_tensorloader((X, d2l.reshape(d2l.log(y), (-1, 1))), train)

    def k_fold(trainer, data, k, lr):
        losses, models = [], []
        for fold in np.array_split(np.arange(HOUSES), k):
            model = d2l.LinearRegression(lr)
            model.board.yscale, model.board.display = "log", not models
            trainer.fit(model, KaggleHouse(data.batch_size, data.train.drop(index=fold), data.train.loc[fold]))
            losses.append(float(model.board.data["val_loss"][-1].y))
            models.append(model)
        return losses, models

    data = KaggleHouse(batch_size=8)
    data.preprocess()
    assert data.train.shape == (HOUSES, 4)
    trainer = d2l.Trainer(max_epochs=30, seed=0)
    losses, models = k_fold(trainer, data, k=5, lr=0.1)
    assert trainer.execution.startswith("epoch")
    rounding = 32 * 2.0**-22  # of numbers below 4: the logarithm of these prices is linear, and nothing else is left
    assert max(losses) < rounding**2

    inputs = d2l.tensor(data.val.values.astype(float), dtype=d2l.float32)
    ensemble = d2l.reduce_mean(d2l.exp(d2l.concat([model(inputs) for model in models], 1)), 1)
    submission = pd.DataFrame({"Id": data.raw_val.Id, "SalePrice": d2l.numpy(ensemble)})
    submission.to_csv("submission.csv", index=False)
    true = np.exp(1 + 0.1 * data.raw_val["Rooms"] + 0.2 * (data.raw_val["Garden"] == "Yes"))
    assert np.abs(pd.read_csv("submission.csv")["SalePrice"] / true - 1).max() < rounding


@pytest.mark.parametrize("name", ["MLPScratch", "MLP", "DropoutMLP"])
def test_perceptrons_reach_the_books_accuracy(name, monkeypatch):
    monkeypatch.setenv("FASTNN_OFFLINE", "1")
    try:
        data = d2l.FashionMNIST(batch_size=256)
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not on this machine: `fastnn data fetch fashion-mnist` gets it")
    model = {
        "MLPScratch": lambda: d2l.MLPScratch(num_inputs=784, num_outputs=10, num_hiddens=256, lr=0.1),
        "MLP": lambda: d2l.MLP(num_outputs=10, num_hiddens=256, lr=0.1),
        "DropoutMLP": lambda: d2l.DropoutMLP(**HPARAMS),
    }[name]()
    history = d2l.Trainer(max_epochs=10, seed=0).fit(model, data)
    assert 0.83 < np.mean(history.val_acc[-3:]) < 0.87
