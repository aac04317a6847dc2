"""Devices: the CPU, and a GPU where there is one that can be used.

"cuda" is looked for when it is first asked for. Its memory is shared with the CPU: an array there is an ordinary NumPy
array, which Python may look at once the device has done what it was asked for (`fastnn.dispatch.escape`).
"""

import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from fastnn import _core

is_used = False
"""Whether arrays may lie elsewhere than on the CPU."""

PRECISIONS = ("float32", "tf32", "bf16")
"""Of the factors of float32 products on a GPU."""
_LIBRARIES = (("libcublasLt.so.13", "cu13/lib"), ("libcublasLt.so.12", "cublas/lib"))
"""cuBLASLt's files, and where NVIDIA's packages nvidia-cublas and nvidia-cublas-cu12 have them."""


def resolve(operation: str, device: Any) -> str:
    """The name of `device`, "cpu" (None) or "cuda", once it can be used.

    Raises ValueError for other names, and DeviceError where there is no CUDA.

    >>> resolve("tensor", "cpu")
    'cpu'
    """
    global is_used
    if device is None:
        return "cpu"
    name = str(device)
    if name not in ("cpu", "cuda", "cuda:0"):
        raise ValueError(f"[{operation}] device = {name!r} must be 'cpu' or 'cuda'")
    if name == "cpu":
        return name
    if (why := why_not()) is not None:
        raise _core.DeviceError(f"[{operation}] device = {name!r} cannot be used: CUDA is {why}; use 'cpu'")
    is_used = True
    return "cuda"


def why_not() -> str | None:
    """Why there is no CUDA here; None where there is."""
    return None if _core.device_name() else _load()


def require_precision(operation: str, precision: Any) -> str:
    """`precision`, one of `PRECISIONS`, once a GPU can make products in it.

    Raises ValueError for other names, and DeviceError where there is no CUDA or no cuBLASLt.

    >>> require_precision("Trainer", "float32")
    'float32'
    """
    if precision not in PRECISIONS:
        raise ValueError(f"[{operation}] precision = {precision!r} must be 'float32', 'tf32' or 'bf16'")
    if precision != "float32":
        if (why := why_not()) is not None:
            raise _core.DeviceError(f"[{operation}] precision = {precision!r} is for a GPU, but CUDA is {why}")
        if not (library := _load_library())[0]:
            raise _core.DeviceError(f"[{operation}] precision = {precision!r} needs cuBLASLt, which is {library[1]}")
    return str(precision)


def status() -> str:
    """What `show_config` says of CUDA."""
    if (why := why_not()) is not None:
        return why
    name, why = _load_library()
    return f"{_core.device_description()}; " + (f"tf32 and bf16 by {name}" if name else f"cuBLASLt is {why}")


@functools.cache
def _load() -> str | None:
    try:
        _core.register_device(importlib.import_module("fastnn._cuda").backend())
    except ModuleNotFoundError:
        return "not built: this installation has no CUDA kernels"
    except (ImportError, RuntimeError) as error:
        return f"not available: {error}"
    return None


@functools.cache
def _load_library() -> tuple[str, str]:
    """The name and version of cuBLASLt once it is loaded; without it nothing, and why."""
    package = importlib.util.find_spec("nvidia")
    folders = list(package.submodule_search_locations or ()) if package else []
    reasons = []
    for name, place in _LIBRARIES:
        for file in (name, *(str(Path(folder, place, name)) for folder in folders)):
            try:
                return _core.load_library(file), ""
            except _core.DeviceError as error:
                reasons.append(str(error))
    return "", f"not available: install nvidia-cublas ({'; '.join(reasons)})"
