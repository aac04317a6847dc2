"""The progress bar of a run."""

import sys
from typing import TYPE_CHECKING, Any

from .history import Meter

if TYPE_CHECKING:
    from .trainer import Trainer


def shows_progress(progress: bool | None) -> bool:
    """Whether a bar is shown: None asks whether stderr is a terminal."""
    return (sys.stderr is not None and sys.stderr.isatty()) if progress is None else progress


def open_bar(trainer: "Trainer") -> Any:
    """A bar on stderr that counts batches, or None where `trainer.progress` wants none."""
    if trainer.rank or not shows_progress(trainer.progress):
        return None
    from tqdm.auto import tqdm

    total = None if trainer.num_train_batches is None else trainer.num_train_batches * trainer.max_epochs
    return tqdm(total=total, initial=trainer.train_batch_idx, unit="batch", mininterval=0.2)


def move_bar(bar: Any, steps: int, trainer: "Trainer", meter: Meter) -> None:
    """Move `bar` on; its text is made when it is drawn, not in every step."""
    if bar.update(steps):
        rate, size = bar.format_dict["rate"] or 0.0, meter.batch_size
        parts = [f"loss {meter.means()['train_loss']:.4g}"]
        if "val_acc" in trainer.history:
            parts.append(f"val_acc {trainer.history.val_acc[-1]:.4f}")
        bar.set_description(f"epoch {trainer.epoch + 1}/{trainer.max_epochs}", refresh=False)
        bar.set_postfix_str(", ".join([*parts, f"{rate * size:,.0f} examples/s"]), refresh=False)
