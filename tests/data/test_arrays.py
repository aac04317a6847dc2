"""ArrayData: what arrays become in a batch, how rows are set aside, and which arrays are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn.data import ArrayData, DataLoader

X = np.arange(12, dtype=np.float32).reshape(6, 2)
LABELS = np.array([0, 1, 2, 0, 1, 2])
TARGETS = np.arange(6, dtype=np.float32)


def whole(loader: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """All of a loader in the order of its rows."""
    batches = [(x.numpy(), y.numpy()) for x, y in loader]
    features, targets = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    order = np.argsort(features.reshape(len(features), -1)[:, 0], kind="stable")
    return features[order], targets[order]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool", ">f8"])
def test_features_become_float32(dtype: str) -> None:
    given = X.astype(dtype)
    batch, _ = whole(ArrayData(given, LABELS).train_dataloader())
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(np.sort(batch, 0), np.sort(given, 0))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_features_become_float64_where_asked(dtype: str) -> None:
    data = ArrayData(X.astype(dtype), TARGETS, dtype="float64")
    features, targets = whole(data.train_dataloader())
    assert features.dtype == targets.dtype == np.float64
    np.testing.assert_array_equal(features, X)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "uint64", "bool", ">i4"])
def test_integers_and_bools_are_labels(dtype: str) -> None:
    labels = (LABELS % 2).astype(dtype)
    data = ArrayData(X, labels)
    _, y = whole(data.train_dataloader())
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, LABELS % 2)
    assert data.target_ndim == 1


def test_targets_become_a_column_once() -> None:
    data = ArrayData(X, TARGETS, val=(X, TARGETS))
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert whole(loader)[1].tolist() == [[0], [1], [2], [3], [4], [5]]
    assert data.target_ndim == 1
    data = ArrayData(X, TARGETS[:, None])
    assert whole(data.train_dataloader())[1].shape == (6, 1)
    assert data.target_ndim == 2
    assert whole(ArrayData(X, np.ones((6, 3))).train_dataloader())[1].shape == (6, 3)


def test_contiguous_float32_float16_and_uint8_stay_where_they_are() -> None:
    for array in (X, X.astype(np.float16), X.astype(np.uint8)):
        column = ArrayData(array, LABELS).train.columns[0]
        assert np.shares_memory(column.data.numpy(), array)


def test_given_arrays_are_kept() -> None:
    features = X.astype(np.float64)
    data = ArrayData(features, TARGETS, val=0.5)
    assert data.X is features
    assert data.y is TARGETS


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int32"])
def test_memory_maps_are_not_copied(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "x.npy", X.astype(dtype))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = ArrayData(mapped, LABELS, val=0.5)
    assert np.shares_memory(data.train.columns[0].data.numpy(), mapped)
    np.testing.assert_array_equal(whole(data.train_dataloader())[0], X[data.train.rows])


def unaligned(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda a: np.repeat(a, 2, 0)[::2], lambda a: a[::-1][::-1].T.copy().T, unaligned]
)
@pytest.mark.parametrize("y", [LABELS, X[:, 0]], ids=["labels", "targets"])
def test_layout_does_not_matter(layout: Any, y: np.ndarray) -> None:
    features, targets = whole(ArrayData(layout(X), layout(y)).train_dataloader())
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(targets.reshape(-1), y)


def test_images_keep_their_axes() -> None:
    images = np.arange(6 * 3 * 4, dtype=np.uint8).reshape(6, 3, 4)
    np.testing.assert_array_equal(whole(ArrayData(images, LABELS).train_dataloader())[0], images)


def test_frames_are_taken_by_to_numpy() -> None:
    class Frame:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def to_numpy(self) -> np.ndarray:
            return self.array

    features, y = whole(ArrayData(Frame(X), Frame(LABELS)).train_dataloader())
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(y, LABELS)


def test_lists_are_arrays_too() -> None:
    features, y = whole(ArrayData(X.tolist(), LABELS.tolist()).train_dataloader())
    np.testing.assert_array_equal(features, X)
    assert y.dtype == np.int64


def test_no_validation_without_val() -> None:
    data = ArrayData(X, LABELS)
    assert data.val is None
    assert data.val_dataloader() is None


@given(n=st.integers(2, 60), fraction=st.floats(0.01, 0.99), classes=st.integers(1, 5), stratify=st.booleans())
def test_split_takes_every_row_once(n: int, fraction: float, classes: int, stratify: bool) -> None:
    if max(1, round(n * fraction)) == n:
        return
    labels = np.arange(n) ** 2 % classes
    data = ArrayData(np.arange(n)[:, None], labels, val=fraction, stratify=stratify)
    assert data.val is not None
    assert data.train.rows is not None
    assert data.val.rows is not None
    assert len(data.val) == max(1, round(n * fraction))
    assert sorted([*data.train.rows, *data.val.rows]) == list(range(n))
    if stratify:
        for label in range(classes):
            expected = np.count_nonzero(labels == label) * len(data.val) / n
            assert abs(np.count_nonzero(labels[data.val.rows] == label) - expected) < 1


def test_split_is_decided_by_the_seed() -> None:
    def chosen(seed: int | None, stratify: bool) -> list[int]:
        data = ArrayData(np.zeros((40, 1)), np.arange(40) % 2, val=0.25, seed=seed, stratify=stratify)
        assert data.val is not None
        assert data.val.rows is not None
        return data.val.rows.tolist()

    for stratify in (False, True):
        assert chosen(1, stratify) == chosen(1, stratify)
        assert chosen(1, stratify) != chosen(2, stratify)
        assert chosen(None, stratify) == chosen(None, stratify)


def test_shuffle_and_seed_reach_the_training_loader() -> None:
    data = ArrayData(X, LABELS, val=(X, LABELS), shuffle=False, seed=8, batch_size=4)
    loader = data.train_dataloader()
    assert (loader.shuffle, loader.seed, loader.batch_size) == (False, 8, 4)
    assert ArrayData(X, LABELS, seed=8).train_dataloader().shuffle
    assert not data.val_dataloader().shuffle


NAN = np.array([0.0, 1.0, np.nan, 3.0, 4.0, 5.0])

REFUSED = [
    ((X, LABELS[:5]), {}, ValueError, "X has 6 rows but y has 5"),
    ((X[:0], LABELS[:0]), {}, ValueError, r"X has shape \(0, 2\): there is nothing to train on"),
    ((X[:, :0], LABELS), {}, ValueError, r"X has shape \(6, 0\)"),
    ((X, 3), {}, ValueError, r"y has shape \(\)"),
    ((X[:, 0], LABELS), {}, ValueError, r"write X.reshape\(-1, 1\)"),
    ((X.astype(object), LABELS), {}, TypeError, r"X has dtype object: .* X.astype\('float32'\)"),
    ((X, np.array(list("abcabc"))), {}, TypeError, "y has dtype <U1: .* labels counted from 0"),
    ((X, LABELS.astype(object)), {}, TypeError, "y has dtype object"),
    ((X.astype(complex), LABELS), {}, TypeError, "X has dtype complex128"),
    ((X, np.array(["2020-01-01"] * 6, "M8[D]")), {}, TypeError, "y has dtype datetime64"),
    ((X, NAN), {}, ValueError, r"y\[2\] = nan is no finite float32: leave such rows out"),
    ((X, np.stack([TARGETS, np.array([0, -np.inf, 0, 0, 0, 0])], 1)), {}, ValueError, r"y\[1, 1\] = -inf"),
    ((X, np.eye(6, 3, dtype=int)), {}, ValueError, r"y has dtype int64 and shape \(6, 3\): labels are \(n,\)"),
    ((X, LABELS[:, None]), {}, ValueError, r"shape \(6, 1\): labels are \(n,\)"),
    ((X, LABELS.astype(np.uint64) + 2**63), {}, ValueError, "label 9223372036854775810, which is not a class index"),
    ((X, TARGETS + np.float64(1e300)), {}, ValueError, r'y\[0\] = 1e\+300 is no .*: .* out, or use dtype="float64"'),
    ((X, np.array([0, 1, -100, 2, -1, 0])), {}, ValueError, r"y\[2\] = -100 is not a class index: .* from 0"),
    ((X, LABELS), {"val": (X, LABELS - 3)}, ValueError, r"val y\[0\] = -3 is not a class index"),
    ((X, LABELS), {"val": (X,)}, ValueError, r"val has 1 parts: it must be a fraction, or a tuple \(X, y\)"),
    ((X, LABELS), {"val": [X, LABELS, LABELS]}, ValueError, "val has 3 parts"),
    ((X, LABELS), {"val": 0.5, "seed": -1}, ValueError, r"seed = -1 must be in \[0, 2\*\*64\)"),
    ((X, LABELS), {"seed": 1.5}, TypeError, "seed = 1.5 must be an integer, not float"),
    ((X, LABELS), {"val": 0.0}, ValueError, "val=0.0 must be a fraction"),
    ((X, LABELS), {"val": 1.0}, ValueError, "val=1.0 must be a fraction"),
    ((X, LABELS), {"val": float("nan")}, ValueError, "val=nan must be a fraction"),
    ((X, LABELS), {"val": True}, ValueError, "val=True must be a fraction"),
    ((X, LABELS), {"val": 0.95}, ValueError, "val=0.95 leaves nothing to train on: there are 6 rows"),
    ((X, LABELS), {"val": (X[:, :1], LABELS)}, ValueError, r"val has rows of shape \(1,\)"),
    ((X, LABELS), {"val": (X, LABELS[:2])}, ValueError, "val X has 6 rows but val y has 2"),
    ((X, LABELS), {"val": (X[:0], LABELS[:0])}, ValueError, "val X has shape"),
    ((X, LABELS), {"val": (X, TARGETS)}, TypeError, "val y has dtype float32 but y has int64"),
    ((X, TARGETS), {"val": (X, NAN)}, ValueError, r"val y\[2\] = nan"),
    ((X, TARGETS), {"val": 0.5, "stratify": True}, ValueError, "stratify needs labels, but y has dtype float32"),
    ((X, LABELS), {"stratify": True}, ValueError, "stratify needs a fraction as val"),
    ((X, LABELS), {"val": (X, LABELS), "stratify": True}, ValueError, "stratify needs a fraction as val"),
    ((X, LABELS), {"dtype": "float16"}, ValueError, "dtype='float16' must be"),
]


@pytest.mark.parametrize(("arrays", "options", "kind", "message"), REFUSED)
def test_what_cannot_be_trained_on_is_refused(
    arrays: tuple[Any, Any], options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=rf"\[ArrayData\] .*{message}"):
        ArrayData(*arrays, **options)


def test_batch_size_is_checked() -> None:
    with pytest.raises(ValueError, match="batch_size=0 must be a positive integer"):
        ArrayData(X, LABELS, batch_size=0).train_dataloader()
