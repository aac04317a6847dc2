"""How the steps of an epoch are run: from Python, recorded while they are, or natively, many in one call.

The first step of a run warms up (lazy shapes, optimizer state). The next two are recorded and have to be equal; from
then on the engine repeats them. Where user code takes part, the last step of each epoch and the first on batches of
each shape are run from Python again: what user code finds before and after an epoch is as ever, and each such step is
compared with its record, the first ones also with what the engine makes of them.
"""

import operator
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from . import random
from .data import DataLoader
from .data.loader import is_plain
from .dispatch import Array, wrap
from .record import Check, Eager, Engine, Plan, Recorder
from .record.watch import is_users
from .tensor import Tensor

Batch = Sequence[Any]
Attributes = Sequence[tuple[str, dict[str, Any]]]

CALL_SECONDS = 0.02  # of a native call: then signals, progress and callbacks have their turn
ATTEMPTS = 3  # to record, in a run


class _Record:
    """What is known of the steps on batches of one shape: recorded once, or twice and so runnable natively."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.check = Check(plan)
        self.is_equal = False  # to another record
        self.is_fresh = False  # made or compared in this epoch
        self.has_run = False  # natively, in this epoch
        self.engine: Engine | None = None
        self.seconds = 0.0  # that a native step takes
        self.ordinal: int | None = None  # of random numbers after a step; None where it begins no step of its own


class Steps:
    """Runs `step` on the batches of a loader.

    `step` takes a batch; what it logs in a recorded or native step goes to ``log(name, values, examples)``. `prepare`
    makes a batch of what a loader gives; with `own_batches`, what a DataLoader gives is one. `settings` gives the
    attributes of the model and the optimizer, which nothing may change between two steps. `reason` says why no step
    shall be recorded. With `has_user_code`, steps are compared in each epoch, and `watch` gives objects from which
    nothing may be reached that a recorded step changes; `verify` asks for comparing every step.
    """

    def __init__(
        self,
        step: Callable[[Batch], None],
        log: Callable[[str, Sequence[float], int], None],
        prepare: Callable[[Any], Batch],
        watch: Callable[[], Sequence[object]],
        settings: Callable[[], Attributes],
        *,
        own_batches: bool = False,
        reason: str | None = None,
        has_user_code: bool = True,
        verify: bool = False,
    ) -> None:
        self._step, self._log, self._prepare = step, log, prepare
        self._watch, self._settings = watch, settings
        self._own_batches = own_batches
        self._never, self._has_user_code, self._verify = reason, has_user_code, verify
        self._reason: str | None = reason
        self._news: str | None = None
        self._records: dict[Hashable, _Record] = {}
        self._warm = self._own = self._compares = False
        self._source: list[Any] = []
        self._attributes: Attributes = []
        self._seen: list[list[Any]] = []
        self._gradients: list[tuple[Tensor, Tensor | None]] = []
        self._failures = 0

    # ---- what it tells --------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """What native steps do, or None."""
        plans = [record.engine.plan for record in self._records.values() if record.engine is not None]
        if self._verify:
            plans = [record.plan for record in self._records.values()]
        return plans[0] if plans and self._reason is None else None

    def __str__(self) -> str:
        if self._reason is not None:
            return f"eager: {self._reason}"
        if not any(record.is_equal for record in self._records.values()):
            return "eager: no step has been recorded twice yet"
        news = f"; {self._news}" if self._news else ""
        if self._verify:
            return f"verify: each step runs from Python and natively, with the same bits{news}"
        if not any(record.engine is not None for record in self._records.values()):
            return "eager: no step has been repeated yet"
        if self._own:
            return f"epoch: steps run natively, shuffling and gathering included{news}"
        return f"step: each step runs natively, on batches made in Python{news}"

    # ---- an epoch -------------------------------------------------------------------------------------------------

    def epoch(self, loader: Any, done: int = 0) -> Iterator[int]:
        """Runs an epoch, of which so many steps are done already; gives the number of steps made, after each step from
        Python and each native call.
        """
        self._own = self._own_batches and is_plain(loader)
        self._compares = self._has_user_code or not self._own
        total = len(loader) if hasattr(loader, "__len__") else None
        if self._never is None and self._failures < ATTEMPTS:
            self._reason = None
        if self._reason is None and self._compares and not self._verify and total is not None and total < 3:
            self._reason = "an epoch has no step between its first and its last, which run from Python"
        source = _source(loader) if self._own else []
        if not _is_same(source, self._source):
            self._records.clear()
        self._source = source
        for record in self._records.values():
            record.is_fresh = record.has_run = False
        return self._from_arrays(loader, done) if self._own else self._from_loader(loader, done, total)

    def _from_arrays(self, loader: DataLoader, done: int) -> Iterator[int]:
        order, batch_size, at = loader.begin_epoch(), loader.batch_size, done * loader.batch_size
        while at < len(order):
            size = min(batch_size, len(order) - at)
            steps = (len(order) - at) // size
            is_last = steps == 1 and at + size == len(order)
            record = self._ready(size, is_last)
            if record is None:
                self._run(size, loader.dataset.take(wrap(order[at : at + size])))
                steps = 1
            else:
                if self._compares and at + steps * size == len(order):
                    steps -= 1  # the last
                steps = self._steps_in_a_call(record, steps)
                record.engine = record.engine or Engine(record.plan, loader.dataset.take_into, size)
                self._run_natively(record, record.engine, size, steps, order[at : at + steps * size])
            at += steps * size
            yield steps

    def _from_loader(self, loader: Any, done: int, total: int | None) -> Iterator[int]:
        for number, given in enumerate(loader, 1):
            if number <= done:
                continue
            batch = self._prepare(given)
            if why := _unfit(batch):
                if self._reason is None:
                    self._give_up(why)
                self._give_back_gradients()
                self._step(batch)
                yield 1
                continue
            shapes = tuple([(part.shape, part.dtype) for part in batch])
            if self._reason is None and (why := self._changed_setting()):
                self._give_up(why)
            record = self._ready(shapes, is_last=number == total)
            if record is None:
                self._run(shapes, batch)
            else:
                record.engine = record.engine or Engine(record.plan)
                record.engine.load(batch)
                self._run_natively(record, record.engine, len(batch[-1]), 1, None)
            self._seen = [list(attributes.values()) for _, attributes in self._attributes]
            yield 1

    def _ready(self, shapes: Hashable, is_last: bool) -> _Record | None:
        """The record of a native step on such a batch, where that is what shall be done now."""
        record = self._records.get(shapes)
        if self._reason is not None or self._verify or record is None or not record.is_equal:
            return None
        return None if self._compares and (is_last or not record.is_fresh) else record

    # ---- from Python ----------------------------------------------------------------------------------------------

    def _run(self, shapes: Hashable, batch: Batch) -> None:
        """A step from Python, recorded where that may lead to something."""
        self._attributes, self._seen = [], []
        self._give_back_gradients()
        if not self._warm or self._reason is not None:
            self._warm = True
            own = [wrap(part._array) for part in batch]
            self._step(tuple(own) if type(batch) is tuple else own)
            return
        record = self._records.get(shapes)
        repeats = self._verify or (self._compares and record is not None and not record.is_fresh)
        before = record.check.before(batch) if record is not None and repeats else None
        begun = random.get_state()[1]
        recorder = Recorder(self._watch() if self._has_user_code else None)
        recorded, _ = recorder.run(self._step, batch)
        for name, value in recorder.logged:
            self._log(name, [float(value.item())], len(batch[-1]))
        if isinstance(recorded, Eager):
            self._differs(shapes, record, recorded, recorded.reason)
        elif record is None:
            self._records[shapes] = _Record(recorded)
        elif why := record.plan.difference(recorded):
            self._differs(shapes, record, recorded, why)
        elif before is not None and (why := record.check.difference(before, recorder)):
            if self._verify:
                raise RuntimeError(f"[verify] {why}")
            self._differs(shapes, record, Eager(why), why)
        else:
            record.is_equal = record.is_fresh = True
            _, step, ordinal = random.get_state()
            record.ordinal = None if step == begun else ordinal
            if not self._own:
                self._attributes = self._settings()

    def _give_back_gradients(self) -> None:
        """Native steps leave None, those from Python not: a step may ask whether there is a gradient."""
        for leaf, gradient in self._gradients:
            leaf.grad = gradient if leaf.grad is None else leaf.grad
        self._gradients = []

    def _differs(self, shapes: Hashable, record: _Record | None, recorded: Plan | Eager, why: str) -> None:
        if record is not None and record.has_run:
            self._never = why = f"{why}, within an epoch"
            warnings.warn(
                f"[fit] {why}. Steps before it were repeated natively without this. From now on each runs from Python; "
                "Trainer(replay=False) runs all of them so",
                RuntimeWarning,
                stacklevel=2,
            )
        if isinstance(recorded, Eager) or self._never is not None or record is None or not record.is_equal:
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

    def _run_natively(self, record: _Record, engine: Engine, examples: int, steps: int, rows: Array | None) -> None:
        record.has_run = True
        if self._compares and not self._gradients:
            self._gradients = [(leaf, leaf.grad) for leaf, _ in record.plan.gradients]
        started = time.perf_counter()
        results = engine.run(steps, rows)
        record.seconds = (time.perf_counter() - started) / steps
        if record.ordinal is not None:
            random.set_ordinal(record.ordinal)
        for name, values in zip(engine.names, results.T, strict=True):
            self._log(name, values.tolist(), examples)

    def _changed_setting(self) -> str | None:
        """What user code has done to the model or the optimizer since the latest step, be it to prepare a batch."""
        for (owner, attributes), values in zip(self._attributes, self._seen, strict=False):
            if len(attributes) == len(values) and all(map(operator.is_, attributes.values(), values)):
                continue
            for name, before in zip(attributes, values, strict=False):
                if attributes[name] is not before and not _is_equal_number(attributes[name], before):
                    return f"{owner}.{name} changed between two steps"
            if len(attributes) != len(values):
                return f"{owner} has other attributes than in the step before"
        return None


def has_user_code(things: Sequence[object]) -> bool:
    """Whether a class outside this package takes part, or a function of the user's among attributes and methods."""
    return any(
        not _is_ours(thing)
        or any(map(is_users, type(thing).__mro__))
        or any(callable(value) and not _is_ours(value) for value in vars(thing).values())
        or any(
            callable(value) and not _is_ours(value) for g in getattr(thing, "param_groups", ()) for value in g.values()
        )
        for thing in things
        if hasattr(thing, "__dict__")
    )


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith(__package__ + ".")


def _source(loader: DataLoader) -> list[tuple[Array, dict[str, Any], dict[str, Any]]]:
    """Where the rows of batches come from."""
    return [(column.data._array, dict(column.gather), dict(column.cast)) for column in loader.dataset.columns]


def _is_same(source: Sequence[Any], other: Sequence[Any]) -> bool:
    pairs = zip(source, other, strict=False)
    return len(source) == len(other) and all(a[0] is b[0] and a[1:] == b[1:] for a, b in pairs)


def _is_equal_number(a: Any, b: Any) -> bool:
    return isinstance(a, int | float | str) and type(a) is type(b) and repr(a) == repr(b)


def _unfit(batch: Any) -> str | None:
    """Why a step on `batch` cannot be recorded."""
    if type(batch) not in (tuple, list):
        return f"a batch is a {type(batch).__name__}"
    for part in batch:
        if type(part) is not Tensor:
            return f"a batch holds a {type(part).__name__}"
        if part.requires_grad:
            return "a batch requires a gradient"
    return None
