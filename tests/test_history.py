"""History: columns of equal length, files, and the meter that feeds it."""

import csv
import json
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import fastnn as fn
from fastnn.history import History, Meter


def two_epochs() -> History:
    history = History(seed=3)
    history.append({"train_loss": 0.5, "lr": 0.1})
    history.append({"train_loss": 0.25, "val_acc": 0.75, "lr": 0.1})
    return history


def test_entries_are_attributes_and_a_missing_value_is_nan() -> None:
    history = two_epochs()
    assert history.train_loss == history["train_loss"] == [0.5, 0.25]
    assert math.isnan(history.val_acc[0])
    assert history.val_acc[1] == 0.75
    assert list(history) == ["train_loss", "lr", "val_acc"]
    assert (history.epochs, history.seed, len(history)) == (2, 3, 3)


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known() -> None:
    with pytest.raises(AttributeError, match="no 'loss'; it has train_loss, lr, val_acc"):
        _ = two_epochs().loss
    with pytest.raises(KeyError):
        _ = two_epochs()["loss"]


def test_csv_holds_every_digit(tmp_path: Path) -> None:
    history = two_epochs()
    history.append({"train_loss": 0.1 + 0.2, "val_acc": 1 / 3, "lr": 0.1})
    history.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["train_loss"]) for row in rows] == history.train_loss
    assert float(rows[2]["val_acc"]) == 1 / 3


def test_a_dict_of_it_goes_through_json() -> None:
    history = two_epochs()
    history.steps["train_loss"] = [0.75, 0.25]
    other = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert repr(other) == repr(history)
    assert other.steps == history.steps


def test_a_dict_with_columns_of_other_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="every column must have 3 epochs"):
        History.from_dict({**two_epochs().to_dict(), "epochs": 3})


def test_a_dict_of_many_epochs_without_a_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="every column must have 1000000000000 epochs"):
        History.from_dict({"seed": 0, "epochs": 10**12, "columns": {}, "steps": {}})


def test_plot_writes_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    two_epochs().plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_history_can_be_shown() -> None:
    assert repr(History()) == "History of 0 epochs, seed None"


def test_the_meter_weighs_each_example_once() -> None:
    meter = Meter()
    for value, examples in ((1.0, 64), (2.0, 64), (7.0, 2)):
        meter.add("val_loss", fn.tensor(value), examples)
    assert meter.means() == {"val_loss": (64 + 128 + 14) / 130}


def test_a_meter_goes_through_arrays_and_other_arrays_are_refused() -> None:
    meter = Meter()
    meter.add("train_loss", 0.5, 64)
    meter.extend("train_loss", [0.25, 0.125], 2)
    arrays = meter.to_arrays()
    other = Meter.from_arrays(arrays)
    assert (other.values, other.examples) == (meter.values, meter.examples)
    for bad in (arrays["train_loss"][0], arrays["train_loss"].astype(np.float32), -arrays["train_loss"]):
        with pytest.raises(ValueError, match=r"^\[Meter\] train_loss "):
            Meter.from_arrays({"train_loss": bad})


def test_the_meter_reads_what_a_tensor_was_when_it_was_logged() -> None:
    meter, weight = Meter(), fn.ones(1)
    meter.add("w", weight, 1)
    weight += 1
    assert meter.values == {"w": [1.0]}


def rows_of(shown: str) -> list[list[str]]:
    return [line.split() for line in shown.splitlines()[1:]]


def test_large_numbers_are_read_at_a_glance() -> None:
    history = History(seed=3)
    history.append({"examples_per_second": 95281.4, "train_loss": 0.123456, "lr": 1e-5})
    assert rows_of(repr(history))[1] == ["1", "95,281", "0.1235", "1e-05"]
    assert repr(history).startswith("History of 1 epoch, seed 3\n")


def test_a_notebook_shows_a_table() -> None:
    history = two_epochs()
    history.append({"a<b": 1.0})
    table = ElementTree.fromstring(history._repr_html_())
    cells = [[cell.text for cell in row] for row in table.iter("tr")]
    assert rows_of(repr(history)) == cells
    assert cells[0] == ["epoch", "train_loss", "lr", "val_acc", "a<b"]
    assert cells[2] == ["2", "0.25", "0.1", "0.75", "nan"]
    assert len(cells) == 4
    assert table.find("caption").text == "History of 3 epochs, seed 3"
