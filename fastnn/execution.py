"""How the steps of an epoch are run: from Python, recorded while they are, or natively, many in one call.

The first step of a run warms up (lazy shapes, optimizer state). The next two are recorded and have to be equal; from
then on the engine repeats them. Where user code takes part, the last step of an epoch and the first on batches of each
shape are run from Python again, and compared with their record, the first ones also with what the engine makes of them.
This is left out as long as all that the code can reach is as it was, and native steps took less than `UNCHECKED` times
what comparing takes. What user code finds after an epoch is as ever: gradients are those of the last step.
"""

import itertools
import operator
import time
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from . import random
from .data import DataLoader
from .data.loader import is_plain
from .data.sparse import SparseColumn
from .dispatch import Array, wrap
from .record import Check, Eager, Engine, Epochs, Plan, Recorder
from .record.engine import Load
from .record.watch import Sight, is_users, look
from .tensor import Tensor

Batch = Sequence[Any]
Attributes = Sequence[tuple[str, dict[str, Any]]]

CALL_SECONDS = 0.02  # of a native call: then signals, progress and callbacks have their turn
UNCHECKED = 20  # times what comparing steps in an epoch takes, native steps may go on without
ATTEMPTS = 3  # to record, in a run
_BEFORE_STEPS = frozenset(("__init__", "configure_optimizers"))
MOST_BATCHES = 64  # of an epoch that is so short that several are worth being made one program


class _Record:
    """What is known of the steps on batches of one shape: recorded once, or twice and so runnable natively."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.check = Check(plan)
        self.is_equal = False  # to another record
        self.is_fresh = False  # made or compared in this epoch, or as good as that
        self.has_run = False  # natively, since steps were compared
        self.depends_on_epoch = False
        self.engine: Engine | None = None
        self.last_engine: Engine | None = None  # of the last step of an epoch, which leaves gradients
        self.seconds = 0.0  # that a native step takes
        self.ordinal: int | None = None  # of random numbers after a step; None where it begins no step of its own


class Steps:
    """Runs `step` on the batches of a loader.

    `step` takes a batch and the number of its examples; what it logs in a recorded or native step goes to ``log(name,
    values, examples)``. `prepare` makes a batch of what a loader gives; with `own_batches`, what a DataLoader gives is
    one. `part` says which rows of a batch `step` takes, None: all. `settings` gives the
    attributes of the model and the optimizer, which nothing may change between two steps. `reason` says why no step
    shall be recorded. With `has_user_code`, steps are compared in each epoch, and `watch` gives objects from which
    nothing may be reached that a recorded step changes; `verify` asks for comparing every step.
    """

    def __init__(
        self,
        step: Callable[[Batch, int], None],
        log: Callable[[str, Sequence[float], int], None],
        prepare: Callable[[Any], Batch],
        watch: Callable[[], Sequence[object]],
        settings: Callable[[], Attributes],
        part: Callable[[int], slice] | None = None,
        *,
        own_batches: bool = False,
        reason: str | None = None,
        has_user_code: bool = True,
        verify: bool = False,
    ) -> None:
        self._step, self._log, self._prepare = step, log, prepare
        self._watch, self._settings, self._part = watch, settings, part
        self._own_batches = own_batches
        self._never, self.has_user_code, self._verify = reason, has_user_code, verify
        self._reason: str | None = reason
        self._news: str | None = None
        self._records: dict[Hashable, _Record] = {}
        self._warm = self._own = self._is_sparse = self._compares = self._trusts = False
        self._sight: Sight | None = None  # when steps were compared
        self._unchecked = self._checking = 0.0  # seconds of native steps since then, and of comparing
        self._source: list[Any] = []
        self._attributes: Attributes = []
        self._seen: list[list[Any]] = []
        self._gradients: list[tuple[Tensor, Tensor | None]] = []
        self._failures = 0
        self._epochs: Epochs | None = None
        self._epoch_seconds = 0.0
        self._logged_ahead: deque[Array] = deque()  # of epochs that have been made already

    # ---- what it tells --------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """What native steps do, or None."""
        plans = [engine.plan for record in self._records.values() if (engine := record.engine or record.last_engine)]
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
        if self.plan is None:
            return "eager: no step has been repeated yet"
        if self._own:
            sparse = ", of sparse rows by SciPy" if self._is_sparse else ""
            return f"epoch: steps run natively, shuffling and gathering included{sparse}{news}"
        return f"step: each step runs natively, on batches made in Python{news}"

    # ---- an epoch -------------------------------------------------------------------------------------------------

    def epoch(self, loader: Any, done: int = 0, unseen: int = 1) -> Iterator[int]:
        """Runs an epoch, of which so many steps are `done` already; gives the number of steps made, after each step
        from Python and each native call.

        `unseen` is the number of epochs, this one included, until somebody looks at what they have made: they may be
        run in one native call, and are then given one by one.
        """
        self._own = self._own_batches and is_plain(loader)
        self._compares = self.has_user_code or not self._own
        total = len(loader) if hasattr(loader, "__len__") else None
        if self._never is None and self._failures < ATTEMPTS:
            self._reason = None
        source = _source(loader) if self._own else []
        self._is_sparse = self._own and any(isinstance(column, SparseColumn) for column in loader.dataset.columns)
        if not _is_same(source, self._source):
            self._records.clear()
        self._source = source
        self._begin_epoch()
        if not self._own:
            return self._from_loader(loader, done, total)
        if unseen > 1 and done == 0 and not self._logged_ahead:
            self._run_ahead(loader, unseen)
        return self._made_ahead() if self._logged_ahead else self._from_arrays(loader, done)

    def _begin_epoch(self) -> None:
        """Decides whether steps are compared in this epoch."""
        before, trusted = self._sight, self._trusts
        self._trusts = False
        if self.has_user_code and not self._verify and self._records:
            self._sight = look(self._watch())
            is_same = before is not None and before.is_as(self._sight)
            self._trusts = is_same and self._unchecked < UNCHECKED * self._checking
            trusted = trusted and is_same  # otherwise what differs has its reason in what changed
        if not self._trusts:
            self._unchecked = self._checking = 0.0
        for record in self._records.values():
            record.is_fresh = self._trusts and not record.depends_on_epoch
            record.has_run = record.has_run and trusted and not record.depends_on_epoch

    def _from_arrays(self, loader: DataLoader, done: int) -> Iterator[int]:
        order, batch_size, at = loader.begin_epoch(), loader.batch_size, done * loader.batch_size
        while at < len(order):
            size = min(batch_size, len(order) - at)
            steps = (len(order) - at) // size
            is_last = steps == 1 and at + size == len(order)
            record = self._ready(size, is_last)
            if record is None:
                self._run(size, loader.dataset.take(wrap(self._rows(order[at : at + size], size))), size)
                steps = 1
            else:
                if self._compares and not is_last and at + steps * size == len(order):
                    steps -= 1  # the last
                steps = self._steps_in_a_call(record, steps)
                rows = self._rows(order[at : at + steps * size], size)
                engine = self._engine(record, is_last, loader.dataset.add_to, len(rows) // steps)
                self._run_natively(record, engine, size, steps, rows)
            at += steps * size
            yield steps

    def _rows(self, rows: Array, batch_size: int) -> Array:
        """Of the rows of batches, those that steps take."""
        return rows if self._part is None else rows.reshape(-1, batch_size)[:, self._part(batch_size)].reshape(-1)

    def _from_loader(self, loader: Any, done: int, total: int | None) -> Iterator[int]:
        for number, given in enumerate(loader, 1):
            if number <= done:
                continue
            batch = self._prepare(given)
            examples = len(batch[-1])
            if self._part is not None:
                own = [part[self._part(examples)] for part in batch]
                batch = tuple(own) if type(batch) is tuple else own
            if why := _unfit(batch):
                if self._reason is None:
                    self._give_up(why)
                self._give_back_gradients()
                self._step(batch, examples)
                yield 1
                continue
            shapes = examples, *[(part.shape, part.dtype) for part in batch]
            if self._reason is None and (why := self._changed_setting()):
                self._give_up(why)
            record = self._ready(shapes, is_last=number == total)
            if record is None:
                self._run(shapes, batch, examples)
            else:
                engine = self._engine(record, number == total)
                engine.load(batch)
                self._run_natively(record, engine, examples, 1, None)
            self._seen = [list(attributes.values()) for _, attributes in self._attributes]
            yield 1

    def _ready(self, shapes: Hashable, is_last: bool) -> _Record | None:
        """The record of a native step on such a batch, where that is what shall be done now."""
        record = self._records.get(shapes)
        if self._reason is not None or self._verify or record is None or not record.is_equal:
            return None
        if self._compares and (not record.is_fresh or (is_last and not self._trusts)):
            return None
        return record

    def _engine(self, record: _Record, is_last: bool, load: Load | None = None, batch_size: int = 0) -> Engine:
        """Runs steps natively; the last of an epoch leaves its gradients where user code may look at them."""
        if is_last and self._compares and record.plan.gradients:
            if record.last_engine is None:
                record.last_engine = Engine(record.plan, load, batch_size, keeps_gradients=True)
            return record.last_engine
        record.engine = record.engine or Engine(record.plan, load, batch_size)
        return record.engine

    # ---- from Python ----------------------------------------------------------------------------------------------

    def _run(self, shapes: Hashable, batch: Batch, examples: int) -> None:
        """A step from Python, recorded where that may lead to something."""
        self._attributes, self._seen = [], []
        self._give_back_gradients()
        if not self._warm or self._reason is not None or not len(batch[-1]):  # no rows are this part's
            self._warm = True
            own = [wrap(part._array) for part in batch]
            self._step(tuple(own) if type(batch) is tuple else own, examples)
            return
        record = self._records.get(shapes)
        repeats = self._verify or (self._compares and record is not None and not record.is_fresh)
        started = time.perf_counter()
        before = record.check.before(batch) if record is not None and repeats else None
        begun = random.get_state()[1]
        recorder = Recorder(self._watch() if self.has_user_code else None)
        recorded, _ = recorder.run(lambda batch: self._step(batch, examples), batch)
        for name, value in recorder.logged:
            self._log(name, [float(value.item())], examples)
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
            record.depends_on_epoch |= recorder.depends_on_epoch
            record.has_run = False
            if not self._own:
                self._attributes = self._settings()
        self._checking += time.perf_counter() - started

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

    # ---- epochs ahead ---------------------------------------------------------------------------------------------

    def _run_ahead(self, loader: DataLoader, most: int) -> None:
        """Runs as many as `most` epochs in a native call, where each of their batches has run natively before."""
        if len(loader) > MOST_BATCHES or self._compares or self._verify or self._part or self._reason is not None:
            return
        sizes = [loader.batch_size] * (len(loader.dataset) // loader.batch_size)
        if len(sizes) < len(loader):
            sizes.append(len(loader.dataset) % loader.batch_size)
        records = [self._records[size] for size in sizes if size in self._records]
        engines = [record.engine for record in records if record.engine is not None]
        if len(engines) < len(sizes):
            return
        if self._epochs is None or self._epochs.engines != engines:
            self._epochs = Epochs(engines, loader.dataset.add_to)
            self._epoch_seconds = sum(record.seconds for record in records)
        epochs = max(1, min(most, int(CALL_SECONDS / self._epoch_seconds)))
        rows = np.concatenate([loader.begin_epoch() for _ in range(epochs)])
        started = time.perf_counter()
        self._logged_ahead.extend(self._epochs.run(epochs, rows))
        self._epoch_seconds = (time.perf_counter() - started) / epochs
        if (ordinal := records[-1].ordinal) is not None:
            random.set_ordinal(ordinal)

    def _made_ahead(self) -> Iterator[int]:
        """Gives an epoch that has been made already."""
        assert self._epochs is not None
        logged, first = self._logged_ahead.popleft(), 0
        for size, batches in itertools.groupby(engine.batch_size for engine in self._epochs.engines):
            steps = len(list(batches))
            for name, values in zip(self._epochs.names, logged[first : first + steps].T, strict=True):
                self._log(name, values.tolist(), size)
            first += steps
        yield first

    # ---- natively -------------------------------------------------------------------------------------------------

    def _steps_in_a_call(self, record: _Record, left: int) -> int:
        """As many as take about CALL_SECONDS; the first call is a single one, and finds out how long it takes."""
        if record.seconds == 0:
            return 1
        return max(1, min(left, int(CALL_SECONDS / record.seconds)))

    def _run_natively(self, record: _Record, engine: Engine, examples: int, steps: int, rows: Array | None) -> None:
        record.has_run = True
        if self._compares and not self._gradients:
            self._gradients = [(leaf, leaf.grad) for leaf, _ in record.plan.gradients]
        if engine is record.last_engine:
            self._gradients = []  # it leaves new ones
        started = time.perf_counter()
        results = engine.run(steps, rows)
        seconds = time.perf_counter() - started
        record.seconds = seconds / steps
        self._unchecked += seconds
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
    """Whether code from outside this package may run in a step: of a class, or a function among attributes."""
    return any(
        _has_code(thing)
        or any(callable(value) and _has_code(value) for value in vars(thing).values())
        or any(callable(v) and _has_code(v) for group in getattr(thing, "param_groups", ()) for v in group.values())
        for thing in things
        if hasattr(thing, "__dict__")
    )


def _has_code(thing: object) -> bool:
    return any(map(_brings_code, type(thing).__mro__[:-1]))


def _brings_code(kind: type) -> bool:
    """Whether a class is not of this package, or not only, and defines more than what runs before the first step."""
    if kind.__module__.startswith(__package__ + "."):
        return is_users(kind)
    return type(kind) is not type or any(
        name not in _BEFORE_STEPS and (callable(value) or hasattr(value, "__get__"))
        for name, value in vars(kind).items()
    )


def _source(loader: DataLoader) -> list[tuple[Any, ...]]:
    """Where the rows of batches come from."""
    return [column.source() for column in loader.dataset.columns]


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
