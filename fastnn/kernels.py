"""The native kernels on NumPy arrays, with the signatures and the documentation of `fastnn.reference`.

Arrays may be strided, transposed, Fortran-ordered or read-only. Byte-swapped, unaligned or object arrays, and arrays of
mixed dtype, are errors: nothing is cast silently. Results are new arrays, or `out`. `num_threads` None means what
`fastnn.set_num_threads` has set, and no number of threads changes a bit of a result.

>>> import numpy as np
>>> from fastnn import kernels
>>> kernels.matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
array([[11.]])
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, ParamSpec, SupportsFloat, SupportsIndex, TypeVar, get_args, get_origin

import numpy as np

from fastnn import _core, reference
from fastnn.reference._common import Array

P = ParamSpec("P")
R = TypeVar("R")


def _native(spec: Callable[P, R]) -> Callable[P, R]:
    """The native function of the name of `spec`, under its signature and documentation."""
    function: Callable[P, R] = getattr(_core, spec.__name__)

    @functools.wraps(spec, assigned=("__name__", "__qualname__", "__doc__", "__annotations__"))
    def kernel(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            raise explained(error, spec.__name__, args, kwargs) from None

    return kernel


def explained(error: TypeError, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TypeError:
    """`error` of the kernel `name`; what pybind11 says of arguments that fit no signature, in this package's words."""
    if "incompatible function arguments" not in str(error):
        return error
    signature = inspect.signature(globals()[name])
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as misfit:
        return TypeError(f"[{name}] {misfit}")
    wanted = signature.parameters
    # Where all are of the right type, one of them is out of range.
    scalars = [name for name, value in given.items() if not isinstance(value, np.ndarray)]
    named = [name for name, value in given.items() if not _is_a(value, wanted[name].annotation)] or scalars
    values = ", ".join(f"{name} = {_shown(given[name])}" for name in named)
    wants = ", ".join(str(wanted[name]) for name in named)
    return TypeError(f"[{name}] {values} does not fit {wants}, in type or range")


def _shown(value: Any) -> str:
    """As Python shows it, if it does and that is short."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python prints, or an object of somebody's own
        text = ""
    return text if 0 < len(text) <= 200 else f"<{type(value).__name__}>"


def _is_a(value: Any, annotation: Any) -> bool:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    if isinstance(value, np.ndarray):  # which has __index__ and __float__, whatever it holds
        return np.ndarray in kinds
    return isinstance(
        value, tuple({int: SupportsIndex, float: SupportsFloat}.get(k, get_origin(k) or k) for k in kinds)
    )


@_native
def explain_product(  # type: ignore[empty-body]
    a: Array, b: Array, *, transpose_a: bool = False, transpose_b: bool = False, linear: bool = False
) -> str:
    """How `matmul` goes about these shapes, dtypes and strides on this CPU, in words; nothing is computed.

    With `linear` it is asked of `linear`, which has a way of its own for few outputs.

    The choice is made once, for an eager call or for all steps of a native one, and never changes a bit. An operand is
    read "in place", or "packed" into panels just before it is read, or "packed ahead" in a phase of its own; threads
    share the items. Lanes run along n, the columns of the result, where it does not say otherwise.

    >>> x, weight = np.zeros((256, 784), np.float32), np.zeros((10, 784), np.float32)
    >>> explain_product(x, weight, transpose_b=True)
    'a ..., b ..., ... panels in ... items...'
    >>> explain_product(x, weight, transpose_b=True, linear=True)
    'a in place, ... items, lanes along k'
    """


# products
matmul = _native(reference.matmul)
linear = _native(reference.linear)
matmul_sgd_update = _native(reference.matmul_sgd_update)

# arithmetic, elementwise with broadcasting
add = _native(reference.add)
subtract = _native(reference.subtract)
multiply = _native(reference.multiply)
divide = _native(reference.divide)
power = _native(reference.power)
maximum = _native(reference.maximum)
minimum = _native(reference.minimum)
equal = _native(reference.equal)
not_equal = _native(reference.not_equal)
less = _native(reference.less)
less_equal = _native(reference.less_equal)
greater = _native(reference.greater)
greater_equal = _native(reference.greater_equal)
where = _native(reference.where)
negative = _native(reference.negative)
abs = _native(reference.abs)
sign = _native(reference.sign)
sqrt = _native(reference.sqrt)
exp = _native(reference.exp)
log = _native(reference.log)
cast = _native(reference.cast)

# activations
relu = _native(reference.relu)
sigmoid = _native(reference.sigmoid)
tanh = _native(reference.tanh)
gelu = _native(reference.gelu)
relu_backward = _native(reference.relu_backward)
sigmoid_backward = _native(reference.sigmoid_backward)
tanh_backward = _native(reference.tanh_backward)
gelu_backward = _native(reference.gelu_backward)

# reductions
sum = _native(reference.sum)
mean = _native(reference.mean)
max = _native(reference.max)
min = _native(reference.min)
argmax = _native(reference.argmax)
argmin = _native(reference.argmin)

# softmax
softmax = _native(reference.softmax)
softmax_backward = _native(reference.softmax_backward)
log_softmax = _native(reference.log_softmax)
log_softmax_backward = _native(reference.log_softmax_backward)

# losses
cross_entropy_with_grad = _native(reference.cross_entropy_with_grad)
cross_entropy = _native(reference.cross_entropy)
mse_loss_with_grad = _native(reference.mse_loss_with_grad)
mse_loss = _native(reference.mse_loss)
accuracy = _native(reference.accuracy)

# updates, in place
sgd_update = _native(reference.sgd_update)
adam_update = _native(reference.adam_update)

# indexing
gather = _native(reference.gather)
scatter_add = _native(reference.scatter_add)
pick = _native(reference.pick)
pick_backward = _native(reference.pick_backward)
one_hot = _native(reference.one_hot)

# random numbers by counters (csrc/array/philox.h)
uniform = _native(reference.uniform)
normal = _native(reference.normal)
dropout = _native(reference.dropout)
permutation = _native(reference.permutation)

__all__ = [
    "abs",
    "accuracy",
    "adam_update",
    "add",
    "argmax",
    "argmin",
    "cast",
    "cross_entropy",
    "cross_entropy_with_grad",
    "divide",
    "dropout",
    "equal",
    "exp",
    "gather",
    "gelu",
    "gelu_backward",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "linear",
    "log",
    "log_softmax",
    "log_softmax_backward",
    "matmul",
    "matmul_sgd_update",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse_loss",
    "mse_loss_with_grad",
    "multiply",
    "negative",
    "normal",
    "not_equal",
    "one_hot",
    "permutation",
    "pick",
    "pick_backward",
    "power",
    "relu",
    "relu_backward",
    "scatter_add",
    "sgd_update",
    "sigmoid",
    "sigmoid_backward",
    "sign",
    "softmax",
    "softmax_backward",
    "sqrt",
    "subtract",
    "sum",
    "tanh",
    "tanh_backward",
    "uniform",
    "where",
]
