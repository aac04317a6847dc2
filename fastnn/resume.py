"""Runs in files: what ``Trainer(checkpoint=...)`` writes, and ``fit(resume=...)`` goes on from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checkpoint, nn, random
from .history import History, Meter
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .models import Model
    from .trainer import Trainer

_BROKEN = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass
class Epoch:
    """An epoch under way: the steps made in it, the seconds they took, what they have logged, and the weights before
    it where training that diverges goes back to these.
    """

    steps: int = 0
    seconds: float = 0.0
    meter: Meter = field(default_factory=Meter)
    snapshot: Snapshot | None = None


def write_run(trainer: "Trainer", path: checkpoint.Path, epoch: Epoch) -> None:
    """Write the run as it is: model, optimizer, random numbers, history, and how far `epoch` has come."""
    arrays, metadata = trainer.model.describe()
    history = trainer.history.to_dict()
    # Measurements may be millions: they are arrays, by number, and only their names are metadata.
    measured = {
        "history": history.pop("columns"),
        "steps": history.pop("steps"),
        "epoch": epoch.meter.to_arrays(),
        "snapshot": {} if epoch.snapshot is None else epoch.snapshot.to_arrays(),
    }
    for section, columns in measured.items():
        arrays |= {_name(section, i): np.asarray(column) for i, column in enumerate(columns.values())}
    metadata["training"] = training = {
        "epochs": trainer.epoch,
        "steps": trainer.train_batch_idx,
        "epoch": {"steps": epoch.steps, "seconds": epoch.seconds},
        "random": random.get_state(),
        "history": history,
        "names": {section: list(columns) for section, columns in measured.items()},
        "optimizer_class": type(trainer.optim).__name__,
    }
    if hasattr(trainer.optim, "state_dict"):
        state, training["optimizer"] = checkpoint.pack(trainer.optim.state_dict())
        arrays |= state
    checkpoint.write(path, arrays, metadata)


class SavedRun:
    """The run in a file, looked through before anything is changed.

    Raises OSError when it cannot be read, ValueError when it holds no run, a broken one, or one of another seed.
    """

    def __init__(self, path: checkpoint.Path, seed: int | None) -> None:
        self.path = path
        self.arrays, metadata = checkpoint.read(path)
        if metadata is None or "training" not in metadata:
            raise ValueError(f"[fit] resume = {path} holds no run: give the file of Trainer(checkpoint=...)")
        self.metadata, training = metadata, metadata["training"]
        try:
            self.epochs, self.steps = _count(training["epochs"]), _count(training["steps"])
            a, b, c = training["random"]
            self.random = (random.check_seed("fit", a), _count(b), _count(c))
            measured = {
                section: {str(name): self.arrays[_name(section, i)] for i, name in enumerate(names)}
                for section, names in training["names"].items()
            }
            history = {**training["history"], "columns": measured["history"], "steps": measured["steps"]}
            self.history = History.from_dict(history)
            random.check_seed("fit", self.history.seed)
            under_way = training["epoch"]
            meter = Meter.from_arrays(measured["epoch"])
            self.epoch = Epoch(_count(under_way["steps"]), float(under_way["seconds"]), meter)
            self.snapshot = measured["snapshot"]
            state = training.get("optimizer")
            self.optimizer = None if state is None else checkpoint.unpack(self.arrays, state)
            self.optimizer_class = training.get("optimizer_class")
        except _BROKEN as error:
            raise ValueError(f"[fit] resume = {path} holds a broken run: {error!r}") from error
        if seed not in (None, self.history.seed):
            raise ValueError(f"[fit] resume = {path} is a run of seed {self.history.seed}, not of the trainer's {seed}")

    def restore(self, model: "Model", num_batches: int | None) -> Any:
        """The optimizer of `model`, which goes on from this run; where that fails, the weights are as they were.

        `num_batches` is what an epoch has here, where that is known.
        """
        if num_batches is not None and self.epoch.steps > num_batches:
            raise ValueError(
                f"[fit] resume = {self.path} has made {self.epoch.steps} steps of an epoch, which has {num_batches} "
                "batches here: give the data that it was trained on"
            )
        with _weights_put_back(model):
            if self.snapshot:
                model.load_state_dict(self.snapshot)
                self.epoch.snapshot = Snapshot(model)
            model._restore(self.arrays, self.metadata)
            optimizer = model.configure_optimizers()
            name = type(optimizer).__name__
            if self.optimizer_class not in (None, name):
                raise ValueError(f"[fit] resume = {self.path} is a run with {self.optimizer_class}, not with {name}")
            if self.optimizer is not None:
                try:
                    optimizer.load_state_dict(self.optimizer)
                except _BROKEN as error:
                    raise ValueError(f"[fit] resume = {self.path} has no state for {name}: {error}") from error
        random.set_state(self.random)
        return optimizer


def _name(section: str, number: int) -> str:
    return f"{checkpoint.TRAINING}{section}/{number}"


def _count(value: Any) -> int:
    """A number of steps or epochs."""
    if type(value) is not int or not 0 <= value < 2**44:
        raise ValueError(f"{value!r:.50} is no number of steps or epochs")
    return value


@contextmanager
def _weights_put_back(model: "Model") -> Iterator[None]:
    """Undoes what an error leaves half done. A lazy model has no weights to lose."""
    is_lazy = any(isinstance(parameter, nn.UninitializedParameter) for parameter in model.parameters())
    before = {} if is_lazy else {name: value.numpy().copy() for name, value in model.state_dict().items()}
    try:
        yield
    except BaseException:
        model.load_state_dict(before, strict=False)
        raise
