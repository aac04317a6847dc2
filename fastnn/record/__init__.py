"""Recording: a training step is run three times as ever, and becomes a plan that can be replayed."""

import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from fastnn import random
from fastnn.dispatch import Array, state, wrap
from fastnn.functional.creation import as_array
from fastnn.tensor import Tensor

from .check import Check
from .engine import Engine
from .epochs import Epochs
from .plan import Eager, Memory, Operand, Output, Plan, Role, Step
from .recorder import Recorder
from .replay import Replayer

__all__ = [
    "Check",
    "Eager",
    "Engine",
    "Epochs",
    "Memory",
    "Operand",
    "Output",
    "Plan",
    "Recorder",
    "Replayer",
    "Role",
    "Step",
    "log",
    "record",
]


def log(name: str, value: Any) -> None:
    """Asks for `value`, a Tensor or a number, to be read after this step and each replay of it; without a recorder,
    nothing happens.
    """
    if state.recorder is not None:
        state.recorder.log(name, value if isinstance(value, Tensor) else Tensor(value))


def record(
    step: Callable[..., Any],
    batches: Iterable[Sequence[Tensor | Array]],
    watch: Iterable[object] = (),
) -> Plan | Eager:
    """Runs ``step(*batch)`` on the first three of `batches`; gives its plan, or the reason why it has none.

    All three are ordinary steps. The first warms up (lazy shapes, optimizer state); the second and the third are
    recorded, and have to be equal. A step returns a Tensor, the loss, or None. `watch` are objects, the model and the
    optimizer, from which nothing may be reached that a step changes. Raises ValueError where there are fewer than three
    batches, or their shapes differ.

    >>> import fastnn as fn
    >>> w = fn.ones(1, requires_grad=True)
    >>> def step(x):
    ...     loss = (w * x).sum()
    ...     loss.backward()
    ...     w.data.sub_(0.5 * w.grad)
    ...     w.grad.zero_()
    ...     return loss
    >>> plan = record(step, [[fn.ones(1)]] * 3)
    >>> Replayer(plan).replay([fn.ones(1)]).loss
    array(-0.5, dtype=float32)
    >>> w
    tensor([-1.], requires_grad=True)
    """
    chosen = [[_as_tensor(value) for value in batch] for batch in islice(batches, 3)]
    if len(chosen) < 3:
        raise ValueError(f"[record] batches holds {len(chosen)}, but recording takes three")
    kinds = [[(str(tensor.dtype), tensor.shape) for tensor in batch] for batch in chosen]
    if kinds[0] != kinds[1] or kinds[1] != kinds[2]:
        raise ValueError(f"[record] batches of different shapes: {kinds[0]}, {kinds[1]}, {kinds[2]}")
    watch = list(watch)
    records: list[Plan | Eager] = []
    outputs: list[Output] = []
    for batch in chosen:
        recorded, output = Recorder(watch).run(functools.partial(_begin_and_run, step), batch)
        records.append(recorded)
        outputs.append(output)
    _, second, third = records
    for recorded in (second, third):
        if isinstance(recorded, Eager):
            return Eager(recorded.reason, outputs)
    assert isinstance(second, Plan)
    assert isinstance(third, Plan)
    if why := second.difference(third):
        return Eager(why, outputs)
    third.outputs.extend(outputs)
    return third


def _begin_and_run(step: Callable[..., Any], batch: Sequence[Tensor]) -> Any:
    random.begin_step()
    return step(*batch)


def _as_tensor(value: Tensor | Array) -> Tensor:
    tensor: Tensor = value if isinstance(value, Tensor) else wrap(as_array(value))
    return tensor
