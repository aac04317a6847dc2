"""Where a plan's memory lies: temporaries whose lives do not meet share it."""

from collections.abc import Iterator

import numpy as np

from fastnn import _core
from fastnn.dispatch import Array

from .plan import Plan, Role

ALIGNMENT = 64


def lay_out(plan: Plan) -> dict[int, Array]:
    """An array of one dimension for each input and temporary that is touched, all of a device in one block."""
    offsets, size = place(plan)
    devices = {plan.memory[number].device for number in offsets}
    blocks = {device: _core.empty((size,), "uint8", device) for device in devices}
    return {
        number: np.ndarray((memory.size,), memory.dtype, blocks[memory.device], offsets[number])
        for number, memory in enumerate(plan.memory)
        if number in offsets
    }


def place(plan: Plan) -> tuple[dict[int, int], int]:
    """Byte offsets of inputs and temporaries, and the size of the block that holds them.

    The largest are placed first, each at the lowest offset where nothing that lives at the same time stands.
    """
    lives = dict(lifetimes(plan))
    sizes = {number: _bytes(plan, number) for number in lives}
    placed: list[int] = []
    offsets: dict[int, int] = {}
    for number in sorted(lives, key=lambda n: -sizes[n]):
        first, last = lives[number]
        neighbours = [n for n in placed if lives[n][0] <= last and first <= lives[n][1]]
        offset = 0
        for other in sorted(neighbours, key=lambda n: offsets[n]):
            if offset + sizes[number] <= offsets[other]:
                break
            offset = max(offset, offsets[other] + sizes[other])
        offsets[number] = offset
        placed.append(number)
    return offsets, max((offsets[n] + sizes[n] for n in placed), default=0)


def lifetimes(plan: Plan) -> Iterator[tuple[int, tuple[int, int]]]:
    """Of inputs and temporaries: the first and the last step that touches them.

    Inputs are there before the first step, and the outcomes are read after the last. Nothing else takes the place of an
    input on a device: labels in it are known ahead of the step (csrc/engine/device_program.h).
    """
    end = len(plan.steps)
    touched: dict[int, list[int]] = {number: [-1] for number in plan.inputs}
    for i, step in enumerate(plan.steps):
        for operand in (*step.operands, *step.results, *step.writes):
            if operand is not None:
                touched.setdefault(operand.memory, []).append(i)
    for operand in plan.outcomes:
        touched.setdefault(operand.memory, []).append(end)
    for number, steps in touched.items():
        memory = plan.memory[number]
        if memory.role in (Role.INPUT, Role.TEMPORARY):
            stays = memory.role is Role.INPUT and memory.device != "cpu"
            yield number, (min(steps), end if stays else max(steps))


def _bytes(plan: Plan, number: int) -> int:
    memory = plan.memory[number]
    return -(-memory.size * memory.dtype.itemsize // ALIGNMENT) * ALIGNMENT
