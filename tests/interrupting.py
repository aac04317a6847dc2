"""Ctrl-C, at a moment of one's own choice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


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
