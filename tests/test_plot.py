"""Pictures: what they show, that they need no display, and that wrong predictions are marked by more than colour."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from fastnn import plot

HISTORY = {
    "train_loss": [0.9, 0.6, 0.5],
    "val_loss": [0.8, math.nan, 0.55],
    "val_acc": [0.7, math.nan, 0.85],
    "train_seconds": [1.0, 1.0, 1.0],
    "examples_per_second": [3e5, 3e5, 3e5],
    "lr": [0.1, 0.1, 0.1],
}


def test_history_has_a_panel_for_each_metric() -> None:
    figure = plot.history(HISTORY)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Accuracy"]
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training (0.5)", "validation (0.55)"]
    assert [line.get_label() for line in accuracy.lines] == ["validation (0.85)"]
    assert loss.get_xlabel() == "epoch"
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[1, 0.9], [2, 0.6], [3, 0.5]])
    np.testing.assert_array_equal(loss.lines[1].get_xydata(), [[1, 0.8], [3, 0.55]])


def test_training_and_validation_differ_without_colour() -> None:
    training, validation = plot.history(HISTORY).axes[0].lines
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_marker() != validation.get_marker()


def test_other_metrics_follow_loss_and_accuracy() -> None:
    figure = plot.history({"val_top5_acc": [0.9], "train_loss": [1.0], "train_seconds": [1.0]})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Top5 acc"]


def test_history_without_metrics_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\[plot.history\] .* it has \['lr'\]"):
        plot.history({"lr": [0.1]})
    with pytest.raises(ValueError, match="no train_ or val_ metric"):
        plot.history({"train_loss": [math.nan]})


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_history_is_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"curves.{ending}"
    plot.history(HISTORY, path)
    assert path.read_bytes()[:4] in (b"\x89PNG", b"<?xm", b"%PDF")


def test_wrong_predictions_are_framed_and_crossed() -> None:
    figure = plot.images(np.zeros((2, 4, 4)), ["coat", "bag"], predicted=["coat", "shirt"], ncols=2)
    right, wrong = figure.axes
    assert right.get_title().strip() == "coat"
    assert wrong.get_title() == "✗ shirt\nis bag"
    assert [axes.spines["top"].get_visible() for axes in (right, wrong)] == [False, True]


def test_grid_has_rows_and_columns_as_asked() -> None:
    figure = plot.images(np.zeros((5, 1, 4, 4)), ["a", "b"], nrows=2, ncols=3)
    assert len(figure.axes) == 6
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", "", "", ""]
    assert len(plot.images(np.zeros((9, 4, 4)), nrows=1, ncols=3).axes) == 3
    assert len(plot.images(np.zeros((9, 4, 4)), ncols=4).axes) == 12


def test_every_image_has_its_own_contrast_and_place() -> None:
    pixels = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    first, second = (axes.images[0] for axes in plot.images(pixels, ncols=2).axes)
    np.testing.assert_array_equal(second.get_array(), pixels[1])
    assert first.get_clim() == (0, 15)


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4), (2, 3, 4, 4), (2, 0, 4)])
def test_images_of_other_shapes_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[plot.images\] pixels has shape"):
        plot.images(np.zeros(shape))


def test_predictions_must_match_the_images() -> None:
    with pytest.raises(ValueError, match="2 images, 2 titles and 1 predictions"):
        plot.images(np.zeros((2, 4, 4)), ["a", "b"], predicted=["a"])


def test_notebooks_get_a_picture() -> None:
    assert plot.history(HISTORY)._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot.history(HISTORY)


def test_pyplot_and_the_backend_stay_untouched() -> None:
    program = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from fastnn import plot; plot.history({'val_acc': [1.0]})._repr_png_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules and dict.__eq__(before, matplotlib.rcParams)"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
