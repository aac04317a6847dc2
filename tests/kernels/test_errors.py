"""Bad arguments are exceptions that name the kernel, the argument and its value, raised before anything is written."""

import inspect
import math
import re
from typing import Any

import numpy as np
import pytest

from fastnn import kernels, reference
from kernels.cases import CASES, Case
from kernels.sampling import INTEGERS, Array


def ones(*shape: int, dtype: str = "float32") -> Array:
    return np.ones(shape, dtype)


def labels(*values: int, dtype: str = "int64") -> Array:
    return np.array(values, dtype)


def refused(kernel: str, arguments: dict[str, Any], error: Any, words: str) -> None:
    arrays = {name: x for name, x in arguments.items() if isinstance(x, np.ndarray)}
    before = {name: x.tobytes() for name, x in arrays.items()}
    operation = kernel.removesuffix("_with_grad")
    with pytest.raises(error, match=rf"^\[{operation}(_with_grad)?\] .*{words}"):
        getattr(kernels, kernel)(**arguments)
    assert {name: x.tobytes() for name, x in arrays.items()} == before


def rows(kernel_names: str, arguments: dict[str, Any], error: Any, words: str) -> list[Any]:
    plain = " ".join(re.sub(r"\\b|\.\*|\\", " ", words).split())
    return [pytest.param(k, arguments, error, words, id=f"{k}: {plain}") for k in kernel_names.split()]


# ---- the signature --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "arguments", "words"),
    [
        ("softmax", {}, "missing a required argument: 'x'"),
        ("softmax", {"x": ones(2), "dim": 0}, "got an unexpected keyword argument 'dim'"),
        ("softmax", {"x": ones(2), "axis": "q"}, "axis = 'q' does not fit axis: int = -1, in type or range"),
        (
            "sgd_update",
            {"param": ones(2), "grad": ones(2), "lr": "0.1", "momentum": 0.9},
            "lr = '0.1' does not fit lr: float, in type",
        ),
        ("permutation", {"n": 4, "seed": 1.5}, "seed = 1.5 does not fit seed: int, in type"),
        ("permutation", {"n": 4, "seed": -1}, "n = 4, seed = -1 does not fit n: int, seed: int, in type or range"),
        ("permutation", {"n": 4, "seed": 2**64}, "n = 4, seed = 18446744073709551616 does not fit"),
        ("uniform", {"shape": 2.5, "seed": 1}, "shape = 2.5 does not fit shape: tuple"),
    ],
)
def test_arguments_that_fit_no_signature_are_named(kernel: str, arguments: dict[str, Any], words: str) -> None:
    refused(kernel, arguments, TypeError, words)


# ---- labels and indices ---------------------------------------------------------------------------------------

EXTREMES = [-1, 3, -100, -(2**31), 2**31, -(2**63), 2**63 - 1]
NARROW = [(-1, "int8"), (-128, "int8"), (200, "uint8"), (2**32 - 1, "uint32"), (2**64 - 1, "uint64"), (-1, "int32")]
OUT_OF_RANGE = [(value, "int64") for value in EXTREMES] + NARROW


@pytest.mark.parametrize(("value", "dtype"), OUT_OF_RANGE)
@pytest.mark.parametrize("kernel", ["cross_entropy", "cross_entropy_with_grad", "accuracy", "one_hot"])
def test_label_outside_the_classes_is_refused(kernel: str, value: int, dtype: str) -> None:
    bad = labels(0, 2, 1, 0, 0, dtype=dtype)
    bad[3] = value
    if kernel == "one_hot":
        refused(kernel, {"labels": bad, "num_classes": 3}, ValueError, rf"labels\[3\] = {value}\b.*3 classes")
        return
    options = [{"reduction": r, "ignore_index": 77} for r in ("mean", "sum", "none")] if "cross" in kernel else [{}]
    for option in options:
        arguments = {"logits": ones(5, 3), "target": bad, **option}
        refused(kernel, arguments, ValueError, rf"target\[3\] = {value}\b.*3 classes")


@pytest.mark.parametrize(("value", "dtype"), [(v, d) for v, d in OUT_OF_RANGE if v not in (-1, -3)])
def test_index_outside_the_rows_is_refused(value: int, dtype: str) -> None:
    bad, good = labels(0, 2, 1, dtype=dtype), labels(0, 2, 1, dtype=dtype)
    bad[1] = value
    refused("gather", {"data": ones(3, 4), "indices": bad}, IndexError, rf"indices\[1\] = {value}\b")
    refused("scatter_add", {"grad": ones(3), "indices": bad, "num_rows": 3}, IndexError, rf"indices\[1\] = {value}\b")
    for name, pair in {"rows": (bad, good), "columns": (good, bad)}.items():
        places = dict(zip(("rows", "columns"), pair, strict=True))
        words = rf"{name}\[1\] = {value} is out of range for 3 {name}"
        refused("pick", {"x": ones(3, 3), **places}, IndexError, words)
        refused("pick_backward", {"grad": ones(3), **places, "shape": (3, 3)}, IndexError, words)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_ignored_label_is_no_class(dtype: str) -> None:
    ignored = 100 if dtype.startswith("u") else -100
    target = labels(0, ignored, 2, dtype=dtype)
    loss = kernels.cross_entropy(ones(3, 3), target, ignore_index=ignored, reduction="none")
    assert loss[1] == 0
    assert loss[0] > 0


@pytest.mark.parametrize("ignored", [2**63 - 1, -100])
@pytest.mark.parametrize("value", [2**63, 2**64 - 100, 2**64 - 1])
def test_label_beyond_int64_is_never_the_ignored_one(value: int, ignored: int) -> None:
    """Cut to int64, by its bits or at its end, it could be."""
    arguments = {"logits": ones(2, 3), "target": labels(0, value, dtype="uint64"), "ignore_index": ignored}
    for kernel in both.split():
        refused(kernel, arguments, ValueError, rf"target\[1\] = {value} is not a class index")


FRACTIONAL = [np.array([0.0, 1.9, np.nan]), np.array([0.0, 1.0, 2.0], "float32"), np.array([True, False, True])]


@pytest.mark.parametrize("bad", FRACTIONAL, ids=["float64", "float32", "bool"])
def test_label_that_is_no_integer_is_refused(bad: Array) -> None:
    wrong = (TypeError, ValueError)
    for kernel in ("cross_entropy", "cross_entropy_with_grad", "accuracy"):
        refused(kernel, {"logits": ones(3, 3), "target": bad}, wrong, r"\btarget\b")
    refused("one_hot", {"labels": bad, "num_classes": 3}, TypeError, r"\blabels\b.*" + str(bad.dtype))
    refused("gather", {"data": ones(3, 3), "indices": bad}, TypeError, r"\bindices\b.*" + str(bad.dtype))
    refused(
        "scatter_add", {"grad": ones(3), "indices": bad, "num_rows": 3}, TypeError, r"\bindices\b.*" + str(bad.dtype)
    )
    refused("pick", {"x": ones(3, 3), "rows": bad, "columns": labels(0, 1, 2)}, TypeError, r"\brows\b")


# ---- shapes, dtypes, values -----------------------------------------------------------------------------------

a23, a34, i64 = ones(2, 3), ones(3, 4), ones(2, 3, dtype="int64")
param, nan, inf = {"param": ones(2, 3), "grad": ones(2, 3)}, math.nan, math.inf
moments = {**{k: np.ones((2, 3), "float32") for k in ("param", "grad", "exp_avg", "exp_avg_sq")}}
adam = {**moments, "lr": 0.1, "correction1": 0.1, "correction2": 0.1}
both = "cross_entropy cross_entropy_with_grad"
squared = "mse_loss mse_loss_with_grad"
comparisons = "equal not_equal less less_equal greater greater_equal"
binary = f"add subtract multiply divide power maximum minimum {comparisons}"
along_axis = "sum mean max min argmax argmin softmax log_softmax"
target = labels(0, 1)
places = {"rows": labels(0, 1), "columns": labels(0, 1)}

SHAPES = [
    *rows("matmul", {"a": a23, "b": a23}, ValueError, r"\ba\b.*\bb\b"),
    *rows("matmul", {"a": a23, "b": a34, "transpose_a": True}, ValueError, r"\(3, 2\).*\(3, 4\)"),
    *rows("matmul", {"a": ones(3), "b": a34}, ValueError, r"\ba\b.*2 dimensions.*\(3,\)"),
    *rows("matmul", {"a": a23, "b": ones(1, 3, 4)}, ValueError, r"\bb\b.*2 dimensions.*\(1, 3, 4\)"),
    *rows("matmul", {"a": a23, "b": a34, "beta": 1.0}, ValueError, r"\bbeta\b.*\bout\b"),
    *rows("linear", {"x": a23, "weight": a34}, ValueError, r"\bx\b.*\bweight\b"),
    *rows("linear", {"x": a23, "weight": a23, "bias": ones(3)}, ValueError, r"\bbias\b.*\(3,\).*\(2,\)"),
    *rows("linear", {"x": a23, "weight": a23, "bias": ones(2, 1)}, ValueError, r"\bbias\b.*\(2, 1\)"),
    *rows(binary, {"a": ones(2, 3), "b": ones(4)}, ValueError, r"\bb has shape \(4,\).*\ba of shape \(2, 3\)"),
    *rows("where", {"condition": a23 > 0, "a": ones(2, 3), "b": ones(4)}, ValueError, r"\bb\b.*\(4,\)"),
    *rows("where", {"condition": ones(4) > 0, "a": ones(2, 3), "b": ones(3)}, ValueError, r"\bcondition\b.*\(4,\)"),
    *rows("relu_backward sigmoid_backward tanh_backward", {"grad": ones(2), "y": ones(3)}, ValueError, r"\bgrad\b"),
    *rows("softmax_backward log_softmax_backward", {"grad": ones(1, 3), "y": a23}, ValueError, r"\bgrad\b.*\by\b"),
    *rows("softmax log_softmax", {"x": ones()}, ValueError, r"\bx\b.*1 dimension"),
    *rows("cast", {"x": a23, "shape": (3, 3)}, ValueError, r"\bx\b.*\(2, 3\).*\(3, 3\)"),
    *rows("cast", {"x": a23, "out": ones()}, ValueError, r"\bx\b.*\(2, 3\).*\(\)"),
    *rows("cast", {"x": a23, "shape": (3,)}, ValueError, r"\bx\b.*\(3,\)"),
    *rows(both, {"logits": a23, "target": labels(0, 1, 2)}, ValueError, r"\btarget\b.*\b3\b.*\b2\b"),
    *rows(both, {"logits": a23, "target": labels(0, 1)[:, None]}, ValueError, r"\btarget\b"),
    *rows(both, {"logits": a23, "target": ones(2, 4)}, ValueError, r"\btarget\b.*\(2, 4\)"),
    *rows(both, {"logits": ones(3), "target": labels(0)}, ValueError, r"\blogits\b.*\(3,\)"),
    *rows(both, {"logits": a23, "target": target, "weight": ones(2)}, ValueError, r"\bweight\b.*\(2,\).*\(3,\)"),
    *rows(squared, {"prediction": ones(3, 1), "target": ones(3)}, ValueError, r"\bprediction\b.*\btarget\b"),
    *rows("accuracy", {"logits": a23, "target": labels(0)}, ValueError, r"\btarget\b.*\b1\b.*\b2\b"),
    *rows("sgd_update", {"param": ones(3), "grad": ones(4), "lr": 0.1}, ValueError, r"\bparam\b.*\bgrad\b"),
    *rows("sgd_update", {"param": ones(3), "grad": ones(1), "lr": 0.1}, ValueError, r"\bparam\b.*\bgrad\b"),
    *rows("sgd_update", {**param, "velocity": ones(3, 2), "lr": 0.1, "momentum": 0.9}, ValueError, r"\bvelocity\b"),
    *rows("sgd_update", {"param": ones(2), "grad": ones(2), "lr": 0.1, "momentum": 0.9}, ValueError, r"\bvelocity\b"),
    *rows("adam_update", {**adam, "exp_avg_sq": ones(3)}, ValueError, r"\bexp_avg_sq\b"),
    *rows("gather", {"data": ones(), "indices": target}, ValueError, r"\bdata\b"),
    *rows("gather", {"data": a23, "indices": labels(0)[:, None]}, ValueError, r"\bindices\b"),
    *rows("scatter_add", {"grad": ones(3), "indices": target, "num_rows": 9}, ValueError, r"\bgrad\b.*\b3\b.*\b2\b"),
    *rows("pick", {"x": a23, "rows": labels(0), "columns": target}, ValueError, r"\brows\b.*\bcolumns\b"),
    *rows("pick", {"x": ones(3), **places}, ValueError, r"\bx\b.*\(3,\)"),
    *rows("pick_backward", {"grad": ones(3), **places, "shape": (2, 3)}, ValueError, r"\bgrad\b.*\b3\b"),
]

EMPTY = [
    *rows("mean max min argmax argmin", {"x": ones(0)}, ValueError, r"\bx\b.*\(0,\)"),
    *rows("mean max min argmax argmin", {"x": ones(2, 0), "axis": 1}, ValueError, r"\bx\b.*\(2, 0\)"),
    *rows("softmax log_softmax", {"x": ones(2, 0)}, ValueError, r"\bx\b.*\(2, 0\)"),
    *rows(both, {"logits": ones(0, 3), "target": labels()}, ValueError, r"\blogits\b.*empty batch"),
    *rows(both, {"logits": ones(0, 3), "target": ones(0, 3)}, ValueError, r"\blogits\b.*empty batch"),
    *rows(f"{both} accuracy", {"logits": ones(2, 0), "target": target}, ValueError, r"\blogits\b.*zero classes"),
    *rows(both, {"logits": ones(2, 0), "target": ones(2, 0)}, ValueError, r"\blogits\b.*zero classes"),
    *rows(squared, {"prediction": ones(0, 1), "target": ones(0, 1)}, ValueError, r"\bprediction\b.*empty batch"),
    *rows("accuracy", {"logits": ones(0, 3), "target": labels()}, ValueError, r"\blogits\b.*empty batch"),
    *rows("one_hot", {"labels": labels(), "num_classes": 0}, ValueError, r"\bnum_classes = 0\b"),
    *rows("gather", {"data": ones(0, 3), "indices": labels(0)}, IndexError, r"\bindices\[0\] = 0\b"),
    *rows("scatter_add", {"grad": ones(1), "indices": labels(0), "num_rows": 0}, IndexError, r"\bindices\[0\] = 0\b"),
]

DTYPES = [
    *rows("matmul", {"a": i64, "b": i64, "transpose_b": True}, TypeError, r"\ba is int64\b"),
    *rows("linear", {"x": i64, "weight": i64}, TypeError, r"\bx is int64\b"),
    *rows("add subtract multiply maximum minimum", {"a": a23 > 0, "b": a23 > 0}, TypeError, r"\ba is bool\b"),
    *rows("add subtract multiply", {"a": a23.astype("int32"), "b": a23.astype("int32")}, TypeError, r"\ba is int32\b"),
    *rows("divide power", {"a": i64, "b": i64}, TypeError, r"\ba is int64\b"),
    *rows(binary, {"a": a23, "b": i64}, TypeError, r"\bb is int64\b"),
    *rows("where", {"condition": a23, "a": a23, "b": a23}, TypeError, r"\bcondition is float32\b"),
    *rows("where", {"condition": a23 > 0, "a": a23, "b": i64}, TypeError, r"\bfloat32\b.*\bint64\b"),
    *rows("exp log sqrt relu sigmoid tanh gelu softmax log_softmax mean", {"x": i64}, TypeError, r"\bx is int64\b"),
    *rows("negative abs sign max min argmax argmin", {"x": a23.astype("uint8")}, TypeError, r"\bx is uint8\b"),
    *rows("sum", {"x": a23.astype("int32")}, TypeError, r"\bx is int32\b"),
    *rows(f"{both} accuracy", {"logits": i64, "target": target}, TypeError, r"\blogits is int64\b"),
    *rows(both, {"logits": a23, "target": target, "weight": np.ones(3)}, TypeError, r"\bweight is float64\b"),
    *rows(squared, {"prediction": i64, "target": i64}, TypeError, r"\bprediction is int64\b"),
    *rows("sgd_update", {"param": i64, "grad": i64, "lr": 1}, TypeError, r"\bparam is int64\b"),
    *rows("gather", {"data": a23, "indices": target, "dtype": "float64"}, TypeError, r"\bdata is float32\b.*float64"),
    *rows("gather", {"data": i64, "indices": target, "divisor": 2.0}, TypeError, r"\bdivisor = 2\b.*int64"),
    *rows("scatter_add", {"grad": i64, "indices": target, "num_rows": 2}, TypeError, r"\bgrad is int64\b"),
    *rows("pick_backward", {"grad": labels(1, 1), **places, "shape": (2, 2)}, TypeError, r"\bgrad is int64\b"),
    *rows("one_hot", {"labels": target, "num_classes": 2, "dtype": "uint8"}, TypeError, r"\bdtype = uint8\b"),
    *rows("uniform normal", {"shape": (2,), "seed": 1, "dtype": "int64"}, TypeError, r"\bdtype = int64\b"),
    *rows("cast", {"x": a23, "dtype": "float16"}, TypeError, r"\bdtype\b.*float16"),
    *rows("cast", {"x": a23, "dtype": "float33"}, TypeError, r"\bdtype\b.*float33"),
    *rows("dropout", {"x": i64, "p": 0.5, "seed": 1}, TypeError, r"\bx is int64\b"),
]


def not_finite(kernel: str, arguments: dict[str, Any], *names: str) -> list[Any]:
    bad = [(name, value) for name in names for value in (nan, inf, -inf)]
    return [row for name, v in bad for row in rows(kernel, {**arguments, name: v}, ValueError, rf"\b{name} = {v}")]


def beyond_float32(kernel: str, arguments: dict[str, Any], *names: str) -> list[Any]:
    """Finite as Python's floats are, not in the dtype that computes."""
    words = r" = 1e\+39 must be finite in float32"
    return [row for name in names for row in rows(kernel, {**arguments, name: 1e39}, ValueError, rf"\b{name}{words}")]


sgd = {"param": ones(2), "grad": ones(2), "velocity": ones(2), "lr": 0.1, "momentum": 0.5}
drawn = {"shape": (2,), "seed": 1}

VALUES = [
    *not_finite("sgd_update", sgd, "lr", "momentum", "dampening", "weight_decay"),
    *not_finite("adam_update", adam, "lr", "correction1", "correction2", "beta1", "beta2", "eps", "weight_decay"),
    *not_finite("matmul", {"a": a23, "b": a34}, "alpha", "beta"),
    *not_finite("uniform", drawn, "low", "high"),
    *not_finite("normal", drawn, "mean", "std"),
    *not_finite("dropout", {"x": a23, "seed": 1}, "p"),
    *not_finite("gather", {"data": a23, "indices": target}, "divisor"),
    *not_finite(both.split()[0], {"logits": a23, "target": target}, "label_smoothing"),
    *beyond_float32("sgd_update", sgd, "lr", "momentum", "dampening", "weight_decay"),
    *beyond_float32("adam_update", adam, "lr", "eps", "weight_decay"),
    *beyond_float32("matmul", {"a": a23, "b": a34}, "alpha"),
    *beyond_float32("matmul", {"a": a23, "b": a34, "out": ones(2, 4)}, "beta"),
    *beyond_float32("uniform", drawn, "low", "high"),
    *beyond_float32("normal", drawn, "mean", "std"),
    *beyond_float32("gather", {"data": a23, "indices": target}, "divisor"),
    *rows("gather", {"data": a23, "indices": target, "divisor": 1e-50}, ValueError, r"\bdivisor = 1e-50\b.*float32"),
    *rows("uniform", {**drawn, "low": -3e38, "high": 3e38}, ValueError, r"\bhigh - low = 6e\+38 .*float32"),
    *rows("uniform", {**drawn, "low": 1.0, "high": 0.5}, ValueError, r"\blow = 1 .*\bhigh = 0.5"),
    *rows("normal", {**drawn, "std": -0.5}, ValueError, r"\bstd = -0.5 .*at least 0"),
    *rows("adam_update", {**adam, "lr": 1e38, "correction1": 1e-3}, ValueError, r"\blr / correction1 = 1e\+41 "),
    *rows("adam_update", {**adam, "correction2": 1e-80}, ValueError, r"\b1 / sqrt\(correction2\) = 1e\+40 "),
    *rows("sgd_update", {**sgd, "momentum": -0.1}, ValueError, r"\bmomentum = -0.1\b"),
    *rows("sgd_update", {**sgd, "weight_decay": -1.0}, ValueError, r"\bweight_decay = -1\b"),
    *rows("adam_update", {**adam, "beta1": 1.0}, ValueError, r"\bbeta1 = 1\b"),
    *rows("adam_update", {**adam, "correction2": 0.0}, ValueError, r"\bcorrection2 = 0\b"),
    *rows("dropout", {"x": a23, "seed": 1, "p": 1.5}, ValueError, r"\bp = 1.5\b"),
    *rows("gather", {"data": a23, "indices": target, "divisor": 0.0}, ValueError, r"\bdivisor = 0\b"),
    *rows(both, {"logits": a23, "target": target, "label_smoothing": 1.1}, ValueError, r"\blabel_smoothing = 1.1\b"),
    *rows(both, {"logits": a23, "target": target, "reduction": "avg"}, ValueError, r"\breduction = 'avg'.*'mean'"),
    *rows(squared, {"prediction": a23, "target": a23, "reduction": ""}, ValueError, r"\breduction = ''.*'mean'"),
    *rows("linear", {"x": a23, "weight": a23, "activation": "swish"}, ValueError, r"\bactivation = 'swish'.*'relu'"),
    *rows(
        "sum mean max min argmax argmin softmax log_softmax",
        {"x": a23, "axis": 2},
        ValueError,
        r"\baxis = 2\b.*\(2, 3\)",
    ),
    *rows(along_axis, {"x": a23, "axis": -3}, ValueError, r"\baxis = -3\b"),
    *rows(
        "softmax_backward log_softmax_backward",
        {"grad": a23, "y": a23, "axis": 2},
        ValueError,
        r"\baxis = 2\b.*\by has shape \(2, 3\)",
    ),
    *rows("sum mean max min", {"x": a23, "axis": (0, -2)}, ValueError, r"\baxis = -2\b.*twice"),
    *rows("sum mean argmax", {"x": a23, "axis": "0"}, TypeError, r"\baxis\b"),
    *rows("sum mean argmax", {"x": a23, "axis": 1.5}, TypeError, r"\baxis\b"),
    *rows("gather", {"data": target, "indices": target, "dtype": "float32"}, TypeError, r"\bdata is int64\b"),
    *rows(
        "gather", {"data": a23.astype(np.uint8), "indices": target, "dtype": "int64"}, TypeError, r"\bdata is uint8\b"
    ),
    *rows("gather", {"data": a23.astype(np.float16), "indices": target, "dtype": "float16"}, TypeError, r"\bfloat16\b"),
    *rows(
        "gather", {"data": ones(9, 3), "indices": target, "out": np.ones((2, 3), "e")}, TypeError, r"\bout\b.*float16"
    ),
    *rows("relu sum cast argmax", {"x": a23.astype(np.float16)}, TypeError, r"\bx has dtype float16\b"),
    *rows("one_hot", {"labels": target, "num_classes": -1}, ValueError, r"\bnum_classes = -1\b"),
    *rows("scatter_add", {"grad": ones(2), "indices": target, "num_rows": -1}, ValueError, r"\bnum_rows = -1\b"),
    *rows("pick_backward", {"grad": ones(2), **places, "shape": (2, -1)}, ValueError, r"\bshape\b.*-1"),
    *rows("uniform normal", {"shape": (2, -1), "seed": 1}, ValueError, r"\bshape\b.*-1"),
    *rows("cast", {"x": ones(), "shape": (-1,)}, ValueError, r"\bshape\b.*-1"),
    *rows("uniform normal", {"shape": (1,) * 9, "seed": 1}, ValueError, r"\bshape\b.*\b9 dimensions"),
    *rows("permutation", {"n": -1, "seed": 1}, ValueError, r"\bn = -1\b"),
    *rows("uniform normal", {**drawn, "step": 2**44}, ValueError, r"\bstep\b.*2\*\*44 - 1"),
    *rows("uniform normal", {**drawn, "purpose": 256}, ValueError, r"\bpurpose = 256\b.*at most 255"),
    *rows("dropout", {"x": a23, "p": 0.5, "seed": 1, "purpose": 256}, ValueError, r"\bpurpose = 256\b"),
    *rows("permutation", {"n": 3, "seed": 1, "epoch": 2**44}, ValueError, r"\bepoch = 17592186044416\b"),
    *rows("add", {"a": ones(*(1,) * 9), "b": ones(1)}, ValueError, r"\ba\b.*\b9 dimensions"),
    *rows("add", {"a": a23, "b": a23, "num_threads": 0}, ValueError, r"\bnum_threads = 0\b"),
    *rows("matmul", {"a": a23, "b": a34, "num_threads": -1}, ValueError, r"\bnum_threads = -1\b"),
]


@pytest.mark.parametrize(("kernel", "arguments", "error", "words"), SHAPES + EMPTY + DTYPES + VALUES)
def test_bad_argument_is_refused(kernel: str, arguments: dict[str, Any], error: Any, words: str) -> None:
    refused(kernel, arguments, error, words)


@pytest.mark.parametrize("case", [case for case in CASES if case.seeded().arrays], ids=str)
def test_operand_that_is_no_array_is_refused(case: Case) -> None:
    call = case.seeded()
    for name in call.arrays:
        for value in ([1.0], 1.0, "text"):
            refused(case.kernel, {**call.arrays, **call.scalars, name: value}, TypeError, rf"\b{name}\b")


def scalars_of_another_type() -> list[Any]:
    """Each scalar of each kernel, as text or a fraction where a number is due, a number where text is."""
    wrong: dict[Any, Any] = {int: 1.5, float: "1", str: 1, int | None: 1.5, tuple[int, ...]: 1.5, tuple[int, int]: 1.5}
    rows = []
    for case in {case.kernel: case for case in CASES}.values():
        for name, p in inspect.signature(getattr(reference, case.kernel)).parameters.items():
            if p.annotation in wrong:
                rows.append(pytest.param(case, name, wrong[p.annotation], id=f"{case.kernel}-{name}"))
    return rows


@pytest.mark.parametrize(("case", "name", "value"), scalars_of_another_type())
def test_scalar_of_another_type_is_refused(case: Case, name: str, value: Any) -> None:
    """By the signature, whose error names the kernel and shows its parameters; a fraction of a step by the kernel."""
    call = case.seeded()
    with pytest.raises(ValueError if name == "step" else TypeError, match=rf"(?s){case.kernel}\b.*\b{name}\b"):
        getattr(kernels, case.kernel)(**call.arrays, **{**call.scalars, name: value})


# ---- sizes ----------------------------------------------------------------------------------------------------


def huge(*shape: int, dtype: str = "float32") -> Array:
    """An array that takes no memory; what is made of it would."""
    return np.broadcast_to(np.zeros((), dtype), shape)


tall, wide, vast = huge(2**40, 1), huge(1, 2**40), huge(2**30, 2**28)
many = huge(2**60, dtype="uint8")
sizes = [
    ("matmul", {"a": tall, "b": wide}),
    ("matmul", {"a": huge(2**28, 1), "b": huge(1, 2**30)}),
    ("matmul", {"a": huge(200, 2**53), "b": huge(2**53, 255)}),
    ("linear", {"x": tall, "weight": tall}),
    *[(k, {"a": tall, "b": wide}) for k in binary.split()],
    *[(k, {"a": vast, "b": vast}) for k in binary.split()],
    *[
        (k, {"x": vast})
        for k in ["negative", "exp", "relu", "sum", "mean", "max", "argmax", "softmax", "log_softmax", "cast"]
    ],
    *[(k, {"x": vast, "axis": 0}) for k in ["sum", "mean", "max", "argmin", "softmax"]],
    ("cast", {"x": ones(), "shape": (2**40, 2**40)}),
    ("cast", {"x": ones(), "shape": (2**30, 2**30)}),
    ("softmax_backward", {"grad": vast, "y": vast}),
    *[(k, {"logits": huge(2**60, 1), "target": huge(2**60, dtype="int8")}) for k in [*both.split(), "accuracy"]],
    *[(k, {"logits": vast, "target": vast}) for k in both.split()],
    *[(k, {"prediction": vast, "target": vast}) for k in squared.split()],
    ("sgd_update", {"param": ones(2), "grad": ones(2), "lr": 0.1, "num_threads": 2**20}),
    ("gather", {"data": ones(2, 2), "indices": many}),
    ("gather", {"data": vast, "indices": labels(0)}),
    ("gather", {"data": huge(2, 2**40), "indices": np.zeros(2**20, "int64")}),
    ("scatter_add", {"grad": huge(2**60), "indices": many, "num_rows": 2}),
    ("scatter_add", {"grad": ones(1), "indices": labels(0), "num_rows": 2**62}),
    ("scatter_add", {"grad": ones(1, 4), "indices": labels(0), "num_rows": 2**61}),
    ("pick", {"x": a23, "rows": many, "columns": many}),
    ("pick_backward", {"grad": ones(2), **places, "shape": (2**40, 2**40)}),
    ("pick_backward", {"grad": ones(2), **places, "shape": (2**30, 2**30)}),
    ("one_hot", {"labels": target, "num_classes": 2**62}),
    ("one_hot", {"labels": target, "num_classes": 2**58}),
    ("one_hot", {"labels": many, "num_classes": 3}),
    *[(k, {"shape": shape, "seed": 1}) for k in ("uniform", "normal") for shape in [(2**40, 2**40), (2**60,)]],
    ("dropout", {"x": vast, "p": 0.5, "seed": 1}),
    ("permutation", {"n": 2**61, "seed": 1}),
    ("permutation", {"n": 2**58, "seed": 1}),
]


@pytest.mark.parametrize(("kernel", "arguments"), sizes, ids=[f"{i}-{k}" for i, (k, _) in enumerate(sizes)])
def test_size_beyond_memory_is_an_error(kernel: str, arguments: dict[str, Any]) -> None:
    """A size that overflows is a ValueError of the kernel; one that merely cannot be had is a MemoryError."""
    with pytest.raises((ValueError, MemoryError)) as error:
        getattr(kernels, kernel)(**arguments)
    operation = kernel.removesuffix("_with_grad")
    assert error.type is MemoryError or str(error.value).startswith((f"[{operation}]", f"[{operation}_with_grad]"))
