"""FashionMNIST: the published files, uint8 in memory, float32 in batches."""

from pathlib import Path

import numpy as np
import pytest
import tiny_fashion_mnist

import fastnn as fn
from fastnn.data import FashionMNIST
from fastnn.data.idx import read_idx


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return tiny_fashion_mnist.install(tmp_path, monkeypatch)


@pytest.mark.parametrize(("flatten", "shape"), [(False, (1, 28, 28)), (True, (784,))])
def test_batches_are_scaled_to_one(root: Path, flatten: bool, shape: tuple[int, ...]) -> None:
    data = FashionMNIST(batch_size=60, root=root, flatten=flatten)
    ((X, y),) = data.val_dataloader()
    images = read_idx(root / "t10k-images-idx3-ubyte")
    assert X.shape == (60, *shape)
    assert X.numpy().dtype == np.float32
    np.testing.assert_array_equal(X.numpy().reshape(60, 28, 28), images / np.float32(255))
    assert y.numpy().dtype == np.int64
    np.testing.assert_array_equal(y, np.arange(60) % 10)


def test_images_stay_uint8(root: Path) -> None:
    images = FashionMNIST(root=root).train.columns[0].data
    assert images.numpy().dtype == np.uint8
    assert images.shape == (200, 1, 28, 28)


def test_training_is_shuffled_and_validation_is_not(root: Path) -> None:
    data = FashionMNIST(root=root)
    assert data.train_dataloader().shuffle
    assert not data.val_dataloader().shuffle
    assert data.train_dataloader().seed is None
    assert (len(data.train), len(data.val), data.batch_size) == (200, 60, 64)


def test_source_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert FashionMNIST(root=root).source == f"root, {root}"
    assert capsys.readouterr().err == f"[fashion-mnist] from root, {root}\n"


def test_nowhere_found_is_an_error_with_a_remedy(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"\[fashion-mnist\] not found(.|\n)*What to do: "):
        FashionMNIST()


def test_text_labels() -> None:
    assert FashionMNIST.text_labels(range(10)) == [
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ]  # fmt: skip
    assert FashionMNIST.text_labels(fn.tensor([9, 0])) == ["ankle boot", "t-shirt"]
    assert FashionMNIST.text_labels(np.array([], int)) == []


@pytest.mark.parametrize("label", [-1, 10, 1.0, 0.5])
def test_text_labels_of_no_class_are_an_error(label: float) -> None:
    with pytest.raises(ValueError, match=rf"\[text_labels\] indices\[0\] = {label} is not a class index"):
        FashionMNIST.text_labels([label])


def test_visualize_shows_a_batch(root: Path) -> None:
    pytest.importorskip("matplotlib")
    for flatten in (False, True):
        data = FashionMNIST(root=root, flatten=flatten)
        batch = next(iter(data.val_dataloader()))
        figure = data.visualize(batch, nrows=2, ncols=4)
        assert [axes.get_title() for axes in figure.axes] == data.text_labels(range(8))
        assert figure.axes[0].images[0].get_array().shape == (28, 28)
        for labels in (["a", "b"], np.array(["a", "b"])):
            assert data.visualize(batch, labels=labels).axes[1].get_title() == "b"


def test_real_files_are_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_OFFLINE", "1")
    try:
        data = FashionMNIST(batch_size=10000)
    except FileNotFoundError as missing:
        pytest.skip(str(missing).splitlines()[0])
    assert (len(data.train), len(data.val)) == (60000, 10000)
    ((X, y),) = data.val_dataloader()
    assert X.shape == (10000, 1, 28, 28)
    assert np.bincount(y.numpy()).tolist() == [1000] * 10
    assert (X.numpy().min(), X.numpy().max()) == (0, 1)
    assert data.text_labels(y[:4]) == ["ankle boot", "pullover", "trouser", "trouser"]
