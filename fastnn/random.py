"""Random numbers by counters: the seed, the step, and the number of the call within the step.

A random kernel depends on (seed, purpose, step, ordinal) and on nothing drawn before. Every thread counts for itself
and starts from the seed that was last set in any.
"""

import os
import threading
import zlib
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from fastnn.dispatch import Slot, before_step, escape


class Purpose(IntEnum):
    """What a number is for (csrc/array/philox.h): streams of one seed never meet."""

    USER = 0
    INIT = 1
    DROPOUT = 2
    SHUFFLE = 3
    DATA = 4


_latest_seed: int | None = None


class _Counters:
    """Of one thread. An object, so that what a recorder keeps of it works in other threads as well."""

    __slots__ = ("ordinal", "seed", "step")

    def __init__(self) -> None:
        self.seed = int.from_bytes(os.urandom(7), "little") if _latest_seed is None else _latest_seed
        self.step = Slot(0)
        self.ordinal = 0

    def advance(self, steps: int) -> dict[Slot, Sequence[float]]:
        first = int(self.step.value) + 1
        self.step.value += steps
        self.ordinal = 0
        return {self.step: range(first, first + steps)}


class _Local(threading.local):
    def __init__(self) -> None:
        self.counters = _Counters()


_local = _Local()


def manual_seed(seed: int) -> None:
    """Starts the random numbers of `seed`, an integer in [0, 2**64), from the beginning.

    Raises ValueError for other numbers and TypeError for what is no integer.

    >>> manual_seed(42)
    >>> get_state()
    (42, 0, 0)
    """
    set_state((seed, 0, 0))


def check_seed(operation: str, seed: Any) -> int:
    """`seed` as an int; TypeError for what is no integer, ValueError outside [0, 2**64)."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"[{operation}] seed = {seed!r} must be an integer, not {type(seed).__name__}")
    number: int = seed.__index__()
    if not 0 <= number < 2**64:
        raise ValueError(f"[{operation}] seed = {number} must be in [0, 2**64)")
    return number


def get_state() -> tuple[int, int, int]:
    """Seed, step and ordinal: what a checkpoint stores.

    >>> set_state((42, 7, 0))
    >>> begin_step()
    >>> get_state()
    (42, 8, 0)
    """
    escape("get_state()")
    own = _local.counters
    return own.seed, int(own.step.value), own.ordinal


def set_state(numbers: tuple[int, int, int]) -> None:
    """Goes on from what `get_state` gave."""
    global _latest_seed
    seed, step, ordinal = numbers
    own = _local.counters
    _latest_seed = own.seed = check_seed("manual_seed", seed)
    own.step.value = step
    own.ordinal = ordinal


def draw_seed() -> int:
    """A seed from the state there is, of ten digits or less so that it can be typed."""
    drawn = counters(Purpose.USER)
    return zlib.crc32(f"{drawn['seed']} {drawn['step'].value} {drawn['ordinal']}".encode())


def begin_step() -> None:
    """Adds 1 to the step and starts its calls from 0; a trainer calls it before each step.

    >>> manual_seed(1)
    >>> begin_step()
    >>> counters(Purpose.DROPOUT)["ordinal"], counters(Purpose.DROPOUT)["ordinal"]
    (0, 1)
    """
    before_step(_local.counters.advance)


def set_ordinal(ordinal: int) -> None:
    """Goes on within the step as if `ordinal` calls had been made: after a step that was run without Python."""
    _local.counters.ordinal = ordinal


def counters(purpose: Purpose, name: str | None = None) -> dict[str, Any]:
    """The keyword arguments of a random kernel's next call.

    With `name`, the name of a parameter, they depend on the seed and that name alone.

    >>> manual_seed(1)
    >>> counters(Purpose.USER)
    {'seed': 1, 'purpose': 0, 'step': Slot(0.0), 'ordinal': 0}
    >>> counters(Purpose.INIT, "net.0.weight")
    {'seed': 1, 'purpose': 1, 'step': 0, 'ordinal': 2196036238}
    """
    own = _local.counters
    if name is not None:
        return {"seed": own.seed, "purpose": int(purpose), "step": 0, "ordinal": zlib.crc32(name.encode())}
    ordinal = own.ordinal
    own.ordinal += 1
    return {"seed": own.seed, "purpose": int(purpose), "step": own.step, "ordinal": ordinal}
