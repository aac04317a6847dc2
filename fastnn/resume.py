"""Runs in files: what ``Trainer(checkpoint=...)`` writes after each epoch, and ``fit(resume=...)`` goes on from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import checkpoint, nn, random
from .history import History

if TYPE_CHECKING:
    from .models import Model
    from .trainer import Trainer


def write_run(trainer: "Trainer", path: checkpoint.Path) -> None:
    """Write the run as it is after an epoch: model, optimizer, random numbers and history."""
    arrays, metadata = trainer.model.describe()
    metadata["training"] = training = {
        "epochs": trainer.epoch,
        "steps": trainer.train_batch_idx,
        "random": random.get_state(),
        "history": trainer.history.to_dict(),
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
            self.epochs, self.steps = int(training["epochs"]), int(training["steps"])
            a, b, c = training["random"]
            self.random = (int(a), int(b), int(c))
            self.history = History.from_dict(training["history"])
            state = training.get("optimizer")
            self.optimizer = None if state is None else checkpoint.unpack(self.arrays, state)
            self.optimizer_class = training.get("optimizer_class")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"[fit] resume = {path} holds a broken run: {error!r}") from error
        if seed not in (None, self.history.seed):
            raise ValueError(f"[fit] resume = {path} is a run of seed {self.history.seed}, not of the trainer's {seed}")

    def restore(self, model: "Model") -> Any:
        """The optimizer of `model`, which goes on from this run; where that fails, the weights are as they were."""
        with _weights_put_back(model):
            model._restore(self.arrays, self.metadata)
            optimizer = model.configure_optimizers()
            name = type(optimizer).__name__
            if self.optimizer_class not in (None, name):
                raise ValueError(f"[fit] resume = {self.path} is a run with {self.optimizer_class}, not with {name}")
            if self.optimizer is not None:
                optimizer.load_state_dict(self.optimizer)
        random.set_state(self.random)
        return optimizer


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
