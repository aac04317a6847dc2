"""What training runs of a process share: models, which one at a time may train, and the number of threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from . import _core

_lock = threading.Lock()
_busy: set[int] = set()
_asked_for: dict[object, int] = {}  # numbers of threads, by who asks at the moment
_not_asked = 0


@contextmanager
def claim(*things: object) -> Iterator[None]:
    """`things`, a model and its trainer, are at work inside; RuntimeError where one is already."""
    with _lock:
        if any(id(thing) in _busy for thing in things):
            raise RuntimeError("[fit] this model or trainer is at work already: wait for it, or train a copy.deepcopy")
        _busy.update(map(id, things))
    try:
        yield
    finally:
        with _lock:
            _busy.difference_update(map(id, things))


@contextmanager
def native_threads(count: int | None) -> Iterator[None]:
    """Native calls use `count` threads inside, None: as many as before.

    The number is the process's: of several that ask at once the latest decides, and the last to leave puts it back.
    """
    global _not_asked
    if count is None:
        yield
        return
    who = object()
    with _lock:
        if not _asked_for:
            _not_asked = _core.num_threads()
        _asked_for[who] = count
        _core.set_num_threads(count)
    try:
        yield
    finally:
        with _lock:
            del _asked_for[who]
            _core.set_num_threads(next(reversed(_asked_for.values()), _not_asked))
