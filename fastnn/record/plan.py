"""Plan: what a recorded step did, as data. Numbered memory, and kernels over views of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from fastnn.autograd import Application
from fastnn.dispatch import Advance, Array, Slot, Storage, synchronize
from fastnn.tensor import Tensor

from .table import table


class Role(Enum):
    """What a piece of memory is to a step."""

    INPUT = "input"  # handed out by the loader
    STATE = "state"  # older than the step
    TEMPORARY = "temporary"  # made by a recorded kernel
    CONSTANT = "constant"  # made from Python or NumPy values


class Memory(NamedTuple):
    """One numbered piece of contiguous memory, on `device`.

    `storage` is that of a state, `values` the copy of a constant; inputs and temporaries have neither.
    """

    role: Role
    dtype: np.dtype[Any]
    size: int
    storage: Storage | None = None
    values: Array | None = None
    device: str = "cpu"


class Operand(NamedTuple):
    """A view of memory; `offset` and `strides` count elements."""

    memory: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]


class Step(NamedTuple):
    """One kernel: what it reads, its `scalars` (numbers, Slots, names), what it gives and what it changes.

    `kernel` is a name, or the forward or backward of a `Function`. A result that was there before (``out=``) is among
    `writes` as well. `where` is the line of the user's program.
    """

    kernel: str | Callable[..., Any]
    operands: tuple[Operand | None, ...]
    scalars: dict[str, Any]
    results: tuple[Operand, ...]
    writes: tuple[Operand, ...]
    where: str

    @property
    def name(self) -> str:
        """The kernel's name."""
        return kernel_name(self.kernel)


def written(steps: Iterable[Step]) -> set[int]:
    """The numbers of memory that was there before a step of `steps`, and that it changes."""
    return {operand.memory for step in steps for operand in step.writes}


def kernel_name(kernel: str | Callable[..., Any]) -> str:
    """The name of a kernel, or of a Function and its half."""
    return kernel if isinstance(kernel, str) else f"{_application(kernel).function.__name__}.{kernel.__name__}"


class Output(NamedTuple):
    """What a step gives: the loss it returned, and what it logged."""

    loss: Array | None
    logs: dict[str, Array]


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """A step that can be replayed.

    `inputs` are numbers of memory in the order of the batch. `gradients` are leaves and where their gradient is found
    after a step. `before_step` sets the Slots of the next one. `outputs` are those of the steps that were run to
    record.
    """

    memory: list[Memory]
    steps: list[Step]
    inputs: list[int]
    input_shapes: list[tuple[int, ...]]
    loss: Operand | None
    logs: dict[str, Operand]
    gradients: list[tuple[Tensor, Operand]]
    before_step: list[Advance]
    outputs: list[Output] = field(default_factory=list)

    @property
    def written(self) -> set[int]:
        """The numbers of memory that steps change."""
        return written(self.steps)

    @property
    def outcomes(self) -> list[Operand]:
        """What is read after a step: the loss, what was logged, and gradients."""
        loss = [] if self.loss is None else [self.loss]
        return [*loss, *self.logs.values(), *(operand for _, operand in self.gradients)]

    def difference(self, other: "Plan") -> str | None:
        """Why `other` is another step than this one; None if it is the same."""
        for mine, theirs in zip(self.steps, other.steps, strict=False):
            if why := _step_difference(mine, theirs):
                return why
        if len(self.steps) != len(other.steps):
            return f"one step ran {len(self.steps)} kernels, the next {len(other.steps)}"
        synchronize()
        for number, (mine_, theirs_) in enumerate(zip(self.memory, other.memory, strict=True)):
            if why := _memory_difference(mine_, theirs_):
                return f"{why}, used at {self._first_use(number)}"
        if (self.loss, self.logs) != (other.loss, other.logs):
            return "the steps return or log different tensors"
        if self.before_step != other.before_step:
            return "the steps have different callbacks before them"
        return None

    def _first_use(self, number: int) -> str:
        return next((step.where for step in self.steps if number in _numbers(step)), "the result")

    def __repr__(self) -> str:
        """A table: a line per step, with its operands, fusions, arithmetic and the bytes it moves."""
        return table(self.steps, self.memory)


@dataclass(frozen=True)
class Eager:
    """A step that has to be run by Python each time: why, with file and line."""

    reason: str
    outputs: list[Output] = field(default_factory=list)

    def __str__(self) -> str:
        return f"eager: {self.reason}"


def _application(kernel: Callable[..., Any]) -> Application:
    application: Application = kernel.__self__  # type: ignore[attr-defined]
    return application


def _numbers(step: Step) -> Iterator[int]:
    return (operand.memory for operand in (*step.operands, *step.results) if operand is not None)


def _same(a: Any, b: Any) -> bool:
    """Whether two scalars are equal to the bit; unknown objects are equal to themselves only."""
    if a is b:
        return True
    if type(a) is not type(b) or isinstance(a, Slot):
        return False
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype) and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return repr(a) == repr(b)  # tells -0.0 from 0.0, and NaN is NaN


def _same_kernel(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return bool(a == b)
    return bool(a.__name__ == b.__name__) and _same(_application(a).signature, _application(b).signature)


def _step_difference(mine: Step, theirs: Step) -> str | None:
    if not _same_kernel(mine.kernel, theirs.kernel):
        return f"{mine.name} at {mine.where} was {theirs.name} at {theirs.where} in the next step"
    if (mine.operands, mine.results, mine.writes) != (theirs.operands, theirs.results, theirs.writes):
        return f"{mine.name} at {mine.where} has other operands in the next step"
    for name in mine.scalars.keys() | theirs.scalars.keys():
        a, b = mine.scalars.get(name), theirs.scalars.get(name)
        if not _same(a, b):
            return f"{name} of {mine.name} at {mine.where} changed from {a} to {b}"
    return None


def _memory_difference(mine: Memory, theirs: Memory) -> str | None:
    if (mine.role, mine.dtype, mine.size) != (theirs.role, theirs.dtype, theirs.size):
        return f"a {mine.role.value} became a {theirs.role.value} in the next step"
    if mine.device != theirs.device:
        return f"a {mine.role.value} on {mine.device} was on {theirs.device} in the next step"
    if mine.storage is not theirs.storage:
        return "a state was replaced by another tensor between two steps"
    if not _same(mine.values, theirs.values):
        return "values from Python or NumPy changed between two steps"
    return None
