"""The command `fastnn`: what it prints, what it writes, and how it fails."""

import csv
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_fashion_mnist

import fastnn as fn
from fastnn import _bench, cli

PICTURES = importlib.util.find_spec("matplotlib") is not None


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tiny_fashion_mnist.install(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = fn.num_threads()
    yield
    fn.set_num_threads(before)


def train(root: Path, *options: str) -> int:
    return cli.main(["train", "fashion-mnist", "--root", str(root), "--batch-size", "20", *options])


def test_training_learns_prints_a_row_per_epoch_and_writes_everything(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(root, "--epochs", "5", "--hiddens", "32", "--seed", "1", "--out", "here/there") == 0
    printed, told = capsys.readouterr()
    assert told == f"[fashion-mnist] from root, {root}\n"
    assert "Fashion-MNIST: 200 examples to train on, 60 to validate" in printed
    assert "784-32-10, lr 0.1, batches of 20" in printed
    assert "epoch  train_loss  val_loss  val_acc  examples/s  seconds" in printed
    rows = re.findall(r"^ +(\d+) +(\d\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4}) +[\d,]+ +\d+\.\d\d$", printed, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    accuracies = [float(row[3]) for row in rows]
    (mean,) = re.findall(r"mean val_acc of the last 3 epochs: (\d\.\d{4})", printed)
    assert abs(float(mean) - sum(accuracies[-3:]) / 3) <= 1e-4
    assert float(mean) > 0.9
    assert "--seed 1 repeats this run" in printed

    names = ["model.safetensors", "history.csv"] + ["curves.png", "confusion.png", "predictions.png"] * PICTURES
    assert sorted(path.name for path in Path("here/there").iterdir()) == sorted(names)
    assert printed.endswith("written:\n" + "".join(f"  {Path('here/there') / name}\n" for name in names))
    history = list(csv.DictReader(Path("here/there/history.csv").read_text().splitlines()))
    assert [round(float(row["val_acc"]), 4) for row in history] == accuracies
    model = fn.load("here/there/model.safetensors")
    data = fn.FashionMNIST(root=root, batch_size=60)
    ((X, y),) = data.val_dataloader()
    assert round(float(np.mean(model.predict(X) == y.numpy())), 4) == accuracies[-1]


def test_softmax_goes_to_a_folder_of_its_own(root: Path) -> None:
    assert train(root, "--model", "softmax", "--epochs", "1") == 0
    assert Path("runs/softmax-fashion-mnist/model.safetensors").exists()
    assert not Path("runs/mlp-fashion-mnist").exists()


def test_one_seed_gives_one_result(root: Path) -> None:
    for out, threads in (("a", "1"), ("b", "2")):
        assert train(root, "--epochs", "1", "--seed", "7", "--dropout", "0.5", "--threads", threads, "--out", out) == 0
    assert train(root, "--epochs", "1", "--seed", "8", "--dropout", "0.5", "--out", "c") == 0
    a, b, c = (fn.load(Path(name, "model.safetensors")).state_dict() for name in "abc")
    for name, weight in a.items():
        np.testing.assert_array_equal(b[name], weight)
        assert name.endswith("bias") or not np.array_equal(c[name], weight)


def test_without_matplotlib_it_trains_and_says_how_to_get_pictures(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    assert train(root, "--epochs", "1") == 0
    assert "no pictures without matplotlib: pip install matplotlib" in capsys.readouterr().out
    written = Path("runs/mlp-fashion-mnist").iterdir()
    assert sorted(path.name for path in written) == ["history.csv", "model.safetensors"]


def test_missing_data_is_one_error_and_no_traceback(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(root / "elsewhere") == 1
    said = capsys.readouterr().err
    assert said.startswith("fastnn: [fashion-mnist] not found. Tried:\n  - root: ")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lr", "nan"], "lr"),
        (["--lr", "1e30"], "lr"),
        (["--dropout", "1.5"], "1.5"),
        (["--seed", "-1"], "seed = -1"),
        (["--out", "file"], "file"),
    ],
)
def test_errors_are_one_line(root: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    Path("file").write_text("where the folder should be")
    assert train(root, "--epochs", "2", *options) == 1
    *_, said = capsys.readouterr().err.splitlines()
    assert said.startswith("fastnn: ")
    assert message in said


def test_debug_shows_where_an_error_came_from(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        train(root / "elsewhere", "--debug")


def test_export_writes_a_trained_model_as_onnx(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    assert train(root, "--epochs", "1", "--hiddens", "8", "--out", "run") == 0
    capsys.readouterr()
    assert cli.main(["export", "run/model.safetensors", "run/model.onnx"]) == 0
    assert capsys.readouterr().out == "written: run/model.onnx\n"
    file = onnx.load("run/model.onnx")
    assert [node.op_type for node in file.graph.node] == [
        "Cast", "Div", "Reshape", "Gemm", "Relu", "Gemm", "ArgMax", "Softmax",
    ]  # fmt: skip
    (names,) = [json.loads(entry.value) for entry in file.metadata_props if entry.key == "class_names"]
    assert names == list(fn.FashionMNIST.classes)
    assert cli.main(["export", "run/nothing.safetensors", "run/other.onnx"]) == 1
    assert "run/nothing.safetensors" in capsys.readouterr().err
    assert not Path("run/other.onnx").exists()


def test_export_says_how_to_get_onnx(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["export", "model.safetensors", "model.onnx"]) == 1
    assert capsys.readouterr().err == "fastnn: [export] ONNX files need onnx: pip install onnx\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["train"],
        ["train", "imagenet"],
        ["train", "fashion-mnist", "--epochs", "0"],
        ["train", "fashion-mnist", "--hiddens", "many"],
        ["data", "path", "imagenet"],
        ["bench", "everything"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: fastnn" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--hiddens", "256"], ["--dropout", "0.5"]])
def test_softmax_has_no_hidden_layers(root: Path, capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    assert train(root, "--model", "softmax", *option) == 2
    assert capsys.readouterr().err == "fastnn: --hiddens and --dropout need --model mlp\n"


@pytest.mark.parametrize("option", [["--target", "y"], ["--drop", "a"], ["--task", "regression"], ["--val", "0.1"]])
def test_options_of_files_are_not_for_published_data(
    root: Path, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    assert train(root, *option) == 2
    assert capsys.readouterr().err == f"fastnn: {option[0]} is for files, not for fashion-mnist\n"
    assert train(root, "--model", "linear") == 2
    assert "--model linear predicts values, fashion-mnist has classes" in capsys.readouterr().err


def test_of_many_epochs_some_twenty_are_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(root, "--epochs", "45", "--hiddens", "4", "--seed", "1") == 0
    rows = re.findall(r"^ +(\d+)  +\d\.\d{4}  ", capsys.readouterr().out, re.MULTILINE)
    assert rows == [str(epoch) for epoch in (*range(3, 45, 3), 45)]


def test_interruption_is_no_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fn.Trainer, "fit", interrupt)
    assert train(root) == 130


@pytest.mark.parametrize(
    "command", [[], *([name] for name in ("train", "predict", "evaluate", "export", "bench", "info", "data"))]
)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*command, "--help"])
    assert exit_.value.code == 0
    assert f"usage: {' '.join(['fastnn', *command])}" in capsys.readouterr().out


def test_examples_of_the_help_are_understood() -> None:
    examples = re.findall(r"^  fastnn (.*?)  ", cli._EXAMPLES + cli.train.EXAMPLES, re.MULTILINE)
    assert len(examples) == 15
    for example in examples:
        cli._parser().parse_args(example.split())


def test_info_tells_versions_and_where_the_data_are(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert {"fastnn", "NumPy", "isa", "threads", "cuda", "Fashion-MNIST"} <= set(rows)
    assert "fastnn data fetch fashion-mnist" in rows["Fashion-MNIST"]


def test_data_path_prints_the_folder_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", "path", "fashion-mnist"]) == 1
    capsys.readouterr()
    monkeypatch.setenv("FASTNN_DATA", str(root))
    assert cli.main(["data", "path", "fashion-mnist"]) == 0
    assert capsys.readouterr().out == f"{root}\n"
    assert cli.main(["data", "fetch", "fashion-mnist"]) == 0
    assert capsys.readouterr().out == f"fashion-mnist from $FASTNN_DATA, {root}\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench, "BLOCK", 0.0)
    monkeypatch.setattr(_bench, "SETTLE", 0.0)
    monkeypatch.setattr(_bench, "ROUNDS", 1)


@pytest.mark.usefixtures("quick")
def test_bench_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "kernels", "--against", "numpy", "--shapes", "6-5-4@3", "6-4@3"]) == 0
    printed = capsys.readouterr().out
    for part in ("one call of a kernel", "numpy us", "x W^T 3x6x5", "dY^T x 3x5x4", "gather", "cross_entropy",
                 "sgd_update", "panels in 1x1 items"):  # fmt: skip
        assert printed.count(part) >= 1
    assert printed.count("cross_entropy 3x4") == 1  # of equal cases one is enough


@pytest.mark.usefixtures("quick")
def test_bench_takes_a_layer_as_batch_inputs_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "kernels", "--shapes", "3x6x5", "--against", "numpy"]) == 0
    assert "x W^T 3x6x5" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_bench_leaves_out_by_name_what_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "fastnn._bench.torch_", raising=False)
    assert cli.main(["bench", "kernels", "--shapes", "3x6x5"]) == 0
    printed = capsys.readouterr()
    assert "numpy us" in printed.out
    assert "torch us" not in printed.out
    assert "torch is left out: " in printed.err


@pytest.mark.parametrize("library", ["fastnn", "torch"])
def test_bench_times_the_same_kernels_of_every_library(library: str) -> None:
    if library == "torch":
        pytest.importorskip("torch")
    for case in (*_bench._layer(5, 7, 3), *_bench._ends(5, 7, 3)):
        for got, expected in zip(case.start(library)(), case.start("numpy")(), strict=True):
            np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("quick")
def test_bench_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "kernels", "--json", "--threads", "1", "--against", "numpy", "--shapes", "6-5-4@3"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["machine"]["threads"] == 1
    assert all(result["seconds"] > 0 and result["peers"]["numpy"] > 0 for result in printed["results"])


def test_bench_measures_training_steps_beside_peers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["--workloads", "W1", "--against", "numpy", "--rounds", "1", "--threads", "1"]
    assert cli.main(["bench", "train", *options, "--json", str(tmp_path / "train.json")]) == 0
    assert re.search(r"\| W1 linear 2-1, batch 32 \| .* \| \*\*\d", capsys.readouterr().out)
    row = json.loads((tmp_path / "train.json").read_text())["rows"][0]
    assert sorted(row["seconds"]) in (["fastnn/1", "limit/1", "numpy/1"], ["fastnn/1", "numpy/1"])
    assert all(seconds > 0 for measured in row["seconds"].values() for seconds in measured)


def test_bench_names_workloads_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bench", "train", "--workloads", "W1,W9"])
    assert "W9: none of W1, W2, W3, W4, W5, W6, W7" in capsys.readouterr().err


@pytest.mark.parametrize(
    "shape", ["", "784", "784-10", "784@5", "784-10@0", "0-10@5", "784-x@5", "784--10@5", "5-4@-1", "5x4", "5x0x4"]
)
def test_bench_refuses_what_is_no_shape(capsys: pytest.CaptureFixture[str], shape: str) -> None:
    assert cli.main(["bench", "kernels", "--shapes", shape]) == 2
    assert f"fastnn: --shapes: {shape!r} is no shape" in capsys.readouterr().err


def test_module_runs_as_the_command() -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-m", "fastnn", "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"fastnn \d+\.\d+\.\d+\n", run.stdout)
