"""Every native entry point of `fastnn._core`, found by looking at the module, with valid calls of each."""

import ast
import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args

import numpy as np
from kernels.cases import CASES

from fastnn import _core, kernels, reference

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A function that takes `kinds` by keyword; `calls` make valid arguments, by a name for each kind of call."""

    name: str
    function: Callable[..., Any]
    kinds: dict[str, tuple[Any, ...]]
    required: tuple[str, ...]
    written: dict[str, tuple[str, ...]]
    calls: dict[str, Callable[[], Arguments]]

    @property
    def operation(self) -> str:
        """As messages name it."""
        return self.name.removesuffix("_with_grad")


def native_parameters() -> dict[str, list[str]]:
    """The parameters of every function and method of the module, from the first lines of pybind11's docstrings."""
    found = {}
    for name, thing in vars(_core).items():
        if inspect.isclass(thing):
            methods = {
                f"{name}.{m}": f for m, f in vars(thing).items() if callable(f) and not m.startswith("_pybind11")
            }
            found |= {method: _parameters(f.__doc__) for method, f in methods.items()}
        elif callable(thing):
            found[name] = _parameters(thing.__doc__)
    return found


def _parameters(documentation: str) -> list[str]:
    (function,) = ast.parse(f"def {documentation.splitlines()[0]}: ...").body
    assert isinstance(function, ast.FunctionDef)
    return [parameter.arg for parameter in (*function.args.args, *function.args.kwonlyargs)]


# ---- kernels ----------------------------------------------------------------------------------------------------


def _kinds(parameter: inspect.Parameter) -> tuple[Any, ...]:
    """What a parameter takes. Natively dtypes are whatever NumPy takes for one, and a step is any whole number."""
    if parameter.name == "dtype":
        return (np.dtype, *([type(None)] if parameter.default is None else []))
    if parameter.name == "step":
        return (float,)
    return get_args(parameter.annotation) if isinstance(parameter.annotation, UnionType) else (parameter.annotation,)


def _kernel(name: str) -> Entry:
    """A kernel, by way of `fastnn.kernels`, which puts what pybind11 says of a signature into the house's words."""
    parameters = inspect.signature(getattr(reference, name)).parameters
    cases = {str(case): case for case in CASES if case.kernel == name}
    return Entry(
        name,
        getattr(kernels, name),
        {parameter.name: _kinds(parameter) for parameter in parameters.values()},
        tuple(p.name for p in parameters.values() if p.default is inspect.Parameter.empty),
        {label: case.written for label, case in cases.items()},
        {label: lambda case=case: _arguments(case) for label, case in cases.items()},
    )


def _arguments(case: Any) -> Arguments:
    """The first call whose arrays have elements, and not many."""
    call = next(call for call in map(case.seeded, range(999)) if all(0 < x.size < 400 for x in call.arrays.values()))
    return call.arrays | call.scalars


# ---- what stands beside them -----------------------------------------------------------------------------------


def _service(
    name: str, native: Callable[..., Any], arguments: Callable[[], Arguments], /, *written: str, **kinds: Any
) -> Entry:
    every = {key: kind if isinstance(kind, tuple) else (kind,) for key, kind in kinds.items()}
    required = tuple(key for key, kind in every.items() if type(None) not in kind)
    return Entry(name, native, every, required, {name: written}, {name: arguments})


def batches() -> _core.Program:
    """A program that gathers a batch, and gives its sum."""
    data, rows, total = np.arange(12.0), np.zeros(3, np.int64), np.zeros(())
    program = _core.Program([total])
    program.record(lambda: _core.sum(_core.gather(data, rows), out=total))
    return program


def _register(*positional: object, **arguments: object) -> None:
    """Registers no device, whatever is given: a capsule of another name stands for the right one."""
    if positional or [*arguments] != ["capsule"] or arguments["capsule"] is not _core.kernel_table:
        _core.register_device(*positional, **arguments)


def _without_device(native: Callable[..., Any]) -> Callable[..., None]:
    """`native`, which finds after it has looked at its arguments that there is no device."""

    def call(*positional: Any, **arguments: Any) -> None:
        with suppress(_core.DeviceError):
            native(*positional, **arguments)

    return call


def _whatever(native: Callable[..., Any]) -> Callable[..., bool]:
    """`native`, whose result depends on the machine, or on strides."""

    def call(*positional: Any, **arguments: Any) -> bool:
        native(*positional, **arguments)
        return True

    return call


def _set_value(slot: _core.Slot, value: float) -> float:
    slot.value = value
    return slot.value


def _steps() -> Arguments:
    rows, values = np.array([0, 1, 2, 3, 4, 5]), np.array([[0.1], [0.2]])
    return {"count": 2, "rows": rows, "rows_to": np.zeros(3, np.int64), "slots": [_core.Slot(1.0)], "values": values}


_OPTIONAL_ARRAY = (np.ndarray, type(None))
_SERVICES = [
    _service("config", _core.config, dict),
    _service("num_threads", _core.num_threads, dict),
    _service("set_num_threads", _core.set_num_threads, lambda: {"num_threads": 2}, num_threads=int),
    _service(
        "empty",
        lambda **arguments: _core.empty(**arguments).shape,
        lambda: {"shape": (2, 3), "dtype": "int64", "device": "cpu"},
        shape=tuple[int, ...],
        dtype=np.dtype,
        device=str,
    ),
    _service("device_name", _whatever(_core.device_name), dict),
    _service("device_description", _whatever(_core.device_description), dict),
    _service("device_of", _core.device_of, lambda: {"x": np.zeros(3)}, x=Any),  # no element is read
    _service("synchronize", _core.synchronize, dict),
    _service("prefetch", _core.prefetch, lambda: {"x": np.zeros(3)}, x=np.ndarray),
    _service("register_device", _register, lambda: {"capsule": _core.kernel_table}, capsule=object),
    _service("load_library", _without_device(_core.load_library), lambda: {"file": "libcublasLt.so.13"}, file=str),
    _service("device_place", _without_device(_core.device_place), dict),
    _service("order", _without_device(_core.order), lambda: {"first": 1, "then": 2}, first=int, then=int),
    _service(
        "lend",
        _without_device(_core.lend),
        lambda: {"x": np.zeros(3), "managed": False, "versioned": True, "copied": False},
        x=np.ndarray,
        managed=bool,
        versioned=bool,
        copied=bool,
    ),
    _service(
        "from_dlpack",
        _without_device(_core.from_dlpack),
        lambda: {"capsule": np.zeros(3).__dlpack__()},
        capsule=object,
    ),
    _service("copy_of_foreign", _without_device(_core.copy_of_foreign), lambda: {"x": np.zeros(3)}, x=np.ndarray),
    _service(
        "transfer",
        _core.transfer,
        lambda: {"x": np.arange(6.0).reshape(2, 3), "device": "cpu"},
        x=np.ndarray,
        device=str,
        out=(np.ndarray, type(None)),
    ),
    _service(
        "explain_product",
        _whatever(kernels.explain_product),
        lambda: {"a": np.zeros((2, 3)), "b": np.zeros((4, 3)), "transpose_b": True},
        a=np.ndarray,
        b=np.ndarray,
        transpose_a=(bool, type(None)),
        transpose_b=(bool, type(None)),
        linear=(bool, type(None)),
    ),
    _service("Slot.__init__", lambda value: _core.Slot(value).value, lambda: {"value": 0.5}, value=float),
    _service("Slot.value", lambda value: _set_value(_core.Slot(0.0), value), lambda: {"value": 0.5}, value=float),
    _service("Slot.__float__", lambda: float(_core.Slot(0.5)), dict),
    _service("Slot.__repr__", lambda: repr(_core.Slot(0.5)), dict),
    _service(
        "Program.__init__",
        lambda outputs: len(_core.Program(outputs)),
        lambda: {"outputs": [np.zeros(1)]},
        outputs=list,
    ),
    _service("Program.__len__", lambda: len(batches()), dict),
    _service(
        "Program.record",
        lambda function: _core.Program([]).record(function),
        lambda: {"function": lambda: _core.exp(np.zeros(2))},
        function=Callable,
    ),
    _service(
        "Program.call",
        lambda function: _core.Program([]).call(function),
        lambda: {"function": lambda: None},
        function=Callable,
    ),
    _service(
        "Program.run",
        lambda **arguments: batches().run(**arguments),
        _steps,
        "rows_to",
        count=int,
        rows=_OPTIONAL_ARRAY,
        rows_to=_OPTIONAL_ARRAY,
        slots=list,
        values=_OPTIONAL_ARRAY,
    ),
]

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in [*map(_kernel, kernels.__all__), *_SERVICES]}
