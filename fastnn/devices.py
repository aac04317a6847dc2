"""Devices: the CPU, and a GPU where there is one that can be used.

"cuda" is looked for when it is first asked for. Its memory is shared with the CPU: an array there is an ordinary NumPy
array, which Python may look at once the device has done what it was asked for (`fastnn.dispatch.escape`).
"""

import functools
import importlib
from typing import Any

from fastnn import _core

is_used = False
"""Whether arrays may lie elsewhere than on the CPU."""


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


def status() -> str:
    """What `show_config` says of CUDA."""
    return why_not() or str(_core.device_description())


@functools.cache
def _load() -> str | None:
    try:
        _core.register_device(importlib.import_module("fastnn._cuda").backend())
    except ModuleNotFoundError:
        return "not built: this installation has no CUDA kernels"
    except (ImportError, RuntimeError) as error:
        return f"not available: {error}"
    return None
