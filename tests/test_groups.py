"""fit_groups: a model for each group of rows, each with the bits of training it alone."""

import threading
from typing import Any

import numpy as np
import pytest
from interrupting import interrupted

import fastnn as fn
from fastnn import checkpoint, nn, optim
from fastnn.callbacks import EarlyStopping

RNG = np.random.default_rng(0)
SIZES = {"ash": 40, "beech": 33, "cedar": 1, "elm": 40, "fir": 64}
GROUPS = RNG.permutation(np.repeat(list(SIZES), list(SIZES.values())))
X = RNG.normal(size=(len(GROUPS), 3)).astype(np.float32)
LABELS = (X[:, 0] > X[:, 1]).astype(np.int64)
VALUES = (X @ [1.0, -2.0, 0.5] + np.char.str_len(GROUPS)).astype(np.float32)


def line() -> fn.Model:
    return fn.LinearRegression(lr=0.1)


def mlp() -> fn.Model:
    return fn.MLP(2, [8, 4], lr=0.3, dropout=0.2)


class Adam(fn.MLP):
    """First weights drawn in the order in which layers are made; nothing of it runs within a step."""

    def __init__(self) -> None:
        super().__init__(2, 6, lr=0.02)
        self.net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))

    def configure_optimizers(self) -> optim.Adam:
        return optim.Adam(self.parameters(), lr=self.lr)


class Dampened(fn.LinearRegression):
    """An optimizer that cannot be restarted."""

    def __init__(self) -> None:
        super().__init__(lr=0.05)

    def configure_optimizers(self) -> optim.SGD:
        return optim.SGD(self.parameters(), lr=self.lr, momentum=0.5, dampening=0.25)


class Own(fn.LinearRegression):
    """A model whose loss is the user's."""

    def __init__(self) -> None:
        super().__init__(lr=0.05)

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return ((y_hat - y) ** 2).mean()


MODELS: dict[str, tuple[Any, np.ndarray]] = {
    "linear": (line, VALUES),
    "several values": (lambda: fn.LinearRegression(lr=0.1, num_outputs=2), np.stack([VALUES, -VALUES], 1)),
    "mlp with dropout": (mlp, LABELS),
    "adam": (Adam, LABELS),
    "a schedule": (lambda: fn.MLP(2, 5, lr=optim.CosineScheduler(30, base_lr=0.5)), LABELS),
    "dampened": (Dampened, VALUES),
    "a loss of one's own": (Own, VALUES),
}


def weights(model: fn.Model) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def alone(factory: Any, rows: np.ndarray, y: np.ndarray, epochs: int, batch_size: int = 16) -> tuple[Any, Any]:
    fn.manual_seed(5)
    model = factory()
    history = fn.Trainer(epochs, seed=5).fit(model, fn.ArrayData(X[rows], y[rows], batch_size=batch_size))
    return model, history


# ---- bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("case", MODELS)
def test_each_model_has_the_bits_of_training_it_alone(case: str, workers: int) -> None:
    factory, y = MODELS[case]
    models = fn.fit_groups(factory, X, y, GROUPS, 9, batch_size=16, seed=5, max_workers=workers)
    assert list(models) == list(SIZES)
    for row in models.report:
        chosen = np.flatnonzero(row.group == GROUPS)
        expected, history = alone(factory, chosen, y, 9)
        assert weights(models[row.group]) == weights(expected)
        assert np.array_equal(models[row.group].predict(X), expected.predict(X))
        assert (row.rows, row.train_loss, row.error) == (len(chosen), history.train_loss[-1], None)


def test_a_callback_of_the_package_holds_for_each_group() -> None:
    stop = EarlyStopping("train_loss", patience=1)
    models = fn.fit_groups(mlp, X, LABELS, GROUPS, 40, batch_size=16, seed=5, callbacks=[stop])
    for name in models:
        fn.manual_seed(5)
        model, rows = mlp(), np.flatnonzero(name == GROUPS)
        fn.Trainer(40, seed=5, callbacks=[stop]).fit(model, fn.ArrayData(X[rows], LABELS[rows], batch_size=16))
        assert weights(models[name]) == weights(model)


def test_what_was_recorded_for_one_group_serves_the_next(recorded: list[int]) -> None:
    groups = np.repeat(np.arange(6), 24)
    models = fn.fit_groups(Adam, X[:144], LABELS[:144], groups, 8, batch_size=8, seed=5, max_workers=1)
    assert len(models) == 6
    assert len(recorded) == 2


def test_arrays_of_any_kind_are_read_as_array_data_reads_them() -> None:
    images = RNG.integers(0, 255, (60, 2, 2), dtype=np.uint8)
    groups, labels = np.arange(60) % 3, np.arange(60) % 2
    for given in (images, images.astype(np.float64), images[::-1]):
        models = fn.fit_groups(lambda: fn.MLP(2, 4, lr=0.001), given, labels, groups, 3, batch_size=8, seed=1)
        for name in models:
            fn.manual_seed(1)
            model = fn.MLP(2, 4, lr=0.001)
            data = fn.ArrayData(given[groups == name], labels[groups == name], batch_size=8)
            fn.Trainer(3, seed=1).fit(model, data)
            assert weights(models[name]) == weights(model)


def test_frames_and_text_are_taken() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"]).assign(y=VALUES, group=GROUPS)
    models = fn.fit_groups(line, frame[["a", "b", "c"]], frame["y"], frame["group"], 3, seed=5)
    expected = fn.fit_groups(line, X, VALUES, GROUPS, 3, seed=5)
    predicted = models.predict(frame[["a", "b", "c"]], frame["group"])
    assert np.array_equal(predicted, expected.predict(X, GROUPS))
    assert models.report.to_frame()["group"].tolist() == list(SIZES)


# ---- predictions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["linear", "several values", "mlp with dropout"])
def test_rows_are_predicted_by_the_models_of_their_groups(case: str) -> None:
    factory, y = MODELS[case]
    models = fn.fit_groups(factory, X, y, GROUPS, 5, seed=5)
    predicted = models.predict(X, GROUPS)
    assert predicted.shape == y.shape
    for i in range(0, len(X), 7):
        assert np.array_equal(predicted[i : i + 1], models[GROUPS[i]].predict(X[i : i + 1]))


def test_a_group_without_a_model_is_named_or_left_to_the_fallback() -> None:
    models = fn.fit_groups(line, X, VALUES, GROUPS, 3, seed=5)
    groups = GROUPS[:4].copy()
    groups[2] = "oak"
    with pytest.raises(KeyError, match=r"\[predict\] groups\[2\] = 'oak' has no model: give one as fallback"):
        models.predict(X[:4], groups)
    fallback = models["fir"]
    predicted = models.predict(X[:4], groups, fallback=fallback)
    assert predicted[2] == fallback.predict(X[2:3])[0]
    assert predicted[0] == models[GROUPS[0]].predict(X[:1])[0]


def test_an_entry_is_a_model_with_weights_of_its_own() -> None:
    models = fn.fit_groups(line, X, VALUES, GROUPS, 3, seed=5)
    before = models.predict(X, GROUPS)
    fn.Trainer(1, seed=0).fit(models["fir"], fn.ArrayData(X, VALUES))
    assert np.array_equal(models.predict(X, GROUPS), before)
    assert "oak" not in models
    with pytest.raises(KeyError, match="oak"):
        _ = models["oak"]


# ---- groups that have no model --------------------------------------------------------------------------------


def test_a_group_that_cannot_be_trained_says_why_and_the_others_are_trained() -> None:
    rows, targets = X.copy(), VALUES.astype(np.float64)
    ash, beech, elm = (np.flatnonzero(name == GROUPS)[2] for name in ("ash", "beech", "elm"))
    rows[ash, 1] = np.nan
    targets[beech], targets[elm] = np.inf, 1e300
    models = fn.fit_groups(line, rows, targets, GROUPS, 3, min_rows=2, seed=5)
    errors = {row.group: row.error for row in models.report}
    assert errors == {
        "ash": f"ValueError: [fit_groups] X[{ash}, 1] = nan is not finite: leave such rows out",
        "beech": f"ValueError: [fit_groups] y[{beech}] is no finite number, or a negative label: leave such rows out",
        "cedar": "ValueError: [fit_groups] 1 rows are fewer than min_rows = 2",
        "elm": f"ValueError: [fit_groups] y[{elm}] is no finite number, or a negative label: leave such rows out",
        "fir": None,
    }
    assert list(models) == ["fir"]
    assert weights(models["fir"]) == weights(alone(line, np.flatnonzero(GROUPS == "fir"), VALUES, 3, 64)[0])


@pytest.mark.parametrize("factory", [lambda: fn.MLP(2, 4, lr=0.1), Adam])
def test_a_group_that_fails_in_training_leaves_nothing_to_the_next(factory: Any) -> None:
    labels = LABELS.copy()
    labels[np.flatnonzero(GROUPS == "elm")[30]] = 2
    models = fn.fit_groups(factory, X, labels, GROUPS, 6, batch_size=8, seed=5, max_workers=1)
    errors = {row.group: row.error for row in models.report}
    assert "is not a class index" in str(errors.pop("elm"))
    assert set(errors.values()) == {None}
    for name in models:
        assert weights(models[name]) == weights(alone(factory, np.flatnonzero(name == GROUPS), labels, 6, 8)[0])


def test_a_loss_that_becomes_nan_is_an_error_of_its_group() -> None:
    targets = np.where(GROUPS == "fir", 3e38, VALUES)
    models = fn.fit_groups(line, X, targets, GROUPS, 8, batch_size=8, seed=5, max_workers=1)
    errors = {row.group: row.error for row in models.report}
    assert "DivergenceError: [fit] loss is NaN" in str(errors["fir"])
    for name in models:
        assert weights(models[name]) == weights(alone(line, np.flatnonzero(name == GROUPS), VALUES, 8, 8)[0])


def test_a_negative_label_concerns_its_group_alone() -> None:
    labels = LABELS.copy()
    labels[np.flatnonzero(GROUPS == "ash")[0]] = -1
    models = fn.fit_groups(mlp, X, labels, GROUPS, 2, seed=5)
    assert sorted(set(SIZES) - set(models)) == ["ash"]


def test_factories_that_give_different_models_are_an_error_of_the_groups_that_differ() -> None:
    class Wide(fn.MLP):
        def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
            return super().loss(y_hat, y)

    widths = iter([4, 4, 5, 4, 4, 4])  # one is made before any group is trained; the largest groups come first
    models = fn.fit_groups(lambda: Wide(2, next(widths), lr=0.1), X, LABELS, GROUPS, 1, max_workers=1)
    assert [row.group for row in models.report if "factory gives models with different" in str(row.error)] == ["ash"]


def test_the_random_numbers_of_the_caller_are_not_touched() -> None:
    fn.manual_seed(11)
    before = fn.random.get_state()
    fn.fit_groups(Adam, X, LABELS, GROUPS, 1, seed=5)
    assert fn.random.get_state() == before


def test_what_the_factory_raises_ends_all() -> None:
    def broken() -> fn.Model:
        raise LookupError("no such network")

    with pytest.raises(LookupError, match="no such network"):
        fn.fit_groups(broken, X, LABELS, GROUPS, 1)


# ---- the archive ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["linear", "several values", "mlp with dropout", "a schedule"])
def test_one_file_holds_all_models_and_the_report(case: str, tmp_path: Any) -> None:
    factory, y = MODELS[case]
    models = fn.fit_groups(factory, X, y, GROUPS, 2, min_rows=2, seed=5)
    models.save(tmp_path / "models.safetensors")
    loaded = fn.GroupModels.load(tmp_path / "models.safetensors")
    assert repr(loaded.report) == repr(models.report)
    assert list(loaded) == list(models)
    known = np.isin(GROUPS, list(models))
    assert np.array_equal(loaded.predict(X[known], GROUPS[known]), models.predict(X[known], GROUPS[known]))


def test_a_class_of_ones_own_is_given_when_loading(tmp_path: Any) -> None:
    models = fn.fit_groups(Adam, X, LABELS, np.arange(len(X)) % 4, 2, seed=5)
    models.save(tmp_path / "models.safetensors")
    loaded = fn.GroupModels.load(tmp_path / "models.safetensors", Adam)
    assert isinstance(loaded[3], Adam)
    assert weights(loaded[3]) == weights(models[3])


def test_a_file_that_holds_no_groups_is_refused(tmp_path: Any) -> None:
    model, path = fn.LinearRegression(lr=0.1), tmp_path / "model.safetensors"
    model.predict(X)
    model.save(path)
    with pytest.raises(ValueError, match=r"\[load\] .* holds no whole models of groups"):
        fn.GroupModels.load(path)
    fn.fit_groups(line, X, VALUES, GROUPS, 1).save(path)
    arrays, metadata = checkpoint.read(path)
    assert metadata is not None
    checkpoint.write(path, {name: values[:-1] for name, values in arrays.items()}, metadata)
    with pytest.raises(ValueError, match="weights of"):
        fn.GroupModels.load(path)


def test_without_any_model_there_is_nothing_to_save(tmp_path: Any) -> None:
    models = fn.fit_groups(line, X, VALUES, GROUPS, 1, min_rows=1000)
    assert len(models) == 0
    with pytest.raises(ValueError, match=r"\[save\] no group has a model: report says why"):
        models.save(tmp_path / "models.safetensors")


# ---- beside training ------------------------------------------------------------------------------------------


def test_ctrl_c_ends_all_groups() -> None:
    before = fn.num_threads(), threading.active_count()
    with interrupted() as begun:
        fn.fit_groups(lambda: (begun.set(), mlp())[1], X, LABELS, GROUPS, 10**6, max_workers=2)
    assert (fn.num_threads(), threading.active_count()) == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"groups": GROUPS[:-1]}, ValueError, r"groups is <U5 \(177,\): it must be \(178,\), integers or text"),
        ({"groups": np.ones(178)}, ValueError, r"groups is float64 \(178,\)"),
        ({"groups": np.array([None] * 178)}, ValueError, r"groups is object \(178,\)"),
        ({"X": X[:0], "groups": GROUPS[:0]}, ValueError, "X has no rows"),
        ({"y": VALUES[:-1]}, ValueError, "X has 178 rows but y has 177"),
        ({"y": GROUPS}, TypeError, "y has dtype <U5"),
        ({"factory": lambda: 3}, TypeError, "factory gave a int: it must give a fastnn.Model"),
        ({"max_epochs": -1}, ValueError, "max_epochs = -1"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"max_workers": 0}, ValueError, r"\[fit_groups\] max_workers = 0 must be an integer of at least 1"),
        ({"min_rows": 1.5}, ValueError, r"\[fit_groups\] min_rows = 1.5 must be an integer"),
        ({"checkpoint": "run"}, ValueError, r"\[fit_groups\] checkpoint = 'run' cannot hold"),
    ],
)
def test_arguments_that_fit_no_group_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"factory": line, "X": X, "y": VALUES, "groups": GROUPS, "max_epochs": 1, **change}
    with pytest.raises(error, match=message):
        fn.fit_groups(**arguments)
