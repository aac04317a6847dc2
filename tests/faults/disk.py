"""File systems that fail: the so-many-th call that writing a file makes raises an error, or ends the process."""

import builtins
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CALLS = ("open", "fsync", "replace", "close")  # of the module os; and those of files


class _File:
    """A file whose calls are counted."""

    def __init__(self, file: Any, count: Callable[[], None]) -> None:
        self.file, self.count = file, count

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self.count()
        self.file.close()
        self.count()

    def fileno(self) -> int:
        return self.file.fileno()

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        self.count()
        return self.file.write(data[len(data) // 2 :])

    def flush(self) -> None:
        self.count()
        self.file.flush()
        self.count()


@contextmanager
def failing(number: int, fault: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Calls `fault` before or after one of the calls that write a file, or halfway through the writing of its bytes:
    the one of that `number` (0, 1, ...). Tells whether there were so many.
    """
    made, kept = 0, {name: getattr(os, name) for name in CALLS}
    real_open = builtins.open

    def count() -> None:
        nonlocal made
        made += 1
        if made == number + 1:
            fault()

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            count()
            result = kept[name](*arguments)
            count()
            return result

        return call

    def counted_open(path: Any, mode: str = "r", *arguments: Any) -> Any:
        file = real_open(path, mode, *arguments)
        if "x" not in mode:
            return file
        file_with_count = _File(file, count)
        count()
        return file_with_count

    builtins.open = counted_open
    for name in CALLS:
        setattr(os, name, counted(name))
    try:
        yield lambda: made > number
    finally:
        builtins.open = real_open
        for name, function in kept.items():
            setattr(os, name, function)
