"""Fashion-MNIST: 70,000 grey images of clothes in ten classes (Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.dispatch import Array, wrap
from fastnn.tensor import Tensor

from . import published
from .labels import text_labels
from .loader import ArrayDataset, Column, DataLoader
from .module import DataModule

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FashionMNIST(DataModule):
    """Fashion-MNIST as published: 60,000 images for training and 10,000 for validation, in their classes.

    A batch is X (B, 1, 28, 28), or (B, 784) with `flatten`, float32 in [0, 1], and y (B,) int64. The images stay uint8
    in memory. `root` is a folder with the files; what happens without one is told at `fastnn.data.fetch.find`.
    `source`, also told on stderr, says where they were found. FileNotFoundError lists everything that was tried.

    >>> data = FashionMNIST(batch_size=256)  # doctest: +SKIP
    >>> X, y = next(iter(data.val_dataloader()))  # doctest: +SKIP
    >>> X.shape, data.text_labels(y[:2])  # doctest: +SKIP
    ((256, 1, 28, 28), ['ankle boot', 'pullover'])
    """

    classes = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip

    def __init__(self, batch_size: int = 64, root: str | os.PathLike[str] | None = None, flatten: bool = False) -> None:
        from .fetch import find, tell

        super().__init__(batch_size)
        arrays, self.source, _ = find(published.FASHION_MNIST, root)
        tell(published.FASHION_MNIST, f"from {self.source}")
        self.train, self.val = (
            _examples(arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"], flatten)
            for part in ("train", "t10k")
        )

    def get_dataloader(self, train: bool) -> DataLoader:
        """A shuffled loader of the training examples, or one of the validation examples in order."""
        return DataLoader(self.train if train else self.val, self.batch_size, shuffle=train)

    @classmethod
    def text_labels(cls, indices: Tensor | Array | Sequence[int]) -> list[str]:
        """The names of classes; ValueError for what is not the index of one.

        >>> FashionMNIST.text_labels([9, 0])
        ['ankle boot', 't-shirt']
        """
        return text_labels(indices, cls.classes)

    def visualize(self, batch: Any, nrows: int = 1, ncols: int = 8, labels: Sequence[str] = ()) -> "Figure":
        """A figure of the first images of `batch` (X, y), under `labels` or the names of their classes.

        Needs matplotlib, and no display.
        """
        from fastnn import plot

        X, y = batch
        titles = list(labels) if len(labels) else self.text_labels(y)
        return plot.images(np.asarray(X).reshape(-1, 28, 28), titles, nrows=nrows, ncols=ncols)


def _examples(images: Array, labels: Array, flatten: bool) -> ArrayDataset:
    pixels = images.reshape(len(images), -1) if flatten else images[:, None]
    return ArrayDataset(Column(wrap(pixels), divisor=255.0), wrap(labels.astype(np.int64)))
