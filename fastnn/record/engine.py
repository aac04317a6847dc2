"""The engine: a plan as a native program that runs many steps in one call, without Python."""

from collections.abc import Callable, Sequence

import numpy as np

from fastnn import _core
from fastnn.dispatch import Array, Slot, copy_of, wrap

from .fuse import fuse
from .layout import lay_out
from .plan import Plan
from .replay import Replayer

Load = Callable[[_core.Program, Array, Sequence[Array]], None]
"""Makes it part of a program's steps to fill the arrays of a batch with the rows whose numbers an array holds then."""


class Engine(Replayer):
    """Runs a plan natively, fused, with the same bits, in memory that is laid out once. `plan` is the fused one.

    `load` brings rows of the data into the inputs, as part of each step; `batch_size` is their number. Without it,
    `load(batch)` fills them before each step. Gradients exist within a step only, and ``grad`` is None afterwards; with
    `keeps_gradients` it is that of the latest step, and fewer steps can be put together.
    """

    def __init__(
        self, plan: Plan, load: Load | None = None, batch_size: int = 0, keeps_gradients: bool = False
    ) -> None:
        self._leaves = [leaf for leaf, _ in plan.gradients]
        super().__init__(fuse(plan, keeps_gradients))
        self.batch_size = batch_size
        self.names = list(plan.logs)
        self.logged = [self._view(self.plan.logs[name]) for name in self.names]
        self.slots = {value for step in self.plan.steps for value in step.scalars.values() if isinstance(value, Slot)}
        self._program = _core.Program(self.logged)
        self._rows = np.zeros(batch_size, np.int64)
        if load is not None:
            load(self._program, self._rows, self.inputs)
        for step, call in zip(self.plan.steps, self.calls, strict=True):
            if isinstance(step.kernel, str):
                self._program.record(call)
            else:
                self._program.call(call)

    def _lay_out(self) -> dict[int, Array]:
        return lay_out(self.plan)

    def run(self, steps: int, rows: Array | None = None) -> Array:
        """Runs `steps` steps, on the rows of the data that `rows` names one batch after the other.

        Returns what was logged, (steps, names), in float64. Raises what a kernel or a Python function in the step
        raises; that step is then left where it stood.
        """
        if rows is None and steps != 1:
            raise ValueError(f"[replay] steps = {steps} needs rows: inputs that were loaded last for one step")
        return self._run(steps, rows, self.advance(steps))

    def advance(self, steps: int) -> dict[Slot, Sequence[float]]:
        """Does what precedes `steps` steps; gives the values in each of the Slots that vary and that a kernel reads."""
        varying: dict[Slot, Sequence[float]] = {}
        for advance in self.plan.before_step:
            varying.update((slot, values) for slot, values in advance(steps).items() if slot in self.slots)
        return varying

    def repeat(self) -> Array:
        """One more step on the inputs and Slots as they are."""
        return self._run(1, None, {})

    def _run(self, steps: int, rows: Array | None, varying: dict[Slot, Sequence[float]]) -> Array:
        values = np.array(list(varying.values()), np.float64).T.copy() if varying else None
        try:
            results: Array = self._program.run(steps, rows, None if rows is None else self._rows, list(varying), values)
        finally:
            self.note(steps)
        for leaf, operand in self.plan.gradients:
            leaf.grad = wrap(copy_of(self._view(operand)))
        return results

    def note(self, steps: int) -> None:
        """Tells those who hold states that they changed, and leaves that their gradients are gone."""
        for storage in self.written:
            storage.version += steps
        for leaf in self._leaves:
            leaf.grad = None
