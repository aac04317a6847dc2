"""float16: data held so are those of the same numbers in float32, to the last bit; weights in files."""

from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn.data import ArrayDataset, DataLoader

RNG = np.random.default_rng(0)
HALVES = RNG.normal(size=(90, 1, 5, 5)).astype(np.float16)
FLOATS = HALVES.astype(np.float32)
LABELS = RNG.integers(0, 3, 90)


def weights_of(model: fn.Model) -> list[bytes]:
    return [weight.numpy().tobytes() for weight in model.parameters()]


def trained(X: np.ndarray, dtype: str = "float32", **options) -> tuple[fn.Trainer, fn.Model]:
    model = fn.MLP(3, 6, lr=0.1)
    trainer = fn.Trainer(3, progress=False, seed=0, **options)
    trainer.fit(model, fn.ArrayData(X, LABELS, val=0.2, batch_size=8, dtype=dtype))
    return trainer, model


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    np.save(tmp_path / "X.npy", HALVES)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_has_the_bits_of_float32(mapped: np.ndarray, dtype: str) -> None:
    _, expected = trained(FLOATS.astype(dtype), dtype)
    for X in (HALVES, mapped, np.repeat(HALVES, 2, axis=0)[::2], HALVES.astype(">f2")):
        trainer, model = trained(X, dtype)
        assert "steps run natively, shuffling and gathering included" in trainer.execution
        assert weights_of(model) == weights_of(expected)


def test_native_steps_are_those_from_python() -> None:
    assert weights_of(trained(HALVES, verify="every_step")[1]) == weights_of(trained(HALVES)[1])


def test_predictions_are_those_for_float32(mapped: np.ndarray) -> None:
    _, model = trained(HALVES)
    for X in (HALVES, mapped, HALVES[::-1][::-1]):
        np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(FLOATS))
        assert model.evaluate(X, LABELS) == model.evaluate(FLOATS, LABELS)


def test_batches_and_examples_are_float32() -> None:
    loader = DataLoader((HALVES, LABELS), batch_size=40)
    assert np.shares_memory(loader.dataset.columns[0].data.numpy(), HALVES)
    for X, _ in loader:
        assert X.dtype == np.float32
    (x, _) = ArrayDataset(HALVES, LABELS)[7]
    np.testing.assert_array_equal(x, FLOATS[7])
    assert x.dtype == np.float32


def test_data_of_other_libraries_stay_where_they_are() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.from_numpy(HALVES)
    for X in (theirs, np.from_dlpack(theirs)):
        data = fn.ArrayData(X, LABELS)
        assert np.shares_memory(data.train.columns[0].data.numpy(), HALVES)


def test_a_tensor_is_not_float16() -> None:
    for make in (fn.tensor, fn.from_dlpack):
        with pytest.raises(TypeError, match="float16 is not supported: use float32"):
            make(HALVES)


def test_a_model_for_each_group_of_rows() -> None:
    groups = np.arange(90) % 3

    def fitted(X: np.ndarray):
        return fn.fit_groups(lambda: fn.SoftmaxRegression(3, lr=0.1), X, LABELS, groups, 2, seed=0, progress=False)

    np.testing.assert_array_equal(fitted(HALVES).predict(HALVES, groups), fitted(FLOATS).predict(FLOATS, groups))


# ---- weights in files -----------------------------------------------------------------------------------------------


def test_weights_kept_as_float16_come_back_as_float32(tmp_path: Path) -> None:
    model = fn.SoftmaxRegression(3, lr=0.1)
    model.predict(np.ones((1, 500)))
    model.save(tmp_path / "whole")
    model.save(tmp_path / "half", dtype="float16")
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "whole").stat().st_size
    for loaded in (fn.load(tmp_path / "half"), fn.SoftmaxRegression(3, lr=0.1).load(tmp_path / "half")):
        for ours, weight in zip(loaded.parameters(), model.parameters(), strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, weight.numpy().astype(np.float16))


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    model = fn.SoftmaxRegression(3, lr=0.1)
    model.predict(np.ones((1, 2)))
    next(model.parameters()).data.fill_(1e5)
    with pytest.raises(ValueError, match=r"\[save\] net.1.weight has 100000.0, beyond float16's 65504"):
        model.save(tmp_path / "half", dtype="float16")
    with pytest.raises(ValueError, match=r"\[save\] dtype = 'bfloat16' must be \"float16\""):
        model.save(tmp_path / "half", dtype="bfloat16")
    assert not (tmp_path / "half").exists()
