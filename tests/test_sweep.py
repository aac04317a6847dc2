"""fit_many: models of many settings, each with the bits of training it alone."""

import threading
from typing import Any

import numpy as np
import pytest
from interrupting import interrupted

import fastnn as fn
from fastnn import nn, optim
from fastnn.callbacks import Callback, EarlyStopping
from fastnn.trainer import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64) + (X[:, 2] > 0.8)
GRID = {"num_hiddens": [4, [8, 4]], "lr": [0.05, 0.3], "dropout": [0.0, 0.4]}


def data(**options: Any) -> fn.ArrayData:
    return fn.ArrayData(X, Y, **{"val": 0.25, "batch_size": 16, **options})


def mlp(**parameters: Any) -> fn.MLP:
    return fn.MLP(3, **parameters)


class Eager(fn.MLP):
    """Adam, and first weights drawn in the order in which layers are made; its loss keeps Python in its steps."""

    def __init__(self, width: int, lr: float) -> None:
        super().__init__(3, width, lr)
        self.net = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Dropout(0.2), nn.Linear(width, 3))

    def configure_optimizers(self) -> optim.Adam:
        return optim.Adam(self.parameters(), lr=self.lr)

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return super().loss(y_hat, y) * 0.5


def weights(model: fn.Model | None) -> dict[str, bytes]:
    assert model is not None
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def alone(factory: Any, parameters: dict[str, Any], module: Any, seed: int, epochs: int) -> tuple[Any, fn.History]:
    fn.manual_seed(seed)
    model = factory(**parameters)
    history = Trainer(epochs, seed=seed).fit(model, module)
    return weights(model), history


# ---- bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize(("factory", "grid"), [(mlp, GRID), (Eager, {"width": [4, 9], "lr": [0.01, 0.1]})])
def test_each_model_has_the_bits_of_training_it_alone(factory: Any, grid: dict[str, Any], workers: int) -> None:
    sweep = fn.fit_many(factory, data(), grid, 4, seed=7, max_workers=workers)
    assert len(sweep) == np.prod([len(values) for values in grid.values()])
    for trial in sweep:
        expected, history = alone(factory, trial.parameters, data(), 7, 4)
        assert trial.error is None
        assert weights(trial.model) == expected
        assert trial.history.val_loss == history.val_loss
        assert (trial.score, trial.epochs, trial.history.seed) == (history.val_loss[-1], 4, 7)


@pytest.mark.parametrize(
    ("grid", "structures"),
    [
        ({"num_hiddens": [5], "lr": [0.1, optim.FactorScheduler(0.9), 0.3], "seed": [1, 2]}, 1),
        ({"num_hiddens": [5], "lr": [0.1, 0.2], "dropout": [0.0, 0.2]}, 2),
        ({"num_hiddens": [5], "lr": [0.1, 0.2], "dropout": [0.2], "seed": [1, 2]}, 2),
        ({"num_hiddens": [5, 6], "lr": [0.1, 0.2], "activation": ["relu", "tanh"]}, 4),
    ],
)
def test_what_was_recorded_for_one_model_serves_those_of_the_same_structure(
    grid: dict[str, Any], structures: int, recorded: list[int]
) -> None:
    module = data(val=None, batch_size=20)  # ten batches of one size, each recorded twice
    sweep = fn.fit_many(mlp, module, grid, 4, monitor="train_loss", seed=7, max_workers=1)
    assert len(recorded) == 2 * structures
    for trial in sweep:
        parameters = dict(trial.parameters)
        seed = parameters.pop("seed", 7)
        expected, history = alone(mlp, parameters, module, seed, 4)
        assert weights(trial.model) == expected
        assert trial.history.lr == history.lr


def test_no_model_is_changed_by_those_after_it() -> None:
    seen = []

    class Looks(Callback):
        def on_fit_end(self, state: fn.Trainer) -> None:
            seen.append(weights(state.model))

    sweep = fn.fit_many(mlp, data(), {"num_hiddens": [4], "lr": [0.1, 0.2, 0.3]}, 2, callbacks=[Looks()], max_workers=1)
    assert sorted(map(repr, seen)) == sorted(repr(weights(trial.model)) for trial in sweep)
    sweep = fn.fit_many(mlp, data(), {"num_hiddens": [4], "lr": [0.1, 0.2, 0.3]}, 2, max_workers=1)
    assert len({repr(weights(trial.model)) for trial in sweep}) == 3
    arrays = [value.numpy() for trial in sweep for value in trial.model.state_dict().values()]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_lazy_layers_of_all_models_have_become_linear_layers() -> None:
    sweep = fn.fit_many(mlp, data(), {"num_hiddens": [4], "lr": [0.05, 0.1, 0.3]}, max_epochs=1, seed=0, max_workers=1)
    kinds = [[type(module) for module in trial.model.modules()] for trial in sweep if trial.model]
    assert len(kinds) == 3
    assert all(nn.Linear in kind and nn.LazyLinear not in kind for kind in kinds)


def test_seed_and_batch_size_among_the_parameters_are_the_trainers_and_the_datas() -> None:
    sweep = fn.fit_many(mlp, data(), {"num_hiddens": [5], "lr": [0.1], "seed": [1, 2], "batch_size": [8, 50]}, 2)
    assert len({trial.score for trial in sweep}) == 4
    for trial in sweep:
        own = data(batch_size=trial.parameters["batch_size"])
        expected, _ = alone(mlp, {"num_hiddens": 5, "lr": 0.1}, own, trial.parameters["seed"], 2)
        assert weights(trial.model) == expected


def test_without_a_seed_manual_seed_repeats_the_sweep() -> None:
    scores = []
    for _ in range(2):
        fn.manual_seed(3)
        scores.append([trial.score for trial in fn.fit_many(mlp, data(), GRID, 1)])
    assert scores[0] == scores[1]


def test_the_random_numbers_of_the_caller_are_not_touched() -> None:
    fn.manual_seed(11)
    before = fn.random.get_state()
    fn.fit_many(mlp, data(), {"num_hiddens": [4], "lr": [0.1]}, 1, seed=5)
    assert fn.random.get_state() == before


def test_a_loader_that_the_data_give_again_and_again_is_each_models_own() -> None:
    class Kept(fn.DataModule):
        def __init__(self) -> None:
            self.loader = fn.DataLoader((X, Y), 16, shuffle=True)

        def train_dataloader(self) -> fn.DataLoader:
            return self.loader

    sweep = fn.fit_many(mlp, Kept(), GRID, 3, monitor="train_loss", seed=2, max_workers=4)
    for trial in sweep:
        assert weights(trial.model) == alone(mlp, trial.parameters, Kept(), 2, 3)[0]


def test_batches_made_in_python_give_the_bits_of_training_alone_too() -> None:
    class Lists(fn.DataModule):
        def __init__(self) -> None:
            self.batches = [(X[i : i + 30], Y[i : i + 30]) for i in range(0, 200, 30)]

        def train_dataloader(self) -> list[Any]:
            return self.batches

    grid = {"num_hiddens": [6], "lr": [0.1, 0.2, optim.FactorScheduler(0.9)], "seed": [1, 2]}
    sweep = fn.fit_many(mlp, Lists(), grid, 5, monitor="train_loss", max_workers=1)
    for trial in sweep:
        parameters = dict(trial.parameters)
        assert weights(trial.model) == alone(mlp, parameters, Lists(), parameters.pop("seed"), 5)[0]


def test_all_models_share_the_arrays() -> None:
    module, seen = data(), []

    class Looks(Callback):
        def on_fit_end(self, state: fn.Trainer) -> None:
            seen.append(state.train_dataloader.dataset.columns[0].data.numpy())

    fn.fit_many(mlp, module, GRID, 1, callbacks=[Looks()])
    assert len(seen) == 8
    assert all(np.shares_memory(array, X) for array in seen)


def test_each_model_uses_one_native_thread_and_the_number_is_put_back() -> None:
    before, seen = fn.num_threads(), []

    class Counts(Callback):
        def on_fit_start(self, state: fn.Trainer) -> None:
            seen.append(fn.num_threads())

    fn.fit_many(mlp, data(), GRID, 1, callbacks=[Counts()], max_workers=3)
    assert seen == [1] * 8
    assert fn.num_threads() == before


# ---- the table ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("monitor", "sign"), [("val_loss", 1), ("val_acc", -1), ("train_loss", 1)])
def test_the_best_score_comes_first(monitor: str, sign: int) -> None:
    sweep = fn.fit_many(mlp, data(), GRID, 3, monitor=monitor, seed=0)
    scores = [sign * trial.score for trial in sweep]
    assert scores == sorted(scores)
    assert sweep.best is sweep[0]
    assert sweep.best.score == sweep.best.history[monitor][-1]


def test_a_list_of_settings_is_tried_as_it_is() -> None:
    drawn = [{"num_hiddens": int(h), "lr": float(lr)} for h, lr in zip([3, 9], [0.2, 0.1], strict=True)]
    sweep = fn.fit_many(mlp, data(), drawn, 1, seed=0)
    assert sorted((trial.parameters for trial in sweep), key=lambda p: p["num_hiddens"]) == drawn


def test_one_that_fails_says_why_in_the_last_row_and_the_others_are_trained() -> None:
    grid = {"num_hiddens": [4], "lr": [0.1, 1e30, -1.0, 0.2], "dropout": [0.0]}
    sweep = fn.fit_many(mlp, data(), grid, 3, seed=0)
    assert [trial.error is None for trial in sweep] == [True, True, False, False]
    assert sorted(str(trial.error).partition(":")[0] for trial in sweep[2:]) == ["DivergenceError", "ValueError"]
    assert all(np.isnan(trial.score) and trial.model is None for trial in sweep[2:])
    columns = sweep.columns
    assert columns["lr"][:2] == [trial.parameters["lr"] for trial in sweep[:2]]
    assert [error is None for error in columns["error"]] == [True, True, False, False]


def test_where_all_fail_there_is_no_best() -> None:
    sweep = fn.fit_many(mlp, data(), {"num_hiddens": [4], "lr": [-1.0]}, 1)
    with pytest.raises(RuntimeError, match=r"\[fit_many\] every model failed, the first one with ValueError"):
        _ = sweep.best


def test_the_table_is_a_text_a_csv_file_and_a_frame(tmp_path: Any) -> None:
    sweep = fn.fit_many(mlp, data(), [{"num_hiddens": 4, "lr": 0.1}, {"num_hiddens": [8, 4], "lr": -1.0}], 1, seed=0)
    lines = repr(sweep).splitlines()
    assert lines[0].split() == ["num_hiddens", "lr", "score", "epochs", "seconds", "error"]
    assert len(lines) == 3
    sweep.to_csv(tmp_path / "sweep.csv")
    assert (tmp_path / "sweep.csv").read_text().splitlines()[0] == "num_hiddens,lr,score,epochs,seconds,error"
    frame = pytest.importorskip("pandas").read_csv(tmp_path / "sweep.csv")
    assert frame["score"].tolist() == pytest.approx([sweep[0].score, np.nan], nan_ok=True, abs=0)
    assert list(sweep.to_frame()["num_hiddens"]) == [4, [8, 4]]


def test_a_parameter_named_as_a_column_keeps_apart_from_it() -> None:
    def factory(epochs: int) -> fn.MLP:
        return fn.MLP(3, epochs, lr=0.1)

    columns = fn.fit_many(factory, data(), {"epochs": [5]}, 2, seed=0).columns
    assert (columns["param_epochs"], columns["epochs"]) == ([5], [2])


# ---- drawn at random ------------------------------------------------------------------------------------------


class LogUniform:
    """A distribution with the interface of scipy.stats."""

    def rvs(self, random_state: np.random.Generator) -> float:
        return float(10 ** random_state.uniform(-2, -1))


def tried(seed: int, **options: Any) -> list[dict[str, Any]]:
    sweep = fn.fit_many(mlp, data(), max_epochs=1, seed=seed, **options)
    return sorted((trial.parameters for trial in sweep), key=repr)


def test_settings_drawn_from_lists_are_different_ones() -> None:
    grid = {"num_hiddens": [4, 8], "lr": [0.1, 0.2], "dropout": [0.0, 0.1]}
    drawn = tried(0, grid=grid, samples=5)
    assert len({repr(parameters) for parameters in drawn}) == 5
    assert all(parameters[name] in values for parameters in drawn for name, values in grid.items())
    assert tried(0, grid=grid, samples=100) == tried(1, grid=grid)


def test_settings_are_drawn_from_distributions_by_the_seed() -> None:
    grid = {"lr": LogUniform(), "num_hiddens": [4, 8]}
    drawn = tried(3, grid=grid, samples=4)
    assert drawn == tried(3, grid=grid, samples=4)
    assert drawn != tried(4, grid=grid, samples=4)
    assert [list(parameters) for parameters in drawn] == [["lr", "num_hiddens"]] * 4
    assert all(0.01 <= parameters["lr"] <= 0.1 for parameters in drawn)


# ---- ending early ---------------------------------------------------------------------------------------------


def test_halving_goes_on_with_the_better_half_and_ends_with_the_bits_of_training_alone() -> None:
    grid = {"num_hiddens": [4, 8, 16], "lr": [0.01, 0.1, 0.3]}
    sweep = fn.fit_many(mlp, data(), grid, 7, halving=2, seed=1, max_workers=3)
    assert sorted((trial.epochs for trial in sweep), reverse=True) == [7] * 3 + [4] * 2 + [2] * 4
    for trial in sweep:
        expected, history = alone(mlp, trial.parameters, data(), 1, trial.epochs)
        assert weights(trial.model) == expected
        assert trial.history.val_loss == history.val_loss
    after_two = sorted(alone(mlp, trial.parameters, data(), 1, 2)[1].val_loss[-1] for trial in sweep)
    assert all(trial.history.val_loss[1] <= after_two[4] for trial in sweep if trial.epochs > 2)


def test_callbacks_hold_for_each_model() -> None:
    sweep = fn.fit_many(mlp, data(), GRID, 60, callbacks=[EarlyStopping(patience=2)], seed=1)
    assert len({trial.epochs for trial in sweep}) > 1
    assert all(trial.epochs == trial.history.epochs for trial in sweep)


def test_each_model_has_copies_of_the_callbacks() -> None:
    stopping = EarlyStopping("train_loss", patience=1, restore_best=True)
    sweep = fn.fit_many(mlp, data(), GRID, 12, callbacks=[stopping], seed=1, max_workers=4)
    assert stopping._snapshot is None
    for trial in sweep:
        fn.manual_seed(1)
        model = mlp(**trial.parameters)
        fn.Trainer(12, seed=1, callbacks=[EarlyStopping("train_loss", patience=1, restore_best=True)]).fit(
            model, data()
        )
        assert weights(trial.model) == weights(model)


@pytest.mark.filterwarnings("ignore:.* Training ends, and the model has the weights of epoch:RuntimeWarning")
def test_training_that_diverges_can_end_with_good_weights() -> None:
    values = fn.ArrayData(X, X[:, 0] - X[:, 1], batch_size=16)
    options: dict[str, Any] = {"seed": 0, "terminate_on_nan": True}
    sweep = fn.fit_many(
        fn.LinearRegression, values, {"lr": [0.1, 1.5, 0.2]}, 6, monitor="train_loss", max_workers=1, **options
    )
    assert {trial.parameters["lr"]: trial.epochs < 6 for trial in sweep} == {0.1: False, 1.5: True, 0.2: False}
    for trial in sweep:
        model = fn.LinearRegression(**trial.parameters)
        fn.Trainer(6, **options).fit(model, values)
        assert weights(trial.model) == weights(model)


def test_ctrl_c_ends_all_of_them() -> None:
    before = fn.num_threads(), threading.active_count()
    with interrupted() as begun:
        fn.fit_many(lambda lr: (begun.set(), fn.MLP(3, 64, lr))[1], data(), {"lr": [0.1] * 50}, 10**6, max_workers=3)
    assert (fn.num_threads(), threading.active_count()) == before
    assert fn.fit_many(mlp, data(), {"num_hiddens": [4], "lr": [0.1]}, 1).best.epochs == 1


# ---- refused before any is trained ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "options", "error", "message"),
    [
        ({"lr": 0.1}, {}, TypeError, r"grid\['lr'\] = 0.1 is no list of values: write \[0.1\]"),
        ({"activation": "relu"}, {}, TypeError, r"grid\['activation'\] = 'relu' is no list"),
        ([0.1], {}, TypeError, "grid has 0.1: it must be a dict of lists, or a list of dicts"),
        ([], {}, ValueError, "grid holds no settings"),
        ({"lr": []}, {}, ValueError, "grid holds no settings"),
        ({"lr": [1]}, {"max_epochs": -1}, ValueError, "max_epochs = -1"),
        ({"lr": LogUniform()}, {}, TypeError, "is no list of values: draw from it with samples="),
        ({"lr": [1]}, {"samples": 0}, ValueError, "samples = 0 must be an integer of at least 1"),
        ([{"lr": 1}], {"samples": 1}, ValueError, "samples = 1 needs a dict as grid"),
        ({"lr": LogUniform(), "dropout": []}, {"samples": 1}, ValueError, "grid holds no settings"),
        ({"lr": [1]}, {"halving": 4}, ValueError, "halving = 4 must be at most max_epochs = 3"),
        ({"lr": [1]}, {"halving": 0}, ValueError, "halving = 0"),
        ({"lr": [1]}, {"max_workers": 0}, ValueError, "max_workers = 0 must be an integer of at least 1"),
        ({"lr": [1]}, {"mode": "best"}, ValueError, "mode = 'best'"),
        ({"lr": [1]}, {"checkpoint": "run"}, ValueError, "checkpoint = 'run' cannot hold for several models"),
        ({"lr": [1]}, {"strategy": "mpi"}, ValueError, "strategy = 'mpi' cannot hold for several models"),
        ({"lr": [1]}, {"num_threads": 2}, ValueError, "num_threads = 2 cannot hold for several models"),
        ({"lr": [1]}, {"data": data(val=None)}, ValueError, "monitor = 'val_loss', but data has no validation"),
        ({"lr": [1]}, {"data": (X, Y)}, TypeError, "data is a tuple, no DataModule"),
    ],
)
def test_arguments_that_fit_no_model_are_refused(
    grid: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    def never(**parameters: Any) -> fn.Model:
        raise AssertionError("trained")

    arguments = {"data": data(), "max_epochs": 3, **options}
    with pytest.raises(error, match=message):
        fn.fit_many(never, grid=grid, **arguments)


def test_a_monitor_that_is_not_measured_is_named_in_the_row() -> None:
    sweep = fn.fit_many(mlp, data(), {"num_hiddens": [4], "lr": [0.1]}, 1, monitor="val_f1")
    assert "[fit_many] monitor = 'val_f1' was not measured: train_loss, " in str(sweep[0].error)
