"""L-BFGS: Newton's method with the curvature that the latest steps have met; for whole data sets, not for batches."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

from fastnn import functional as F
from fastnn.autograd import enable_grad, no_grad
from fastnn.dispatch import before_step, run
from fastnn.schedules import Schedule
from fastnn.tensor import Tensor

from .first_order import Optimizer, Params
from .line_search import Point, strong_wolfe

_LEAST_CURVATURE = 1e-10  # of a pair of step and change that is kept


class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal, 1989; torch.optim.LBFGS): quasi-Newton steps from the latest `history_size` gradients.

    `step` takes a closure that forgets the gradients, computes the loss and its gradients, and returns the loss; it
    calls the closure once per iteration or more, so that the loss must be the same function each time: of all the
    data. `max_iter` limits the iterations of a step, `max_eval` the calls (None: 5/4 of `max_iter`). A step ends early
    where no element of the gradient exceeds `tolerance_grad`, or where parameters or loss change by less than
    `tolerance_change`. `line_search_fn` "strong_wolfe" finds how far to go; with None it is `lr` times the direction,
    the first time shorter, which needs a loss that is well scaled.

    Of the latest step, `losses` holds the loss before it and after each iteration, and `has_converged` says whether a
    tolerance ended it. Raises ValueError for settings out
    of range and for several groups of parameters.

    >>> w = F.tensor([3.0, -1.0], requires_grad=True)
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 4).sum() + (w * w).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    42.0
    >>> [round(value, 3) for value in w.tolist()]  # where 4 (w - 1)^3 + 2 w = 0
    [0.41, 0.41]
    """

    takes_closure: ClassVar[bool] = True

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        settings = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, settings)
        if len(self.param_groups) > 1:
            raise ValueError(
                f"[LBFGS] params has {len(self.param_groups)} groups: all parameters make one step, give one list"
            )
        self.losses: list[float] = []
        self.has_converged = False
        self._memory = _Memory()

    def _check(self, group: dict[str, Any]) -> None:
        for setting in ("lr", "tolerance_grad", "tolerance_change"):
            if not callable(group[setting]):
                self._check_at_least_0(group, setting)
        for setting in ("max_iter", "max_eval", "history_size"):
            value = group[setting]
            if setting == "max_eval" and value is None:
                continue
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                raise ValueError(f"[LBFGS] {setting} = {value!r} must be an integer of at least 1")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"[LBFGS] line_search_fn = {group['line_search_fn']!r} must be None or 'strong_wolfe'")

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:  # type: ignore[override]
        """Make up to `max_iter` iterations; returns the loss before the first.

        The gradients are in the end those of the latest call of `closure`, which need not be at the weights that the
        step ends with. Raises TypeError without a closure, and FloatingPointError when an iteration leads to a loss
        that is no finite number.
        """
        if closure is None:
            raise TypeError(
                "[LBFGS] step() needs a closure: a function that calls zero_grad() and backward(), and returns the loss"
            )
        before_step(self.advance)
        loss: Tensor = enable_grad()(closure)()
        self._iterate(closure, loss.item(), self._gradient(), lr=self._rates[0][1].value)
        return loss

    @no_grad()
    def _iterate(self, closure: Callable[[], Tensor], loss: float, gradient: Tensor, lr: float) -> None:
        group, memory, evaluations = self.param_groups[0], self._memory, 1
        most = group["max_iter"] * 5 // 4 if group["max_eval"] is None else group["max_eval"]
        self.losses = [loss]
        self.has_converged = _largest(gradient) <= group["tolerance_grad"]
        if self.has_converged or not math.isfinite(loss):
            return
        for iteration in range(1, group["max_iter"] + 1):
            direction = memory.direction(gradient, group["history_size"])
            start = Point(0.0, loss, F.dot(gradient, direction).item(), gradient)
            self.has_converged = start.slope > -group["tolerance_change"]
            if self.has_converged:
                return
            # The first direction is the gradient, which says nothing of how far to go.
            step = lr if memory.pairs else lr * min(1.0, 1 / F.abs(gradient).sum().item())
            point, trials = self._go(closure, start, direction, step)
            memory.note(direction, point.step, gradient)
            loss, gradient, evaluations = point.loss, point.gradient, evaluations + trials
            self.losses.append(loss)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"[LBFGS] loss is {loss} after iteration {iteration}: use line_search_fn='strong_wolfe', or a "
                    f"smaller lr than {lr:g}"
                )
            change = min(_largest(direction) * point.step, abs(loss - start.loss))
            self.has_converged = change <= group["tolerance_change"] or _largest(gradient) <= group["tolerance_grad"]
            if self.has_converged or evaluations >= most:
                return

    def _go(self, closure: Callable[[], Tensor], start: Point, direction: Tensor, step: float) -> tuple[Point, int]:
        """Go along `direction`, `step` times its length or where the line search ends; returns the number of trials."""
        origin = [F.clone(member.param) for member in self._members]

        def move(step: float) -> None:
            first = 0
            for member, before in zip(self._members, origin, strict=True):
                part = direction[first : first + before.numel()].reshape(before.shape)
                run("add", before, part * step, out=member.param)
                first += before.numel()

        def evaluate(step: float) -> Point:
            move(step)
            with enable_grad():
                loss = closure()
            gradient = self._gradient()
            return Point(step, loss.item(), F.dot(gradient, direction).item(), gradient)

        group = self.param_groups[0]
        if group["line_search_fn"] is None:
            return evaluate(step), 1
        point, trials = strong_wolfe(evaluate, start, step, group["tolerance_change"] / _largest(direction))
        move(point.step)
        return point, trials

    def _gradient(self) -> Tensor:
        """The gradients of all parameters in one vector; of those that have none, 0."""
        parts = [F.zeros_like(m.param) if m.param.grad is None else m.param.grad for m in self._members]
        return F.cat([part.detach().reshape(-1) for part in parts])

    def restart(self, like: Optimizer) -> None:
        super().restart(like)
        self._memory, self.losses = _Memory(), []

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "state": {0: self._memory.state_dict()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        memory = _Memory()
        memory.load_state_dict(state_dict["state"][0], sum(member.param.numel() for member in self._members))
        super().load_state_dict({**state_dict, "state": {}})
        self._memory = memory


class _Memory:
    """What L-BFGS knows of the curvature: `pairs` of changes of parameters and gradient, the latest last."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor, float]] = []  # with 1 / their product
        self._scale = 1.0  # of the inverse Hessian before these pairs
        self._noted: tuple[Tensor, Tensor] | None = None  # the latest change of parameters, the gradient before it

    def note(self, direction: Tensor, step: float, gradient: Tensor) -> None:
        """The parameters have changed by `step` times `direction`, and `gradient` was theirs before."""
        self._noted = direction * step, gradient

    def direction(self, gradient: Tensor, history_size: int) -> Tensor:
        """Minus the gradient times the inverse Hessian of the latest pairs (Nocedal and Wright, algorithm 7.4)."""
        if self._noted is not None:
            change, before = self._noted
            self._add(change, gradient - before)
            self._noted = None
        del self.pairs[:-history_size]
        q, shares = -gradient, []
        for change, bend, inverse in reversed(self.pairs):
            shares.append(F.dot(change, q).item() * inverse)
            q = q - bend * shares[-1]
        q = q * self._scale
        for change, bend, inverse in self.pairs:
            q = q + change * (shares.pop() - F.dot(bend, q).item() * inverse)
        return q

    def _add(self, change: Tensor, bend: Tensor) -> None:
        product = F.dot(bend, change).item()
        if product > _LEAST_CURVATURE:
            self.pairs.append((change, bend, 1 / product))
            self._scale = product / F.dot(bend, bend).item()

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers: of the pairs one Tensor each, a row for a pair."""
        state: dict[str, Any] = {}
        if self.pairs:
            changes, bends, _ = zip(*self.pairs, strict=True)
            state |= {"changes": F.stack(changes), "bends": F.stack(bends)}
        if self._noted is not None:
            state |= {"change": F.clone(self._noted[0]), "gradient": F.clone(self._noted[1])}
        return state

    def load_state_dict(self, state: dict[str, Any], size: int) -> None:
        """Take over what `state_dict` gave; ValueError where it is of other parameters than `size` numbers."""
        for name, value in state.items():
            if value.shape[-1:] != (size,):
                raise ValueError(f"[LBFGS] {name} has shape {tuple(value.shape)}, the parameters are {size} numbers")
        if "changes" in state:
            for change, bend in zip(state["changes"], state["bends"], strict=True):
                self._add(F.clone(change), F.clone(bend))
        if "change" in state:
            self._noted = F.clone(state["change"]), F.clone(state["gradient"])


def _largest(x: Tensor) -> float:
    """The largest magnitude in `x`."""
    return float(F.abs(x).amax().item())
