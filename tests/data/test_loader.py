"""Loaders: every example once an epoch, in an order that the seed and the epoch decide."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn as fn
from fastnn.data import ArrayDataset, Column, DataLoader, DataModule


def rows(loader: DataLoader) -> list[list[int]]:
    """The first array of every batch."""
    return [batch[0].tolist() for batch in loader]


@given(n=st.integers(1, 40), batch_size=st.integers(1, 45), shuffle=st.booleans(), drop_last=st.booleans())
def test_every_example_comes_once(n: int, batch_size: int, shuffle: bool, drop_last: bool) -> None:
    if drop_last and n < batch_size:
        return
    loader = DataLoader((np.arange(n), np.arange(n) ** 2), batch_size, shuffle, seed=1, drop_last=drop_last)
    seen: list[int] = []
    sizes = []
    for x, y in loader:
        np.testing.assert_array_equal(y, x.numpy() ** 2)
        sizes.append(len(x))
        seen += x.tolist()
    assert len(sizes) == len(loader)
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    if drop_last:
        assert sizes[-1] == batch_size
        assert len(set(seen)) == len(seen) == n - n % batch_size
    else:
        assert sorted(seen) == list(range(n))
    if not shuffle:
        assert seen == list(range(len(seen)))


def test_order_is_decided_by_seed_and_epoch() -> None:
    x = np.arange(50)
    first = DataLoader(x, 7, shuffle=True, seed=3)
    epochs = [rows(first) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    second = DataLoader(x, 7, shuffle=True, seed=3)
    second.set_epoch(2)
    assert rows(second) == epochs[2]
    second.set_epoch(0)
    assert rows(second) == epochs[0]
    assert rows(second) == epochs[1]
    assert rows(DataLoader(x, 7, shuffle=True, seed=4)) != epochs[0]


def test_order_is_that_of_the_permutation_kernel() -> None:
    loader = DataLoader(np.arange(20), 20, shuffle=True, seed=5)
    loader.set_epoch(9)
    assert rows(loader) == [fn.kernels.permutation(20, seed=5, epoch=9).tolist()]


def test_seed_can_be_given_later() -> None:
    loader = DataLoader(np.arange(20), 20, shuffle=True)
    assert loader.seed is None
    rows(loader)
    loader.seed = 5
    loader.set_epoch(0)
    assert rows(loader) == rows(DataLoader(np.arange(20), 20, shuffle=True, seed=5))


def test_loaders_without_seed_differ_and_repeat_under_manual_seed() -> None:
    def draw() -> list[list[list[int]]]:
        return [rows(DataLoader(np.arange(30), 30, shuffle=True)) for _ in range(3)]

    fn.manual_seed(1)
    first = draw()
    assert first[0] != first[1] != first[2]
    assert draw() != first
    fn.manual_seed(1)
    assert draw() == first


def test_two_iterations_of_one_loader_do_not_disturb_each_other() -> None:
    loader = DataLoader(np.arange(10), 1, shuffle=True, seed=0)
    interleaved = [(a[0].item(), b[0].item()) for a, b in zip(loader, loader, strict=True)]
    loader.set_epoch(0)
    assert [[a] for a, _ in interleaved] == rows(loader)
    assert [[b] for _, b in interleaved] == rows(loader)


def test_batches_are_new_memory_without_history() -> None:
    x = fn.ones((4, 2), requires_grad=True)
    (batch,) = next(iter(DataLoader(x, 4)))
    assert not batch.requires_grad
    assert not np.shares_memory(batch.numpy(), x.detach().numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_batches_keep_the_dtype(dtype: str) -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]], dtype)
    (batch,) = next(iter(DataLoader(x, 2)))
    assert batch.numpy().dtype == dtype
    np.testing.assert_array_equal(batch, x[:2])


def test_other_integers_are_widened() -> None:
    for dtype in ("int8", "int16", "uint16", "uint32", "uint64", ">i4"):
        x = np.array([[0, 1], [2, 3]], dtype)
        (batch,) = next(iter(DataLoader(x, 2)))
        assert batch.dtype == ("int32" if dtype == ">i4" else "int64")
        np.testing.assert_array_equal(batch, x)
    with pytest.raises(ValueError, match=r"\[DataLoader\] 9223372036854775808 does not fit int64"):
        DataLoader(np.array([2**63], np.uint64))
    with pytest.raises(TypeError, match=r"\[DataLoader\] dtype complex64 is not supported"):
        DataLoader(np.zeros(3, np.complex64))


@pytest.mark.parametrize("kind", [np.asarray, fn.tensor])
def test_what_is_not_contiguous_is_copied_once(kind: Any) -> None:
    x = np.arange(12.0).reshape(3, 4).T
    loader = DataLoader(kind(x), 3)
    assert loader.dataset.columns[0].data.numpy().flags.c_contiguous
    np.testing.assert_array_equal(np.concatenate([batch.numpy() for (batch,) in loader]), x)


def test_uint8_is_scaled_while_it_is_gathered() -> None:
    x = np.array([[0, 255], [51, 102]], np.uint8)
    (batch,) = next(iter(DataLoader(ArrayDataset(Column(fn.tensor(x), divisor=255.0)), 2)))
    assert batch.numpy().dtype == np.float32
    np.testing.assert_array_equal(batch, x / np.float32(255))


def test_columns_change_the_dtype_of_a_batch() -> None:
    for dtype in ("float32", "float64"):
        for x in (np.array([[1, 2]], np.uint8), np.array([[1.0, 2.0]]), np.array([[1, 2]])):
            (batch,) = next(iter(DataLoader(ArrayDataset(Column(fn.tensor(x), dtype=dtype)))))
            assert batch.numpy().dtype == dtype
            assert batch.tolist() == [[1, 2]]


def test_memory_maps_are_read_batch_by_batch(tmp_path: Path) -> None:
    written = np.memmap(tmp_path / "x", np.float32, "w+", shape=(10, 3))
    written[:] = np.arange(30).reshape(10, 3)
    written.flush()
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=(10, 3))
    loader = DataLoader(mapped, 4)
    assert np.shares_memory(loader.dataset.columns[0].data.numpy(), mapped)
    np.testing.assert_array_equal(np.concatenate([x.numpy() for (x,) in loader]), written)


def test_dataset_gives_examples() -> None:
    dataset = ArrayDataset(np.arange(6).reshape(3, 2), np.array([7, 8, 9]), rows=np.array([2, 0]))
    assert len(dataset) == 2
    assert [part.tolist() for part in dataset[0]] == [[4, 5], 9]
    assert [part.tolist() for part in dataset[-1]] == [[0, 1], 7]
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 2 examples"):
            dataset[index]


def test_rows_choose_the_examples() -> None:
    dataset = ArrayDataset(np.arange(10) * 10, rows=np.array([3, 5, 9]))
    assert rows(DataLoader(dataset, 2)) == [[30, 50], [90]]
    shuffled = rows(DataLoader(dataset, 3, shuffle=True, seed=0))[0]
    assert sorted(shuffled) == [30, 50, 90]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((np.zeros(3), np.zeros(4)),), r"the arrays have \[3, 4\] rows"),
        (((),), "at least one dimension"),
        ((np.array(1.0),), "at least one dimension"),
        ((np.zeros((0, 2)),), r"no rows: shapes \[\(0, 2\)\]"),
        ((np.zeros(3), 0), "batch_size=0 must be a positive integer"),
        ((np.zeros(3), -1), "batch_size=-1"),
        ((np.zeros(3), 2.0), "batch_size=2.0"),
        ((np.zeros(3), True), "batch_size=True"),
    ],
)
def test_what_cannot_be_loaded_is_an_error(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[DataLoader\] .*{message}"):
        DataLoader(*arguments)


def test_seed_is_checked() -> None:
    for seed, kind in ((-1, ValueError), (2**64, ValueError), (0.5, TypeError), ("1", TypeError), (True, TypeError)):
        with pytest.raises(kind, match=rf"\[DataLoader\] seed = {seed!r} must be"):
            DataLoader(np.zeros(3), seed=seed)  # type: ignore[arg-type]
    loader = DataLoader(np.zeros(3), shuffle=True, seed=2**64 - 1)
    assert len(list(loader)) == 3
    with pytest.raises(ValueError, match=r"\[DataLoader\] epoch = -1 must be at least 0"):
        loader.set_epoch(-1)
    loader.seed = -1
    with pytest.raises(ValueError, match=r"\[DataLoader\] seed = -1 must be"):
        iter(loader)


def test_drop_last_must_leave_a_batch() -> None:
    with pytest.raises(ValueError, match="drop_last leaves no batch: 3 rows, batch_size=4"):
        DataLoader(np.zeros(3), 4, drop_last=True)


def test_lists_of_numbers_are_no_arrays() -> None:
    with pytest.raises(TypeError, match=r"\[DataLoader\] dataset has a list"):
        DataLoader(([1, 2], [3, 4]))  # type: ignore[arg-type]


def test_loader_can_be_pickled() -> None:
    loader = DataLoader((np.arange(10.0), np.arange(10)), 3, shuffle=True, seed=2)
    assert rows(pickle.loads(pickle.dumps(loader))) == rows(loader)


def test_module_needs_no_init() -> None:
    class Line(DataModule):
        def __init__(self) -> None:
            self.x = np.arange(100.0)

        def get_dataloader(self, train: bool) -> DataLoader:
            return self.get_tensorloader((self.x, self.x), train, slice(0, 70) if train else slice(70, None))

    data = Line()
    train, val = data.train_dataloader(), data.val_dataloader()
    assert (len(train), len(val)) == (2, 1)
    assert sorted(number for batch in rows(train) for number in batch) == list(range(70))
    assert rows(val) == [list(range(70, 100))]


def test_module_without_validation_has_no_validation_loader() -> None:
    class Train(DataModule):
        def train_dataloader(self) -> DataLoader:
            return self.get_tensorloader([np.arange(3.0)], True)

    assert Train().val_dataloader() is None
    assert len(Train(batch_size=2).train_dataloader()) == 2


def test_module_without_loaders_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match=r"\[DataModule\] get_dataloader"):
        DataModule().train_dataloader()


def test_loaders_have_the_names_and_the_path_that_pytorch_has() -> None:
    dataset = fn.utils.data.TensorDataset(fn.arange(5), fn.arange(5) * 10)
    loader = fn.utils.data.DataLoader(dataset, 2, shuffle=False, num_workers=4)
    assert type(loader) is fn.DataLoader
    assert [y.tolist() for _, y in loader] == [[0, 10], [20, 30], [40]]
