"""A step that Python has just run, repeated natively and compared to the bit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastnn.autograd import Application
from fastnn.dispatch import Array, Storage, synchronize
from fastnn.tensor import Tensor

from .engine import Engine
from .plan import Plan, Step
from .recorder import Recorder


class Check:
    """Compares steps from Python with `plan`.

    The halves of a `Function` are not called again: a function that counts its calls would count them twice. What they
    gave to Python stands for them.
    """

    def __init__(self, plan: Plan) -> None:
        self._states = _states(plan)
        self._plan = plan
        self._functions: list[tuple[Array, ...]] = []
        self._engine: Engine | None = None

    def before(self, batch: Sequence[Tensor]) -> tuple[list[Array], list[Array]]:
        """Copies of states and batch, to start from when the step has been made."""
        synchronize()
        return [storage.array.copy() for storage in self._states], [part._array.copy() for part in batch]

    def difference(self, before: tuple[list[Array], list[Array]], recorder: Recorder) -> str | None:
        """What the plan makes of what was there `before` the step that `recorder` saw, otherwise than that step.

        Whatever comes out, nothing is changed in the end.
        """
        if self._engine is None:
            self._engine = Engine(replace(self._plan, steps=[*map(self._without_call, self._plan.steps)]))
        self._functions[:] = recorder.functions
        synchronize()
        after = [storage.array.copy() for storage in self._states]
        versions = [storage.version for storage in self._states]
        gradients = [(leaf, leaf.grad) for leaf, _ in self._plan.gradients]
        try:
            self._set(before[0])
            self._engine.load(before[1])
            logged = self._engine.repeat()[0]
            unequal = [i for i, storage in enumerate(self._states) if not _same_bits(storage.array, after[i])]
        finally:
            self._set(after)
            for storage, version in zip(self._states, versions, strict=True):
                storage.version = version
            for leaf, gradient in gradients:
                leaf.grad = gradient
        for (name, value), repeated in zip(recorder.logged, logged, strict=True):
            if not np.array_equal(np.float64(value.item()), repeated, equal_nan=True):
                return f"{name} is {float(repeated)!r} natively, {float(value.item())!r} from Python"
        if unequal:
            shape = self._states[unequal[0]].array.shape
            return f"state {unequal[0]} of shape {shape} has other bits natively than from Python"
        return None

    def _set(self, values: Sequence[Array]) -> None:
        synchronize()
        for storage, value in zip(self._states, values, strict=True):
            storage.array[...] = value

    def _without_call(self, step: Step) -> Step:
        if isinstance(step.kernel, str):
            return step
        self._functions.append(())
        given = _Given(step.kernel, self._functions, len(self._functions) - 1)
        return step._replace(kernel=getattr(given, step.kernel.__name__))


class _Given(Application):
    """Half of a `Function` that gives what it gave before."""

    def __init__(self, half: Any, results: list[tuple[Array, ...]], number: int) -> None:
        application: Application = half.__self__
        super().__init__(application.function, application.places, application.plain)
        self._results, self._number = results, number

    def forward(self, *arrays: Array) -> tuple[Array, ...]:
        return self._results[self._number]

    def backward(self, grad: Array) -> tuple[Array, ...]:
        return self._results[self._number]


def _states(plan: Plan) -> list[Storage]:
    """The states that `plan` changes; and small ones, which something else may change."""
    written = plan.written
    return [
        memory.storage
        for number, memory in enumerate(plan.memory)
        if memory.storage is not None and (number in written or memory.storage.array.nbytes <= 2**20)
    ]


def _same_bits(a: Array, b: Array) -> bool:
    """NaN is NaN, whatever its sign and payload."""
    bits = np.dtype(f"u{a.itemsize}")
    different = a.view(bits) != b.view(bits)
    return not different.any() or (a.dtype.kind == "f" and bool((np.isnan(a) & np.isnan(b))[different].all()))
