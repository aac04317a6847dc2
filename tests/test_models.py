"""Models: predictions, closed form, files, and the numbers of the lecture."""

import copy
import functools
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import checkpoint, nn, optim

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(100, 4)).astype(np.float32), RNG.integers(0, 3, 100)


class Net(fn.Model):
    """A model of one's own around fastnn's layers."""

    def __init__(self, width: int, lr: float = 0.1) -> None:
        self.lr = lr
        self.net = nn.Sequential(nn.LazyLinear(width), nn.Tanh(), nn.Sequential(nn.Dropout(0.5), nn.LazyLinear(3)))

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return nn.CrossEntropyLoss()(y_hat, y)


class Residual(Net):
    """A model with a forward of its own."""

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return self.net(x) + x[:, :3]


def fitted(model: fn.Model, epochs: int = 2) -> fn.Model:
    fn.Trainer(epochs, seed=0).fit(model, fn.ArrayData(X, Y))
    return model


# ---- predictions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda: fn.SoftmaxRegression(3, lr=0.1), lambda: fn.MLP(3, [8], lr=0.1), lambda: Net(8)]
)
def test_predict_gives_the_class_of_the_largest_logit(make) -> None:
    model = fitted(make())
    classes, probabilities = model.predict(X), model.predict_proba(X)
    assert (classes.dtype, classes.shape) == (np.int64, (100,))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(classes, probabilities.argmax(1))
    np.testing.assert_array_equal(classes, model(fn.tensor(X)).numpy().argmax(1))


def test_predict_is_the_same_in_batches_of_any_size_and_for_no_rows() -> None:
    model = fitted(fn.MLP(3, 8, lr=0.1))
    expected = model.predict_proba(X)
    for size in (1, 7, 100, 1000):
        np.testing.assert_array_equal(model.predict_proba(X, batch_size=size), expected)
    assert model.predict(X[:0]).shape == (0,)
    with pytest.raises(ValueError, match="batch_size = 0"):
        model.predict(X, batch_size=0)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
def test_one_hot_targets_of_any_dtype_are_trained_on_and_validated(dtype: str) -> None:
    class OneHot(fn.DataModule):
        def get_dataloader(self, train: bool) -> fn.DataLoader:
            return self.get_tensorloader((X, np.eye(3)[Y].astype(dtype)), train)

    history = fn.Trainer(2, seed=0).fit(fn.SoftmaxRegression(3, lr=0.1), OneHot())
    assert (
        history.val_acc
        == fn.Trainer(2, seed=0).fit(fn.SoftmaxRegression(3, lr=0.1), fn.ArrayData(X, Y, (X, Y))).val_acc
    )


def test_predict_leaves_modes_gradients_and_random_numbers_alone() -> None:
    model = fitted(fn.MLP(3, 8, lr=0.1, dropout=0.5))
    model.train()
    model.net[3].eval()
    before = [module.training for module in model.modules()]
    state = fn.random.get_state()
    first = model.predict_proba(X)
    np.testing.assert_array_equal(first, model.predict_proba(X))
    assert [module.training for module in model.modules()] == before
    assert fn.random.get_state() == state
    model.zero_grad()
    model.predict(X)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_predict_takes_arrays_tensors_and_frames_of_any_number_type() -> None:
    model = fitted(fn.SoftmaxRegression(3, lr=0.1))
    expected = model.predict(X)

    class Frame:
        def to_numpy(self) -> np.ndarray:
            return X

    for rows in (X.astype(np.float64), fn.tensor(X), Frame(), X.tolist(), np.asfortranarray(X), X[::-1][::-1]):
        np.testing.assert_array_equal(model.predict(rows), expected)
    whole = np.arange(8).reshape(2, 4)
    np.testing.assert_array_equal(model.predict(whole), model.predict(whole.astype(np.float32)))
    with pytest.raises(TypeError, match=r"\[predict\] X is <U1"):
        model.predict(np.array([["a"]]))
    with pytest.raises(ValueError, match=r"\[predict\] X has shape \(4,\)"):
        model.predict(X[0])


def test_uint8_is_scaled_as_in_training_or_refused() -> None:
    images = RNG.integers(0, 256, (40, 5, 5)).astype(np.uint8)
    labels = np.arange(40) % 3
    raw = fn.MLP(3, 4, lr=0.001)
    fn.Trainer(1, seed=0).fit(raw, fn.ArrayData(images, labels))
    np.testing.assert_array_equal(raw.predict_proba(images), raw.predict_proba(images.astype(np.float32)))

    class Scaled(fn.DataModule):
        def get_dataloader(self, train: bool) -> fn.DataLoader:
            column = fn.data.Column(fn.tensor(images), divisor=255.0)
            return fn.DataLoader(fn.data.ArrayDataset(column, labels), 8)

    scaled = fn.MLP(3, 4, lr=0.1)
    fn.Trainer(1, seed=0).fit(scaled, Scaled())
    expected = scaled.predict_proba(images.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(scaled.predict_proba(images), expected)
    np.testing.assert_array_equal(scaled.predict_proba(images[:, None]), expected)
    with pytest.raises(TypeError, match=r"\[predict\] X is uint8"):
        fitted(fn.SoftmaxRegression(3, lr=0.1)).predict(np.zeros((1, 4), np.uint8))


@pytest.mark.parametrize(("y", "shape"), [(X[:, 0], (100,)), (X[:, :1], (100, 1)), (X[:, :2], (100, 2))])
def test_regression_predicts_in_the_rank_of_the_targets(tmp_path: Path, y: np.ndarray, shape: tuple[int, ...]) -> None:
    outputs = 1 if y.ndim == 1 else y.shape[1]
    for model in (fn.LinearRegression(lr=0.1, num_outputs=outputs), fn.MLPRegression(outputs, 8, lr=0.1)):
        fn.Trainer(1, seed=0).fit(model, fn.ArrayData(X, y))
        assert model.predict(X).shape == shape
        model.save(tmp_path / "model")
        assert type(fn.load(tmp_path / "model")) is type(model)
        assert fn.load(tmp_path / "model").predict(X).shape == shape
        with pytest.raises(TypeError, match=rf"\[predict_proba\] {type(model).__name__} gives values"):
            model.predict_proba(X)


def test_four_features_and_three_classes_make_twelve_weights_and_three_biases() -> None:
    assert [parameter.numel() for parameter in fitted(fn.SoftmaxRegression(3, lr=0.1)).parameters()] == [12, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fn.MLP(3, 8, lr=0.1, activation="swish"), r"\[MLP\] activation = 'swish'"),
        (lambda: fn.MLPRegression(1, 8, lr=0.1, activation="swish"), r"\[MLPRegression\] activation = 'swish'"),
        (lambda: fn.MLP(3, [8, 0], lr=0.1), "out_features = 0"),
        (lambda: fn.MLP(3, 8, lr=0.1, dropout=1.5), r"p = 1.5"),
        (lambda: fn.SoftmaxRegression(0, lr=0.1), "out_features = 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_errors(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ---- closed form ----------------------------------------------------------------------------------------------


def test_the_closed_form_is_the_least_squares_solution_and_near_the_truth() -> None:
    for seed in range(5):
        fn.manual_seed(seed)
        data = fn.SyntheticRegression(w=[2, -3.4], b=4.2)
        model = fn.LinearRegression(lr=0.03)
        w, b = model.solve(data)
        rows = np.column_stack([data.X.numpy()[:1000], np.ones(1000)]).astype(np.float64)
        expected = np.linalg.lstsq(rows, data.y.numpy()[:1000].astype(np.float64), rcond=None)[0][:, 0]
        np.testing.assert_allclose([*w[0], *b], expected, rtol=1e-6)
        assert np.abs([*(w[0] - [2, -3.4]), b[0] - 4.2]).max() < 0.005
        np.testing.assert_array_equal(model.get_w_b()[0].numpy(), w.astype(np.float32))


def test_the_closed_form_bears_large_means_and_different_units() -> None:
    truth, units, means = np.array([1.5, -2.0, 0.5]), np.array([1e6, 1.0, 1e-6]), np.array([1e9, 100.0, 0.0])
    rows = RNG.normal(size=(200, 3)) * units + means
    y = (rows - means) @ (truth / units) + 3.0
    w, b = fn.LinearRegression(lr=0.1).solve(fn.ArrayData(rows, y, dtype="float64"))
    # a mean a thousand standard deviations away costs three digits of sixteen, and the intercept carries them
    np.testing.assert_allclose(w[0] * units, truth, rtol=1e-11)
    assert b[0] == pytest.approx(3.0 - means @ (truth / units), rel=1e-11)


def test_the_closed_form_has_thirteen_digits_where_the_data_allow_them() -> None:
    rows = RNG.normal(size=(300, 5))
    w, b = fn.LinearRegression(lr=0.1).solve(fn.ArrayData(rows, rows @ np.arange(1.0, 6.0) - 7, dtype="float64"))
    np.testing.assert_allclose([*w[0], *b], [1, 2, 3, 4, 5, -7], rtol=1e-13)


def test_the_closed_form_takes_arrays_as_they_were_given() -> None:
    rows = RNG.normal(size=(300, 5)) + 1e3
    y = rows @ np.arange(1.0, 6.0) - 7
    model = fn.LinearRegression(lr=0.1)
    w, b = model.solve(fn.ArrayData(rows, y, val=0.2))
    np.testing.assert_allclose([*w[0], *b], [1, 2, 3, 4, 5, -7], rtol=1e-9)  # float32 would leave four digits
    assert model.get_w_b()[0].dtype == np.float32
    assert model.predict(rows).shape == (300,)


def test_the_closed_form_takes_batches_of_numpy_arrays() -> None:
    class Plain(fn.DataModule):
        def train_dataloader(self):
            return [(X[i : i + 40], X[i : i + 40] @ np.ones((4, 1), np.float32) - 2) for i in range(0, 100, 40)]

    w, b = fn.LinearRegression(lr=0.1).solve(Plain())
    np.testing.assert_allclose([*w[0], *b], [1, 1, 1, 1, -2], rtol=1e-6)


def test_the_closed_form_refuses_what_it_cannot_fit() -> None:
    with pytest.raises(ValueError, match=r"\[solve\] the data hold NaN"):
        fn.LinearRegression(lr=0.1).solve(fn.ArrayData(np.full((3, 1), np.nan), np.zeros(3)))
    with pytest.raises(ValueError, match=r"\[solve\] X is \(100, 4\), y \(100, 1\)"):
        fn.LinearRegression(lr=0.1, num_outputs=2).solve(fn.ArrayData(X, X[:, 0]))


# ---- files and copies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: fn.SoftmaxRegression(3, lr=0.1),
        lambda: fn.MLP(num_outputs=np.int64(3), num_hiddens=[8, 4], lr=0.1, dropout=0.25, activation="gelu"),
        lambda: fn.MLP(3, 8, 0.1),
        lambda: fn.MLP(3, np.array([4, 3]), 0.1),
        lambda: fn.MLP(3, range(3, 5), np.float32(0.1)),
    ],
)
def test_a_built_in_model_comes_back_as_it_was(tmp_path: Path, make) -> None:
    model = fitted(make())
    model.lr = 0.05
    fn.save(model, tmp_path / "model.safetensors")
    other = fn.load(tmp_path / "model.safetensors")
    assert type(other) is type(model)
    assert repr(other) == repr(model)
    assert other.lr == 0.05
    assert not other.training
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    fitted(other, epochs=1)  # it can be trained on


@pytest.mark.parametrize(
    "schedule",
    [
        optim.CosineScheduler(10, base_lr=0.2, warmup_steps=np.int64(2)),
        optim.FactorScheduler(0.9, base_lr=0.2),
        optim.MultiFactorScheduler(step=(3, 5)),
        optim.SquareRootScheduler(0.2),
    ],
)
def test_a_schedule_comes_back_with_its_model(tmp_path: Path, schedule: optim.Schedule) -> None:
    model = fitted(fn.MLP(3, 8, lr=schedule))
    model.save(tmp_path / "model")
    other = fn.load(tmp_path / "model")
    assert type(other) is fn.MLP
    assert other.lr == schedule
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    fitted(other, epochs=1)
    model.lr = 0.25
    model.save(tmp_path / "model")
    assert fn.load(tmp_path / "model").lr == 0.25


def test_another_schedule_comes_back_as_its_current_value(tmp_path: Path) -> None:
    model = fn.SoftmaxRegression(3, lr=lambda updates: 0.5 / (1 + updates))
    model.predict(X)
    model.save(tmp_path / "new")
    assert fn.load(tmp_path / "new").lr == 0.5
    fn.Trainer(2, seed=0).fit(model, fn.ArrayData(X, Y, batch_size=50))
    model.save(tmp_path / "trained")
    other = fn.load(tmp_path / "trained")
    assert (type(other), other.lr) == (fn.SoftmaxRegression, 0.5 / 4)


def test_arguments_that_no_file_can_hold_are_named(tmp_path: Path) -> None:
    class Named(Net):
        def __init__(self, width: int, lr: float = 0.1, act: nn.Module | None = None) -> None:
            super().__init__(width, lr)
            self.act = act

    fitted(Named(8, 0.5, nn.Tanh())).save(tmp_path / "model")
    with pytest.warns(UserWarning, match=r"\[load\] act, a Tanh, is not in the file: its default is used"):
        other = fn.load(tmp_path / "model", cls=Named)
    assert (other.lr, other.act) == (0.5, None)


def test_what_is_no_model_or_has_no_folder_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"\[save\] model is a dict, not a fastnn.Model"):
        fn.save({"a": fn.ones(1)}, tmp_path / "model")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"missing[/\\]+model.safetensors'$"):
        fitted(fn.MLP(3, 8, lr=0.1)).save(tmp_path / "missing" / "model.safetensors")


def test_the_weights_have_the_names_that_other_libraries_use(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    fitted(fn.MLP(3, 8, lr=0.1)).save(tmp_path / "model")
    assert sorted(load_file(tmp_path / "model")) == ["net.1.bias", "net.1.weight", "net.3.bias", "net.3.weight"]


def test_an_unknown_class_comes_back_as_a_network_that_predicts(tmp_path: Path) -> None:
    model = fitted(Net(8))
    model.save(tmp_path / "model")
    other = fn.load(tmp_path / "model")
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    with pytest.raises(TypeError, match=r"load\(path, cls=Net\)"):
        fitted(other)


def test_an_unknown_class_comes_back_whole_where_it_is_given(tmp_path: Path) -> None:
    model = fitted(Residual(8))
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"use load\(path, cls=Residual\)"):
        fn.load(tmp_path / "model")
    for cls in (Residual, functools.partial(Residual, 8, lr=0.5)):
        other = fn.load(tmp_path / "model", cls=cls)
        assert type(other) is Residual
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match=r"net\.0\.weight"):
        fn.load(tmp_path / "model", cls=lambda: Residual(9))


def test_a_model_loads_weights_of_another_library(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    weights = {"net.1.weight": X[:3].copy(), "net.1.bias": np.zeros(3, np.float32)}
    save_file(weights, tmp_path / "foreign")
    model = fn.SoftmaxRegression(3, lr=0.1).load(tmp_path / "foreign")
    np.testing.assert_array_equal(model.predict(X), (X @ X[:3].T).argmax(1))
    with pytest.raises(ValueError, match=r"\[load\] .* was not written by fastnn"):
        fn.load(tmp_path / "foreign")


def test_a_file_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    fitted(fn.MLP(3, 8, lr=0.1)).save(tmp_path / "model")
    model = fitted(fn.MLP(3, 9, lr=0.1))
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"net.1.weight is \(8, 4\), not \(9, 4\)"):
        model.load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"class": "Unknown", "net": None},
        {"arguments": {"num_outputs": 10**12, "num_hiddens": 10**12, "lr": 0.1}},
        {"arguments": {"num_outputs": 3}},
        {"arguments": [1], "builtin": True},
        {"arguments": {"num_outputs": 3, "num_hiddens": 8, "lr": {"schedule": "Unknown"}}},
        {"arguments": {"num_outputs": 3, "num_hiddens": 8, "lr": {"schedule": ["CosineScheduler"]}}},
        {"arguments": {"num_outputs": 3, "num_hiddens": 8, "lr": {"schedule": "CosineScheduler", "max_update": "x"}}},
        {"builtin": False, "net": ["Linear", {"in_features": 10**9, "out_features": 10**9}]},
        {"builtin": False, "net": ["Sequential", [["0", ["Flatten", {"start_dim": 1, "end_dim": -1, "x": 1}]]]]},
        {"builtin": False, "net": {"Sequential": []}},
    ],
)
def test_metadata_that_asks_for_something_else_is_a_value_error(tmp_path: Path, change: dict[str, object]) -> None:
    arrays, metadata = fitted(fn.MLP(3, 8, lr=0.1)).describe()
    checkpoint.write(tmp_path / "model", arrays, {**metadata, **change})
    with pytest.raises(ValueError, match="load"):
        fn.load(tmp_path / "model")


def test_a_model_without_weights_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="call the model on a batch first"):
        fn.MLP(3, 8, lr=0.1).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_predicts_the_same_and_leaves_trainer_and_data_behind(duplicate) -> None:
    model = fitted(fn.MLP(3, 8, lr=0.1))
    other = duplicate(model)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert other.trainer is None
    assert model.trainer is not None
    other.net[1].weight.data.fill_(0)
    assert np.abs(model.net[1].weight.numpy()).max() > 0


# ---- the numbers of the lecture -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("half", "bias_error", "weight_error"),
    [(True, (0.177, 0.277), (0.129, 0.278)), (False, (0.006, 0.018), (0.005, 0.020))],
)
def test_linear_regression_reaches_the_errors_of_the_book(half: bool, bias_error, weight_error) -> None:
    errors = []
    for seed in range(20):
        fn.manual_seed(seed)
        data = fn.SyntheticRegression(w=[2, -3.4], b=4.2)
        model = fn.LinearRegression(lr=0.03, half=half)
        fn.Trainer(3, seed=seed).fit(model, data)
        w, b = model.get_w_b()
        errors.append((abs(b.item() - 4.2), np.linalg.norm(w.numpy() - [2, -3.4])))
    for error, (low, high) in zip(np.transpose(errors), (bias_error, weight_error), strict=True):
        assert low < np.median(error) < high
        assert np.mean((low < error) & (error < high)) >= 0.9  # the bands hold 98% of the runs


class FewRows(fn.DataModule):
    """Two hundred features and twenty examples to train on (D2L, section 3.7)."""

    def __init__(self) -> None:
        super().__init__(batch_size=5)
        self.X = fn.randn(120, 200)
        self.y = self.X @ fn.full((200, 1), 0.01) + 0.05 + 0.01 * fn.randn(120, 1)

    def get_dataloader(self, train: bool) -> fn.DataLoader:
        return self.get_tensorloader((self.X, self.y), train, slice(0, 20) if train else slice(20, None))


class WeightDecayScratch(fn.Model):
    def __init__(self, penalty: float) -> None:
        self.lr, self.penalty = 0.01, penalty
        self.w, self.b = fn.normal(0, 0.01, (200, 1), requires_grad=True), fn.zeros(1, requires_grad=True)

    def forward(self, X: fn.Tensor) -> fn.Tensor:
        return X @ self.w + self.b

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return ((y_hat - y) ** 2 / 2).mean() + self.penalty * (self.w**2).sum() / 2


class WeightDecay(fn.LinearRegression):
    def __init__(self, decay: float) -> None:
        super().__init__(lr=0.01)
        self.decay = decay

    def configure_optimizers(self) -> fn.optim.SGD:
        groups = [{"params": self.net.weight, "weight_decay": self.decay}, {"params": self.net.bias}]
        return fn.optim.SGD(groups, lr=self.lr)

    @property
    def w(self) -> fn.Tensor:
        return self.get_w_b()[0]


@pytest.mark.parametrize(("decay", "low", "high"), [(0.0, 0.0082, 0.0126), (3.0, 0.0010, 0.0021)])
@pytest.mark.parametrize("make", [WeightDecayScratch, WeightDecay])
def test_weight_decay_shrinks_the_norm_as_in_the_book(make, decay: float, low: float, high: float) -> None:
    norms = []
    for seed in range(10):
        fn.manual_seed(seed)
        model = make(decay)
        fn.Trainer(10, seed=seed).fit(model, FewRows())
        norms.append((model.w.numpy() ** 2).sum() / 2)
    assert low < np.median(norms) < high
    assert np.mean((low < np.array(norms)) & (np.array(norms) < high)) >= 0.9


@pytest.fixture(scope="module")
def fashion_mnist() -> fn.FashionMNIST:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTNN_OFFLINE", "1")
        try:
            return fn.FashionMNIST(batch_size=256)
        except FileNotFoundError:
            pytest.skip("Fashion-MNIST is not on this machine")


@pytest.mark.parametrize(
    ("make", "accuracy", "train_loss"),
    [
        (lambda: fn.SoftmaxRegression(10, lr=0.1), (0.82, 0.85), (0.44, 0.455)),
        (lambda: fn.MLP(10, 256, lr=0.1), (0.83, 0.86), (0.36, 0.40)),
        (lambda: fn.MLP(10, [256, 256], lr=0.1, dropout=0.5), (0.83, 0.86), (0.40, 0.52)),
    ],
    ids=["softmax regression", "MLP", "dropout MLP"],
)
def test_fashion_mnist_is_learned_as_well_as_in_the_book(make, accuracy, train_loss, fashion_mnist) -> None:
    history = fn.Trainer(10, seed=0).fit(make(), fashion_mnist)
    assert accuracy[0] < np.mean(history.val_acc[-3:]) < accuracy[1]
    assert train_loss[0] < history.train_loss[-1] < train_loss[1]
