"""`fastnn verify`: the lecture's models come out as published, to the bit; what does not is told, and why."""

import json
from pathlib import Path

import pytest
import tiny_fashion_mnist

import fastnn as fn
from fastnn import _core, cli
from fastnn.cli import verify
from fastnn.data import fetch, published

pytestmark = pytest.mark.skipif(
    not _core.config()["fused_multiply_add"], reason="without fused multiply-add a machine has bits of its own"
)
MADE_BY, RUNS = verify.read()
SYNTHETIC = [run.name for run in RUNS if run.data != "FashionMNIST"]


def test_what_needs_no_data_set_is_identical(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", *SYNTHETIC]) == 0
    assert capsys.readouterr().out.count("  identical to the published run (") == len(SYNTHETIC) == 6


def test_softmax_regression_on_fashion_mnist_is_identical(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        fetch.find(published.FASHION_MNIST, download=False)
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not on this machine")
    assert cli.main(["verify", "softmax-regression-fashion-mnist"]) == 0
    assert "  identical to the published run (" in capsys.readouterr().out


def test_the_published_runs_learn() -> None:
    for run in RUNS:
        assert len(run.train_loss) == run.epochs
        assert run.train_loss[-1] < 0.97 * run.train_loss[0], run.name


def test_without_its_data_a_run_is_left_out_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_fashion_mnist.install(tmp_path, monkeypatch)
    monkeypatch.delenv("FASTNN_OFFLINE")
    monkeypatch.setattr(fetch, "_routes", None)  # whoever asks it for one fails
    assert cli.main(["verify", "linear-regression", "mlp-fashion-mnist"]) == 0
    assert "mlp-fashion-mnist  not run: `fastnn data fetch fashion-mnist` gets its data\n" in capsys.readouterr().out
    assert cli.main(["verify", "mlp-fashion-mnist"]) == 1
    assert capsys.readouterr().err == "fastnn: [verify] nothing was run: the data are not here\n"


def republish(monkeypatch: pytest.MonkeyPatch, path: Path, made_by: dict[str, str], **changes: object) -> None:
    run = json.loads(verify.PUBLISHED.read_text())["runs"][0] | changes
    path.write_text(json.dumps({"made_by": MADE_BY | made_by, "runs": [run]}))
    monkeypatch.setattr(verify, "PUBLISHED", path)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"train_loss": [7.723532894134522, 1.5, 0.2]}, "train_loss of epoch 2 is 1.00133391"),
        ({}, "the weights differ, the training loss hardly: SHA-256 9256cb6093d7 instead of 000000000000 ("),
    ],
    ids=["loss", "weights"],
)
@pytest.mark.parametrize(
    ("made_by", "reason"),
    [({}, "that is a bug, to be reported"), ({"fastnn": "0.0.9"}, "they were published by version 0.0.9, this is 0.")],
    ids=["same version", "other version"],
)
def test_a_difference_is_told_with_its_place_and_likely_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    difference: str,
    made_by: dict[str, str],
    reason: str,
) -> None:
    republish(monkeypatch, tmp_path / "published", made_by, **changes, sha256="0" * 64)
    assert cli.main(["verify"]) == 1
    printed, told = capsys.readouterr()
    assert printed.startswith(f"linear-regression-scratch  {difference}")
    assert told.startswith("fastnn: [verify] 1 of 1 runs differ: ")
    assert reason in told


def test_json_is_the_published_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--json", "linear-regression", "weight-decay"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["made_by"].keys() == MADE_BY.keys()
    assert printed["made_by"]["fastnn"] == fn.__version__
    for run in (verify.Run(**run) for run in printed["runs"]):
        (other,) = [published for published in RUNS if published.name == run.name]
        assert run.difference(other) is None


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "transformer"]) == 2
    assert "'transformer' is no published run: linear-regression-scratch, " in capsys.readouterr().err
