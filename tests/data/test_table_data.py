"""TableData and its schema: what is inferred, set aside and scaled, and what a model knows of it afterwards."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn.data import Schema, TableData, read_table

RNG = np.random.default_rng(0)
N = 60
A, B = RNG.normal(1e6, 10.0, N), RNG.integers(0, 9, N)
KINDS = np.array(["dog", "cat", "ant"])[(A > 1e6).astype(int) + (B > 4)]
PRICE = 3e5 + 100 * (A - 1e6) + RNG.normal(size=N)
TABLE = {"a": A, "b": B, "kind": KINDS}
HOMES = {"a": A, "b": B, "price": PRICE}


def arrays(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    return tuple(column.data.numpy()[dataset.rows] for column in dataset.columns)


# ---- classes or values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (KINDS, ("ant", "cat", "dog")),
        (B % 3 == 0, ("False", "True")),
        (B % 3 * 5 + 5, ("5", "10", "15")),
        (np.arange(N) % 20, tuple(map(str, range(20)))),
        (np.arange(N) % 21, None),
        (B.astype(float), None),
    ],
    ids=["text", "bools", "few whole numbers", "20 whole numbers", "21 whole numbers", "floats"],
)
def test_the_target_tells_whether_it_has_classes(target: np.ndarray, classes: tuple[str, ...] | None) -> None:
    assert TableData({"a": A, "y": target}, "y").classes == classes


def test_the_task_can_be_said() -> None:
    classes = tuple(map(str, np.unique(B)))
    for labels in (B, B.astype(float)):
        assert TableData({"a": A, "y": labels}, "y", task="classification").classes == classes
    assert TableData({"a": A, "y": B}, "y", task="regression").classes is None
    with pytest.raises(ValueError, match=r"\[TableData\] y has the value 0\.5, which is no class"):
        TableData({"a": A, "y": B / 2}, "y", task="classification")
    with pytest.raises(ValueError, match=r"\[read_table\] the dict, row 1: y = 'dog' is no finite number"):
        TableData({"a": A, "y": np.sort(KINDS)[::-1]}, "y", task="regression")
    with pytest.raises(ValueError, match=r"\[TableData\] task = 'ranking' must be 'classification' or 'regression'"):
        TableData(TABLE, "kind", task="ranking")


# ---- rows and scaling -----------------------------------------------------------------------------------------


def test_scaling_is_that_of_the_training_rows_alone() -> None:
    data = TableData(HOMES, "price", val=0.25, seed=1)
    X, y = arrays(data.train)
    assert (len(data.train), len(data.val)) == (45, 15)
    for numbers in (X, y):  # 45 numbers of at most about 3, in float32
        np.testing.assert_allclose(numbers.mean(0), 0, atol=45 * 3 * 2**-24)
        np.testing.assert_allclose(numbers.std(0), 1, rtol=45 * 2**-24)
    raw = data.X[data.train.rows]
    np.testing.assert_allclose(data.schema.mean, raw.mean(0), rtol=1e-15)
    np.testing.assert_allclose(data.schema.scale, raw.std(0), rtol=1e-12)
    np.testing.assert_allclose(data.schema.target_mean, PRICE[data.train.rows].mean(), rtol=1e-15)
    assert not np.isclose(arrays(data.val)[0].mean(), 0, atol=1e-3)


def test_a_column_that_does_not_vary_becomes_0() -> None:
    data = TableData({**TABLE, "same": np.full(N, 0.1)}, "kind")
    assert (arrays(data.train)[0][:, 2] == 0).all()
    assert data.schema.inputs({"a": [1e6], "b": [1], "same": [0.1]})[0, 2] == 0


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_columns_of_any_unit_are_scaled(unit: float) -> None:
    X, _ = arrays(TableData({"a": B * unit, "y": KINDS}, "y").train)
    assert X.std() == pytest.approx(1, rel=1e-6)


def test_columns_that_cannot_be_scaled_are_errors() -> None:
    with pytest.raises(ValueError, match=r"\[TableData\] a has numbers too large to be standardised"):
        TableData({"a": np.where(A > 1e6, 1.5e308, -1.5e308), "y": KINDS}, "y")


def test_rows_are_set_aside_by_the_seed_with_equal_shares_of_classes() -> None:
    first, same, other = (TableData(TABLE, "kind", val=0.2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.val.rows, same.val.rows)
    assert first.val.rows.tolist() != other.val.rows.tolist()
    assert sorted([*first.train.rows, *first.val.rows]) == list(range(N))
    shares = np.bincount(arrays(first.val)[1]) / np.unique(KINDS, return_counts=True)[1]
    assert (np.abs(shares - 0.2) < 0.1).all()
    assert TableData(TABLE, "kind", val=None).val_dataloader() is None


# ---- what it refuses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (TABLE, {"target": "species"}, "the dict has no column 'species': it has a, b, kind"),
        (TABLE, {"target": "kind", "drop": ["id"]}, "the dict has no column 'id'"),
        (TABLE, {"target": "kind", "drop": ["a", "b"]}, "the dict has no column to predict kind from"),
        ({"a": A, "y": ["x"] * N}, {"target": "y"}, "y = x in every row: two classes or values are needed"),
        ({"a": A, "y": [0.5] * N}, {"target": "y"}, "y = 0.5 in every row"),
        ({"a": [1, 2], "y": ["x", "y"]}, {"target": "y"}, "2 rows are too few: 1 to validate on leave 1 of 2 to train"),
        (
            {"a": [1, 2, 3], "y": ["x", "y", "z"]},
            {"target": "y"},
            "class '.' has no row to train on: give more of them, or leave it out",
        ),
        (TABLE, {"target": "kind", "val": 1.5}, "val = 1.5 must be a fraction"),
        (TABLE, {"target": "kind", "seed": -1}, "seed = -1"),
    ],
)
def test_what_cannot_be_trained_on_is_an_error(table, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[TableData\] {message}"):
        TableData(table, **options)


def test_text_in_an_input_is_an_error_until_the_column_is_dropped() -> None:
    table = {**TABLE, "name": KINDS}
    with pytest.raises(ValueError, match=r"row 1: name = '...' is no finite number: .* leave it out \(drop\)"):
        TableData(table, "kind")
    assert TableData(table, "kind", drop=["name"]).schema.dropped == ("name",)


# ---- models ---------------------------------------------------------------------------------------------------


def test_a_model_predicts_from_tables_arrays_and_files_alike(tmp_path: Path) -> None:
    data = TableData(TABLE, "kind", drop=["b"])
    model = fn.MLP(3, 8, lr=0.1)
    trainer = fn.Trainer(5, seed=0)
    trainer.fit(model, data)
    assert trainer.execution.startswith("epoch: steps run natively")
    expected = model.predict(A[:, None])
    np.savez(tmp_path / "rows.npz", **TABLE)
    for rows in (
        {"a": A},
        TABLE,
        {"kind": KINDS, "b": B, "a": A},
        read_table(TABLE),
        tmp_path / "rows.npz",
        fn.tensor(A[:, None]),
    ):
        np.testing.assert_array_equal(model.predict(rows), expected)
    assert set(data.text_labels(expected)) <= {"ant", "cat", "dog"}
    with pytest.raises(ValueError, match=r"\[text_labels\] indices\[0\] = 3 is not a class index"):
        data.text_labels([3])


def test_a_model_comes_back_from_a_file_with_all_it_knows(tmp_path: Path) -> None:
    for table, target, model in (
        (TABLE, "kind", fn.MLP(3, 8, lr=0.1)),
        (HOMES, "price", fn.MLPRegression(1, 8, lr=0.01)),
    ):
        data = TableData(table, target)
        fn.Trainer(3, seed=0, checkpoint=tmp_path / "run").fit(model, data)
        model.save(tmp_path / "model")
        for name in ("model", "run"):
            other = fn.load(tmp_path / name)
            assert (other.schema, other.class_names) == (model.schema, model.class_names)
            assert other.schema == data.schema
            np.testing.assert_array_equal(other.predict(table), model.predict(table))


def test_values_are_in_their_own_units_and_the_closed_form_finds_them() -> None:
    data = TableData(HOMES, "price")
    model = fn.LinearRegression(lr=0.01)
    model.solve(data)
    predicted = model.predict(HOMES)
    assert (predicted.dtype, predicted.shape) == (np.float64, (N,))
    assert np.abs(predicted - PRICE).max() < 5  # the noise has standard deviation 1; the price varies by 1000
    scores = model.evaluate(HOMES, PRICE)
    assert scores["mse"] == pytest.approx(np.mean((predicted - PRICE) ** 2))
    assert scores["r2"] == pytest.approx(1 - scores["mse"] / PRICE.var())


def test_the_loss_on_validation_rows_is_that_of_training() -> None:
    data = TableData(TABLE, "kind", seed=3)
    model = fn.SoftmaxRegression(3, lr=0.1)
    history = fn.Trainer(3, seed=3).fit(model, data)
    rows = data.val.rows
    scores = model.evaluate(data.X[rows], data.y[rows])
    assert scores == pytest.approx({"loss": history.val_loss[-1], "accuracy": history.val_acc[-1]}, rel=1e-6)
    assert scores["accuracy"] == np.mean(data.text_labels(model.predict(data.X[rows])) == data.y[rows])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": A}, r"\[predict\] the dict lacks the column b, which the model was trained on; it has a"),
        (
            {**TABLE, "c": A},
            r"\[predict\] the dict has the column c, which the model does not know: leave it out; .* a, b",
        ),
        (np.zeros((2, 3)), r"\[predict\] X has shape \(2, 3\): rows of 2 numbers are needed, a, b"),
        (np.zeros(2), r"\[predict\] X has shape \(2,\)"),
        ({"a": [1.0], "b": [np.nan]}, r"row 1: b = nan is missing"),
        (np.array([[0.0, 1e300]]), r"\[standardise\] b = 1e\+300 in row 1 is too far from the training data"),
    ],
)
def test_other_columns_than_those_of_training_are_refused(rows: Any, message: str) -> None:
    model = fn.SoftmaxRegression(3, lr=0.1)
    fn.Trainer(1, seed=0).fit(model, TableData(TABLE, "kind"))
    with pytest.raises(ValueError, match=message):
        model.predict(rows)


def test_labels_of_any_dtype_are_compared_by_their_text() -> None:
    data = TableData({"a": A, "y": B % 3 * 5}, "y")
    model = fn.SoftmaxRegression(3, lr=0.1)
    fn.Trainer(1, seed=0).fit(model, data)
    assert model.class_names == ["0", "5", "10"]
    scores = [
        model.evaluate(A[:, None], labels)
        for labels in (data.y, data.y.astype(float), data.y.astype(str), data.y.astype(object))
    ]
    assert scores[0] == scores[1] == scores[2] == scores[3]
    with pytest.raises(ValueError, match=r"\[evaluate\] label '7' in row 2 is no class: they are 0, 5, 10"):
        model.evaluate(A[:2, None], [0, 7])


def test_text_is_no_value() -> None:
    model = fn.LinearRegression(lr=0.1)
    fn.Trainer(1, seed=0).fit(model, TableData(HOMES, "price"))
    with pytest.raises(TypeError, match=r"\[evaluate\] y is <U3, but values are predicted"):
        model.evaluate(HOMES, KINDS)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.0]},
        {"mean": [0.0, float("nan")]},
        {"scale": ["1", "2"]},
        {"scale": [10**400, 1]},
        {"features": 5},
        {"features": ["a", 1]},
        {"target": None},
        {"more": 1},
    ],
)
def test_a_broken_schema_in_a_file_is_an_error(change: dict[str, Any]) -> None:
    whole = {"features": ["a", "b"], "target": "y", "mean": [0.0, 1.0], "scale": [1.0, 2.0]}
    assert Schema.from_dict(json.loads(json.dumps(whole))).features == ("a", "b")
    with pytest.raises(ValueError, match=r"\[load\] the file holds a broken schema"):
        Schema.from_dict({**whole, **change})
    with pytest.raises(ValueError, match=r"\[load\] the file holds a broken schema"):
        Schema.from_dict(["a"])
