"""SyntheticRegression: linear data with known weights."""

from collections.abc import Sequence

import numpy as np

from fastnn.dispatch import Array, constant, run, wrap
from fastnn.random import Purpose, counters
from fastnn.tensor import Tensor

from .loader import DataLoader
from .module import DataModule


class SyntheticRegression(DataModule):
    """Examples of ``y = X w + b + noise``, with X from the standard normal and noise from a normal distribution.

    `w` has d numbers, `noise` is a standard deviation. `X` is (n, d) and `y` (n, 1), float32, with n = num_train +
    num_val; the first `num_train` rows are for training. `fastnn.manual_seed` repeats them. (D2L, section 3.3.)

    >>> data = SyntheticRegression(w=[2, -3.4], b=4.2, num_train=100, num_val=50)
    >>> data.X.shape, data.y.shape, len(data.train_dataloader()), len(data.val_dataloader())
    ((150, 2), (150, 1), 4, 2)
    """

    target_ndim = 2

    def __init__(
        self,
        w: Tensor | Array | Sequence[float],
        b: float | Tensor,
        noise: float = 0.01,
        num_train: int = 1000,
        num_val: int = 1000,
        batch_size: int = 32,
    ) -> None:
        super().__init__(batch_size)
        weights = np.array(w, np.float32).reshape(-1, 1)
        if weights.size == 0 or not np.isfinite(weights).all():
            raise ValueError(f"[SyntheticRegression] w={w} must be finite numbers, at least one")
        if not (np.isfinite(noise) and noise >= 0):
            raise ValueError(f"[SyntheticRegression] noise={noise} must be a finite standard deviation")
        whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in (num_train, num_val))
        if not whole or num_train < 1 or num_val < 0:
            raise ValueError(
                f"[SyntheticRegression] num_train={num_train!r}, num_val={num_val!r}: need integers, 1 and 0 at least"
            )
        self.w, self.b, self.noise = w, b, noise
        self.num_train, self.num_val = num_train, num_val
        count = num_train + num_val
        self.X: Tensor = run("normal", shape=(count, len(weights)), **counters(Purpose.DATA))
        error = run("normal", shape=(count, 1), std=float(noise), **counters(Purpose.DATA))
        line = run("add", run("matmul", self.X, wrap(weights)), constant(float(b), np.dtype(np.float32)))
        self.y: Tensor = run("add", line, error)

    def get_dataloader(self, train: bool) -> DataLoader | None:
        """A shuffled loader of the training rows, or one of the validation rows in order (None without any)."""
        if not train and self.num_val == 0:
            return None
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, rows)
