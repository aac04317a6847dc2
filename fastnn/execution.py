"""How the steps of an epoch are run: from Python, recorded while they are, or natively, many in one call.

The first step of a run warms up (lazy shapes, optimizer state). The next two are recorded and have to be equal; from
then on the engine repeats them. Where user code takes part, the first step of every epoch is run from Python again and
compared with its record.
"""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .data import ArrayDataset, DataLoader
from .dispatch import Array, wrap
from .record import Eager, Engine, Plan, Recorder
from .tensor import Tensor

Batch = Sequence[Any]

CALL_SECONDS = 0.02  # of a native call: then signals, progress and callbacks have their turn
ATTEMPTS = 3  # to record, in a run


@dataclass
class _Record:
    """What is known of the steps on batches of one shape: recorded once, or twice and so runnable natively."""

    plan: Plan
    engine: Engine | None = None
    seconds: float = 0.0  # that a native step takes


class Steps:
    """Runs `step` on the batches of a loader.

    `step` takes a batch; what it logs in a recorded or native step goes to ``log(name, values, examples)``. `prepare`
    makes a batch of what a loader gives; with `own_batches`, what a DataLoader gives is one. `watch` are objects whose
    plain attributes a recorded step may not change. `reason` says why no step shall be recorded. `has_user_code` asks
    for comparing the first step of each epoch, `verify` for comparing every step.
    """

    def __init__(
        self,
        step: Callable[[Batch], None],
        log: Callable[[str, Sequence[float], int], None],
        prepare: Callable[[Any], Batch],
        watch: Sequence[object],
        *,
        own_batches: bool = False,
        reason: str | None = None,
        has_user_code: bool = True,
        verify: bool = False,
    ) -> None:
        self._step, self._log, self._prepare, self._watch = step, log, prepare, watch
        self._own_batches = own_batches
        self._never, self._has_user_code, self._verify = reason, has_user_code, verify
        self._reason: str | None = reason
        self._news: str | None = None
        self._records: dict[Hashable, _Record] = {}
        self._warm = self._native = self._own = False
        self._failures = 0
        self._check = False

    # ---- what it tells --------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """The plan of the latest native step, or None."""
        plans = [record.engine.plan for record in self._records.values() if record.engine is not None]
        return plans[0] if plans and self._reason is None else None

    def __str__(self) -> str:
        if self._reason is not None:
            return f"eager: {self._reason}"
        if not self._native:
            return "eager: no step has been recorded twice yet"
        news = f"; {self._news}" if self._news else ""
        if self._own:
            return f"epoch: steps run natively, shuffling and gathering included{news}"
        return f"step: each step runs natively, on batches made in Python{news}"

    # ---- an epoch -------------------------------------------------------------------------------------------------

    def epoch(self, loader: Any) -> Iterator[int]:
        """Runs an epoch; gives the number of steps made, after each step from Python and each native call."""
        self._check = self._has_user_code and bool(self._records)
        if self._never is None and self._failures < ATTEMPTS:
            self._reason = None
        self._own = self._own_batches and type(loader) is DataLoader and type(loader.dataset) is ArrayDataset
        return self._from_arrays(loader) if self._own else self._from_loader(loader)

    def _from_arrays(self, loader: DataLoader) -> Iterator[int]:
        order, at = loader.begin_epoch(), 0
        while at < len(order):
            size = min(loader.batch_size, len(order) - at)
            record = self._ready(size)
            if record is None:
                self._run(size, loader.dataset.take(wrap(order[at : at + size])), loader)
                steps = 1
            else:
                steps = self._steps_in_a_call(record, (len(order) - at) // size)
                self._run_natively(record, size, steps, order[at : at + steps * size])
            at += steps * size
            yield steps

    def _from_loader(self, loader: Any) -> Iterator[int]:
        for given in loader:
            batch = self._prepare(given)
            if other := next((part for part in batch if not isinstance(part, Tensor)), None):
                self._give_up(f"a batch holds a {type(other).__name__}")
                self._run(None, batch, None)
                yield 1
                continue
            shapes = tuple([(part.shape, str(part.dtype)) for part in batch])
            record = self._ready(shapes)
            if record is None:
                self._run(shapes, batch, None)
            else:
                assert record.engine is not None
                record.engine.load(batch)
                self._run_natively(record, len(batch[-1]), 1, None)
            yield 1

    def _ready(self, shapes: Hashable) -> _Record | None:
        """The record of a native step on such a batch, where that is what shall be done now."""
        record = self._records.get(shapes)
        if self._reason is not None or self._check or self._verify or record is None or record.engine is None:
            return None
        return record

    # ---- from Python ----------------------------------------------------------------------------------------------

    def _run(self, shapes: Hashable, batch: Batch, loader: DataLoader | None) -> None:
        """A step from Python, recorded where that may lead to something."""
        if not self._warm or self._reason is not None:
            self._warm = True
            self._step(batch)
            return
        self._check = False
        inputs = [_as_input(part) for part in batch]
        record = self._records.get(shapes)
        engine = record.engine if record is not None and self._verify else None
        before = [] if engine is None else [storage.array.copy() for storage in engine.written]
        recorded, output = Recorder(inputs, self._watch).run(lambda: self._step(inputs))
        for name, value in output.logs.items():
            self._log(name, [float(value.item())], len(batch[-1]))
        if isinstance(recorded, Eager):
            self._give_up(recorded.reason)
        elif record is None:
            self._records[shapes] = _Record(recorded)
        elif why := record.plan.difference(recorded):
            self._differs(shapes, record, recorded, why)
        elif record.engine is None:
            record.engine = _engine(recorded, None if self._verify else loader)
            self._native = True
        elif engine is not None:
            _compare(engine, inputs, before, output.logs)

    def _differs(self, shapes: Hashable, record: _Record, recorded: Plan, why: str) -> None:
        if record.engine is None:
            self._give_up(why)
        else:  # it was the same within an epoch and is another now: recorded anew, with everything that hangs on it
            self._records = {shapes: _Record(recorded)}
            self._news = f"recorded anew, because {why}"

    def _give_up(self, reason: str) -> None:
        self._records.clear()
        self._reason = reason
        self._failures += 1

    # ---- natively -------------------------------------------------------------------------------------------------

    def _steps_in_a_call(self, record: _Record, left: int) -> int:
        """As many as take about CALL_SECONDS; the first call finds out how long one takes."""
        if record.seconds == 0:
            return min(left, 4)
        return max(1, min(left, int(CALL_SECONDS / record.seconds)))

    def _run_natively(self, record: _Record, examples: int, steps: int, rows: Array | None) -> None:
        assert record.engine is not None
        started = time.perf_counter()
        results = record.engine.run(steps, rows)
        record.seconds = (time.perf_counter() - started) / steps
        for name, values in zip(record.engine.names, results.T, strict=True):
            self._log(name, values.tolist(), examples)


def has_user_code(things: Sequence[object]) -> bool:
    """Whether a class outside this package takes part, or a function of the user's among the attributes."""
    return any(
        not _is_ours(thing) or any(callable(value) and not _is_ours(value) for value in vars(thing).values())
        for thing in things
        if hasattr(thing, "__dict__")
    )


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith(__package__ + ".")


def _as_input(part: Tensor) -> Tensor:
    """`part` in contiguous memory that is known as nothing else."""
    array = part._array
    tensor: Tensor = wrap(array if array.flags.c_contiguous else array.copy())
    return tensor


def _engine(plan: Plan, loader: DataLoader | None) -> Engine:
    if loader is None:
        return Engine(plan)
    return Engine(plan, loader.dataset.take_into, plan.input_shapes[0][0])


def _compare(engine: Engine, inputs: Batch, before: list[Array], logs: dict[str, Array]) -> None:
    """Repeats natively the step that has just been run, from the states `before` it. RuntimeError where bits differ."""
    after = [storage.array.copy() for storage in engine.written]
    for storage, array in zip(engine.written, before, strict=True):
        storage.array[...] = array
    engine.load(inputs)
    values = engine.repeat()[0]
    states = [storage.array.copy() for storage in engine.written]
    for storage, array in zip(engine.written, after, strict=True):
        storage.array[...] = array
    for name, value in zip(engine.names, values, strict=True):
        if not np.array_equal(value, np.float64(logs[name].item()), equal_nan=True):
            raise RuntimeError(f"[verify] {name} is {value!r} natively, {logs[name].item()!r} from Python")
    for number, (native, eager) in enumerate(zip(states, after, strict=True)):
        if native.tobytes() != eager.tobytes():
            raise RuntimeError(
                f"[verify] state {number} of shape {eager.shape} has other bits natively than from Python"
            )
