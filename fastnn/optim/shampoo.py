"""Shampoo: gradients scaled by roots of their own second moments, on each side of a weight."""

from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn.autograd import Context, Function
from fastnn.dispatch import Array, constant, device_of, run
from fastnn.schedules import Schedule
from fastnn.tensor import Tensor

from .first_order import Optimizer, Params, _Member


class _InverseRoot(Function):
    """``(statistics + epsilon I) ** -power`` every `update_freq` steps, beginning with the first; `root` between."""

    _borrows = True

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Array:
        statistics, root, steps, power, epsilon, update_freq = args
        if (int(steps) - 1) % update_freq != 0:
            same: Array = root.copy()
            return same
        if not np.isfinite(statistics).all():  # training diverges, and is told so by its loss
            return np.full_like(root, np.nan)
        values, vectors = np.linalg.eigh(statistics.astype(np.float64))
        scaled = vectors * (np.maximum(values, 0) + epsilon) ** -power
        result: Array = (scaled @ vectors.T).astype(root.dtype)
        return result


class Shampoo(Optimizer):
    """Shampoo (Gupta, Koren and Singer, 2018): the step that Adagrad would make with a full matrix, side by side.

    With L the sum of ``G G^T`` and R that of ``G^T G`` over the gradients G of a weight (m, n) so far, each plus
    `epsilon` on the diagonal, the step is ``lr * L^(-1/4) G R^(-1/4)``; for a vector it is ``lr * L^(-1/2) g``. What
    has more dimensions counts as a matrix of its first side. Then they are steps of SGD with `momentum`, and with
    `weight_decay` added after the roots.

    The roots take O(m^3 + n^3), and what is kept O(m^2 + n^2) of memory. They are renewed every `update_freq` steps;
    with more than 1, `epsilon` must not be small beside the squares of gradients, or the first roots make what the
    first gradients did not hold very large. Eigenvalues come from NumPy's LAPACK: bits depend on its build and its
    threads too. Raises ValueError for settings out of range.

    >>> w = F.tensor([[3.0, 0.0], [0.0, 4.0]], requires_grad=True)
    >>> optimizer = Shampoo([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(3)  # each side of the gradient has become one of length 1
    array([[2.5, 0. ],
           [0. , 3.5]], dtype=float32)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 0.1,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        epsilon: float = 1e-4,
        update_freq: int = 1,
    ) -> None:
        settings = {"momentum": momentum, "weight_decay": weight_decay, "epsilon": epsilon, "update_freq": update_freq}
        super().__init__(params, {"lr": lr, **settings})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        self._check_at_least_0(group, "momentum")
        self._check_at_least_0(group, "epsilon")
        if group["epsilon"] == 0:
            raise ValueError("[Shampoo] epsilon = 0 must be above 0: the first sums have no inverse")
        every = group["update_freq"]
        if isinstance(every, bool) or not hasattr(every, "__index__") or every < 1:
            raise ValueError(f"[Shampoo] update_freq = {every!r} must be an integer of at least 1")

    def _shape_of(self, key: str, param: Tensor) -> tuple[int, ...]:
        sides = {"left": _matrix(param).shape[0], "right": _matrix(param).shape[1]}
        side = sides.get(key.partition("_")[0])
        return () if key == "steps" else super()._shape_of(key, param) if side is None else (side, side)

    def _update(self, member: _Member) -> None:
        param, group, state = member.param, member.group, member.state
        sides = ("left", "right") if param.ndim > 1 else ("left",)
        names = ["steps", *(f"{side}_{kept}" for side in sides for kept in ("sum", "root"))]
        for name in names + ["momentum_buffer"] * (group["momentum"] != 0):
            if name not in state:
                state[name] = F.zeros(self._shape_of(name, param), dtype=param.dtype, device=param.device)
        run("add", state["steps"], constant(1, param.dtype, device_of(param)), out=state["steps"])
        gradient = _matrix(param.grad)
        step = gradient
        for side in sides:
            is_left, statistics, root = side == "left", state[f"{side}_sum"], state[f"{side}_root"]
            run("matmul", gradient, gradient, transpose_a=not is_left, transpose_b=is_left, beta=1.0, out=statistics)
            power = 1 / (2 * len(sides))
            renewed = _InverseRoot.apply(
                statistics, root, state["steps"], power, group["epsilon"], group["update_freq"]
            )
            run("cast", renewed, out=root)
            step = run("matmul", root, step) if is_left else run("matmul", step, root)
        operands = (param, step.reshape(param.shape), *([state["momentum_buffer"]] if group["momentum"] != 0 else []))
        run("sgd_update", *operands, lr=member.lr, momentum=group["momentum"], weight_decay=group["weight_decay"])


def _matrix(x: Any) -> Any:
    """`x` as a matrix of its first side; a vector is a column."""
    return x.reshape(x.shape[0] if x.ndim > 0 else 1, -1)
