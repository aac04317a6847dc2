"""Threads that train one model after the other, each model on one core; Ctrl-C ends them all."""

import copy
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from . import _core, checkpoint, nn
from .claims import native_threads
from .data import DataLoader
from .dispatch import run
from .execution import Steps
from .history import History
from .models import Model
from .optim import Optimizer
from .progress import shows_progress
from .structure import structure
from .tensor import Tensor
from .trainer import Trainer

T = TypeVar("T")
KEPT = 8  # structures of which a worker keeps what was recorded


class Stop:
    """What a trainer has in place of its progress bar: `set` ends training within some 20 milliseconds."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask all who train to end."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether they have been asked."""
        return self._event.is_set()

    def update(self, steps: int) -> bool:
        """Called by the trainer after steps; KeyboardInterrupt where it shall end, and nothing to show."""
        if self.is_set:
            raise KeyboardInterrupt
        return False

    def close(self) -> None:
        """Called by the trainer at its end."""


@dataclass(eq=False)
class _Recorded:
    """A model whose steps have been recorded, and its parameters, in whose memory they run."""

    model: Model
    parameters: list[Tensor]
    optim: Optimizer
    training: Steps
    validation: Steps


class WorkerTrainer(Trainer):
    """Trains one model after the other, beside other trainers, on data that they share.

    What was recorded for one model serves the next of the same structure: its first weights are put where those of the
    recorded one lie, and training runs natively from the first step on. After `fit`, `model` has the weights; `own`
    gives them to the model that was given.
    """

    def __init__(self, stop: Stop, **options: Any) -> None:
        super().__init__(**options)
        self._stop, self._callbacks = stop, self.callbacks
        self._recorded: dict[Hashable, _Recorded] = {}
        self._structure: Hashable | None = None

    def fit(self, model: Model, data: Any, resume: checkpoint.Path | None = None) -> History:
        self.callbacks = tuple(map(copy.copy, self._callbacks))  # they may keep something of a model
        self._structure, self.history = None, History()
        try:
            return super().fit(model, data, resume)
        except BaseException:
            self._recorded.pop(self._structure, None)  # its steps may have ended anywhere
            raise

    def own(self, model: Model) -> Model:
        """`model`, the latest that was given to `fit`, with its weights in memory that no other model will use."""
        if self._structure in self._recorded and self.model is model:
            return copy.deepcopy(model)
        if self.model is not model:
            _end_alike(model, self._recorded[self._structure].parameters)
            model.classifies = self.model.classifies
        model.trainer = None  # it would keep what was recorded
        return model

    def prepare_data(self, data: Any) -> None:
        super().prepare_data(data)  # loaders count epochs: where all are given the same one, each needs its own
        self.train_dataloader, self.val_dataloader = map(_own, (self.train_dataloader, self.val_dataloader))

    def _open_bar(self) -> Stop:
        return self._stop

    def _prepare_steps(self) -> None:
        known = structure(self.model, self.optim) if self.epoch == 0 else None  # else it is a run that goes on
        if known is not None and any(isinstance(module, nn.Dropout) for module in self.model.modules()):
            known = known, self.history.seed  # which is recorded
        recorded = self._recorded.get(known)
        if recorded is not None:
            _begin_alike(self.model, recorded.parameters)
            recorded.optim.restart(like=self.optim)
            recorded.model.trainer = self
            self.model, self.optim = recorded.model, recorded.optim
            self._training, self._validation = recorded.training, recorded.validation
        else:
            super()._prepare_steps()
            assert self._training is not None
            if known is None or self._training.has_user_code:
                return
            parameters = list(self.model.parameters())
            self._recorded[known] = _Recorded(self.model, parameters, self.optim, self._training, self._validation)
            if len(self._recorded) > KEPT:
                del self._recorded[next(iter(self._recorded))]
        self._structure = known


def _begin_alike(model: Model, recorded: list[Tensor]) -> None:
    """Give parameters the values with which training of `model` begins, in the memory they have."""
    for first, weight in zip(model.parameters(), recorded, strict=True):
        if isinstance(first, nn.UninitializedParameter):
            first.materialize(weight.shape, weight.dtype, memory=weight)  # until the end
        else:
            run("cast", first, out=weight)


def _end_alike(model: Model, recorded: list[Tensor]) -> None:
    """Give `model` the values with which its training ended."""
    was_lazy = False
    for last, weight in zip(model.parameters(), recorded, strict=True):
        if last._array is weight._array:
            was_lazy, copied = True, run("cast", weight)
            last._array, last._storage = copied._array, copied._storage
        else:
            run("cast", weight, out=last)
    for module in model.modules() if was_lazy else ():
        module._settle()


def _own(loader: Any) -> Any:
    return copy.copy(loader) if isinstance(loader, DataLoader) else loader


def check_count(operation: str, name: str, value: Any) -> None:
    """ValueError for what is no integer of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"[{operation}] {name} = {value!r} must be an integer of at least 1")


def check_options(operation: str, options: dict[str, Any], max_workers: int | None) -> None:
    """Refuse options that no trainer takes, or not one of several, before any begins."""
    for name in ("checkpoint", "num_threads", "strategy", "shards"):
        if options.get(name) is not None:
            raise ValueError(f"[{operation}] {name} = {options[name]!r} cannot hold for several models: leave it out")
    if max_workers is not None:
        check_count(operation, "max_workers", max_workers)
    WorkerTrainer(Stop(), **options)


def side_by_side(
    items: Sequence[T],
    start: Callable[[Stop], Callable[[T], object]],
    max_workers: int | None,
    progress: bool | None,
    unit: str,
) -> None:
    """Hand out `items`, in order, to `max_workers` threads; ``start(stop)`` makes what each of them does with an item.

    `max_workers` None means as many as native calls use threads; each call then uses one. What a worker raises ends all
    of them.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    workers = min(max_workers or _core.num_threads(), len(items))
    stop, lock, queue = Stop(), threading.Lock(), iter(items)

    def work() -> None:
        do = start(stop)
        while not stop.is_set:
            with lock:
                item = next(queue, None)
            if item is None:
                return
            do(item)
            if bar is not None:
                with lock:
                    bar.update()

    with native_threads(1), _bar(len(items), unit, progress) as bar, ThreadPoolExecutor(workers, "fastnn") as pool:
        futures = [pool.submit(work) for _ in range(workers)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                future.result()
        finally:
            stop.set()


def _bar(total: int, unit: str, progress: bool | None) -> Any:
    if not shows_progress(progress):
        return nullcontext()
    from tqdm.auto import tqdm

    return tqdm(total=total, unit=unit)
