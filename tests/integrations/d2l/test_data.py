"""The book's data: loaders, images of other sizes, and the houses."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tiny_fashion_mnist

import fastnn as fn
from fastnn.integrations import d2l
from fastnn.integrations.d2l import kaggle


def test_a_module_of_ones_own_needs_a_loader_and_a_batch_size() -> None:
    class Line(d2l.DataModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.batch_size = 4

        def get_dataloader(self, train):
            return self.get_tensorloader([fn.arange(9), fn.arange(9)], train, slice(0, 6) if train else slice(6, None))

    data = Line()
    assert (data.root, data.num_workers) == ("../data", 4)
    assert [len(X) for X, _ in data.train_dataloader()] == [4, 2]
    assert [X.tolist() for X, _ in data.val_dataloader()] == [[6, 7, 8]]


def test_synthetic_data_keep_what_they_were_made_of() -> None:
    data = d2l.SyntheticRegressionData(fn.tensor([2, -3.4]), 4.2, noise=0, num_train=7, num_val=5, batch_size=3)
    assert data.hparams.keys() == {"w", "b", "noise", "num_train", "num_val", "batch_size"}
    assert (data.root, data.X.shape, data.y.shape) == ("../data", (12, 2), (12, 1))
    residual = data.y - (fn.matmul(data.X, data.w.reshape(-1, 1)) + data.b)
    # Three products and sums of numbers below 32, rounded twice.
    assert abs(np.asarray(residual)).max() <= 6 * 32 * 2**-24


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where a notebook looks for data: beside its own."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path / "data"


def test_images_are_looked_for_in_root_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_fashion_mnist.install(root, monkeypatch).rename(root / "fashion-mnist")
    data = d2l.FashionMNIST(batch_size=50)
    assert data.source == "root, ../data/fashion-mnist"
    assert (len(data.train), len(data.val)) == (tiny_fashion_mnist.NUM_TRAIN, tiny_fashion_mnist.NUM_VAL)
    X, y = data.train[0]
    assert (X.shape, X.dtype, y.dtype) == ((1, 28, 28), "float32", "int64")


@pytest.mark.parametrize("size", [(32, 32), (14, 20), (64, 28), (3, 5)])
def test_images_are_resized_as_pillow_does_it(size: tuple[int, int], root: Path, monkeypatch) -> None:
    image = pytest.importorskip("PIL.Image")
    tiny_fashion_mnist.install(root, monkeypatch).rename(root / "fashion-mnist")
    before, after = d2l.FashionMNIST(), d2l.FashionMNIST(resize=size)
    X, y = next(iter(after.val_dataloader()))
    assert X.shape == (tiny_fashion_mnist.NUM_VAL, 1, *size)
    assert y.tolist() == [label.item() for _, label in map(before.val.__getitem__, range(len(before.val)))]
    for (pixels, _), resized in zip(map(before.val.__getitem__, range(20)), X, strict=False):
        whole = np.rint(np.asarray(pixels[0]) * 255).astype(np.uint8)
        expected = np.asarray(image.fromarray(whole).resize(size[::-1], image.Resampling.BILINEAR))
        # Pillow's weights have 22 bits, and each of two passes rounds: halves may go the other way.
        assert abs(np.asarray(resized[0]) * 255 - expected).max() <= 1 + 255 * 2**-23


@pytest.mark.parametrize("size", [(0, 28), (28.5, 28), (28,), (True, 28)])
def test_sizes_are_whole_numbers(size, root: Path, monkeypatch) -> None:
    tiny_fashion_mnist.install(root, monkeypatch).rename(root / "fashion-mnist")
    with pytest.raises(ValueError, match=r"\[FashionMNIST\] resize = .* must be a height and a width, integers"):
        d2l.FashionMNIST(resize=size)


# ---- files ----------------------------------------------------------------------------------------------------

CONTENT = b"Id,SalePrice\n1,100\n"
SHA1 = hashlib.sha1(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of one's own with the file houses.csv; its address."""
    monkeypatch.delenv("FASTNN_OFFLINE", raising=False)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "houses.csv").write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=partial(http.serve_forever, poll_interval=0.01), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_a_file_is_fetched_once(server: str, root: Path) -> None:
    pytest.importorskip("pooch")
    for _ in range(2):
        path = d2l.download(f"{server}/houses.csv", root, SHA1)
        assert Path(path).read_bytes() == CONTENT
        server = "http://127.0.0.1:1"  # where nothing is


def test_a_damaged_file_is_fetched_again(server: str, root: Path) -> None:
    pytest.importorskip("pooch")
    (root / "houses.csv").write_bytes(CONTENT[:-1])
    assert Path(d2l.download(f"{server}/houses.csv", root, SHA1)).read_bytes() == CONTENT


def test_another_file_than_expected_is_refused(server: str, root: Path) -> None:
    pytest.importorskip("pooch")
    with pytest.raises(ValueError, match="hash"):
        d2l.download(f"{server}/houses.csv", root, "0" * 40)
    assert list(root.iterdir()) == []


def test_without_network_the_error_says_where_the_file_belongs(root: Path, monkeypatch) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setenv("FASTNN_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match=r"\[download\] a\.csv is not in \.\./data and FASTNN_OFFLINE is set"):
        d2l.download("http://example.org/a.csv")


# ---- houses ---------------------------------------------------------------------------------------------------

TRAIN = """Id,Area,Street,Pool,SalePrice
1,100,Pave,NA,100000
2,200,Grvl,NA,200000
3,NA,Pave,Good,150000
"""
VAL = """Id,Area,Street,Pool
4,300,Pave,NA
"""


@pytest.fixture
def houses(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four houses in the place of the real ones."""
    pytest.importorskip("pandas")
    pytest.importorskip("pooch")
    monkeypatch.setenv("FASTNN_OFFLINE", "1")
    files = dict(zip(kaggle._HOUSES, (TRAIN.encode(), VAL.encode()), strict=True))
    for name, content in files.items():
        (root / name).write_bytes(content)
    monkeypatch.setattr(kaggle, "_HOUSES", {name: hashlib.sha1(text).hexdigest() for name, text in files.items()})


@pytest.mark.usefixtures("houses")
def test_houses_become_numbers() -> None:
    data = d2l.KaggleHouse(batch_size=2)
    assert (data.raw_train.shape, data.raw_val.shape) == ((3, 5), (1, 4))
    data.preprocess()
    assert list(data.train) == [
        "Area",
        "Street_Grvl",
        "Street_Pave",
        "Street_nan",
        "Pool_Good",
        "Pool_nan",
        "SalePrice",
    ]
    assert list(data.val) == list(data.train)[:-1]
    assert data.train["Area"].tolist() == [-1, 0, 0]  # of 100, 200 and 300, and one that is missing
    assert data.val.astype(float).to_numpy().tolist() == [[1, 0, 1, 0, 0, 1]]
    assert data.val_dataloader() is None
    X, y = map(np.concatenate, zip(*data.train_dataloader(), strict=True))
    assert X.shape == (3, 6)
    np.testing.assert_allclose(np.sort(y[:, 0]), np.log([100000, 150000, 200000]), rtol=2 * 2**-24)


@pytest.mark.usefixtures("houses")
def test_frames_of_ones_own_are_taken_as_they_are() -> None:
    data = d2l.KaggleHouse(batch_size=2)
    data.preprocess()
    fold = d2l.KaggleHouse(data.batch_size, train=data.train.iloc[:2], val=data.train.iloc[2:])
    assert (len(fold.train_dataloader()), len(fold.val_dataloader())) == (1, 1)
    assert not hasattr(fold, "raw_train")
