"""Pictures: what they show, that they need no display, and that wrong predictions are marked by more than colour."""

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb

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


def test_numbers_that_are_not_finite_are_left_out_and_the_last_is_told() -> None:
    (axes,) = plot.history({"train_loss": [1.0, math.inf, 0.5], "val_loss": [math.nan] * 3}).axes
    training, validation = axes.lines
    np.testing.assert_array_equal(training.get_xydata(), [[1, 1.0], [3, 0.5]])
    assert len(validation.get_xdata()) == 0
    assert validation.get_label() == "validation (nan)"


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


def test_predictions_say_how_many_are_right() -> None:
    names = ["coat", "bag", "bag"]
    wrong = plot.images(np.zeros((3, 4, 4)), names, predicted=["coat"] * 3, nrows=1, ncols=2)  # the third is left out
    assert wrong.get_suptitle() == "1 of 2 right. Framed: what the model says, and what it is"
    assert plot.images(np.zeros((3, 4, 4)), names, predicted=names).get_suptitle() == "3 of 3 right"
    assert plot.images(np.zeros((3, 4, 4)), names).get_suptitle() == ""


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


# ---- weights ---------------------------------------------------------------------------------------------------


def test_weights_are_images_of_one_scale_around_zero() -> None:
    weight = np.arange(-6, 18, dtype=np.float32).reshape(2, 12)
    figure = plot.weights(weight, (3, 4), ["low", "high"], ncols=2)
    low, high = (axes.images[0] for axes in figure.axes[:2])
    np.testing.assert_array_equal(low.get_array(), weight[0].reshape(3, 4))
    assert low.get_clim() == high.get_clim()
    assert low.get_clim()[0] == -low.get_clim()[1]
    assert [axes.get_title() for axes in figure.axes[:2]] == ["low", "high"]


def test_a_few_large_weights_do_not_hide_the_others() -> None:
    weight = np.full((1, 900), 0.1)
    weight[0, 0] = 100.0
    assert plot.weights(weight).axes[0].images[0].get_clim() == (-0.1, 0.1)
    assert plot.weights(np.eye(1, 900)).axes[0].images[0].get_clim() == (-1, 1)  # the only one that is not 0
    assert plot.weights(np.zeros((1, 4))).axes[0].images[0].get_clim() == (-1, 1)


def test_lightness_alone_tells_weights_above_zero_from_those_below() -> None:
    (image,) = plot.weights(np.array([[-1.0, -0.5, 0.5, 1.0]])).axes[0].images
    colors = image.to_rgba(image.get_array()).reshape(4, -1)[:, :3]
    assert (np.diff(colors @ (0.2126, 0.7152, 0.0722)) > 0.1).all()  # luminance, ITU-R BT.709


@pytest.mark.parametrize(
    ("weight", "shape", "message"),
    [
        (np.zeros((2, 6)), None, r"shape = None is not that of 6 inputs"),
        (np.zeros((2, 6)), (2, 2), r"shape = \(2, 2\) is not that of 6 inputs"),
        (np.zeros(6), None, r"weight has shape \(6,\)"),
        (np.full((1, 4), np.nan), None, "not finite"),
    ],
)
def test_weights_that_are_no_images_are_an_error(weight: np.ndarray, shape: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[plot.weights\] .*{message}|\[plot.weights\] {message}"):
        plot.weights(weight, shape)


# ---- confusion matrices ----------------------------------------------------------------------------------------


def test_a_confusion_matrix_counts_true_classes_in_rows() -> None:
    figure = plot.confusion_matrix(np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2]), ["bag", "coat", "shirt"])
    (axes,) = figure.axes
    assert {(round(x), round(y)): text.get_text() for text in axes.texts for x, y in [text.get_position()]} == {
        (0, 0): "1",
        (1, 0): "2",
        (2, 2): "1",
    }
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1 / 3, 2 / 3, 0], [0, 0, 0], [0, 0, 1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bag", "coat", "shirt"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert axes.get_title(loc="left") == "2 of 4 right, 50.0%"


def test_numbers_stand_out_from_their_cells() -> None:
    shares = range(1, 100)
    for share in shares:
        truth, predicted = [0] * 100, [0] * share + [1] * (100 - share)
        (axes,) = plot.confusion_matrix(truth, predicted).axes
        colors = axes.images[0].to_rgba(axes.images[0].get_array())[0]
        for text, color in zip(axes.texts, colors, strict=True):
            ink, paper = sorted(map(luminance, (color[:3], to_rgb(text.get_color()))))
            assert (paper + 0.05) / (ink + 0.05) >= 3  # WCAG 2.2, 1.4.11


def luminance(color: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_many_classes_are_shown_without_numbers() -> None:
    (axes,) = plot.confusion_matrix(np.arange(50), np.arange(50)).axes
    assert len(axes.texts) == 0
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(i) for i in range(0, 50, 3)]


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 1], [0], r"truth has shape \(2,\), predicted \(1,\)"),
        ([], [], r"truth has shape \(0,\)"),
        ([0, 1], [0, 2], r"predicted\[1\] = 2 is not a class index: there are 2 classes"),
        ([-1, 1], [0, 1], r"truth\[0\] = -1"),
        ([0.0, 1.0], [0, 1], "truth is float64: class indices are integers"),
    ],
)
def test_what_is_no_class_is_an_error(truth: list, predicted: list, message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[confusion_matrix\] {message}"):
        plot.confusion_matrix(truth, predicted, ["bag", "coat"])


# ---- figures ---------------------------------------------------------------------------------------------------


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
        "plot.confusion_matrix([0, 1], [1, 1])._repr_png_(); plot.weights([[1, 2, 3, 4]])._repr_png_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules and dict.__eq__(before, matplotlib.rcParams)"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
