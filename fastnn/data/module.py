"""DataModule: what a trainer asks for its batches."""

from collections.abc import Sequence
from typing import Any

from fastnn import reprs, tabular
from fastnn.dispatch import Array
from fastnn.tensor import Tensor

from .loader import ArrayDataset, DataLoader


class DataModule:
    """Where a trainer gets its batches: override `get_dataloader`, or `train_dataloader` and `val_dataloader`.

    A subclass need not call ``super().__init__``.

    >>> class Line(DataModule):
    ...     def get_dataloader(self, train):
    ...         rows = slice(0, 6) if train else slice(6, 9)
    ...         return self.get_tensorloader((np.arange(9.0), np.arange(9.0)), train, rows)
    >>> len(Line(batch_size=4).train_dataloader()), len(Line().val_dataloader())
    (2, 1)
    """

    batch_size: int = 64
    target_ndim: int | None = None
    """Dimensions that the targets were given in, where a model's predictions should have as many."""
    classes: Sequence[str] | None = None
    """Names of the classes, in the order of the labels; a model that is trained on them keeps them."""

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def __repr__(self) -> str:
        lines = [f"  {name}: {examples!r}" for name, examples in self._examples().items()]
        return "\n".join([self._call(), *lines])

    def _repr_html_(self) -> str:
        """What there is to train and to validate on, as notebooks show it."""
        rows = [("", "rows", "of")]
        rows += [(name, f"{len(examples):,}", examples.describe()) for name, examples in self._examples().items()]
        return tabular.html(self._call(), rows, "<><")

    def _call(self) -> str:
        given = reprs.arguments(self)
        return reprs.with_arguments(type(self).__name__, {k: v for k, v in given.items() if k not in self._examples()})

    def _examples(self) -> dict[str, ArrayDataset]:
        """Data sets that this has ready, by name."""
        found = {name: getattr(self, name, None) for name in ("train", "val")}
        return {name: examples for name, examples in found.items() if isinstance(examples, ArrayDataset)}

    def get_tensorloader(
        self, tensors: tuple[Tensor | Array, ...] | list[Tensor | Array], train: bool, indices: Any = slice(0, None)
    ) -> DataLoader:
        """A loader of the rows `indices` of `tensors`; it shuffles when training and keeps the short last batch."""
        return DataLoader(tuple([tensor[indices] for tensor in tensors]), self.batch_size, shuffle=train)

    def get_dataloader(self, train: bool) -> Any:
        """The loader for training, or for validation (None where there is none)."""
        raise NotImplementedError(f"[{type(self).__name__}] get_dataloader(train) is missing: return a DataLoader")

    def train_dataloader(self) -> Any:
        """A new loader of the training examples: any iterable of batches."""
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> Any:
        """A new loader of the validation examples, or None."""
        if type(self).get_dataloader is DataModule.get_dataloader:
            return None
        return self.get_dataloader(train=False)
