"""Training that does what a recording could miss: it counts, looks, keeps and changes things, mostly too late to see.

Each entry of `MEDDLING` makes a `Setup` by the name of what meddles.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

from training_runs import Setup, Small, classes

from fastnn import nn

MEDDLING: dict[str, Any] = {}


def meddling(make):
    MEDDLING[make.__name__.replace("_", " ")] = make
    return make


def stepping(act, data=None, optimizer=None, after=None, **attributes) -> Setup:
    """A model whose loss `act` gets, and gives another; `after` changes the model when it has been made."""

    class Meddled(Small):
        def training_step(self, batch):
            return act(self, batch, super().training_step(batch))

    model = Meddled(optimizer)
    for name, value in attributes.items():
        setattr(model, name, value)
    if after is not None:
        after(model)
    return Setup(model, data or classes())


def late(n: int) -> float:
    """Nothing to see in the first steps."""
    return 0.25 if n > 6 else 1.0


class Fading(nn.Module):
    """A layer that counts its calls, and gives something else after some."""

    def __init__(self):
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * late(self.calls)


class Hidden:
    """Counts its calls outside Python's sight, as a file or a server could."""

    __slots__ = ("_pipe",)

    def __init__(self):
        self._pipe = os.pipe()
        os.write(self._pipe[1], bytes([0]))

    def __call__(self):
        n = os.read(self._pipe[0], 1)[0] + 1
        os.write(self._pipe[1], bytes([n % 256]))
        return n

    def __del__(self):
        for end in self._pipe:
            os.close(end)


def unseen(function: Callable[[], object]) -> Any:
    """A C function that calls `function`: what that can reach cannot be reached by name."""
    return ctypes.CFUNCTYPE(None)(lambda: function() and None)


from . import between_epochs, counters, surroundings, values  # noqa: E402, F401  # they fill MEDDLING
