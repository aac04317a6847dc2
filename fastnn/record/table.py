"""A plan as a table: what each step reads and gives, its fusions, its arithmetic and the bytes it moves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.dispatch import Array

if TYPE_CHECKING:
    from .plan import Memory, Operand, Step

_DEFAULTS = {
    "momentum": 0.0,
    "dampening": 0.0,
    "weight_decay": 0.0,
    "nesterov": False,
    "half": False,
    "ignore_index": -100,
    "label_smoothing": 0.0,
    "transpose_a": False,
    "transpose_b": False,
}
_LETTERS = {"input": "in", "state": "s", "temporary": "t", "constant": "c"}


def table(steps: "Sequence[Step]", memory: "Sequence[Memory]") -> str:
    """A line per step; `memory` says what its operands are: in(put), s(tate), t(emporary) or c(onstant)."""
    rows = [("#", "step", "gives", "reads", "MFLOP", "KB", "settings", "product")]
    flops = [flops_of(step) for step in steps]
    sizes = [bytes_of(step) for step in steps]
    for i, step in enumerate(steps):
        rows.append(
            (
                str(i),
                " + ".join(kernels_of(step)),
                " ".join(_show(operand, memory) for operand in step.results or step.writes),
                " ".join(_show(operand, memory) for operand in step.operands),
                f"{flops[i] / 1e6:,.3f}",
                f"{sizes[i] / 1e3:,.1f}",
                " ".join(f"{name}={value}" for name, value in _settings(step)),
                way_of(step),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    count = sum(len(kernels_of(step)) for step in steps)
    title = f"{len(steps)} steps of {count} kernels, {sum(flops) / 1e6:,.3f} MFLOP, {sum(sizes) / 1e6:,.3f} MB"
    return "\n".join([title, *(line.rstrip() for line in lines)])


def kernels_of(step: "Step") -> list[str]:
    """The kernels that `step` stands for, in order."""
    if step.kernel == "matmul_sgd_update":
        return ["matmul", "sgd_update"]
    if step.kernel == "linear" and step.scalars.get("activation"):
        return ["linear", step.scalars["activation"]]
    if step.kernel == "matmul" and step.scalars.get("backward"):
        return ["matmul", f"{step.scalars['backward']}_backward"]
    return [step.name]


def flops_of(step: "Step") -> int:
    """Multiplications and additions of products; one operation per element of anything else."""
    if factors := _factors(step):
        a, _ = factors
        k = a.shape[0] if step.scalars.get("transpose_a") else a.shape[1]
        (result,) = (step.results or step.writes)[:1]
        return 2 * _count(result) * k
    return max([_count(operand) for operand in (*step.operands, *step.results) if operand is not None], default=0)


def way_of(step: "Step") -> str:
    """What a product has chosen for its shape: see `fastnn.kernels.explain_product`; on a GPU, who makes it in tf32 or
    bf16. Empty for other kernels.
    """
    from fastnn import kernels  # only now: it takes long, and few programs print a plan

    if (factors := _factors(step)) is None:
        return ""
    if "precision" in step.scalars:
        return "cuBLASLt"
    a, b = map(_unset, factors)
    linear = step.kernel == "linear"
    across, down = step.scalars.get("transpose_a", False), step.scalars.get("transpose_b", linear)
    return kernels.explain_product(a, b, transpose_a=across, transpose_b=down, linear=linear)


def _factors(step: "Step") -> "tuple[Operand, Operand] | None":
    """The two matrices of a product; None where the step is none."""
    if step.kernel not in ("linear", "matmul", "matmul_sgd_update"):
        return None
    a, b = step.operands[1:3] if step.kernel == "matmul_sgd_update" else step.operands[:2]
    assert a is not None
    assert b is not None
    return a, b


def _unset(operand: "Operand") -> Array:
    """An array of the shape and strides of `operand`, whose elements nobody reads."""
    if 0 in operand.shape:
        return np.empty(operand.shape, operand.dtype)
    reach = [(side - 1) * stride for side, stride in zip(operand.shape, operand.strides, strict=True)]
    memory = np.empty(1 + sum(map(abs, reach)), operand.dtype)
    first = -sum(distance for distance in reach if distance < 0)
    strides = [stride * memory.itemsize for stride in operand.strides]
    return np.ndarray(operand.shape, operand.dtype, memory, first * memory.itemsize, strides)


def bytes_of(step: "Step") -> int:
    """Bytes of what the step reads and gives, each once."""
    moved = [operand for operand in (*step.operands, *step.results) if operand is not None]
    return sum(_count(operand) * operand.dtype.itemsize for operand in moved)


def _count(operand: "Operand") -> int:
    count = 1
    for side in operand.shape:
        count *= side
    return count


def _settings(step: "Step") -> list[tuple[str, object]]:
    said = {"activation", "backward"}
    chosen = {n: v for n, v in step.scalars.items() if n not in said and v is not None}
    return [(n, v) for n, v in chosen.items() if n not in _DEFAULTS or _DEFAULTS[n] != v]


def _show(operand: "Operand | None", memory: "Sequence[Memory]") -> str:
    if operand is None:
        return "-"
    known = memory[operand.memory]
    if known.values is not None and known.size == 1:
        return f"{known.values.item():.6g}"
    return f"{_LETTERS[known.role.value]}{operand.memory}{_shape(operand.shape)}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"({','.join(map(str, shape))})"
