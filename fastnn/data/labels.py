"""Names: of classes by index, of labels of any kind, and in messages."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.dispatch import Array


def text_labels(indices: Any, classes: Sequence[str]) -> list[str]:
    """The names of classes by index; ValueError for what is not the index of one.

    >>> text_labels(np.array([1, 0]), ["cat", "dog"])
    ['dog', 'cat']
    """
    labels = np.asarray(indices).reshape(-1).tolist()
    for i, label in enumerate(labels):
        if label not in range(len(classes)) or isinstance(label, float):
            raise ValueError(
                f"[text_labels] indices[{i}] = {label} is not a class index: there are {len(classes)} classes"
            )
    return [classes[label] for label in labels]


def label_names(labels: Array) -> Array:
    """Labels of any kind as text: whole numbers without a point, whatever their dtype.

    >>> label_names(np.array([2.0, 10.0])).tolist(), label_names(np.array([True])).tolist()
    (['2', '10'], ['True'])
    """
    whole = labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())
    return (labels.astype(np.int64) if whole else labels).astype(str)


def class_indices(labels: Array, classes: Sequence[str]) -> Array:
    """The indices (n,) int64 of `labels` (n,) among the names `classes`; ValueError for one that is not there.

    >>> class_indices(np.array([10, 5, 5]), ["5", "10"])
    array([1, 0, 0])
    """
    indices = {name: i for i, name in enumerate(classes)}
    names = label_names(labels)
    for row, name in enumerate(names):
        if name not in indices:
            raise ValueError(f"[evaluate] label {str(name)!r} in row {row + 1} is no class: they are {listed(classes)}")
    return np.array([indices[name] for name in names], np.int64)


def listed(names: Sequence[str]) -> str:
    """Names in a message, not too many.

    >>> listed(["a", "b"]), listed(["a"] * 12)[-10:]
    ('a, b', 'and 2 more')
    """
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
