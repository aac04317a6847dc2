"""Learning-rate schedules: the rate after a number of updates, with the names and rules of D2L, section 12.11."""

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class FactorScheduler:
    """Multiplied by `factor` in every update, the first included, down to `stop_factor_lr`.

    >>> schedule = FactorScheduler(factor=0.5, stop_factor_lr=0.2, base_lr=2.0)
    >>> [schedule(t) for t in range(5)]
    [1.0, 0.5, 0.25, 0.2, 0.2]
    """

    factor: float = 1.0
    stop_factor_lr: float = 1e-7
    base_lr: float = 0.1

    def __call__(self, num_update: int) -> float:
        return max(self.stop_factor_lr, self.base_lr * self.factor ** (num_update + 1))


@dataclass(frozen=True)
class MultiFactorScheduler:
    """Multiplied by `factor` at each of the numbers of updates in `step`.

    >>> schedule = MultiFactorScheduler(step=(2, 3), factor=0.5, base_lr=1.0)
    >>> [schedule(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    step: tuple[int, ...]
    factor: float = 0.5
    base_lr: float = 0.1

    def __call__(self, num_update: int) -> float:
        return self.base_lr * self.factor ** sum(num_update >= milestone for milestone in self.step)


@dataclass(frozen=True)
class SquareRootScheduler:
    """``lr / sqrt(number of updates + 1)``.

    >>> SquareRootScheduler(lr=1.0)(3)
    0.5
    """

    lr: float = 0.1

    def __call__(self, num_update: int) -> float:
        return self.lr / math.sqrt(num_update + 1)


@dataclass(frozen=True)
class CosineScheduler:
    """Half a cosine from `base_lr` down to `final_lr` at `max_update`, after a linear warm-up of `warmup_steps`.

    >>> schedule = CosineScheduler(max_update=4, base_lr=1.0, final_lr=0.0, warmup_steps=2)
    >>> [round(schedule(t), 3) for t in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """

    max_update: int
    base_lr: float = 0.01
    final_lr: float = 0.0
    warmup_steps: int = 0
    warmup_begin_lr: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_steps < self.max_update:
            raise ValueError(
                f"[CosineScheduler] warmup_steps = {self.warmup_steps} must be at least 0 "
                f"and below max_update = {self.max_update}"
            )

    def __call__(self, num_update: int) -> float:
        if num_update < self.warmup_steps:
            return self.warmup_begin_lr + (self.base_lr - self.warmup_begin_lr) * num_update / self.warmup_steps
        done = min(1.0, (num_update - self.warmup_steps) / (self.max_update - self.warmup_steps))
        return self.final_lr + (self.base_lr - self.final_lr) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class LinearScalingScheduler:
    """The linear scaling rule: `base_lr` suits batches of `base_batch_size`, and k times larger ones get k times that.

    The first `warmup_steps` updates go there from `base_lr` in equal steps. (Goyal et al., "Accurate, Large Minibatch
    SGD", 2017.)

    >>> schedule = LinearScalingScheduler(batch_size=1024, base_lr=0.1, base_batch_size=256, warmup_steps=3)
    >>> [round(schedule(t), 3) for t in range(5)]
    [0.1, 0.2, 0.3, 0.4, 0.4]
    """

    batch_size: int
    base_lr: float = 0.1
    base_batch_size: int = 256
    warmup_steps: int = 0

    def __call__(self, num_update: int) -> float:
        lr = self.base_lr * self.batch_size / self.base_batch_size
        if num_update >= self.warmup_steps:
            return lr
        return self.base_lr + (lr - self.base_lr) * num_update / self.warmup_steps
