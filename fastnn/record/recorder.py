"""The recorder: watches one step at the seam and says what it did, or why that cannot be repeated."""

import gc
import math
import os
import random
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.dispatch import Advance, Array, Slot, Storage, next_serial, run, state, wrap
from fastnn.tensor import Tensor

from .plan import Eager, Memory, Operand, Output, Plan, Role, Step, kernel_name

_LIBRARIES = tuple(str(folder) + os.sep for folder in (Path(__file__).parents[1], Path(np.__file__).parent))
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def user_line() -> str:
    """File and line of the innermost frame outside this package and NumPy."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]  # array.ctypes.data takes much longer
    return address


def freeze(value: Any, depth: int = 8) -> Any:
    """What of `value` can be compared later: numbers, text, generators, small arrays, and containers of them.

    `depth` bounds containers that contain themselves.
    """
    if isinstance(value, _PLAIN):
        return repr(value)
    if depth == 0:
        return None
    if isinstance(value, dict):
        return {repr(key): freeze(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if isinstance(value, (list, tuple)):
        return [freeze(item, depth - 1) for item in value]
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.nbytes <= 4096 else None
    if isinstance(value, np.random.Generator):
        return freeze(value.bit_generator.state)
    if isinstance(value, random.Random):
        return value.getstate()
    return None


class _Logged(NamedTuple):
    """A Tensor that was logged, and what it was then."""

    tensor: Tensor
    array: Array
    version: int


class Recorder:
    """Records one step; `watch` are objects whose plain attributes may not change.

    `reason` is None as long as the step can be repeated.
    """

    def __init__(self, inputs: Sequence[Tensor], watch: Iterable[object] = ()) -> None:
        self.reason: str | None = None
        self.watch = list(watch)
        self.memory: list[Memory] = []
        self.steps: list[Step] = []
        self.callbacks: list[Advance] = []
        self._numbers: dict[Any, int] = {}
        self._made: dict[int, tuple[weakref.ref[Storage], str, str]] = {}
        self._slots: dict[Slot, float] = {}
        self._leaves: dict[Tensor, None] = {}
        self._logged: dict[str, _Logged] = {}
        self.input_shapes = [tensor.shape for tensor in inputs]
        for tensor in inputs:
            self._number(tensor._storage.serial, Memory(Role.INPUT, tensor.dtype, tensor.numel()))
        self.inputs = list(range(len(inputs)))

    def run(self, step: Callable[[], Any]) -> tuple[Plan | Eager, Output]:
        """Runs `step` and gives its plan, or the reason why it has none, and what it returned and logged."""
        if state.recorder is not None:
            raise RuntimeError("[record] a step is being recorded already: a step cannot record another")
        self._baseline = self._snapshot()
        self._start = next_serial()
        state.recorder = self
        try:
            result = step()
        finally:
            state.recorder = None
        if result is not None and not isinstance(result, Tensor):
            self._give_up(f"the step returned a {type(result).__name__}, neither a Tensor nor None")
            result = None
        output = Output(
            None if result is None else result._array.copy(),
            {name: logged.array for name, logged in self._logged.items()},
        )
        loss = None if result is None else self._operand(result, "the result")
        logs = self._release_logs()
        gradients = self._release_gradients()
        del result
        self._check_survivors()
        self._check_overlaps()
        self._check_slots()
        self._check_changes()
        if self.reason is not None:
            return Eager(self.reason), output
        plan = Plan(self.memory, self.steps, self.inputs, self.input_shapes, loss, logs, gradients, self.callbacks)
        return plan, output

    # ---- told by the seam -----------------------------------------------------------------------------------------

    def kernel(
        self,
        kernel: str | Callable[..., Any],
        operands: tuple[Any, ...],
        scalars: dict[str, Any],
        results: tuple[Any, ...],
        writes: tuple[Any, ...],
    ) -> None:
        """A kernel ran."""
        where = user_line()
        self._note_slots(scalars, where)
        read = tuple(None if operand is None else self._operand(operand, where) for operand in operands)
        written = tuple(self._operand(tensor, where) for tensor in writes)
        for operand in written:
            role = self.memory[operand.memory].role
            if role in (Role.INPUT, Role.CONSTANT):
                self._give_up(f"{kernel_name(kernel)} at {where} writes into {role.value} memory")
        given = written if results and writes else tuple(self._result(tensor, kernel, where) for tensor in results)
        self.steps.append(Step(kernel, read, scalars, given, written, where))

    def escape(self, what: str) -> None:
        """A value left for Python."""
        self._give_up(f"{what} at {user_line()} takes a value out of the step")

    def before_step(self, callback: Advance) -> None:
        """What `callback` changes is no change by the step."""
        self._check_changes()
        callback(1)
        self._baseline = self._snapshot()
        self.callbacks.append(callback)

    def gradient(self, leaf: Tensor) -> None:
        """`leaf` got its first gradient."""
        self._leaves[leaf] = None

    def log(self, name: str, value: Tensor) -> None:
        """`value`, as it is now, is to be read after each step."""
        if 0 <= value._storage.serial <= self._start:  # a state, which the step may go on to change
            value = run("cast", value)
        self._logged[name] = _Logged(value, value._array.copy(), value._storage.version)

    # ---- the record -----------------------------------------------------------------------------------------------

    def _give_up(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason

    def _number(self, key: Any, memory: Memory) -> int:
        self._numbers[key] = number = len(self.memory)
        self.memory.append(memory)
        return number

    def _note_slots(self, scalars: dict[str, Any], where: str) -> None:
        for value in scalars.values():
            if isinstance(value, Slot) and self._slots.setdefault(value, value.value) != value.value:
                self._give_up(f"a slot changed within the step, before {where}")

    def _result(self, tensor: Tensor, kernel: Any, where: str) -> Operand:
        storage = tensor._storage
        number = self._number(storage.serial, Memory(Role.TEMPORARY, tensor.dtype, tensor.numel()))
        self._made[number] = (weakref.ref(storage), kernel_name(kernel), where)
        return self._view(number, tensor)

    def _operand(self, tensor: Tensor, where: str) -> Operand:
        storage = tensor._storage
        number = self._numbers.get(storage.serial)
        if number is not None:
            return self._view(number, tensor)
        if not 0 <= storage.serial <= self._start:  # neither older than the step nor made by a kernel of it
            return self._constant(tensor)
        root = storage.array
        if not root.flags.c_contiguous:
            self._give_up(f"the memory of a state used at {where} is not contiguous")
        return self._view(self._number(storage.serial, Memory(Role.STATE, root.dtype, root.size, storage)), tensor)

    def _constant(self, tensor: Tensor) -> Operand:
        array = tensor._array
        key = (tensor._storage.serial, _address(array), array.shape, array.strides)
        number = self._numbers.get(key)
        if number is None:
            values = array.copy(order="C")
            number = self._number(key, Memory(Role.CONSTANT, array.dtype, array.size, values=values))
        strides = tuple(math.prod(array.shape[i + 1 :]) for i in range(array.ndim))
        return Operand(number, 0, array.shape, strides, array.dtype)

    def _view(self, number: int, tensor: Tensor) -> Operand:
        array, root = tensor._array, tensor._storage.array
        offset = 0 if array is root or not array.size else (_address(array) - _address(root)) // array.itemsize
        strides = tuple(stride // array.itemsize for stride in array.strides)
        return Operand(number, offset, array.shape, strides, array.dtype)

    # ---- what may not happen --------------------------------------------------------------------------------------

    def _release_logs(self) -> dict[str, Operand]:
        """Where what was logged is found."""
        operands = {}
        for name, logged in self._logged.items():
            operands[name] = self._operand(logged.tensor, f"log({name!r})")
            if logged.tensor._storage.version != logged.version:
                self._give_up(f"what was logged as {name!r} was changed in place afterwards")
        self._logged.clear()
        return operands

    def _release_gradients(self) -> list[tuple[Tensor, Operand]]:
        """Leaves and where their new gradients are. Copies take their place, so that nothing else may hold them."""
        gradients = []
        for leaf in self._leaves:
            grad = leaf.grad
            if grad is not None and self._numbers.get(grad._storage.serial) in self._made:
                gradients.append((leaf, self._operand(grad, "grad")))
                leaf.grad = wrap(grad._array.copy())
        return gradients

    def _check_survivors(self) -> None:
        if any(reference() is not None for reference, _, _ in self._made.values()):
            gc.collect()  # what only a cycle keeps is gone as well
        for reference, kernel, where in self._made.values():
            if reference() is not None:
                self._give_up(f"the result of {kernel} at {where} outlives the step")

    def _check_overlaps(self) -> None:
        """States that share memory under two names cannot be kept apart by who lays memory out anew."""
        written = {operand.memory for step in self.steps for operand in step.writes}
        ranges = sorted(
            (_address(memory.storage.array), memory.storage.array.nbytes, number)
            for number, memory in enumerate(self.memory)
            if memory.storage is not None
        )
        for (start, size, first), (other, _, second) in pairwise(ranges):
            if other < start + size and (first in written or second in written):
                self._give_up("a state that the step changes shares its memory with another")

    def _check_slots(self) -> None:
        for slot, value in self._slots.items():
            if slot.value != value:
                self._give_up(f"a slot changed within the step, from {value} to {slot.value}")

    def _check_changes(self) -> None:
        now = self._snapshot()
        for key in self._baseline.keys() | now.keys():
            if self._baseline.get(key) != now.get(key):
                self._give_up(f"{key} changed during the step")

    def _snapshot(self) -> dict[str, Any]:
        """Generators and plain attributes, by a name for people."""
        found: dict[str, Any] = {"the state of random": random.getstate()}
        if "numpy.random" in sys.modules:
            found["the state of np.random"] = freeze(np.random.get_state(legacy=False))  # noqa: NPY002
        for i, thing in enumerate(self.watch):
            for name, value in getattr(thing, "__dict__", {}).items():
                found[f"{type(thing).__name__}.{name}" + (f" (object {i})" if i else "")] = freeze(value)
        return found
