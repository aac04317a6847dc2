"""
The native kernels of fastnn. Use them as fastnn.kernels, which documents each.
"""

from __future__ import annotations
import collections.abc
import numpy
import typing

__all__: list[str] = [
    "DeviceError",
    "Program",
    "Slot",
    "abs",
    "accuracy",
    "adam_update",
    "add",
    "argmax",
    "argmin",
    "cast",
    "config",
    "copy_of_foreign",
    "cross_entropy",
    "cross_entropy_with_grad",
    "device_description",
    "device_name",
    "device_of",
    "device_place",
    "divide",
    "dropout",
    "empty",
    "equal",
    "exp",
    "explain_product",
    "from_dlpack",
    "gather",
    "gelu",
    "gelu_backward",
    "greater",
    "greater_equal",
    "kernel_table",
    "lend",
    "less",
    "less_equal",
    "linear",
    "load_library",
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
    "num_threads",
    "one_hot",
    "order",
    "permutation",
    "pick",
    "pick_backward",
    "power",
    "prefetch",
    "register_device",
    "relu",
    "relu_backward",
    "scatter_add",
    "set_num_threads",
    "sgd_update",
    "sigmoid",
    "sigmoid_backward",
    "sign",
    "softmax",
    "softmax_backward",
    "sqrt",
    "subtract",
    "sum",
    "synchronize",
    "tanh",
    "tanh_backward",
    "transfer",
    "uniform",
    "where",
]

class DeviceError(RuntimeError):
    """
    A device is not there, or what it was asked to do went wrong.
    """

class Slot:
    """
    A scalar that varies from step to step: kernels read its `value` when they run, records keep the Slot.

    >>> lr = Slot(0.1)
    >>> lr.value = 0.05
    >>> lr, float(lr)
    (Slot(0.05), 0.05)
    """
    def __float__(self) -> float: ...
    def __init__(self, value: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    def __repr__(self) -> str: ...
    @property
    def value(self) -> float: ...
    @value.setter
    def value(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class Program:
    """
    Calls of kernels, kept to be run again and again without Python.
    """
    def __init__(self, outputs: list[numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]) -> None:
        """
        `outputs` are arrays of one element each, read after every step.
        """
    def __len__(self) -> int:
        """
        The number of kernels and functions.
        """
    def call(self, function: collections.abc.Callable) -> None:
        """
        Adds a Python function, called without arguments.
        """
    def record(self, function: collections.abc.Callable) -> None:
        """
        Calls `function` now; the kernels it calls are added instead of run, and their arrays kept. Slots stay the caller's to keep.
        """
    def run(
        self,
        count: int,
        rows: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
        rows_to: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
        slots: list[Slot] = [],
        values: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]:
        """
        Runs `count` steps. Before each, a slice of `rows` is copied to `rows_to`, and `slots` are set from a row of `values`. Returns the outputs, (count, outputs) float64.
        """

def abs(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def accuracy(
    logits: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    target: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def adam_update(
    param: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    exp_avg: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    exp_avg_sq: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    lr: typing.SupportsFloat,
    correction1: typing.SupportsFloat,
    correction2: typing.SupportsFloat,
    beta1: typing.SupportsFloat | typing.SupportsIndex = 0.9,
    beta2: typing.SupportsFloat | typing.SupportsIndex = 0.999,
    eps: typing.SupportsFloat | typing.SupportsIndex = 1e-08,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    decoupled: bool = False,
    num_threads: int | None = None,
) -> None: ...
def add(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def argmax(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: typing.Any = None,
    keepdims: bool = False,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def argmin(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: typing.Any = None,
    keepdims: bool = False,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def cast(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    dtype: typing.Any = None,
    shape: collections.abc.Sequence[typing.SupportsIndex] | None = None,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def config() -> dict:
    """
    What was built and what this machine runs.
    """

def copy_of_foreign(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]:
    """
    A copy of an array over memory on the device that somebody else's kernels have made.
    """

def cross_entropy(
    logits: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    target: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    weight: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    reduction: str = "mean",
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def cross_entropy_with_grad(
    logits: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    target: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    weight: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    reduction: str = "mean",
    out: tuple[numpy.ndarray[typing.Any, numpy.dtype[typing.Any]], numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]
    | None = None,
    num_threads: int | None = None,
) -> tuple[typing.Any, typing.Any]: ...
def device_description() -> str | None:
    """
    What the registered device says of itself, or None.
    """

def device_name() -> str | None:
    """
    The name of the registered device, or None.
    """

def device_of(x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> str:
    """
    The name of the device on which an array lies.
    """

def device_place() -> tuple[int, int]:
    """
    The number of the registered device, and its stream, as other libraries know them.
    """

def divide(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def dropout(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    p: typing.SupportsFloat | typing.SupportsIndex,
    seed: int,
    purpose: int = 2,
    step: typing.SupportsFloat = 0.0,
    ordinal: int = 0,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def empty(
    shape: collections.abc.Sequence[typing.SupportsIndex], dtype: typing.Any = "float32", device: str = "cpu"
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]:
    """
    An array of unset elements, aligned to 64 bytes.
    """

def equal(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def exp(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def explain_product(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    linear: bool = False,
) -> str:
    """
    How `matmul`, or `linear`, goes about these shapes and strides, in words; see fastnn.kernels.explain_product.
    """

def from_dlpack(capsule: typing.Any) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]:
    """
    A copy of what lies on the device by a capsule of DLPack.
    """

def gather(
    data: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    indices: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    divisor: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    dtype: typing.Any = None,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def gelu(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def gelu_backward(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def greater(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def greater_equal(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def lend(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]], *, managed: bool, versioned: bool, copied: bool
) -> typing.Any:
    """
    An array of the device as a capsule of DLPack, of its version 1 or that before it.
    """

def less(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def less_equal(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def linear(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    weight: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    bias: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    activation: str | None = None,
    *,
    precision: str | None = None,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def load_library(file: str) -> str:
    """
    Takes a library for products in tf32 and bf16 into use, unless one is; its name and version.
    """

def log(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def log_softmax(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: int = -1,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def log_softmax_backward(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    y: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: int = -1,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def matmul(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    y: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    beta: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    backward: str | None = None,
    precision: str | None = None,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def matmul_sgd_update(
    param: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    velocity: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    lr: typing.SupportsFloat,
    momentum: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    dampening: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    nesterov: bool = False,
    precision: str | None = None,
    num_threads: int | None = None,
) -> None: ...
def max(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: typing.Any = None,
    keepdims: bool = False,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def maximum(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def mean(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: typing.Any = None,
    keepdims: bool = False,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def min(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: typing.Any = None,
    keepdims: bool = False,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def minimum(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def mse_loss(
    prediction: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    target: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    half: bool = False,
    reduction: str = "mean",
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def mse_loss_with_grad(
    prediction: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    target: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    half: bool = False,
    reduction: str = "mean",
    out: tuple[numpy.ndarray[typing.Any, numpy.dtype[typing.Any]], numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]]
    | None = None,
    num_threads: int | None = None,
) -> tuple[typing.Any, typing.Any]: ...
def multiply(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def negative(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def normal(
    shape: collections.abc.Sequence[typing.SupportsIndex],
    *,
    mean: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    std: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    seed: int,
    purpose: int = 0,
    step: typing.SupportsFloat = 0.0,
    ordinal: int = 0,
    dtype: typing.Any = "float32",
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def not_equal(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def num_threads() -> int:
    """
    Threads that a call uses when it does not say.
    """

def one_hot(
    labels: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    num_classes: int,
    *,
    dtype: typing.Any = "float32",
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def order(first: int, then: int) -> None:
    """
    Lets stream `then` wait for what stream `first` has been given.
    """

def permutation(
    n: int,
    *,
    seed: int,
    epoch: int = 0,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def pick(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    rows: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    columns: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def pick_backward(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    rows: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    columns: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    shape: collections.abc.Sequence[typing.SupportsIndex],
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def power(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def prefetch(x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> None:
    """
    Moves an array of the device there, ahead of its use.
    """

def register_device(capsule: typing.Any) -> None:
    """
    Takes a device into use: `capsule` is what the function `backend` of its module gives.
    """

def relu(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def relu_backward(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    y: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def scatter_add(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    indices: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    num_rows: int,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def set_num_threads(num_threads: typing.Any) -> None:
    """
    Sets the threads that a call uses when it does not say.
    """

def sgd_update(
    param: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    velocity: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    *,
    lr: typing.SupportsFloat,
    momentum: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    dampening: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    nesterov: bool = False,
    num_threads: int | None = None,
) -> None: ...
def sigmoid(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def sigmoid_backward(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    y: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def sign(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def softmax(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: int = -1,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def softmax_backward(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    y: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: int = -1,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def sqrt(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def subtract(
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def sum(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    axis: typing.Any = None,
    keepdims: bool = False,
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def synchronize() -> None:
    """
    Waits until the CPU may look at what the device has made.
    """

def tanh(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def tanh_backward(
    grad: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    y: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def transfer(
    x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    device: str,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
) -> typing.Any:
    """
    A copy of an array on a device, or on the CPU.
    """

def uniform(
    shape: collections.abc.Sequence[typing.SupportsIndex],
    *,
    low: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    high: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    seed: int,
    purpose: int = 0,
    step: typing.SupportsFloat = 0.0,
    ordinal: int = 0,
    dtype: typing.Any = "float32",
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...
def where(
    condition: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    *,
    out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    num_threads: int | None = None,
) -> typing.Any: ...

kernel_table: typing.Any
