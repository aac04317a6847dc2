"""The naive replayer: the kernels of a plan one by one, in buffers of their own. The oracle of the engine."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from fastnn import _core
from fastnn.dispatch import Array, device_of, read_only, synchronize, wrap
from fastnn.tensor import Tensor

from .plan import Memory, Operand, Output, Plan, Role, Step


class Replayer:
    """Replays a plan on batches of the recorded shapes, with the bits of the eager step.

    States are changed where they are, so that parameters and optimizer go on as if the step had been run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        made = self._lay_out()
        self._buffers = [_given(memory, made.get(number)) for number, memory in enumerate(plan.memory)]
        self.inputs = [
            self._buffers[number].reshape(shape) for number, shape in zip(plan.inputs, plan.input_shapes, strict=True)
        ]
        self.calls = [self._call(step) for step in plan.steps]
        changed = plan.written
        storages = [memory.storage for number, memory in enumerate(plan.memory) if number in changed]
        self.written = [storage for storage in storages if storage is not None]

    def _lay_out(self) -> dict[int, Array]:
        """An array of one dimension for each input and temporary, by number; one that is missing is never touched."""
        own = {number: m for number, m in enumerate(self.plan.memory) if m.role in (Role.INPUT, Role.TEMPORARY)}
        return {number: _core.empty((memory.size,), str(memory.dtype), memory.device) for number, memory in own.items()}

    def replay(self, batch: Sequence[Tensor | Array]) -> Output:
        """One step on `batch`. Raises ValueError for shapes other than the recorded ones."""
        self.load(batch)
        for callback in self.plan.before_step:
            callback(1)
        for call in self.calls:
            call()
        for storage in self.written:
            storage.version += 1
        for leaf, operand in self.plan.gradients:
            leaf.grad = wrap(self._view(operand))
        synchronize()
        return Output(
            None if self.plan.loss is None else self._view(self.plan.loss).copy(),
            {name: self._view(operand).copy() for name, operand in self.plan.logs.items()},
        )

    def load(self, batch: Sequence[Tensor | Array]) -> None:
        """Copies `batch` to where the kernels read it."""
        arrays = [value._array if isinstance(value, Tensor) else np.asarray(value) for value in batch]
        if len(arrays) != len(self.inputs):
            raise ValueError(f"[replay] a batch of {len(arrays)} arrays, but {len(self.inputs)} were recorded")
        for i, (array, buffer) in enumerate(zip(arrays, self.inputs, strict=True)):
            if array.shape != buffer.shape or array.dtype != buffer.dtype:
                raise ValueError(
                    f"[replay] batch[{i}] is {array.dtype} {array.shape}, but {buffer.dtype} {buffer.shape} was "
                    "recorded: another shape needs its own plan"
                )
        for array, buffer in zip(arrays, self.inputs, strict=True):
            if (device := device_of(buffer)) == device_of(array) == "cpu":
                buffer[...] = array
            else:
                _core.transfer(array, device=device, out=buffer)

    def _view(self, operand: Operand) -> Array:
        buffer, dtype = self._buffers[operand.memory], operand.dtype
        if 0 in operand.shape:
            return np.empty(operand.shape, dtype)
        strides = [stride * dtype.itemsize for stride in operand.strides]
        return np.ndarray(operand.shape, dtype, buffer, operand.offset * dtype.itemsize, strides)

    def _call(self, step: Step) -> Callable[[], object]:
        """A function that runs `step` on its views, with the values that Slots have by then."""
        operands = [None if operand is None else self._view(operand) for operand in step.operands]
        results = [self._view(operand) for operand in step.results]
        if isinstance(step.kernel, str):
            scalars = dict(step.scalars)
            if results:
                scalars["out"] = results[0] if len(results) == 1 else tuple(results)
            return functools.partial(getattr(_core, step.kernel), *operands, **scalars)
        function = step.kernel
        inputs = [read_only(operand) for operand in operands if operand is not None]

        def call() -> None:
            synchronize()
            for result, array in zip(results, function(*inputs), strict=True):
                if array.shape != result.shape or array.dtype != result.dtype:
                    raise ValueError(
                        f"[replay] {step.name} gave {array.dtype} {array.shape}, but {result.dtype} "
                        f"{result.shape} when it was recorded at {step.where}"
                    )
                result[...] = array

        return call


def _given(memory: Memory, made: Array | None) -> Array:
    """The array that is this memory: a state where it lies, a constant's values, or what has been made for it."""
    if memory.storage is not None:
        return memory.storage.array
    if memory.values is not None:
        return memory.values
    return np.empty(0, memory.dtype) if made is None else made
