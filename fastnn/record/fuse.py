"""Fusions: a plan with fewer steps that computes the same bits.

A fusion changes where an intermediate lives, never an expression: the activation of a layer, the gradient of an
activation and the update of a parameter become the end of the product before them. What nobody reads is left out.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from .plan import Operand, Plan, Role, Step

Rule = Callable[[Step, Step], Step | None]
"""Puts two steps together, the second the only reader of the first's result; None where they do not fit."""

ACTIVATIONS = {"relu", "sigmoid", "tanh"}
SETTINGS = {"transpose_a", "transpose_b", "precision"}
GRADIENTS = {"relu_backward": "relu", "sigmoid_backward": "sigmoid", "tanh_backward": "tanh", "gelu_backward": "gelu"}


def fuse(plan: Plan, keeps_gradients: bool = False) -> Plan:
    """`plan` with steps put together. Gradients of leaves are no longer to be found in it, unless it keeps them."""
    if not keeps_gradients:
        plan = dataclasses.replace(plan, gradients=[])
    steps = plan.steps
    for rule in (_layer, _activated, _gradient, _update):
        steps = _apply(rule, plan, steps)
    return dataclasses.replace(plan, steps=_without_dead(plan, steps))


def _apply(rule: Rule, plan: Plan, steps: Sequence[Step]) -> list[Step]:
    """Puts a product and the one step that reads it together, where `rule` makes one of them."""
    kept = {operand.memory for operand in plan.outcomes}
    readers: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        for number in {operand.memory for operand in (*_read(step), *step.writes)}:
            readers.setdefault(number, []).append(i)
    fused: dict[int, Step | None] = {}
    for i, step in enumerate(steps):
        if i in fused or step.kernel not in ("linear", "matmul") or step.writes:
            continue
        (result,) = step.results
        users = readers.get(result.memory, [])
        if len(users) != 1 or result.memory in kept or users[0] in fused:
            continue
        (j,) = users
        if result not in steps[j].operands or result in steps[j].writes or _overwritten(step, steps[i + 1 : j]):
            continue
        if (both := rule(step, steps[j])) is not None:
            fused[i], fused[j] = None, both
    chosen = [fused.get(i, step) for i, step in enumerate(steps)]
    return [step for step in chosen if step is not None]


def _read(step: Step) -> Iterator[Operand]:
    return (operand for operand in step.operands if operand is not None)


def _overwritten(step: Step, between: Sequence[Step]) -> bool:
    """Whether a step in `between` changes what `step` reads, so that it cannot be done later."""
    read = {operand.memory for operand in _read(step)}
    return any(operand.memory in read for other in between for operand in other.writes)


# ---- rules: two steps, the second the only reader of the first's result ------------------------------------------


def _layer(product: Step, addition: Step) -> Step | None:
    """x @ w + b is linear(x, w.T, b)."""
    if product.kernel != "matmul" or _turns(product) or addition.kernel != "add" or addition.writes:
        return None
    x, weight = product.operands
    bias = next((operand for operand in addition.operands if operand != product.results[0]), None)
    assert weight is not None
    if bias is None or bias.shape not in ((weight.shape[1],), (1, weight.shape[1])) or bias.dtype != weight.dtype:
        return None
    turned = weight._replace(shape=weight.shape[::-1], strides=weight.strides[::-1])
    flat = bias._replace(shape=bias.shape[-1:], strides=bias.strides[-1:])
    inputs, outputs = weight.shape
    if outputs <= 12 and inputs >= 128:  # there linear adds in another order: csrc/cpu/narrow.h
        return None
    if addition.results[0].shape != product.results[0].shape:
        return None
    return addition._replace(kernel="linear", operands=(x, turned, flat), scalars=product.scalars)


def _activated(product: Step, activation: Step) -> Step | None:
    if product.kernel != "linear" or _turns(product) or activation.kernel not in ACTIVATIONS or activation.writes:
        return None
    scalars = product.scalars | {"activation": activation.kernel}
    return activation._replace(kernel="linear", operands=product.operands, scalars=scalars)


def _turns(product: Step) -> bool:
    """Whether a product does more than multiply what stands there."""
    return bool(product.scalars.keys() - {"precision"})


def _gradient(product: Step, gradient: Step) -> Step | None:
    name = GRADIENTS.get(gradient.name)
    if product.kernel != "matmul" or name is None or gradient.writes or len(product.operands) != 2:
        return None
    if gradient.operands[0] != product.results[0] or gradient.operands[1] == product.results[0]:
        return None
    return gradient._replace(
        kernel="matmul",
        operands=(*product.operands, gradient.operands[1]),
        scalars=product.scalars | {"backward": name},
    )


def _update(product: Step, update: Step) -> Step | None:
    if product.kernel != "matmul" or update.kernel != "sgd_update" or not product.scalars.keys() <= SETTINGS:
        return None
    param, gradient, *velocity = update.operands
    a, b = product.operands
    if gradient != product.results[0] or param is None or {param.memory} & {o.memory for o in _read(product)}:
        return None
    return update._replace(
        kernel="matmul_sgd_update", operands=(param, a, b, *velocity), scalars=product.scalars | update.scalars
    )


def _without_dead(plan: Plan, steps: Sequence[Step]) -> list[Step]:
    """The steps whose results somebody reads, that change a state, or that call Python."""
    needed = {operand.memory for operand in plan.outcomes}
    needed |= {number for number, memory in enumerate(plan.memory) if memory.role is Role.STATE}
    live = []
    for step in reversed(steps):
        if isinstance(step.kernel, str) and not {o.memory for o in (*step.results, *step.writes)} & needed:
            continue
        live.append(step)
        needed |= {operand.memory for operand in _read(step)}
    return live[::-1]
