"""Every kernel of fastnn in plain NumPy: the specification.

The functions here carry the names and signatures of `fastnn.kernels`, and say what is computed; how the native
kernels round is said in ``docs/numerics.md``. All of them take ``out=None`` (an array that receives the result, or a
tuple of two for two results) and
``num_threads=None`` (no meaning here). Results have the dtype of the floating-point operands unless stated
otherwise. Arrays of different dtype are not mixed.

Sizes of zero: a sum over nothing is 0; a mean, maximum, argmax, softmax or mean loss over nothing is a ValueError.
"""

from fastnn.reference.activation import (
    gelu,
    gelu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from fastnn.reference.arithmetic import (
    abs,
    add,
    cast,
    divide,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    sign,
    sqrt,
    subtract,
    where,
)
from fastnn.reference.indexing import (
    gather,
    one_hot,
    pick,
    pick_backward,
    scatter_add,
)
from fastnn.reference.loss import (
    accuracy,
    cross_entropy,
    cross_entropy_with_grad,
    mse_loss,
    mse_loss_with_grad,
)
from fastnn.reference.product import (
    linear,
    matmul,
    matmul_sgd_update,
)
from fastnn.reference.random import (
    dropout,
    normal,
    permutation,
    uniform,
)
from fastnn.reference.reduction import (
    argmax,
    argmin,
    max,
    mean,
    min,
    sum,
)
from fastnn.reference.softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from fastnn.reference.transcendental import (
    exp,
    log,
    power,
)
from fastnn.reference.update import (
    adam_update,
    sgd_update,
)

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
