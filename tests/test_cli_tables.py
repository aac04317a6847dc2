"""The command `fastnn` on files of one's own: train, predict, evaluate, and what it says when used wrongly."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import cli
from fastnn.cli import confusion
from fastnn.data.labels import class_indices
from fastnn.metrics import confusion_matrix

RNG = np.random.default_rng(0)
N = 90
LENGTH, WIDTH = RNG.uniform(1, 7, N).round(2), RNG.uniform(0.1, 2.5, N).round(2)
SPECIES = np.array(["lily", "rose", "tulip"])[(LENGTH > 4).astype(int) + (WIDTH > 1.5)]
PRICE = (3e3 * LENGTH - 500 * WIDTH + RNG.normal(0, 100, N)).round(1)
MODEL = "runs/mlp-flowers/model.safetensors"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("flowers.csv", {"length": LENGTH, "width": WIDTH, "species": SPECIES})
    write("prices.csv", {"length": LENGTH, "id": np.arange(N), "width": WIDTH, "price": PRICE})
    return tmp_path


def write(name: str, columns: dict[str, object]) -> None:
    with open(name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def run(line: str) -> int:
    return cli.main(line.split())


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fastnn: ")
    return line.removeprefix("fastnn: ")


def column(name: str, text: str) -> list[str]:
    return [row[name] for row in csv.DictReader(text.splitlines())]


# ---- what it does ---------------------------------------------------------------------------------------------


def test_training_predicting_and_evaluating_have_the_bits_of_the_python_api(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("train flowers.csv --target species --seed 5 --epochs 60 --hiddens 8 --batch-size 16 --val 0.3") == 0
    printed = capsys.readouterr().out
    assert run(f"predict {MODEL} flowers.csv --proba") == 0
    answers = capsys.readouterr().out
    assert run(f"evaluate {MODEL} flowers.csv --target species") == 0
    measured, table = capsys.readouterr().out.split("\n\n")
    scores = dict(line.split() for line in measured.splitlines())

    data = fn.TableData("flowers.csv", "species", val=0.3, batch_size=16, seed=5)
    model = fn.MLP(3, [8], lr=0.1)
    history = fn.Trainer(60, seed=5).fit(model, data)
    saved = fn.load(MODEL)
    for name, weight in model.state_dict().items():
        np.testing.assert_array_equal(saved.state_dict()[name], weight)
    assert (saved.schema, saved.class_names) == (data.schema, ["lily", "rose", "tulip"])
    assert column("train_loss", Path("runs/mlp-flowers/history.csv").read_text()) == list(map(str, history.train_loss))
    assert "species from 2 columns: classes lily, rose, tulip\n2-8-3, lr 0.1, batches of 16\n" in printed
    assert "flowers.csv: 63 rows to train on, 27 to validate\n" in printed
    assert f"accuracy {history.val_acc[-1]:.4g}\n" in printed
    assert "epoch: steps run natively, shuffling and gathering included; --seed 5 repeats this run" in printed

    assert column("species", answers) == data.text_labels(model.predict("flowers.csv"))
    probabilities = model.predict_proba("flowers.csv")
    for i, name in enumerate(("lily", "rose", "tulip")):
        np.testing.assert_array_equal(np.array(column(f"P({name})", answers), np.float32), probabilities[:, i])
    assert {name: float(value) for name, value in scores.items()} == model.evaluate("flowers.csv", SPECIES)
    assert float(scores["accuracy"]) > 0.8
    counts = confusion_matrix(class_indices(SPECIES, data.classes), model.predict("flowers.csv"))
    heading, _, *rows = table.splitlines()
    assert heading == "true classes in rows, predicted ones in columns:"
    assert [row.split() for row in rows] == [
        [str(i), name, *map(str, counts[i])] for i, name in enumerate(data.classes)
    ]
    assert "true classes in rows" in printed


def test_a_confusion_matrix_is_drawn_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run("train flowers.csv --target species --seed 1 --epochs 2") == 0
    assert "confusion.png" in capsys.readouterr().out
    assert Path("runs/mlp-flowers/confusion.png").read_bytes().startswith(b"\x89PNG")
    assert run(f"evaluate {MODEL} flowers.csv --plot new/matrix.svg") == 0
    assert capsys.readouterr().out.endswith(f"\nwritten: {Path('new/matrix.svg')}\n")
    assert "<svg" in Path("new/matrix.svg").read_text()


def test_values_have_no_confusion_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train prices.csv --target price --drop id --epochs 2 --out there") == 0
    assert "true classes" not in capsys.readouterr().out
    assert not Path("there/confusion.png").exists()
    assert run("evaluate there/model.safetensors prices.csv --plot matrix.png") == 2
    assert said(capsys) == "--plot is for classes, and there/model.safetensors predicts values"


def test_many_classes_are_not_printed_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    confusion.show(np.arange(21), np.arange(21), list(map(str, range(21))))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("name", "make"), [("mlp", fn.MLPRegression), ("linear", fn.LinearRegression)])
def test_a_regression_has_the_bits_of_the_python_api(
    capsys: pytest.CaptureFixture[str], name: str, make: type[fn.Model]
) -> None:
    out = f"--out there --model {name}"
    assert run(f"train prices.csv --target price --drop id --seed 2 --epochs 30 {out}") == 0
    printed = capsys.readouterr().out
    assert "price from 2 columns: values; losses in units of their variance" in printed
    assert run("predict there/model.safetensors prices.csv --out answers.csv") == 0
    assert capsys.readouterr().out == f"written: answers.csv, {N} rows\n"
    assert run("evaluate there/model.safetensors prices.csv") == 0
    scores = dict(line.split() for line in capsys.readouterr().out.splitlines())

    data = fn.TableData("prices.csv", "price", drop=["id"], batch_size=32, seed=2)
    model = fn.LinearRegression(lr=0.01) if make is fn.LinearRegression else fn.MLPRegression(1, [256], lr=0.01)
    fn.Trainer(30, seed=2).fit(model, data)
    assert type(fn.load("there/model.safetensors")) is make
    predicted = np.array(column("price", Path("answers.csv").read_text()), float)
    np.testing.assert_array_equal(predicted, model.predict("prices.csv"))
    assert {name: float(value) for name, value in scores.items()} == model.evaluate("prices.csv", PRICE)
    assert float(scores["r2"]) > 0.9
    rows = data.val.rows
    assert f"r2 {model.evaluate(data.X[rows], data.y[rows])['r2']:.4g}\n" in printed


def test_every_kind_of_file_gives_the_same_model_and_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    polars = pytest.importorskip("polars")
    columns = {"length": LENGTH, "width": WIDTH, "species": SPECIES}
    np.savez("flowers.npz", **columns)
    polars.DataFrame(columns).write_parquet("flowers.parquet")
    models = []
    for suffix in ("csv", "npz", "parquet"):
        assert run(f"train flowers.{suffix} --target species --seed 1 --epochs 2 --model softmax --out {suffix}") == 0
        models.append((tmp_path / suffix / "model.safetensors").read_bytes())
    assert models[0] == models[1] == models[2]
    for command in (
        "predict csv/model.safetensors",
        "predict csv/model.safetensors --proba",
        "evaluate csv/model.safetensors",
    ):
        capsys.readouterr()
        answers = [
            (run(f"{command} flowers.{suffix}"), capsys.readouterr().out) for suffix in ("csv", "npz", "parquet")
        ]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0][0] == 0


def test_a_matrix_in_an_npz_is_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("flowers.npz", X=np.column_stack([LENGTH, WIDTH]), y=SPECIES)
    assert run("train flowers.npz --target y --epochs 1") == 0
    assert fn.load(MODEL).schema.features == ("X[0]", "X[1]")
    assert run(f"predict {MODEL} flowers.csv") == 1
    assert "flowers.csv lacks the column X[0], X[1], which the model was trained on" in said(capsys)


def test_a_seed_is_drawn_and_repeats_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train flowers.csv --target species --epochs 2 --out a") == 0
    (seed,) = re.findall(r"--seed (\d+) repeats this run", capsys.readouterr().out)
    assert run(f"train flowers.csv --target species --epochs 2 --out b --seed {seed}") == 0
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()


def test_new_rows_need_no_target_and_columns_may_come_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train flowers.csv --target species --epochs 2 --seed 1") == 0
    write("new.csv", {"width": WIDTH[:5], "length": LENGTH[:5]})
    capsys.readouterr()
    assert run(f"predict {MODEL} flowers.csv") == 0
    whole = capsys.readouterr().out
    assert run(f"predict {MODEL} new.csv") == 0
    assert capsys.readouterr().out.splitlines() == whole.splitlines()[:6]


def test_the_target_may_have_another_name_where_it_is_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train flowers.csv --target species --epochs 2 --seed 1") == 0
    write("other.csv", {"length": LENGTH, "width": WIDTH, "kind": SPECIES})
    capsys.readouterr()
    assert run(f"evaluate {MODEL} other.csv --target kind") == 0
    scores = capsys.readouterr().out
    assert run(f"evaluate {MODEL} flowers.csv") == 0
    assert capsys.readouterr().out == scores


# ---- wrong use ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("a,y\n1,x\ntwo,z\n3,x\n4,z\n", "[read_table] data.csv, row 2 (line 3): a = 'two' is no finite number: turn"),
        ("a,y\n1,x\n2,z\n,x\n4,z\n", "[read_table] data.csv, row 3 (line 4): a = '' is missing: fill it in, or leave"),
        ("a,y\n1,x\nNaN,z\n3,x\n", "[read_table] data.csv, row 2 (line 3): a = 'NaN' is missing"),
        ("a,y\n1,x\n2,\n3,x\n", "[read_table] data.csv, row 2 (line 3): y = '' is missing"),
        ("a,y\n1,0.5\n2,nan\n3,1.5\n", "[read_table] data.csv, row 2 (line 3): y = 'nan' is missing"),
        ("a,y\n1,x\n2,x\n3,x\n", "[TableData] y = x in every row: two classes or values are needed"),
        ("a,y\n1,x\n2,z\n", "[TableData] 2 rows are too few: 1 to validate on leave 1 of 2 to train on"),
        ("a,y\n", "[read_table] data.csv has a header and no rows"),
        ("", "[read_table] data.csv has no columns"),
        ("a,b\n1,2\n", "[TableData] data.csv has no column 'y': it has a, b"),
        ("y\n1\n", "[TableData] data.csv has no column to predict y from"),
    ],
)
def test_data_that_cannot_be_trained_on_are_one_line(
    capsys: pytest.CaptureFixture[str], cells: str, message: str
) -> None:
    Path("data.csv").write_text(cells)
    assert run("train data.csv --target y") == 1
    assert said(capsys).startswith(message)
    assert not Path("runs").exists()


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train missing.csv --target y") == 1
    assert "missing.csv" in said(capsys)
    assert run("predict missing.safetensors flowers.csv") == 1
    assert "missing.safetensors" in said(capsys)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train flowers.csv", "--target is missing: say which column of flowers.csv to predict"),
        ("train flowers.csv --target species --root there", "--root is for fashion-mnist, not for files"),
        (
            "train flowers.csv --target species --model linear",
            "species has classes: use --model softmax or mlp, or say",
        ),
        (
            "train prices.csv --target price --model softmax",
            "price has values: use --model linear or mlp, or say --task",
        ),
        (
            "train flowers.csv --target species --model softmax --dropout 0.5",
            "--hiddens and --dropout need --model mlp",
        ),
    ],
)
def test_options_that_do_not_fit_together_exit_with_2(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert run(line) == 2
    assert said(capsys).startswith(message)


@pytest.mark.parametrize(
    "line",
    [
        "train flowers.xlsx --target species",
        "train flowers --target species",
        "train flowers.csv --target species --task ranking",
        "predict model.safetensors",
        "evaluate",
    ],
)
def test_arguments_that_are_not_understood_exit_with_2(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(line)
    assert exit_.value.code == 2
    assert "usage: fastnn" in capsys.readouterr().err


def test_data_with_other_columns_or_classes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train flowers.csv --target species --epochs 1") == 0
    for line, message in (
        (f"predict {MODEL} prices.csv", "[predict] prices.csv has the column id, price, which the model does not know"),
        (f"evaluate {MODEL} more.csv", "[evaluate] label 'daisy' in row 2 is no class: they are lily, rose, tulip"),
        (f"evaluate {MODEL} new.csv", "[evaluate] new.csv has no column 'species': say which by --target"),
        (f"predict {MODEL} gaps.csv", "[read_table] gaps.csv, row 1 (line 2): width = 'wide' is no finite number"),
        (f"predict {MODEL} flowers.txt", "[read_table] flowers.txt has the extension '.txt': use .csv, .tsv, .npz"),
    ):
        write("more.csv", {"length": [1, 2], "width": [1, 2], "species": ["lily", "daisy"]})
        write("new.csv", {"length": [1], "width": [1]})
        write("gaps.csv", {"length": [1], "width": ["wide"]})
        capsys.readouterr()
        assert run(line) == 1
        assert said(capsys).startswith(message)


def test_a_model_without_a_table_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    model = fn.SoftmaxRegression(3, lr=0.1)
    model.predict(np.zeros((1, 2)))
    model.save("plain.safetensors")
    for command in ("predict", "evaluate"):
        assert run(f"{command} plain.safetensors flowers.csv") == 1
        assert said(capsys).startswith("[load] plain.safetensors was not trained on a table and knows no columns")


def test_values_have_no_probabilities(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train prices.csv --target price --epochs 1 --out there") == 0
    capsys.readouterr()
    assert run("predict there/model.safetensors prices.csv --proba --out answers.csv") == 1
    assert said(capsys).startswith("[predict_proba] MLPRegression gives values")
    assert not Path("answers.csv").exists()


def test_a_model_of_a_table_is_exported_with_the_scaling_of_its_columns() -> None:
    onnx = pytest.importorskip("onnx")
    assert run("train flowers.csv --target species --epochs 1") == 0
    assert run(f"export {MODEL} flowers.onnx") == 0
    graph, schema = onnx.load("flowers.onnx").graph, fn.load(MODEL).schema
    constants = {constant.name: tuple(onnx.numpy_helper.to_array(constant)) for constant in graph.initializer}
    assert schema is not None
    assert (constants["mean"], constants["scale"]) == (schema.mean, schema.scale)
