"""What optimizers share, and those that follow the gradient: SGD, Adam, AdamW."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from fastnn import functional as F
from fastnn import reprs
from fastnn.dispatch import Slot, before_step, constant, device_of, run, varies
from fastnn.schedules import Schedule
from fastnn.tensor import Tensor

Params = Tensor | Iterable[Tensor] | Iterable[dict[str, Any]]


class _Member:
    """A parameter, the group it belongs to, and what the optimizer remembers about it."""

    def __init__(self, param: Tensor, group: dict[str, Any], lr: Slot) -> None:
        self.param, self.group, self.lr = param, group, lr
        self.takes_part = False  # in the latest step: it had a gradient
        self.corrections = (Slot(1.0), Slot(1.0))
        self.state: dict[str, Any] = {}


class Optimizer:
    """What all optimizers share: groups of parameters, their learning rates, and a state per parameter.

    `param_groups` is a list of dicts, each with "params" and settings of its own; changed settings hold from the next
    step on. `num_updates` counts the steps made.
    """

    _advances = frozenset(("_num_updates",))  # what the run itself changes from step to step (`record.watch`)
    takes_closure: ClassVar[bool] = False
    """Whether `step` takes a function that computes the loss and its gradients, and calls it as often as it likes."""

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        entries: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        if not entries:
            raise ValueError(f"[{name}] params is empty: nothing to optimize")
        self._num_updates = 0
        self.param_groups: list[dict[str, Any]] = []
        self._members: list[_Member] = []
        self._rates: list[tuple[dict[str, Any], Slot]] = []
        for entry in entries if isinstance(entries[0], dict) else [{"params": entries}]:
            if not isinstance(entry, dict) or "params" not in entry:
                raise TypeError(f"[{name}] params must be Tensors or dicts with 'params', not {type(entry).__name__}")
            members = [entry["params"]] if isinstance(entry["params"], Tensor) else list(entry["params"])
            group = {**defaults, **entry, "params": members}
            if unknown := set(entry) - set(defaults) - {"params"}:
                raise ValueError(f"[{name}] setting {min(unknown)!r} is unknown: use {', '.join(defaults)}")
            self._check(group)
            for param in members:
                if not isinstance(param, Tensor):
                    raise TypeError(f"[{name}] params must be Tensors, not {type(param).__name__}")
                if not param.is_leaf:
                    raise ValueError(f"[{name}] params has a computed Tensor: only leaves keep a gradient")
                self._check_memory(param)
            self.param_groups.append(group)
            slot = Slot(0.0)
            self._rates.append((group, slot))
            self._members += [_Member(param, group, slot) for param in members]
        if len({id(member.param) for member in self._members}) < len(self._members):
            raise ValueError(f"[{name}] params names a parameter twice")

    def _check(self, group: dict[str, Any]) -> None:
        """Refuse settings that no step could use."""
        if not callable(group["lr"]):
            self._check_at_least_0(group, "lr")
        self._check_at_least_0(group, "weight_decay")

    def _check_at_least_0(self, group: dict[str, Any], setting: str) -> None:
        value = group[setting]
        if not (hasattr(value, "__float__") and math.isfinite(value) and float(value) >= 0):
            raise ValueError(f"[{type(self).__name__}] {setting} = {value!r} must be a finite number of at least 0")

    def _check_memory(self, param: Tensor) -> None:
        """Refuse what no update could write to: found in a step, it would be found after others were updated."""
        array, name = getattr(param, "_array", None), type(self).__name__
        if array is None:  # a lazy layer's, to come
            return
        if array.dtype.kind != "f":
            raise TypeError(f"[{name}] params has a Tensor of {array.dtype}: floating point is needed")
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise ValueError(
                f"[{name}] params has a Tensor of shape {array.shape} that is not contiguous or read-only: use clone()"
            )

    @property
    def num_updates(self) -> int:
        """Updates made."""
        varies("num_updates")
        return self._num_updates

    @property
    def lr(self) -> float:
        """Learning rate of the first group in the latest update; before that, in the first."""
        lr = self.param_groups[0]["lr"]
        return float(lr(max(0, self.num_updates - 1)) if callable(lr) else lr)

    def __repr__(self) -> str:
        groups = []
        for group in self.param_groups:
            settings = [f"{k}={reprs.short(v) or type(v).__name__}" for k, v in group.items() if k != "params"]
            count = len(group["params"])
            groups.append(", ".join([f"{count} parameter{'' if count == 1 else 's'}", *settings]))
        lines = groups if len(groups) == 1 else [*(f"\n  ({i}): {group}" for i, group in enumerate(groups)), "\n"]
        return f"{type(self).__name__}({''.join(lines)})"

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for member in self._members:
            member.param.grad = None

    def advance(self, steps: int) -> dict[Slot, Sequence[float]]:
        """Count updates, and set what varies from one to the next where the kernels read it.

        Returns the values that Slots have in each of `steps` updates, of those that vary. Raises ValueError for a
        learning rate that is not finite.
        """
        varying: dict[Slot, Sequence[float]] = {}
        for group, slot in self._rates:
            lr = group["lr"]
            if callable(lr):
                rates = [float(lr(t)) for t in range(self._num_updates, self._num_updates + steps)]
                varying[slot] = rates
                slot.value = rates[-1]
            else:
                slot.value = lr
            if not (math.isfinite(slot.value) and slot.value >= 0):
                raise ValueError(f"[{type(self).__name__}] lr = {slot.value} must be finite and at least 0")
        self._num_updates += steps
        return varying

    def restart(self, like: "Optimizer") -> None:
        """Be as `like`, a new optimizer of the same class for parameters of the same shapes, in the memory it has."""
        self._num_updates = 0
        for group, given in zip(self.param_groups, like.param_groups, strict=True):
            group.update((name, value) for name, value in given.items() if name != "params")
        for member in self._members:
            member.state.pop("step", None)
            for value in member.state.values():
                run("cast", constant(0, value.dtype, device_of(value)), out=value)

    def step(self) -> None:
        """Change every parameter that has a gradient, in place."""
        for member in self._members:
            member.takes_part = member.param.grad is not None
        before_step(self.advance)
        for member in self._members:
            if member.takes_part:
                self._update(member)

    def _update(self, member: _Member) -> None:
        raise NotImplementedError

    def _shape_of(self, key: str, param: Tensor) -> tuple[int, ...]:
        """The shape of what is kept of `param` as `key`."""
        return param.shape

    def state_dict(self) -> dict[str, Any]:
        """Settings and state: "num_updates", "param_groups" (without schedules) and "state" by parameter number."""
        numbers = iter(range(len(self._members)))
        groups = [
            {k: [next(numbers) for _ in v] if k == "params" else v for k, v in group.items() if not callable(v)}
            for group in self.param_groups
        ]
        state = {i: dict(member.state) for i, member in enumerate(self._members) if member.state}
        return {"num_updates": self.num_updates, "param_groups": groups, "state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError, with nothing changed, where it is of other parameters."""
        name, groups = type(self).__name__, state_dict["param_groups"]
        ours, theirs = ([len(group["params"]) for group in g] for g in (self.param_groups, groups))
        if ours != theirs:
            raise ValueError(f"[{name}] state has groups of {theirs} parameters, this optimizer of {ours}")
        updates = state_dict["num_updates"]
        if not isinstance(updates, int) or updates < 0:
            raise ValueError(f"[{name}] num_updates = {updates!r:.50} must be an integer of at least 0")
        states: list[dict[str, Any]] = [{} for _ in self._members]
        for i, values in state_dict["state"].items():
            param = self._members[int(i)].param
            for key, value in values.items():
                shape = self._shape_of(key, param)
                if isinstance(value, Tensor) and (value.shape, value.dtype) != (shape, param.dtype):
                    raise ValueError(
                        f"[{name}] {key} of parameter {i} is {value.dtype} {tuple(value.shape)}, "
                        f"not {param.dtype} {tuple(shape)}"
                    )
                states[int(i)][key] = F.tensor(value, device=param.device) if isinstance(value, Tensor) else value
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update({k: v for k, v in saved.items() if k in group and k != "params" and not callable(group[k])})
        for member, state in zip(self._members, states, strict=True):
            member.state = state
        self._num_updates = updates


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's momentum and weight decay (torch.optim.SGD).

    `params` is a Tensor, an iterable of them, or of dicts that hold such "params" beside settings of their own. Raises
    ValueError for settings out of range, and for `nesterov` without momentum or with dampening.

    >>> w = F.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.25)
    >>> optimizer
    SGD(1 parameter, lr=0.25, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float | Schedule,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        settings = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {"lr": lr, **settings})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        self._check_at_least_0(group, "momentum")
        if not math.isfinite(group["dampening"]):
            raise ValueError(f"[SGD] dampening = {group['dampening']} must be finite")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"[SGD] nesterov needs momentum above 0 and dampening 0, "
                f"not {group['momentum']} and {group['dampening']}"
            )

    def _update(self, member: _Member) -> None:
        group, state = member.group, member.state
        operands: tuple[Any, ...] = (member.param, member.param.grad)
        dampening = group["dampening"]
        if group["momentum"] != 0:
            if "momentum_buffer" not in state:  # the first gradient enters whole, as in PyTorch
                state["momentum_buffer"] = F.zeros_like(member.param)
                dampening = 0.0
            operands += (state["momentum_buffer"],)
        run(
            "sgd_update",
            *operands,
            lr=member.lr,
            momentum=group["momentum"],
            dampening=dampening,
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
        )


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015; torch.optim.Adam): steps scaled by running moments of the gradient.

    `betas` are the decay rates of the first and the second moment. Raises ValueError for settings out of range.

    >>> w = F.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    _decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        self._check_at_least_0(group, "eps")
        if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"[{type(self).__name__}] betas = {group['betas']} must be two of at least 0 and below 1")

    def advance(self, steps: int) -> dict[Slot, Sequence[float]]:
        varying = super().advance(steps)
        for member in self._members:
            if not member.takes_part:  # its moments do not age
                continue
            done = member.state.get("step", 0)
            member.state["step"] = done + steps
            for slot, beta in zip(member.corrections, member.group["betas"], strict=True):
                varying[slot] = values = [1 - beta**step for step in range(done + 1, done + steps + 1)]
                slot.value = values[-1]
        return varying

    def _update(self, member: _Member) -> None:
        group, state = member.group, member.state
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment not in state:
                state[moment] = F.zeros_like(member.param)
        run(
            "adam_update",
            member.param,
            member.param.grad,
            state["exp_avg"],
            state["exp_avg_sq"],
            lr=member.lr,
            correction1=member.corrections[0],
            correction2=member.corrections[1],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=self._decoupled,
        )


class AdamW(Adam):
    """Adam whose weight decay stays apart from the gradient (Loshchilov and Hutter, 2019; torch.optim.AdamW).

    >>> optimizer = AdamW([F.tensor([1.0], requires_grad=True)])
    >>> optimizer.param_groups[0]["weight_decay"]
    0.01
    """

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
