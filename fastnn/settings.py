"""Settings of a trainer that no run could use are refused when they are given."""

import math
from typing import TYPE_CHECKING

from . import devices, random
from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer


def device_of(trainer: "Trainer") -> str:
    """The device that `trainer` trains on; DeviceError where there is none of that name."""
    if trainer.device == "auto":
        return "cpu" if trainer.strategy is not None or devices.why_not() else devices.resolve("Trainer", "cuda")
    return devices.resolve("Trainer", trainer.device)


def precision_of(trainer: "Trainer") -> str | None:
    """The precision of products that `trainer` asks for, once they can be made; where "auto" has found no GPU, None."""
    if trainer.precision in (None, "float32"):
        return trainer.precision
    return None if trainer.device == "cpu" else devices.require_precision("Trainer", trainer.precision)


def check(trainer: "Trainer") -> None:
    """Raises ValueError or TypeError that names a setting of `trainer` and its value."""
    if trainer.device not in ("cpu", "cuda", "auto"):
        raise ValueError(f"[Trainer] device = {trainer.device!r} must be 'cpu', 'cuda' or 'auto'")
    if trainer.precision not in (None, *devices.PRECISIONS):
        raise ValueError(f"[Trainer] precision = {trainer.precision!r} must be None, 'float32', 'tf32' or 'bf16'")
    if trainer.precision in ("tf32", "bf16") and trainer.device == "cpu":
        raise ValueError(f"[Trainer] precision = {trainer.precision!r} is for a GPU: use device='cuda' or 'auto'")
    counts = {"max_epochs": 0, "num_threads": 1, "checkpoint_every": 1}
    for name, least in counts.items():
        value = getattr(trainer, name)
        if value is None and name != "max_epochs":
            continue
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
            raise ValueError(f"[Trainer] {name} = {value!r} must be an integer of at least {least}")
    if trainer.seed is not None:
        random.check_seed("Trainer", trainer.seed)
    clip = trainer.gradient_clip_val
    if not 0 <= clip < math.inf:
        raise ValueError(f"[Trainer] gradient_clip_val = {clip} must be a finite number of at least 0")
    if trainer.checkpoint_every is not None and trainer.checkpoint is None:
        every = trainer.checkpoint_every
        raise ValueError(f"[Trainer] checkpoint_every = {every} needs a checkpoint: name its file")
    if trainer.verify not in (None, "every_step"):
        raise ValueError(f"[Trainer] verify = {trainer.verify!r} must be None or 'every_step'")
    if trainer.strategy not in (None, "mpi"):
        raise ValueError(f"[Trainer] strategy = {trainer.strategy!r} must be None or 'mpi'")
    if trainer.strategy is not None and trainer.device == "cuda":
        raise ValueError(f"[Trainer] strategy = {trainer.strategy!r} trains on CPUs: leave device='cuda' out")
    if trainer.shards is not None and trainer.strategy is None:
        raise ValueError(f"[Trainer] shards = {trainer.shards} needs strategy='mpi'")
    for i, callback in enumerate(trainer.callbacks):
        if not isinstance(callback, Callback):
            raise TypeError(f"[Trainer] callbacks[{i}] is a {type(callback).__name__}: derive it from Callback")
