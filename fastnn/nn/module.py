"""Module: layers and models as trees of parameters, with the names and rules of torch.nn.Module."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np

from fastnn import devices
from fastnn import functional as F
from fastnn.dispatch import constant, dtype_name, run
from fastnn.functional.random import check_interval, check_spread
from fastnn.random import Purpose, counters
from fastnn.tensor import Tensor

Initialisation = Callable[..., object]  # takes the Tensor to fill and, as `name`, the parameter's name or None


class Parameter(Tensor):
    """A Tensor that a Module trains: `data` with a gradient, its memory shared.

    >>> Parameter(F.tensor([1.0, 2.0]))
    tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ("_pending",)

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)


@dataclass(slots=True)
class _Pending:
    """What is known of a parameter before its shape is."""

    shape: tuple[int | None, ...]
    initialise: Initialisation
    name: str | None = None
    device: str = "cpu"


class UninitializedParameter(Parameter):
    """A parameter whose shape waits for the first forward pass.

    The latest initialisation asked for until then, ``weight.data.normal_(0, 0.01)`` or one of `fastnn.nn.init`, is
    remembered and done once the shape is known. Anything else raises AttributeError.
    """

    __slots__ = ()

    def __init__(self, shape: tuple[int | None, ...], initialise: Initialisation) -> None:
        self.requires_grad, self.grad, self._node = True, None, None
        self._pending = _Pending(shape, initialise)

    @property
    def expected_shape(self) -> tuple[int | None, ...]:
        """The shape to be, None where it is not known yet."""
        return self._pending.shape

    def materialize(self, shape: tuple[int, ...], dtype: np.dtype[Any], memory: Tensor | None = None) -> None:
        """Become a Parameter of `shape` and `dtype`, and do the remembered initialisation; in the memory of the Tensor
        `memory` where it is given.
        """
        values: Tensor = run("cast", constant(0, dtype), **({"shape": shape} if memory is None else {"out": memory}))
        self.initialise(values)  # where this fails, nothing has happened
        self.become(values)

    def become(self, values: Tensor) -> None:
        """Become a Parameter in the memory of `values`, whatever initialisation is remembered."""
        values = values.to(self._pending.device)
        self._array, self._storage = values._array, values._storage
        self.__class__ = Parameter  # type: ignore[assignment]  # who holds it, an optimizer say, goes on holding it

    def initialise(self, values: Tensor) -> None:
        """Do the remembered initialisation on `values`."""
        self._pending.initialise(values, name=self._pending.name)

    def initialise_later(self, initialise: Initialisation, name: str | None = None) -> Self:
        """Remember an initialisation, and the name of the parameter where it is given."""
        self._pending.initialise = initialise
        self._pending.name = name or self._pending.name
        return self

    @property
    def device(self) -> str:
        """The device to be on."""
        return self._pending.device

    def move_later(self, device: str) -> None:
        """Remember the device to be on."""
        self._pending.device = device

    def name_it(self, name: str) -> None:
        """Tell the name by which random numbers are drawn for it."""
        self._pending.name = name

    @property  # type: ignore[misc]
    def data(self) -> Self:  # type: ignore[override]
        """Itself: what is asked of the data is remembered."""
        return self

    def normal_(self, mean: Any = 0.0, std: Any = 1.0) -> Self:
        """Remember to fill with normally distributed random numbers."""
        check_spread("normal_", std)
        return self.initialise_later(partial(fill_random, kernel="normal", mean=float(mean), std=float(std)))

    def uniform_(self, low: Any = 0.0, high: Any = 1.0) -> Self:
        """Remember to fill with random numbers from [low, high)."""
        check_interval("uniform_", low=low, high=high)
        return self.initialise_later(partial(fill_random, kernel="uniform", low=float(low), high=float(high)))

    def fill_(self, value: Any) -> Self:
        """Remember to set all elements to `value`."""
        return self.initialise_later(partial(fill, value=float(value)))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"[{name.strip('_')}] this parameter of a lazy layer has no values yet: call the model on a batch first"
        )

    def __repr__(self) -> str:
        return f"UninitializedParameter({', '.join('?' if n is None else str(n) for n in self._pending.shape)})"

    def __reduce__(self) -> Any:
        return UninitializedParameter._restore, (self._pending,)

    @staticmethod
    def _restore(pending: _Pending) -> "UninitializedParameter":
        parameter = UninitializedParameter(pending.shape, pending.initialise)
        parameter._pending.name = pending.name
        return parameter


def fill_random(tensor: Tensor, kernel: str, name: str | None = None, **settings: float) -> None:
    """Fill `tensor` with random numbers; those of a `name` depend on the seed and that name alone."""
    drawn = counters(Purpose.INIT, name)
    run(kernel, shape=tensor.shape, dtype=dtype_name(tensor.dtype), out=tensor, **settings, **drawn)


def fill(tensor: Tensor, value: float, name: str | None = None) -> None:
    """Set all elements of `tensor` to `value`."""
    run("cast", constant(value, tensor.dtype, tensor.device), out=tensor)


class Module:
    """A layer or model: what it holds as attributes, it trains, saves and shows.

    Its parameters are the Parameters among its attributes, any other leaf Tensor there that requires a gradient, and
    those of the Modules among its attributes. Subclasses define `forward`.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.weight = F.ones(3, requires_grad=True)
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> [name for name, _ in Scale().named_parameters()]
    ['weight']
    """

    training = True

    def forward(self, *inputs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"[{type(self).__name__}] forward is missing")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Parameter) and isinstance(value, Tensor) and not isinstance(value, Parameter):
            raise TypeError(
                f"[{type(self).__name__}] {name} is a Parameter, and this Tensor would not be trained in its place: "
                f"assign a Parameter, or change {name}.data"
            )
        super().__setattr__(name, value)

    # ---- the tree -------------------------------------------------------------------------------------------------

    def add_module(self, name: str, module: "Module") -> None:
        """The same as ``setattr``, for names that are no identifiers."""
        setattr(self, name, module)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules directly inside, with their names."""
        return ((name, value) for name, value in list(vars(self).items()) if isinstance(value, Module))

    def children(self) -> Iterator["Module"]:
        """The modules directly inside."""
        return (module for _, module in self.named_children())

    def modules(self) -> Iterator["Module"]:
        """This module and all inside it, each once."""
        found: dict[int, Module] = {}
        _collect_modules(self, found)
        return iter(found.values())

    def _named_tensors(self) -> list[tuple[str, Tensor]]:
        """Parameters by name; one that is shared comes under each of its names."""
        found: list[tuple[str, Tensor]] = []
        _collect_tensors(self, "", found)
        return found

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters with their names, such as ``0.weight``; a shared one once, under its first name."""
        seen: set[int] = set()
        for name, value in self._named_tensors():
            if id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def parameters(self) -> Iterable[Tensor]:
        """Parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def apply(self, function: Callable[["Module"], object]) -> Self:
        """Call `function` on all modules inside, then on this one."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    # ---- state ----------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch to training (dropout drops), or with `mode` False to evaluation."""
        for module in self.modules():
            if module.training is not mode:
                module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for _, parameter in self.named_parameters():
            parameter.grad = None

    def to(self, target: Any) -> Self:
        """Convert the parameters, in place, to the dtype `target` (floating point); or move all Tensors among the
        attributes to the device `target`, "cpu" or "cuda".

        >>> Module().to("float64").to("cpu")
        Module()
        """
        if isinstance(target, str) and target.partition(":")[0] in ("cpu", "cuda"):
            self._move(devices.resolve("to", target))
            return self
        dtype = np.dtype(target)
        if dtype.kind != "f":
            raise TypeError(f"[to] target = {dtype} is no floating-point dtype: use float32 or float64")
        for _, parameter in self.named_parameters():
            if parameter.dtype != dtype:
                parameter.data = run("cast", parameter, dtype=dtype.name)
                parameter.grad = None
        return self

    def cpu(self) -> Self:
        """Move all Tensors to the CPU."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """Move all Tensors to the GPU."""
        return self.to("cuda")

    def _move(self, device: str) -> None:
        if not devices.is_used:
            return
        for module in self.modules():
            for value in vars(module).values():
                if isinstance(value, UninitializedParameter):
                    value.move_later(device)
                elif isinstance(value, Tensor) and value.is_leaf and value.device != device:
                    value.data = run("transfer", value, device=device)
                    value.grad = None if value.grad is None else value.grad.to(device)

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters by name, outside the tape and sharing memory; ValueError where a lazy layer has none yet."""
        state = {}
        for name, parameter in self._named_tensors():
            if isinstance(parameter, UninitializedParameter):
                raise ValueError(f"[state_dict] {name} has no values yet: call the model on a batch first")
            state[name] = parameter.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Take over parameters by name, from Tensors or arrays of the same shape and dtype.

        Lazy layers take their shape from them. Raises ValueError listing all names that are missing or unexpected
        (unless not `strict`) and all shapes and dtypes that differ; nothing is then changed.
        """
        own = dict(self._named_tensors())
        given = {name: value if isinstance(value, Tensor) else F.tensor(value) for name, value in state_dict.items()}
        problems = []
        if strict:
            problems += [f"{name} is missing" for name in own if name not in given]
            problems += [f"{name} is unexpected" for name in given if name not in own]
        for name, parameter in own.items():
            if name in given and (difference := _difference(parameter, given[name])):
                problems.append(f"{name} {difference}")
        if problems:
            raise ValueError(f"[load_state_dict] the state does not fit {type(self).__name__}: {'; '.join(problems)}")
        for name, parameter in own.items():
            if name not in given:
                continue
            if isinstance(parameter, UninitializedParameter):
                parameter.become(run("cast", given[name]))
            else:
                run("cast", given[name].to(parameter.device), out=parameter)
        for module in self.modules():
            module._settle()

    def _settle(self) -> None:
        """Parameters have come from elsewhere: what waited for their shapes need not wait any longer."""

    # ---- what it shows --------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """The arguments that would make this module again, as far as `repr` should show them."""
        return {}

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        lines = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in self.named_children()]
        inside = "".join(f"\n  {line}" for line in ([shown] if shown and lines else []) + lines)
        return f"{type(self).__name__}({inside or shown}{chr(10) if inside else ''})"


# Not generators, of which each level would hand on what those inside give: a small model is gone through many times.


def _collect_modules(module: Module, found: dict[int, Module]) -> None:
    """Add a module and all inside it, by identity."""
    found[id(module)] = module
    for value in list(vars(module).values()):
        if isinstance(value, Module) and id(value) not in found:
            _collect_modules(value, found)


def _collect_tensors(module: Module, prefix: str, found: list[tuple[str, Tensor]]) -> None:
    """Append what `_named_tensors` gives."""
    inside = []
    for name, value in list(vars(module).items()):
        if isinstance(value, Module):
            inside.append((f"{prefix}{name}.", value))
        elif isinstance(value, Tensor) and (isinstance(value, Parameter) or (value.requires_grad and value.is_leaf)):
            found.append((prefix + name, value))
    for its_prefix, child in inside:
        _collect_tensors(child, its_prefix, found)


def device_of(module: Module) -> str:
    """The device that the parameters of `module` are on, or will be."""
    return next((parameter.device for parameter in module.parameters()), "cpu")


def _difference(parameter: Tensor, given: Tensor) -> str | None:
    """Why `given` cannot become `parameter`, or None."""
    if isinstance(parameter, UninitializedParameter):
        expected = parameter.expected_shape
        if len(expected) != given.ndim or any(n not in (None, m) for n, m in zip(expected, given.shape, strict=True)):
            return f"is {given.shape}, not {expected}".replace("None", "?")
        return None if given.dtype.kind == "f" else f"is {given.dtype}, not floating point"
    if parameter.shape != given.shape:
        return f"is {given.shape}, not {parameter.shape}"
    return None if parameter.dtype == given.dtype else f"is {given.dtype}, not {parameter.dtype}"
