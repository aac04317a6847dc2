"""Trainer: fastnn's under the book's arguments, and with the board drawn."""

from typing import Any

from fastnn import trainer
from fastnn.callbacks import Callback
from fastnn.models import Model

from .hyperparameters import HyperParameters
from .models import Module
from .tools import gpu, num_gpus


class Trainer(trainer.Trainer, HyperParameters):
    """Trains models and draws their progress: ``Trainer(max_epochs=10).fit(model, data)``.

    `num_gpus` is how many GPUs to use where there are as many; `gpus` names those that are used. `options` are those of
    `fastnn.Trainer`, which this is.

    `prepare_batch` and `fit_epoch` may be put into this class (`add_to_class`), as the book does; then every step runs
    from Python.
    """

    def __init__(self, max_epochs: int, num_gpus: int = 0, gradient_clip_val: float = 0, **options: Any) -> None:
        callbacks = (*options.pop("callbacks", ()), _Drawing())
        self.num_gpus, self.gpus = num_gpus, _gpus(num_gpus)
        if self.gpus:
            options.setdefault("device", "cuda")
        super().__init__(max_epochs, gradient_clip_val=gradient_clip_val, callbacks=callbacks, per_step=True, **options)

    def prepare_model(self, model: Model) -> None:
        """Make `model` and trainer known to each other, and the board as wide as the run is long."""
        super().prepare_model(model)
        if isinstance(model, Module):
            model.board.xlim = [0, self.max_epochs]


def _gpus(wanted: int) -> list[str]:
    return [gpu(i) for i in range(min(wanted, num_gpus()))]


class _Drawing(Callback):
    """Hands what every epoch has measured to the board of the model.

    Not from within an epoch: the steps of one are a few native calls.
    """

    def on_fit_start(self, state: trainer.Trainer) -> None:
        self._drawn = {label: len(values) for label, values in state.history.steps.items()}

    def on_epoch_end(self, state: trainer.Trainer) -> None:
        model = state.model
        if not isinstance(model, Module):
            return
        for label, values in state.history.steps.items():
            if label.startswith("train_"):
                new = values[self._drawn.get(label, 0) :]
                self._drawn[label] = len(values)
                for i, value in enumerate(new):
                    x = state.epoch - 1 + i / len(new)
                    model.board.draw(x, value, label, every_n=int(len(new) / model.plot_train_per_epoch))
        for label, means in state.history.items():
            if label.startswith("val_") and label != "val_seconds":
                model.board.draw(state.epoch, means[-1], label, every_n=int(1 / model.plot_valid_per_epoch))
