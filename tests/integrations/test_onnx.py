"""ONNX files predict in onnxruntime what their models predict here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rounding import bounds, softmax, unit

import fastnn as fn
from fastnn import nn

onnx = pytest.importorskip("onnx")
export = pytest.importorskip("fastnn.integrations.onnx").export

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 40)
IMAGES = RNG.integers(0, 256, (40, 1, 6, 6)).astype(np.uint8)

Array = np.ndarray[Any, Any]


class Images(fn.DataModule):
    """uint8 images that batches hold as floating point in [0, 1]."""

    classes = ("shirt", "süß", '"quoted"')

    def train_dataloader(self) -> fn.DataLoader:
        return fn.DataLoader(fn.data.ArrayDataset(fn.data.Column(fn.tensor(IMAGES), divisor=255.0), LABELS), 8)


class Net(fn.Model):
    """A model of one's own around fastnn's layers."""

    def __init__(self, *layers: nn.Module, lr: float = 0.1) -> None:
        self.net, self.lr = nn.Sequential(*layers), lr

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return nn.CrossEntropyLoss()(y_hat, y) if y.ndim == 1 else nn.MSELoss()(y_hat, y)


def of_rows() -> fn.Model:
    """Layers on sequences of rows: products of three axes, and axes joined in the middle."""
    return Net(
        nn.Linear(6, 4), nn.GELU(), nn.Flatten(1, 2), nn.Linear(4, 5, bias=False), nn.Flatten(), nn.Linear(30, 3)
    )


def nested() -> fn.Model:
    inner = nn.Sequential({"squash": nn.Sigmoid(), "out": nn.LazyLinear(3, bias=False)})
    return Net(nn.Dropout(0.5), nn.LazyLinear(8), nn.Tanh(), inner, nn.Softmax(dim=1))


ROWS = {
    "values": fn.ArrayData(X, X[:, 0]),
    "columns": fn.ArrayData(X, X[:, :2]),
    "labels": fn.ArrayData(X, LABELS),
    "double": fn.ArrayData(X.astype(np.float64), LABELS, dtype="float64"),
    "sequences": fn.ArrayData(RNG.normal(size=(40, 1, 6, 6)), LABELS),
    "pixels": fn.ArrayData(IMAGES, LABELS),
    "images": Images(),
}
MODELS: dict[str, tuple[Callable[[], fn.Model], str]] = {
    "linear regression": (lambda: fn.LinearRegression(lr=0.1), "values"),
    "linear regression, two outputs": (lambda: fn.LinearRegression(lr=0.1, num_outputs=2), "columns"),
    "softmax regression": (lambda: fn.SoftmaxRegression(3, lr=0.1), "labels"),
    "softmax regression on pixels": (lambda: fn.SoftmaxRegression(3, lr=1e-6), "pixels"),
    "double": (lambda: fn.MLP(3, [8], lr=0.1, activation="tanh"), "double"),
    "images": (lambda: fn.MLP(3, [32, 16], lr=0.1), "images"),
    **{
        f"MLP, {activation}": (lambda activation=activation: fn.MLP(3, [8, 8], 0.1, 0.25, activation), "labels")
        for activation in ("relu", "sigmoid", "tanh", "gelu")
    },
    "own network": (nested, "labels"),
    "own network for values": (lambda: Net(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1)), "values"),
    "sequences": (of_rows, "sequences"),
}


def fitted(name: str) -> tuple[fn.Model, Array]:
    """A trained model, and all rows that it may predict, as the data hold them."""
    make, rows = MODELS[name]
    data, model = ROWS[rows], make()
    fn.Trainer(2, seed=0).fit(model, data)
    return model, data.train_dataloader().dataset.columns[0].data.numpy()


def session(path: Path) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_predicts_what_the_model_predicts(tmp_path: Path, name: str) -> None:
    model, rows = fitted(name)
    export(model, tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    runs = session(tmp_path / "model.onnx")
    rows = rows if rows.dtype == np.uint8 else rows.astype(next(iter(model.parameters())).dtype)
    for size in (1, 7):
        batch = rows[:size]
        results = dict(zip([output.name for output in runs.get_outputs()], runs.run(None, {"X": batch}), strict=True))
        assert len(results) == 1 + model.classifies
        exact, error = bounds(model.net, batch, model._uint8_divisor)
        prediction = model.predict(batch)
        assert (results["prediction"].shape, results["prediction"].dtype) == (prediction.shape, prediction.dtype)
        if not model.classifies:
            assert (abs(results["prediction"] - prediction) <= 2 * error.reshape(prediction.shape)).all()
            continue
        assert (np.diff(np.sort(exact))[:, -1] > 2 * error.max(1)).all()  # no rounding changes the largest
        np.testing.assert_array_equal(results["prediction"], prediction)
        _, error = softmax(exact, error, unit(model.net))
        probabilities = model.predict_proba(batch)
        assert results["probabilities"].dtype == probabilities.dtype
        assert (abs(results["probabilities"] - probabilities) <= 2 * error).all()


def test_the_bound_is_narrow_enough_to_tell_one_activation_from_another() -> None:
    model, rows = fitted("MLP, gelu")
    exact, error = bounds(model.net, rows)
    inner = nn.Sequential(*[Approximate() if isinstance(layer, nn.GELU) else layer for layer in model.net])
    assert (abs(inner(fn.tensor(rows)).numpy() - exact) > 2 * error).any()


class Approximate(nn.Module):
    """GELU by tanh, which is within 0.0005 of the one by erf."""

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return 0.5 * x * (1 + fn.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


# ---- tables ----------------------------------------------------------------------------------------------------

TABLE = {
    "far": 1e6 + RNG.normal(size=60),  # float32 has steps of 0.06 there
    "small": 1e-3 * RNG.normal(size=60),
    "same": np.full(60, 0.1),
}
TABLE |= {
    "price": 300 + 40 * (TABLE["far"] - 1e6) + 1e4 * TABLE["small"],
    "kind": np.array(["lily", "rose", "süß"] * 20),
}
COLUMNS = np.stack([TABLE["far"], TABLE["small"], TABLE["same"]], axis=1)


def of_table(target: str, make: Callable[[], fn.Model]) -> fn.Model:
    data = fn.TableData(TABLE, target, drop=[{"price": "kind", "kind": "price"}[target]])
    model = make()
    fn.Trainer(5, seed=0).fit(model, data)
    return model


@pytest.mark.parametrize("hidden", [0, 8])
def test_values_of_a_table_are_predicted_in_their_own_unit(tmp_path: Path, hidden: int) -> None:
    model = of_table("price", lambda: fn.MLPRegression(1, hidden, lr=0.1) if hidden else fn.LinearRegression(lr=0.1))
    export(model, tmp_path / "model.onnx")
    (found,) = session(tmp_path / "model.onnx").run(None, {"X": COLUMNS})
    prediction = model.predict(TABLE)
    assert (found.shape, found.dtype) == (prediction.shape, prediction.dtype) == ((60,), np.float64)
    assert model.schema is not None
    net = model.net if hidden else nn.Sequential(model.net)
    _, error = bounds(net, model.schema.standardise(COLUMNS))  # which float64 standardises to equal bits
    bound = 2 * error[:, 0] * model.schema.target_scale
    assert (abs(found - prediction) <= bound + 4 * np.finfo(np.float64).eps * abs(prediction)).all()
    assert np.ptp(prediction) > 1000 * bound.max()


def test_classes_of_a_table_are_predicted_from_its_columns(tmp_path: Path) -> None:
    model = of_table("kind", lambda: fn.MLP(3, 8, lr=0.1))
    export(model, tmp_path / "model.onnx")
    prediction, probabilities = session(tmp_path / "model.onnx").run(None, {"X": COLUMNS})
    np.testing.assert_array_equal(prediction, model.predict(TABLE))
    assert model.schema is not None
    exact, error = bounds(model.net, model.schema.standardise(COLUMNS))
    _, error = softmax(exact, error, unit(model.net))
    assert (abs(probabilities - model.predict_proba(TABLE)) <= 2 * error).all()


def test_a_file_names_the_columns_of_a_table(tmp_path: Path) -> None:
    export(of_table("kind", lambda: fn.SoftmaxRegression(3, lr=0.1)), tmp_path / "model.onnx")
    file = onnx.load(tmp_path / "model.onnx")
    assert shapes(file.graph.input) == [("X", onnx.TensorProto.DOUBLE, ["batch", 3])]
    metadata = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(metadata["features"]) == ["far", "small", "same"]
    assert json.loads(metadata["target"]) == "kind"
    assert json.loads(metadata["class_names"]) == ["lily", "rose", "süß"]


# ---- what else a file holds -----------------------------------------------------------------------------------


def shapes(values: Any) -> list[tuple[str, int, list[Any]]]:
    dims = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values]
    return [(value.name, value.type.tensor_type.elem_type, dims) for value, dims in zip(values, dims, strict=True)]


def test_a_file_tells_shapes_names_classes_and_version(tmp_path: Path) -> None:
    model, _ = fitted("images")
    export(model, tmp_path / "model.onnx")
    file = onnx.load(tmp_path / "model.onnx")
    kinds = onnx.TensorProto
    assert shapes(file.graph.input) == [("X", kinds.UINT8, ["batch", 1, 6, 6])]
    assert shapes(file.graph.output) == [
        ("prediction", kinds.INT64, ["batch"]),
        ("probabilities", kinds.FLOAT, ["batch", 3]),
    ]
    weights = {constant.name: onnx.numpy_helper.to_array(constant) for constant in file.graph.initializer}
    for name, weight in model.state_dict().items():
        np.testing.assert_array_equal(weights[name], weight)
    metadata = {entry.key: entry.value for entry in file.metadata_props}
    assert metadata["class"] == "MLP"
    assert json.loads(metadata["class_names"]) == ["shirt", "süß", '"quoted"']
    assert (file.producer_name, file.producer_version) == ("fastnn", fn.__version__)
    assert (file.ir_version, file.opset_import[0].version) == (10, 21)


def test_a_model_gives_the_same_bytes_again_and_after_a_file_of_its_own(tmp_path: Path) -> None:
    model, _ = fitted("own network")
    model.save(tmp_path / "model.safetensors")
    for name, exported in (("a", model), ("b", model), ("c", fn.load(tmp_path / "model.safetensors"))):
        export(exported, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_rows_are_flat_where_no_data_told_their_shape(tmp_path: Path) -> None:
    model = fn.MLP(3, 8, lr=0.1)
    model.predict(np.zeros((1, 2, 5), np.float32))
    export(model, tmp_path / "model.onnx")
    assert shapes(onnx.load(tmp_path / "model.onnx").graph.input) == [("X", onnx.TensorProto.FLOAT, ["batch", 10])]


# ---- what cannot be exported ----------------------------------------------------------------------------------


class Square(nn.Module):
    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return x * x


class LeakyLinear(nn.Linear):
    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return super().forward(x) * 0.5


class Residual(Net):
    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return self.net(x) + x


def of_function() -> fn.Model:
    model = Net()
    model.net = lambda x: x
    return model


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.Sequential(nn.Linear(4, 3)), TypeError, "model is a Sequential: give a fastnn.Model"),
        (Residual(nn.Linear(4, 4)), TypeError, "Residual has a forward of its own"),
        (of_function(), TypeError, "net is a function, which has no form in ONNX here"),
        (Net(nn.Linear(4, 4), nn.Sequential(Square())), TypeError, "net.1.0 is a Square, which .*: use Sequential, Dr"),
        (Net(LeakyLinear(4, 4)), TypeError, "net.0 is a LeakyLinear"),
        (
            Net(nn.LazyLinear(4)),
            ValueError,
            r"\[state_dict\] net.0.weight has no values yet: call the model on a batch",
        ),
        (Net(nn.ReLU()), ValueError, "nothing tells the shape of X"),
        (Net(nn.Linear(4, 5), nn.Linear(4, 5)), ValueError, r"net.1 takes 4 features, but rows come to it as \(5,\)"),
        (
            Net(nn.Linear(4, 5), nn.Flatten(0)),
            ValueError,
            r"net.1 is a Flatten\(start_dim=0, end_dim=-1\), which joins",
        ),
    ],
)
def test_what_onnx_cannot_hold_is_named_and_leaves_no_file(
    tmp_path: Path, model: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        export(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    model, _ = fitted("softmax regression")
    with pytest.raises(FileNotFoundError, match=r"missing/model.onnx'$"):
        export(model, tmp_path / "missing" / "model.onnx")
