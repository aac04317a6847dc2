"""Whole epochs as one program: where epochs are short, what Python does around each would take longer than they do."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from fastnn import _core
from fastnn.dispatch import Array, Slot

from .engine import Engine, Load


class Epochs:
    """Runs the steps of `engines`, one for each batch of an epoch, one after the other, and that again and again.

    The engines run on batches from `load`, log the same names and have equal callbacks before their steps; they lend
    their memory. A Slot that varies from step to step becomes one for each batch.
    """

    def __init__(self, engines: Sequence[Engine], load: Load) -> None:
        self.engines = list(engines)
        self.names = engines[0].names
        self._logged = np.zeros((len(engines), len(self.names)))
        self._program = _core.Program([self._logged[i, j : j + 1] for i, j in np.ndindex(self._logged.shape)])
        self._rows = np.zeros(sum(engine.batch_size for engine in engines), np.int64)
        self._slots: list[dict[Slot, Slot]] = []  # of each batch, by those of the engine
        first = 0
        for engine, logged in zip(engines, self._logged, strict=True):
            slots = {slot: Slot(slot.value) for slot in engine.slots}
            self._slots.append(slots)
            rows = self._rows[first : first + engine.batch_size]
            load(self._program, rows, engine.inputs)
            for call in engine.calls:
                self._program.record(_with_slots(call, slots))
            for j, value in enumerate(engine.logged):
                self._program.record(functools.partial(_core.cast, value, out=logged[j : j + 1].reshape(value.shape)))
            first += len(rows)

    def run(self, epochs: int, rows: Array) -> Array:
        """Runs `epochs` epochs, on the rows of the data that `rows` names one batch after the other.

        Returns what was logged, (epochs, batches, names), in float64. Raises what a kernel in a step raises.
        """
        batches = len(self.engines)
        varying = self.engines[0].advance(epochs * batches)
        values = np.empty((epochs, sum(map(len, self._slots))))
        own: list[Slot] = []
        for i, slots in enumerate(self._slots):
            for slot, copy in slots.items():
                values[:, len(own)] = varying[slot][i::batches] if slot in varying else slot.value
                own.append(copy)
        try:
            results: Array = self._program.run(epochs, rows, self._rows, own, values if own else None)
            return results.reshape(epochs, *self._logged.shape)
        finally:
            for engine in self.engines:
                engine.note(epochs)


def _with_slots(call: Callable[[], object], slots: dict[Slot, Slot]) -> Callable[[], object]:
    """A kernel's `call`, reading other Slots."""
    assert isinstance(call, functools.partial)
    own = {name: slots[value] for name, value in call.keywords.items() if isinstance(value, Slot)}
    return functools.partial(call, **own)
