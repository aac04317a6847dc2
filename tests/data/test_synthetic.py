"""SyntheticRegression: data that obey the weights they were made with."""

import numpy as np
import pytest

import fastnn as fn
from fastnn.data import SyntheticRegression


def test_shapes_and_dtypes() -> None:
    data = SyntheticRegression(fn.tensor([2, -3.4]), 4.2, num_train=70, num_val=30, batch_size=32)
    assert data.X.shape == (100, 2)
    assert data.y.shape == (100, 1)
    assert data.X.numpy().dtype == data.y.numpy().dtype == np.float32
    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, y.shape) == ((32, 2), (32, 1))
    assert data.target_ndim == 2


def test_targets_obey_the_weights() -> None:
    fn.manual_seed(0)
    data = SyntheticRegression([2, -3.4], 4.2, noise=0.5, num_train=20000, num_val=1)
    X, y = data.X.numpy().astype(np.float64), data.y.numpy().astype(np.float64)
    noise = y - X @ [[2], [-3.4]] - 4.2
    n = len(X)  # all limits are five standard deviations
    assert abs(noise.mean()) < 5 * 0.5 / np.sqrt(n)
    assert abs(noise.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * n)
    assert np.abs(X.mean(0)).max() < 5 / np.sqrt(n)
    assert np.abs(X.std(0) - 1).max() < 5 / np.sqrt(2 * n)
    assert np.abs(np.corrcoef(np.hstack([X, noise]).T) - np.eye(3)).max() < 5 / np.sqrt(n)


def test_no_noise_is_exact() -> None:
    data = SyntheticRegression([1.0], 0.0, noise=0, num_train=5, num_val=0)
    np.testing.assert_array_equal(data.y, data.X)


def test_manual_seed_repeats_the_data() -> None:
    fn.manual_seed(3)
    first = SyntheticRegression([1.0, 2.0], 0.5)
    second = SyntheticRegression([1.0, 2.0], 0.5)
    fn.manual_seed(3)
    again = SyntheticRegression([1.0, 2.0], 0.5)
    np.testing.assert_array_equal(first.X, again.X)
    np.testing.assert_array_equal(first.y, again.y)
    assert not np.array_equal(first.X, second.X)


def test_first_rows_are_for_training() -> None:
    data = SyntheticRegression([1.0], 0.0, num_train=6, num_val=4, batch_size=10)
    ((X, y),) = data.val_dataloader()
    np.testing.assert_array_equal(X, data.X.numpy()[6:])
    np.testing.assert_array_equal(y, data.y.numpy()[6:])
    ((X, _),) = data.train_dataloader()
    assert sorted(X.numpy().ravel()) == sorted(data.X.numpy()[:6].ravel())


def test_no_validation_rows_mean_no_validation_loader() -> None:
    assert SyntheticRegression([1.0], 0.0, num_val=0).val_dataloader() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"w": []}, "w=.* at least one"),
        ({"w": [np.nan]}, "w=.* must be finite"),
        ({"noise": -1}, "noise=-1"),
        ({"noise": np.inf}, "noise=inf"),
        ({"num_train": 0}, "num_train=0"),
        ({"num_val": -1}, "num_val=-1"),
        ({"num_train": 1.5}, "num_train=1.5, num_val=1000: need integers"),
        ({"num_val": True}, "num_val=True: need integers"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[SyntheticRegression\] .*{message}"):
        SyntheticRegression(**{"w": [1.0], "b": 0.0} | options)  # type: ignore[arg-type]
