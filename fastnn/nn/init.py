"""Initial values of parameters, with the names and formulas of torch.nn.init.

Each function fills a Tensor in place and returns it. On a parameter of a lazy layer it is remembered until the shape is
known. Random numbers come from `fastnn.manual_seed`; with `name`, from the seed and that name alone.
"""

import math
from functools import partial

from fastnn.functional.random import check_interval, check_spread
from fastnn.tensor import Tensor

from .module import Initialisation, UninitializedParameter, fill, fill_random

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0)}


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, name: str | None = None) -> Tensor:
    """Normally distributed numbers; ValueError where `std` is below 0 or no number.

    >>> import fastnn as fn
    >>> normal_(fn.zeros(2, 3), std=0.01).shape
    (2, 3)
    """
    check_spread("normal_", std)
    return _do(tensor, partial(fill_random, kernel="normal", mean=float(mean), std=float(std)), name)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, *, name: str | None = None) -> Tensor:
    """Numbers from [a, b)."""
    check_interval("uniform_", a=a, b=b)
    return _do(tensor, partial(fill_random, kernel="uniform", low=float(a), high=float(b)), name)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All elements `val`.

    >>> import fastnn as fn
    >>> constant_(fn.zeros(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    return _do(tensor, partial(fill, value=float(val)), None)


def zeros_(tensor: Tensor) -> Tensor:
    """All elements 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """All elements 1."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, *, name: str | None = None) -> Tensor:
    """Uniform numbers of variance ``2 gain**2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010).

    >>> import fastnn as fn
    >>> abs(xavier_uniform_(fn.zeros(4, 2))).max().item() <= 1.0
    True
    """
    return _do(tensor, partial(_scaled, kernel="uniform", fan="sum", gain=gain), name)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, *, name: str | None = None) -> Tensor:
    """Normal numbers of variance ``2 gain**2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""
    return _do(tensor, partial(_scaled, kernel="normal", fan="sum", gain=gain), name)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    name: str | None = None,
) -> Tensor:
    """Uniform numbers of variance ``gain**2 / fan`` (He et al., 2015); `a` is the slope of a leaky ReLU below 0.

    `mode` is "fan_in" or "fan_out". `nonlinearity` is "leaky_relu", "relu", "tanh", "sigmoid" or "linear".
    """
    return _do(tensor, partial(_scaled, kernel="uniform", fan=_mode(mode), gain=calculate_gain(nonlinearity, a)), name)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    name: str | None = None,
) -> Tensor:
    """Normal numbers of variance ``gain**2 / fan`` (He et al., 2015); the arguments of `kaiming_uniform_`."""
    return _do(tensor, partial(_scaled, kernel="normal", fan=_mode(mode), gain=calculate_gain(nonlinearity, a)), name)


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """Factor that keeps the variance through `nonlinearity`; `param` is the slope of "leaky_relu" below 0.

    >>> round(calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + param**2))
    if nonlinearity not in _GAINS:
        known = ", ".join(["leaky_relu", *_GAINS])
        raise ValueError(f"[calculate_gain] nonlinearity = {nonlinearity!r} is unknown: use {known}")
    return _GAINS[nonlinearity]


def _mode(mode: str) -> str:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"[kaiming] mode = {mode!r} must be 'fan_in' or 'fan_out'")
    return mode


def _do(tensor: Tensor, initialise: Initialisation, name: str | None) -> Tensor:
    """Fill `tensor` now, or once it has a shape."""
    if isinstance(tensor, UninitializedParameter):
        return tensor.initialise_later(initialise, name)
    initialise(tensor, name=name)
    return tensor


def _scaled(tensor: Tensor, kernel: str, fan: str, gain: float, name: str | None = None) -> None:
    """Numbers of mean 0 whose variance fits the sizes of a layer's weight (out, in)."""
    if tensor.ndim < 2 or 0 in tensor.shape:
        raise ValueError(f"[init] tensor is {tensor.shape}: a weight (out, in) is needed, no side zero")
    inputs, outputs = tensor.numel() // tensor.shape[0], tensor.numel() // tensor.shape[1]
    std = gain / math.sqrt({"fan_in": inputs, "fan_out": outputs, "sum": (inputs + outputs) / 2}[fan])
    if kernel == "normal":
        fill_random(tensor, kernel, name, mean=0.0, std=std)
    else:
        fill_random(tensor, kernel, name, low=-math.sqrt(3) * std, high=math.sqrt(3) * std)
