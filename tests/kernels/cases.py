"""The table of kernel cases: one line per kernel and manner of calling it.

Each case makes calls out of drawn sizes, options and data, and says how near the result must be. Value, layout, bit and
error tests all run over this one table.
"""

import functools
import inspect
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import reference
from kernels import bounds
from kernels.bounds import WIDE, Bound, Exact
from kernels.sampling import Array, Sampler, seeded

FLOATS = ("float32", "float64")
NUMBERS = (*FLOATS, "int64")
ALL = (*NUMBERS, "int32", "uint8", "bool")


@dataclass
class Call:
    """Arguments of one call, by name; arrays in the order of the signature."""

    arrays: dict[str, Array]
    scalars: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        arrays = [f"{name}: {x.dtype}{list(x.shape)}" for name, x in self.arrays.items()]
        return ", ".join(arrays + [f"{name}={value!r}" for name, value in self.scalars.items()])


Maker = Callable[[Sampler, str], Call]


@dataclass(frozen=True, repr=False)
class Case:
    """`make` draws a call; `bound` None means that every bit is the reference's; `written` are operands changed."""

    name: str
    dtype: str
    make: Maker
    bound: Bound | None = None
    written: tuple[str, ...] = ()
    elementwise: bool = False

    @property
    def kernel(self) -> str:
        return self.name.partition("-")[0]

    @property
    def seed(self) -> int:
        return zlib.crc32(str(self).encode())

    @property
    def gives_pair(self) -> bool:
        return self.kernel.endswith("_with_grad")

    @property
    def takes_out(self) -> bool:
        """Whether one array can be given for its one result."""
        parameters = inspect.signature(getattr(reference, self.kernel)).parameters
        return "out" in parameters and "out" not in self.written and not self.gives_pair

    def __str__(self) -> str:
        return f"{self.name}-{self.dtype}"

    __repr__ = __str__

    def seeded(self, salt: int = 0, *, large: bool = False) -> Call:
        return self.make(seeded(self.seed + salt, large=large), self.dtype)

    def run(self, module: Any, call: Call, **more: Any) -> tuple[Array, ...]:
        """The results, then the operands written, of which `call` keeps its own."""
        arrays = call.arrays | {name: call.arrays[name].copy() for name in self.written}
        result = getattr(module, self.kernel)(**arrays, **call.scalars, **more)
        results = result if isinstance(result, tuple) else () if result is None else (result,)
        return (*results, *(arrays[name] for name in self.written))

    def exact(self, call: Call) -> Exact:
        """The call in wide arithmetic."""
        wide = {n: x.astype(WIDE[self.dtype]) if x.dtype == self.dtype else x for n, x in call.arrays.items()}
        return Exact(self.dtype, wide, call.scalars, self.run(reference, Call(wide, call.scalars)))


# ---- makers ---------------------------------------------------------------------------------------------------


def product(
    s: Sampler, dtype: str, *, accumulate: bool = False, backward: bool = False, update: str | None = None
) -> Call:
    m, n, k = s.size(260 if s.large else 66), s.size(260 if s.large else 66), s.size(1100 if s.large else 520)
    across, down = bool(s.integer(0, 1)), bool(s.integer(0, 1))
    arrays = {"a": s.array((k, m) if across else (m, k), dtype), "b": s.array((n, k) if down else (k, n), dtype)}
    scalars: dict[str, Any] = {"transpose_a": across, "transpose_b": down}
    if backward:
        scalars["backward"] = s.option("relu", "sigmoid", "tanh")
        arrays["y"] = s.array((m, n), dtype, 0 if scalars["backward"] == "sigmoid" else -1, 1)
    elif update:
        states = ("param", "velocity") if update == "momentum" else ("param",)
        arrays |= {name: s.array((m, n), dtype) for name in states}
        return Call(arrays, scalars | sgd_settings(s, momentum=update == "momentum"))
    if accumulate:
        arrays["out"] = s.array((m, n), dtype)
        scalars |= {"alpha": s.option(1.0, -0.3, 0.0), "beta": s.option(1.0, 0.7, -2.5)}
    elif s.integer(0, 3) == 0:
        scalars["alpha"] = s.option(0.1, -2.0)
    return Call(arrays, scalars)


def linear(s: Sampler, dtype: str) -> Call:
    n, inputs, outputs = (
        s.size(300 if s.large else 66),
        s.size(1100 if s.large else 300),
        s.size(300 if s.large else 66),
    )
    arrays = {"x": s.array((n, inputs), dtype), "weight": s.array((outputs, inputs), dtype, -1, 1)}
    if s.integer(0, 2):
        arrays["bias"] = s.array((outputs,), dtype)
    return Call(arrays, {"activation": s.option(None, "relu", "sigmoid", "tanh", "gelu")})


def elementwise(*names: str, same: bool = False) -> Maker:
    """Operands that broadcast against each other (or of the same shape), of any values."""

    def make(s: Sampler, dtype: str) -> Call:
        shape, arrays = s.shape(0, 4), {}
        for name in names:
            own = shape
            if not same and len(names) > 1 and s.integer(0, 1):
                own = tuple(1 if s.integer(0, 2) == 0 else n for n in shape)[s.integer(0, len(shape)) :]
            arrays[name] = s.anything(own, "bool" if name == "condition" else dtype)
        return Call(arrays)

    return make


def ranged(low: dict[str, float], high: dict[str, float], *names: str) -> Maker:
    """Operands of one shape with elements of [low, high], or of any values."""

    def make(s: Sampler, dtype: str) -> Call:
        shape = s.shape(0, 4)
        values = {name: s.array(shape, dtype, low[dtype], high[dtype]) for name in names}
        return Call(values) if s.integer(0, 2) else Call({name: s.anything(shape, dtype) for name in names})

    return make


def backward(low: float, high: float, second: str) -> Maker:
    def make(s: Sampler, dtype: str) -> Call:
        shape = s.shape(0, 4)
        return Call({"grad": s.array(shape, dtype), second: s.array(shape, dtype, low, high)})

    return make


def power(s: Sampler, dtype: str) -> Call:
    shape = s.shape(0, 3)
    if s.integer(0, 1):
        return Call({"a": s.array(shape, dtype, 0, 10), "b": s.array(shape[1:], dtype, -6, 6)})
    return Call({"a": s.array(shape, dtype), "b": np.asarray(np.trunc(s.array(shape, dtype, -6, 6)))})


def cast(s: Sampler, dtype: str) -> Call:
    shape = s.shape(0, 3)
    # What goes to another dtype must fit it: 0 to 100 does.
    x = s.array(shape, dtype, 0, 100)
    wider = (*(s.size(3) for _ in range(s.integer(0, 2))), *shape)
    return Call({"x": x}, {"dtype": s.option(None, *ALL), "shape": s.option(None, shape, wider)})


def _axis(s: Sampler, rank: int) -> int:
    return s.integer(-rank, rank - 1)


def reduction(*, least: int = 0, one_axis: bool = False) -> Maker:
    def make(s: Sampler, dtype: str) -> Call:
        shape = s.shape(int(one_axis), 4, least=least)
        axes = tuple(i - len(shape) * s.integer(0, 1) for i in range(len(shape)) if s.integer(0, 1))
        axis = s.option(None, *([_axis(s, len(shape))] if shape else []), *([] if one_axis else [axes]))
        return Call({"x": s.array(shape, dtype)}, {"axis": axis, "keepdims": bool(s.integer(0, 1))})

    return make


def softmax(s: Sampler, dtype: str) -> Call:
    shape = s.shape(1, 3, least=1)
    return Call({"x": s.array(shape, dtype, -30, 30)}, {"axis": _axis(s, len(shape))})


def softmax_backward(s: Sampler, dtype: str, *, log: bool = False) -> Call:
    shape = s.shape(1, 3, least=1)
    y = s.array(shape, dtype, -20, 0) if log else s.array(shape, dtype, 0, 1)
    return Call({"grad": s.array(shape, dtype), "y": y}, {"axis": _axis(s, len(shape))})


def cross_entropy(s: Sampler, dtype: str, *, probabilities: bool = False) -> Call:
    n, classes = s.size(4100 if s.large else 70, least=1), s.size(300 if s.large else 520, least=1)
    arrays = {"logits": s.array((n, classes), dtype, -30, 30)}
    scalars = {"reduction": s.option("mean", "sum", "none"), "label_smoothing": s.option(0.0, 0.1, 1.0)}
    if probabilities:
        arrays["target"] = s.array((n, classes), dtype, 0, 1)
    else:
        labels = s.indices((n,), classes)
        arrays["target"] = labels
        if s.integer(0, 1):
            # The first label's class is ignored, or -100: some row must count, or the mean is of nothing.
            rest = np.flatnonzero(labels != labels[0])
            scalars["ignore_index"] = int(labels[0]) if rest.size else -100
    if s.integer(0, 1):
        arrays["weight"] = s.array((classes,), dtype, 1, 3)
    return Call(arrays, scalars)


def squared_error(s: Sampler, dtype: str) -> Call:
    shape = s.shape(0, 3, least=1)
    arrays = {"prediction": s.array(shape, dtype), "target": s.array(shape, dtype)}
    return Call(arrays, {"half": bool(s.integer(0, 1)), "reduction": s.option("mean", "sum", "none")})


def accuracy(s: Sampler, dtype: str) -> Call:
    n, classes = s.size(8193, least=1), s.size(17, least=1) if not s.large else 17
    return Call({"logits": s.array((n, classes), dtype), "target": s.indices((n,), classes)})


def sgd(s: Sampler, dtype: str, *, momentum: bool = False) -> Call:
    shape = s.shape(0, 3)
    arrays = {"param": s.array(shape, dtype), "grad": s.array(shape, dtype)}
    if momentum:
        arrays["velocity"] = s.array(shape, dtype)
    return Call(arrays, sgd_settings(s, momentum=momentum))


def sgd_settings(s: Sampler, *, momentum: bool) -> dict[str, Any]:
    scalars = {"lr": s.option(0.1, 0.0, 2.5), "weight_decay": s.option(0.0, 0.01)}
    moving = {"momentum": 0.9, "dampening": s.option(0.0, 0.3), "nesterov": s.option(False, True)}
    return scalars | moving if momentum else scalars


def adam(s: Sampler, dtype: str) -> Call:
    shape, step = s.shape(0, 3), s.option(1, 10, 10_000)
    arrays = {name: s.array(shape, dtype) for name in ("param", "grad", "exp_avg")}
    arrays["exp_avg_sq"] = s.array(shape, dtype, 0.25, 4)
    scalars = {"lr": 0.01, "correction1": 1 - 0.9**step, "correction2": 1 - 0.999**step, "beta1": 0.9, "beta2": 0.999}
    options = {"weight_decay": s.option(0.0, 0.01), "eps": s.option(1e-8, 1e-3), "decoupled": s.option(False, True)}
    return Call(arrays, scalars | options)


def gather(s: Sampler, dtype: str) -> Call:
    data = s.array((s.size(600, least=1), *s.shape(0, 2, limit=100)), dtype, -100, 255)
    scalars = {}
    converted = dtype in ("uint8", "float16")
    if dtype in FLOATS or converted:
        scalars["divisor"] = s.option(1.0, 255.0, 3.0)
    if converted and s.integer(0, 1):
        scalars["dtype"] = s.option(*FLOATS)
    return Call({"data": data, "indices": s.indices((s.size(600),), data.shape[0], negative=True)}, scalars)


def scatter_add(s: Sampler, dtype: str) -> Call:
    count, rows = s.size(600), s.size(70, least=1)
    grad = s.array((count, *s.shape(0, 2, limit=100)), dtype)
    return Call({"grad": grad, "indices": s.indices((count,), rows, negative=True)}, {"num_rows": rows})


def pick(s: Sampler, dtype: str, *, backward: bool = False) -> Call:
    shape, count = (s.size(70, least=1), s.size(70, least=1)), s.size(8193)
    places = {name: s.indices((count,), n, negative=True) for name, n in zip(("rows", "columns"), shape, strict=True)}
    if backward:
        return Call({"grad": s.array((count,), dtype), **places}, {"shape": shape})
    return Call({"x": s.anything(shape, dtype), **places})


def one_hot(s: Sampler, dtype: str) -> Call:
    classes = s.size(70, least=1)
    return Call({"labels": s.indices((s.size(1000),), classes)}, {"num_classes": classes, "dtype": dtype})


def _counters(s: Sampler) -> dict[str, int]:
    counters = {"purpose": s.integer(0, 255), "step": s.integer(0, 2**44 - 1), "ordinal": s.integer(0, 2**32 - 1)}
    return {"seed": s.integer(0, 2**64 - 1), **counters}


def uniform(s: Sampler, dtype: str) -> Call:
    return Call({}, {"shape": s.shape(0, 3), "low": s.option(0.0, -0.3), "dtype": dtype, **_counters(s)})


def normal(s: Sampler, dtype: str) -> Call:
    moments = {"mean": s.option(0.0, 3.0), "std": s.option(1.0, 0.01)}
    return Call({}, {"shape": s.shape(0, 3), **moments, "dtype": dtype, **_counters(s)})


def dropout(s: Sampler, dtype: str) -> Call:
    return Call({"x": s.array(s.shape(0, 3), dtype)}, {"p": s.option(0.5, 0.0, 0.1, 1.0), **_counters(s)})


def permutation(s: Sampler, dtype: str) -> Call:
    return Call(
        {}, {"n": s.size(200_000 if s.large else 8193), "seed": s.integer(0, 2**64 - 1), "epoch": s.integer(0, 99)}
    )


# ---- the table ------------------------------------------------------------------------------------------------

_EXP = {"float32": -105.0, "float64": -750.0}, {"float32": 90.0, "float64": 715.0}
_LOG = {"float32": 0.0, "float64": 0.0}, {"float32": 1e30, "float64": 1e300}
_ACTIVATED = {"float32": -20.0, "float64": -40.0}, {"float32": 20.0, "float64": 40.0}

CASES: list[Case] = []


def _table(dtypes: tuple[str, ...], names: str, make: Maker, bound: Bound | None = None, **more: Any) -> None:
    CASES.extend(Case(name, dtype, make, bound, **more) for name in names.split() for dtype in dtypes)


_elementwise = functools.partial(_table, elementwise=True)

_table(FLOATS, "matmul", product, bounds.matmul)
_table(FLOATS, "matmul-accumulate", functools.partial(product, accumulate=True), bounds.matmul, written=("out",))
_table(FLOATS, "matmul-backward", functools.partial(product, backward=True), bounds.matmul)
_table(FLOATS, "linear", linear, bounds.linear)

_elementwise(NUMBERS, "add subtract multiply maximum minimum", elementwise("a", "b"))
_elementwise(FLOATS, "divide", elementwise("a", "b"))
_elementwise(ALL, "equal not_equal less less_equal greater greater_equal", elementwise("a", "b"))
_elementwise(ALL, "where", elementwise("condition", "a", "b"))
_elementwise(NUMBERS, "negative abs sign", elementwise("x"))
_elementwise(FLOATS, "sqrt", elementwise("x"))
_elementwise(FLOATS, "exp", ranged(*_EXP, "x"), bounds.ulp(2))
_elementwise(FLOATS, "log", ranged(*_LOG, "x"), bounds.ulp(2))
_elementwise(FLOATS, "power", power, bounds.ulp(2))
_table(ALL, "cast", cast)

_elementwise(FLOATS, "relu", elementwise("x"))
_elementwise(FLOATS, "sigmoid", ranged(*_EXP, "x"), bounds.sigmoid)
_elementwise(FLOATS, "tanh", ranged(*_ACTIVATED, "x"), bounds.tanh)
_elementwise(FLOATS, "gelu", ranged(*_ACTIVATED, "x"), bounds.gelu)
_elementwise(FLOATS, "relu_backward", elementwise("grad", "y", same=True))
_elementwise(FLOATS, "sigmoid_backward", backward(0, 1, "y"), bounds.relative(4))
_elementwise(FLOATS, "tanh_backward", backward(-1, 1, "y"), bounds.tanh_backward)
_elementwise(FLOATS, "gelu_backward", backward(-20, 20, "x"), bounds.gelu_backward)

_table(FLOATS, "sum", reduction(), bounds.reduction)
_table(("int64", "bool"), "sum", reduction())
_table(FLOATS, "mean", reduction(least=1), bounds.mean)
_table(NUMBERS, "max min", reduction(least=1))
_table(NUMBERS, "argmax argmin", reduction(least=1, one_axis=True))

_table(FLOATS, "softmax", softmax, bounds.softmax)
_table(FLOATS, "log_softmax", softmax, bounds.log_softmax)
_table(FLOATS, "softmax_backward", softmax_backward, bounds.softmax_backward)
_table(FLOATS, "log_softmax_backward", functools.partial(softmax_backward, log=True), bounds.log_softmax_backward)

_losses = "cross_entropy cross_entropy_with_grad"
_table(FLOATS, _losses, cross_entropy, bounds.cross_entropy)
_table(
    FLOATS,
    "cross_entropy-probabilities cross_entropy_with_grad-probabilities",
    functools.partial(cross_entropy, probabilities=True),
    bounds.cross_entropy,
)
_table(FLOATS, "mse_loss mse_loss_with_grad", squared_error, bounds.squared_error)
_table(FLOATS, "accuracy", accuracy)

_table(FLOATS, "sgd_update", sgd, bounds.sgd, written=("param",))
_table(FLOATS, "sgd_update-momentum", functools.partial(sgd, momentum=True), bounds.sgd, written=("param", "velocity"))
_fused = functools.partial(product, update="plain")
_table(FLOATS, "matmul_sgd_update", _fused, bounds.matmul_sgd, written=("param",))
_fused = functools.partial(product, update="momentum")
_table(FLOATS, "matmul_sgd_update-momentum", _fused, bounds.matmul_sgd, written=("param", "velocity"))
_table(FLOATS, "adam_update", adam, bounds.adam, written=("param", "exp_avg", "exp_avg_sq"))

_table((*ALL, "float16"), "gather", gather)
_table(FLOATS, "scatter_add", scatter_add)
_table(FLOATS, "pick", pick)
_table(FLOATS, "pick_backward", functools.partial(pick, backward=True))
_table(FLOATS, "one_hot", one_hot)

_table(FLOATS, "uniform", uniform)
_table(FLOATS, "normal", normal, bounds.normal)
_table(FLOATS, "dropout", dropout)
_table(("int64",), "permutation", permutation)
