"""Training that is ended at a moment of one's own choice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fastnn import trainer


@contextmanager
def interrupted(seconds: float = 0.1) -> Iterator[threading.Event]:
    """SIGINT reaches this process `seconds` after the event that this gives is set; KeyboardInterrupt has to come."""
    begun = threading.Event()

    def interrupt() -> None:
        if begun.wait(600):
            time.sleep(seconds)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield begun
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def broken_off(written: int) -> Iterator[None]:
    """KeyboardInterrupt out of training when so many checkpoints have been written."""
    write, left = trainer.write_run, written

    def write_and_break_off(*arguments: Any) -> None:
        nonlocal left
        write(*arguments)
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "write_run", write_and_break_off)
        yield
