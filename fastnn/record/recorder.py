"""The recorder: watches one step at the seam and says what it did, or why that cannot be repeated."""

import gc
import math
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.autograd import Application
from fastnn.dispatch import (
    Advance,
    Array,
    Slot,
    Storage,
    copy_of,
    device_of,
    next_serial,
    read_only,
    run,
    state,
    synchronize,
    wrap,
)
from fastnn.tensor import Tensor

from .plan import Eager, Memory, Operand, Output, Plan, Role, Step, kernel_name, written
from .watch import Sight, look, look_at

_LIBRARIES = tuple(str(folder) + os.sep for folder in (Path(__file__).parents[1], Path(np.__file__).parent))


def user_line() -> str:
    """File and line of the innermost frame outside this package and NumPy."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]  # array.ctypes.data takes much longer
    return address


def _extent(array: Array) -> tuple[int, int]:
    """The bytes that a view reaches: from, to."""
    start = end = _address(array)
    if not array.size:
        return start, end
    for n, stride in zip(array.shape, array.strides, strict=True):
        start, end = start + min(0, (n - 1) * stride), end + max(0, (n - 1) * stride)
    return start, end + array.itemsize


class _Logged(NamedTuple):
    """A Tensor that was logged, and what it was then."""

    tensor: Tensor
    array: Array
    version: int


class _Kept(NamedTuple):
    """A gradient of the step, and the memory that is taken from it to see whether anything else holds it."""

    leaf: Tensor
    grad: weakref.ref[Tensor]
    storage: weakref.ref[Storage]
    array: Array


class _Repeated(Application):
    """A use of a `Function` that belongs to a plan.

    What the function keeps of its arguments, for its backward or for its own ends, are copies: the engine puts other
    values where the arguments were.
    """

    def forward(self, *arrays: Array) -> tuple[Array, ...]:
        copied = arrays if self.function._borrows else [read_only(array.copy()) for array in arrays]
        return super().forward(*copied)


class Recorder:
    """Records one step; `watch` are objects from which nothing may be reached that changes (`watch.look`), None where
    no code takes part that could change anything.

    `reason` is None as long as the step can be repeated; `depends_on_epoch` says that it may be another in the next
    epoch. After the step, `logged` holds what was logged, in order, and `functions` the results of each half of a
    `Function`.
    """

    def __init__(self, watch: Iterable[object] | None = ()) -> None:
        self.reason: str | None = None
        self.depends_on_epoch = False
        self.watch = None if watch is None else list(watch)
        self.memory: list[Memory] = []
        self.steps: list[Step] = []
        self.callbacks: list[Advance] = []
        self.logged: list[tuple[str, Array]] = []
        self.functions: list[tuple[Array, ...]] = []
        self._numbers: dict[Any, int] = {}
        self._made: dict[int, tuple[weakref.ref[Storage], str, str]] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._slots: dict[Slot, float] = {}
        self._leaves: dict[Tensor, None] = {}
        self._logged: dict[str, _Logged] = {}
        self._applications: dict[Application, _Repeated] = {}

    def run(self, step: Callable[[Sequence[Tensor]], Any], batch: Sequence[Tensor]) -> tuple[Plan | Eager, Output]:
        """Runs ``step(batch)`` and gives its plan, or the reason why it has none, and what it returned and logged.

        The step gets Tensors of its own, on the memory of those in `batch`.
        """
        if state.recorder is not None:
            raise RuntimeError("[record] a step is being recorded already: a step cannot record another")
        inputs = as_inputs(batch)
        given = [weakref.ref(tensor._storage) for tensor in inputs]
        shapes, numbers = self._number_inputs(inputs)
        self._before = self._look()
        self._start = next_serial()
        state.recorder = self
        try:
            result = step(inputs)
        finally:
            state.recorder = None
        synchronize()
        changed = self._before.change(self._look())
        del self._before  # which holds Tensors
        if any(self.memory[operand.memory].role is Role.INPUT for one in self.steps for operand in one.writes):
            for own, part in zip(inputs, batch, strict=True):
                if not np.may_share_memory(own._array, part._array):
                    part._array[...] = own._array
        if result is not None and not isinstance(result, Tensor):
            self._give_up(f"the step returned a {type(result).__name__}, neither a Tensor nor None")
            result = None
        output = Output(
            None if result is None else result._array.copy(),
            {name: logged.array for name, logged in self._logged.items()},
        )
        loss = None if result is None else self._operand(result, "the result")
        logs = self._release_logs()
        gradients, kept = self._release_gradients()
        del result, inputs
        self._check_survivors(given)
        self._check_overlaps()
        self._check_slots()
        if changed is not None:
            self._give_up(changed)
        if self.reason is not None:
            _give_back(kept)
            return Eager(self.reason), output
        return Plan(self.memory, self.steps, numbers, shapes, loss, logs, gradients, self.callbacks), output

    def _look(self) -> Sight:
        return Sight() if self.watch is None else look(self.watch)

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
        if not isinstance(kernel, str):
            synchronize()
            self.functions.append(tuple(tensor._array.copy() for tensor in results))
            kernel = self._repeated(kernel)
        self.steps.append(Step(kernel, read, scalars, given, written, where))

    def escape(self, what: str) -> None:
        """A value left for Python."""
        self._give_up(f"{what} at {user_line()} takes a value out of the step")

    def varies(self, what: str, within_epoch: bool) -> None:
        """Python reads something of the run that the next step finds changed, or the next epoch."""
        self.depends_on_epoch = True
        if within_epoch:
            self._give_up(f"{what}, read at {user_line()}, is another in each step")

    def before_step(self, callback: Advance) -> None:
        """What `callback` changes of itself, or of what it is a method of, is no change by the step."""
        owner = getattr(callback, "__self__", None)
        near = (self.watch or []) if owner is None else [owner] if id(owner) in self._before.owners else []
        if (changed := self._before.change_in(look_at(near))) is not None:
            self._give_up(changed)
        if callback in self.callbacks:
            self._give_up(f"what precedes a step was asked for twice in it, at {user_line()}")
        kernels = len(self.steps)
        varying = callback(1)
        if len(self.steps) > kernels:
            self._give_up(f"{self.steps[-1].name} at {self.steps[-1].where} is part of what precedes a step")
        self._note_slots({str(i): slot for i, slot in enumerate(varying)}, user_line())
        self._before.values.update(look_at(near).values)
        self.callbacks.append(callback)

    def gradient(self, leaf: Tensor) -> None:
        """`leaf` got its first gradient."""
        self._leaves[leaf] = None

    def log(self, name: str, value: Tensor) -> None:
        """`value`, as it is now, is to be read after each step."""
        if name in self._logged:
            self._give_up(f"{name} is logged twice in a step, at {user_line()}")
        if 0 <= value._storage.serial <= self._start:  # a state, which the step may go on to change
            value = run("cast", value)
        synchronize()
        self._logged[name] = _Logged(value, value._array.copy(), value._storage.version)
        self.logged.append((name, self._logged[name].array))

    # ---- the record -----------------------------------------------------------------------------------------------

    def _give_up(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason

    def _number(self, key: Any, memory: Memory) -> int:
        self._numbers[key] = number = len(self.memory)
        self.memory.append(memory)
        return number

    def _number_inputs(self, inputs: Sequence[Tensor]) -> tuple[list[tuple[int, ...]], list[int]]:
        """The shapes of `inputs`, and the numbers of their memory."""
        numbers = []
        for tensor in inputs:
            memory = Memory(Role.INPUT, tensor.dtype, tensor.numel(), device=device_of(tensor))
            number = self._number(tensor._storage.serial, memory)
            self._places[number] = _extent(tensor._array)
            numbers.append(number)
        return [tensor.shape for tensor in inputs], numbers

    def _note_slots(self, scalars: dict[str, Any], where: str) -> None:
        for value in scalars.values():
            if isinstance(value, Slot) and self._slots.setdefault(value, value.value) != value.value:
                self._give_up(f"a slot changed within the step, before {where}")

    def _repeated(self, half: Callable[..., Any]) -> Callable[..., Any]:
        """The half of a `Function`, of a use of its own: the step's is released with the tape."""
        application: Application = half.__self__  # type: ignore[attr-defined]
        if application not in self._applications:
            again = _Repeated(application.function, application.places, application.plain)
            self._applications[application] = again
        repeated: Callable[..., Any] = getattr(self._applications[application], half.__name__)
        return repeated

    def _result(self, tensor: Tensor, kernel: Any, where: str) -> Operand:
        storage = tensor._storage
        memory = Memory(Role.TEMPORARY, tensor.dtype, tensor.numel(), device=device_of(tensor))
        number = self._number(storage.serial, memory)
        self._made[number] = (weakref.ref(storage), kernel_name(kernel), where)
        return self._view(number, tensor)

    def _operand(self, tensor: Tensor, where: str) -> Operand:
        storage = tensor._storage
        number = self._numbers.get(storage.serial)
        if number is not None:
            return self._view(number, tensor)
        if not 0 <= storage.serial <= self._start:  # neither older than the step nor made by a kernel of it
            return self._constant(tensor, where)
        root = storage.array
        if not root.flags.c_contiguous:
            self._give_up(f"the memory of a state used at {where} is not contiguous")
        memory = Memory(Role.STATE, root.dtype, root.size, storage, device=device_of(root))
        number = self._number(storage.serial, memory)
        self._places[number] = _extent(root)
        return self._view(number, tensor)

    def _constant(self, tensor: Tensor, where: str) -> Operand:
        array = tensor._array
        key = (tensor._storage.serial, _address(array), array.shape, array.strides)
        number = self._numbers.get(key)
        if number is None:
            memory = Memory(Role.CONSTANT, array.dtype, array.size, values=copy_of(array), device=device_of(array))
            number = self._number(key, memory)
            self._places[number] = _extent(array)
        elif array.flags.writeable and _differs(array, self.memory[number].values):
            self._give_up(f"values from Python or NumPy changed within the step, before {where}")
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

    def _release_gradients(self) -> tuple[list[tuple[Tensor, Operand]], list[_Kept]]:
        """Leaves and where their new gradients are. Copies take their place, so that nothing else may hold them."""
        gradients, kept = [], []
        for leaf in self._leaves if self.reason is None else ():
            grad = leaf.grad
            if grad is not None and self._numbers.get(grad._storage.serial) in self._made:
                gradients.append((leaf, self._operand(grad, "grad")))
                kept.append(_Kept(leaf, weakref.ref(grad), weakref.ref(grad._storage), grad._array))
                leaf.grad = wrap(copy_of(grad._array))
        return gradients, kept

    def _check_survivors(self, given: Sequence[weakref.ref[Storage]]) -> None:
        references = [*given, *(reference for reference, _, _ in self._made.values())]
        if any(reference() is not None for reference in references):
            gc.collect()  # what only a cycle keeps is gone as well
        for reference, kernel, where in self._made.values():
            if reference() is not None:
                self._give_up(f"the result of {kernel} at {where} outlives the step")
        for i, reference in enumerate(given):
            if reference() is not None:
                self._give_up(f"part {i} of the batch outlives the step")

    def _check_overlaps(self) -> None:
        """Memory under two names cannot be kept apart by who lays memory out anew."""
        changed = written(self.steps)
        ranges = sorted((start, end, number) for number, (start, end) in self._places.items())
        reach = written_reach = 0  # where all memory, and all that is written, ends so far
        for start, end, number in ranges:
            if start < written_reach or (start < reach and number in changed):
                self._give_up("a state that the step changes shares its memory with another")
            reach = max(reach, end)
            if number in changed:
                written_reach = max(written_reach, end)

    def _check_slots(self) -> None:
        for slot, value in self._slots.items():
            if slot.value != value:
                self._give_up(f"a slot changed within the step, from {value} to {slot.value}")


def _differs(array: Array, values: Array | None) -> bool:
    synchronize()
    return values is not None and array.tobytes() != values.tobytes()


def as_inputs(batch: Sequence[Tensor]) -> Sequence[Tensor]:
    """Each Tensor of `batch` in contiguous memory that is known as nothing else, in a sequence of the same type."""
    arrays = [tensor._array for tensor in batch]
    inputs = [wrap(array if array.flags.c_contiguous else copy_of(array)) for array in arrays]
    return tuple(inputs) if type(batch) is tuple else inputs


def _give_back(kept: Sequence[_Kept]) -> None:
    """Gradients that something else holds as well are what they were."""
    for leaf, grad, storage, array in kept:
        if (tensor := grad()) is not None:
            leaf.grad = tensor
        elif (memory := storage()) is not None:
            leaf.grad = wrap(array, memory)
