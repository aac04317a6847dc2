"""The book's data: what there is to train on, synthetic and of clothes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastnn.data
from fastnn.data import ArrayDataset, Column, DataLoader
from fastnn.dispatch import Array, wrap
from fastnn.tensor import Tensor

from .drawing import show_images
from .hyperparameters import HyperParameters


class DataModule(fastnn.data.DataModule, HyperParameters):
    """Where a trainer gets its batches: subclasses define `get_dataloader`, and set `batch_size`.

    `root` is the folder of data sets. `num_workers` is kept and does nothing: batches are gathered natively.
    """

    root: str
    num_workers: int

    def __init__(self, root: str = "../data", num_workers: int = 4) -> None:
        self.save_hyperparameters()


class SyntheticRegressionData(DataModule, fastnn.data.SyntheticRegression):
    """Examples of ``y = X w + b + noise``: `fastnn.data.SyntheticRegression`.

    >>> import fastnn as fn
    >>> data = SyntheticRegressionData(w=fn.tensor([2, -3.4]), b=4.2)
    >>> data.X.shape, data.y.shape, len(data.train_dataloader())
    ((2000, 2), (2000, 1), 32)
    """

    def __init__(
        self,
        w: Tensor,
        b: float,
        noise: float = 0.01,
        num_train: int = 1000,
        num_val: int = 1000,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        fastnn.data.SyntheticRegression.__init__(self, w, b, noise, num_train, num_val, batch_size)
        self.save_hyperparameters()


class Data(DataModule):
    """More inputs than examples: ``y`` is 0.05, and 0.01 times the sum of all inputs, and noise of 0.01.

    >>> data = Data(num_train=20, num_val=100, num_inputs=200, batch_size=5)
    >>> data.X.shape, data.y.shape
    ((120, 200), (120, 1))
    """

    num_train: int

    def __init__(self, num_train: int, num_val: int, num_inputs: int, batch_size: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        line = fastnn.data.SyntheticRegression([0.01] * num_inputs, 0.05, 0.01, num_train, num_val)
        self.X, self.y = line.X, line.y

    def get_dataloader(self, train: bool) -> DataLoader:
        """A shuffled loader of the training rows, or one of the validation rows in order."""
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, rows)


class FashionMNIST(DataModule, fastnn.data.FashionMNIST):
    """Fashion-MNIST: `fastnn.data.FashionMNIST`, looked for in `root` first, with images of another size if asked for.

    `resize` is (height, width). `train` and `val` are the data sets, ``train[0][0]`` is the first image.
    """

    def __init__(self, batch_size: int = 64, resize: tuple[int, int] = (28, 28)) -> None:
        super().__init__()
        fastnn.data.FashionMNIST.__init__(self, batch_size, root=self.root)
        self.save_hyperparameters()
        if tuple(resize) != (28, 28):
            self.train, self.val = (_resized(dataset, resize) for dataset in (self.train, self.val))

    def visualize(self, batch: Any, nrows: int = 1, ncols: int = 8, labels: Sequence[str] = ()) -> None:  # type: ignore[override]
        """Show the first images of `batch` (X, y), under `labels` or the names of their classes."""
        X, y = batch
        show_images(X.squeeze(1), nrows, ncols, titles=list(labels) or self.text_labels(y))


def _resized(dataset: ArrayDataset, size: tuple[int, int]) -> ArrayDataset:
    """Bilinear, and where it shrinks the mean over what becomes a pixel: as Pillow does it, which torchvision calls."""
    if len(size) != 2 or any(isinstance(n, bool) or not hasattr(n, "__index__") or n < 1 for n in size):
        raise ValueError(f"[FashionMNIST] resize = {size} must be a height and a width, integers of at least 1")
    images, labels = (column.data.numpy() for column in dataset.columns)
    down, across = (_weights(old, new) for old, new in zip(images.shape[2:], size, strict=True))
    pixels = np.empty((*images.shape[:2], *size), np.uint8)
    for i in range(0, len(images), 1000):  # as floating point, all of them would take a gigabyte
        rows = np.rint(images[i : i + 1000] @ across.T)
        pixels[i : i + 1000] = np.rint(down @ rows)
    return ArrayDataset(Column(wrap(pixels), divisor=255.0), labels)


def _weights(old: int, new: int) -> Array:
    """How much each of `old` pixels in a line adds to each of `new` ones, (new, old)."""
    reach = max(old / new, 1.0)
    centers = (np.arange(new)[:, None] + 0.5) * old / new
    weights = np.maximum(0, 1 - abs(np.arange(old) + 0.5 - centers) / reach)
    normed: Array = weights / weights.sum(1, keepdims=True)
    return normed.astype(np.float32)
