"""Facts about the differentiable functions: one table for gradients, and values against NumPy."""

import numpy as np
import pytest

from fastnn import functional as F
from fastnn import random
from fastnn.autograd import no_grad
from fastnn.dispatch import Slot
from fastnn.testing import check_gradients

RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape)


def positive(*shape):
    return RNG.uniform(0.5, 2.0, size=shape)


def apart(*shape):
    """Numbers no two of which are nearer than a central difference reaches, none near 0."""
    count = int(np.prod(shape))
    return (RNG.permutation(count) - count / 2 + 0.25).reshape(shape)


LABELS = np.array([2, 0, 1, 2])
ROWS = np.array([0, 2, 2, 1])

# Name: function and operands. Gradients are checked with respect to every floating-point operand.
GRADIENTS = {
    "add": (lambda a, b: a + b, normal(2, 3), normal(3)),
    "add, number": (lambda a: 2.5 + a, normal(2, 3)),
    "subtract": (lambda a, b: a - b, normal(2, 1), normal(2, 3)),
    "subtract, number": (lambda a: 1 - a, normal(3)),
    "multiply": (lambda a, b: a * b, normal(2, 3), normal(2, 3)),
    "multiply, itself": (lambda a: a * a, normal(3)),
    "divide": (lambda a, b: a / b, normal(2, 3), positive(3)),
    "divide, number": (lambda a: 1 / a, positive(3)),
    "power, square": (lambda a: a**2, normal(3)),
    "power, cube": (lambda a: a**3, positive(3)),
    "power, root": (lambda a: a**0.5, positive(3)),
    "power, both": (lambda a, b: a**b, positive(2, 3), normal(3)),
    "power, exponent": (lambda b: 2.0**b, normal(3)),
    "maximum": (F.maximum, apart(3, 4), apart(3, 4) + 0.4),
    "minimum": (F.minimum, apart(3, 4), apart(4) + 0.4),
    "where": (lambda a, b: F.where(a > b, a * 2, b), apart(3, 4), apart(4) + 0.4),
    "negative": (lambda a: -a, normal(3)),
    "abs": (abs, apart(5)),
    "sqrt": (F.sqrt, positive(5)),
    "exp": (F.exp, normal(5)),
    "log": (F.log, positive(5)),
    "clamp": (lambda a: a.clamp(-1.1, 1.1), apart(6)),
    "cast": (lambda a: F.cast(F.cast(a, "float64") * 2, "float64"), normal(3)),
    "relu": (F.relu, apart(6)),
    "sigmoid": (F.sigmoid, normal(6)),
    "tanh": (F.tanh, normal(6)),
    "gelu": (F.gelu, normal(6)),
    "softmax": (F.softmax, normal(3, 4)),
    "softmax, first axis": (lambda a: F.softmax(a, 0), normal(3, 4)),
    "log_softmax": (F.log_softmax, normal(3, 4)),
    "log_softmax, first axis": (lambda a: a.log_softmax(axis=0), normal(3, 4)),
    "sum": (F.sum, normal(2, 3)),
    "sum, axis": (lambda a: a.sum(1), normal(2, 3)),
    "sum, axes kept": (lambda a: a.sum((0, -1), keepdims=True), normal(2, 3, 4)),
    "mean": (F.mean, normal(2, 3)),
    "mean, axis": (lambda a: a.mean(axis=0), normal(2, 3)),
    "mean, axes kept": (lambda a: a.mean(dim=[1, 2], keepdim=True), normal(2, 3, 4)),
    "norm": (F.norm, normal(2, 3)),
    "norm, axis kept": (lambda a: a.norm(dim=1, keepdim=True), normal(2, 3)),
    "cumsum": (lambda a: a.cumsum(0).exp(), normal(5, 2)),
    "max": (lambda a: a.max(), apart(2, 3)),
    "max, axis": (lambda a: a.max(1).values, apart(2, 3)),
    "min": (lambda a: a.min(), apart(2, 3)),
    "min, axis kept": (lambda a: F.amin(a, (0, 2), keepdim=True), apart(2, 3, 2)),
    "matmul": (F.matmul, normal(2, 3), normal(3, 4)),
    "matmul, transposed": (lambda a, b: a.T @ b.T, normal(3, 2), normal(4, 3)),
    "matmul, vectors": (lambda a, b: a @ b, normal(3), normal(3)),
    "matmul, matrix and vector": (lambda a, b: a @ b, normal(2, 3), normal(3)),
    "matmul, vector and matrix": (lambda a, b: a @ b, normal(3), normal(3, 2)),
    "dot": (F.dot, normal(3), normal(3)),
    "mv": (F.mv, normal(2, 3), normal(3)),
    "mm": (F.mm, normal(2, 3), normal(3, 4)),
    "linear": (F.linear, normal(4, 3), normal(2, 3), normal(2)),
    "linear, no bias": (F.linear, normal(4, 3), normal(2, 3)),
    "linear, more axes": (F.linear, normal(2, 4, 3), normal(2, 3), normal(2)),
    "reshape": (lambda a: a.reshape(3, 2) * a.reshape(-1, 2), normal(2, 3)),
    "reshape, not contiguous": (lambda a: a.T.reshape(-1) * 2, normal(2, 3)),
    "transpose": (lambda a: a.transpose(0, 2) * 2, normal(2, 3, 4)),
    "T": (lambda a: a.T * a.T, normal(2, 3)),
    "flatten": (lambda a: a.flatten(1).exp(), normal(2, 3, 2)),
    "unsqueeze and squeeze": (lambda a: a.unsqueeze(1).exp().squeeze(1), normal(2, 3)),
    "clone": (lambda a: a.clone() * a, normal(3)),
    "cat": (lambda a, b: F.cat((a, b, a), 1).exp(), normal(2, 3), normal(2, 1)),
    "stack": (lambda a, b: F.stack([a, b], 1).exp(), normal(2, 3), normal(2, 3)),
    "slice": (lambda a: a[1:, ::2].exp(), normal(3, 4)),
    "slice, one row": (lambda a: a[-1] * a[0], normal(3, 4)),
    "slice, one element": (lambda a: a[1, 2] * a, normal(3, 4)),
    "gather": (lambda a: a[ROWS].exp(), normal(3, 2)),
    "gather, table of rows": (lambda a: a[ROWS.reshape(2, 2)].exp(), normal(3, 2)),
    "pick": (lambda a: a[range(4), LABELS].exp(), normal(4, 3)),
    "pick, element twice": (lambda a: a[[0, 0], [1, 1]] * 2, normal(2, 2)),
    "mask": (lambda a: a[F.tensor([[True, False], [True, True]])].exp(), normal(2, 2)),
    "dropout": (lambda a: F.dropout(a, 0.3), normal(4, 5)),
    "mse_loss": (F.mse_loss, normal(4, 2), normal(4, 2)),
    "mse_loss, half": (lambda a, b: F.mse_loss(a, b, half=True), normal(4), normal(4)),
    "mse_loss, sum": (lambda a, b: F.mse_loss(a, b, reduction="sum") * 3, normal(4), normal(4)),
    "mse_loss, none": (lambda a, b: F.mse_loss(a, b, reduction="none"), normal(4, 1), normal(4, 1)),
    "cross_entropy": (lambda a: F.cross_entropy(a, F.tensor(LABELS)), normal(4, 3)),
    "cross_entropy, none": (lambda a: F.cross_entropy(a, F.tensor(LABELS), reduction="none"), normal(4, 3)),
    "cross_entropy, scaled": (lambda a: 2 * F.cross_entropy(a, F.tensor(LABELS), reduction="sum"), normal(4, 3)),
    "cross_entropy, weight": (
        lambda a: F.cross_entropy(
            a, F.tensor(LABELS), weight=F.tensor(np.array([0.2, 0.3, 0.5])), ignore_index=1, label_smoothing=0.1
        ),
        normal(4, 3),
    ),
    "softmax regression as written in the book": (
        lambda X, W, b: -(F.log(_softmax(F.matmul(X.reshape((-1, W.shape[0])), W) + b)[range(4), LABELS])).mean(),
        normal(4, 1, 2, 3),
        normal(6, 3),
        normal(3),
    ),
}


def _softmax(X):
    return F.exp(X) / F.exp(X).sum(1, keepdims=True)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_agrees_with_differences(name):
    function, *operands = GRADIENTS[name]
    check_gradients(function, *operands)


@pytest.mark.parametrize("name", GRADIENTS)
def test_float32_stays_float32(name):
    function, *operands = GRADIENTS[name]
    if name in ("cast", "cross_entropy, weight"):
        pytest.skip("names float64 itself")
    leaves = [F.tensor(operand.astype(np.float32), requires_grad=True) for operand in operands]
    y = function(*leaves)
    y.sum().backward()
    assert {y.dtype, *(leaf.grad.dtype for leaf in leaves)} == {np.dtype("float32")}


def test_gradient_of_a_cast_comes_back_in_the_old_dtype():
    x = F.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * np.array([3.0, 4.0])).sum().backward()
    assert x.grad.dtype == "float32"
    assert x.grad.tolist() == [3.0, 4.0]
    w = F.tensor([1.0], requires_grad=True)
    (w * F.tensor(np.array([2.0, 3.0]))).sum().backward()
    assert (w.grad.dtype, w.grad.tolist()) == (np.float32, [5.0])


# ---- where a function has a kink ------------------------------------------------------------------------------


def test_equal_elements_share_the_gradient_of_a_maximum():
    for function in (F.maximum, F.max, F.minimum, F.min):
        a, b = F.tensor([1.0, 0.0], requires_grad=True), F.tensor([1.0, 0.0], requires_grad=True)
        function(a, b).sum().backward()
        assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5]
    x = F.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    x.max(1).values.sum().backward()
    np.testing.assert_array_equal(np.asarray(x.grad), np.array([[0, 0.5, 0.5], [1, 1, 1] / np.float32(3)], np.float32))
    y = F.tensor([3.0, 3.0, 1.0], requires_grad=True)
    y.max().backward()
    assert y.grad.tolist() == [0.5, 0.5, 0.0]


def test_gradients_at_kinks():
    x = F.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    for function, expected in [
        (F.relu, [0, 0, 1]),
        (F.abs, [-1, 0, 1]),
        (lambda x: x.clamp(0, 1), [0, 1, 1]),
        (lambda x: F.maximum(x, F.zeros_like(x)), [0, 0.5, 1]),
    ]:
        x.grad = None
        function(x).sum().backward()
        assert x.grad.tolist() == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_power_that_does_not_change_has_gradient_zero(dtype):
    values = np.array([0.0, 2.0, np.inf, -1.5], dtype)
    for function in (lambda x: x**0, lambda x: x ** F.zeros_like(x), lambda x: x**0.0):
        x = F.tensor(values, requires_grad=True)
        function(x).sum().backward()
        assert x.grad.tolist() == [0.0] * 4
    b = F.tensor(np.array([0.0, 0.5, 3.0], dtype), requires_grad=True)
    (F.zeros(3, dtype=dtype) ** b).sum().backward()
    assert b.grad.tolist() == [0.0] * 3
    b = F.tensor(np.array([-1.0], dtype), requires_grad=True)
    (F.zeros(1, dtype=dtype) ** b).sum().backward()
    assert b.grad.tolist() == [-np.inf]


def test_gradients_of_other_powers_keep_their_bits():
    a, b, g = positive(50).astype(np.float32), normal(50).astype(np.float32), normal(50).astype(np.float32)
    x, y = F.tensor(a, requires_grad=True), F.tensor(b, requires_grad=True)
    power = x**y
    power.backward(F.tensor(g))
    p, q, r = F.tensor(a), F.tensor(b), F.tensor(g)
    np.testing.assert_array_equal(x.grad, r * q * p ** (q - 1))
    np.testing.assert_array_equal(y.grad, r * power.detach() * p.log())


# ---- values ---------------------------------------------------------------------------------------------------


def test_max_along_an_axis_gives_values_and_indices():
    x = F.tensor([[1.0, 5.0, 5.0], [7.0, 2.0, 3.0]])
    values, indices = F.max(x, 1)
    assert (values.tolist(), indices.tolist()) == ([5.0, 7.0], [1, 0])
    assert x.max(axis=0, keepdims=True).values.shape == (1, 3)
    assert x.min(dim=1).indices.tolist() == [0, 1]
    assert (x.max().item(), x.min().item()) == (7.0, 1.0)
    assert x.argmax().item() == 3
    assert x.argmin(axis=1, keepdims=True).shape == (2, 1)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_small_integers_compute_as_int64(dtype):
    array = np.array([[1, 0], [3, 1]], dtype)
    x, wide = F.tensor(array), F.tensor(array.astype(np.int64))
    for function in (
        F.max, F.min, F.amax, F.amin, F.argmax, F.argmin, F.abs, F.negative, F.sign,
        lambda x: x.max(1).values, lambda x: x.argmax(1), lambda x: x.clamp(1, 2), lambda x: x.clamp(-1, 300),
    ):  # fmt: skip
        assert (function(x).dtype, function(x).tolist()) == (np.int64, function(wide).tolist())


def test_axes_are_integers_of_any_kind():
    x = F.tensor(normal(2, 3), requires_grad=True)
    for axis in (np.int64(0), (np.int32(-1), 0), [np.uint8(1)]):
        for function in (F.sum, F.mean, F.amax):
            function(x, axis).sum().backward()
    for function in (F.sum, F.mean, F.amax, F.amin):
        with pytest.raises(TypeError, match=rf"\[{function.__name__}\] dim = 0.5 must be an integer"):
            function(x, 0.5)


def test_clamp_takes_numbers_by_the_rules_of_arithmetic():
    x = F.tensor([0, 1, 9])
    assert (x.clamp(min=0.5).dtype, x.clamp(0.5, 2).tolist()) == (np.float32, [0.5, 1.0, 2.0])
    assert (x.clamp(1, 2).dtype, x.clamp(max=2).tolist()) == (np.int64, [0, 1, 2])
    assert x.double().clamp(0.1).tolist() == [0.1, 1.0, 9.0]
    with pytest.raises(TypeError, match=r"\[clamp\] min is a Tensor, not a number: use fastnn.maximum\(x, min\)"):
        x.clamp(min=F.tensor(1.0))
    with pytest.raises(TypeError, match=r"\[clamp\] max is a ndarray, not a number: use fastnn.minimum\(x, max\)"):
        x.clamp(max=np.ones(3))


@pytest.mark.parametrize("name", ["clamp", "cast", "negative", "abs", "sign", "amax", "argmax", "sum", "relu"])
def test_functions_take_tensors(name):
    options = {"clamp": {"min": 0}, "cast": {"dtype": "float64"}}.get(name, {})
    with pytest.raises(TypeError, match=rf"\[{name}\] takes Tensors, not ndarray: use fastnn.tensor"):
        getattr(F, name)(normal(2), **options)


def test_dim_and_axis_are_the_same():
    x = F.tensor(normal(2, 3))
    for name in ("sum", "mean", "amax", "argmax", "argmin"):
        function = getattr(x, name)
        assert function(1, True).tolist() == function(dim=1, keepdim=True).tolist()
        assert function(1, True).tolist() == function(axis=1, keepdims=True).tolist()


def test_sums_of_integers_are_int64():
    for dtype in ("bool", "uint8", "int32", "int64"):
        total = F.ones(300, dtype=dtype).sum()
        assert (total.dtype, total.item()) == (np.int64, 300)
    assert F.tensor([True, False]).sum(dtype="float32").dtype == np.float32


def test_mean_of_integers_is_an_error():
    with pytest.raises(TypeError, match=r"\[mean\] x is int64: .* use x.float\(\)"):
        F.tensor([1, 2]).mean()


def test_functions_of_integers_are_float32():
    x = F.tensor([1, 4])
    for function in (F.exp, F.log, F.sqrt, F.relu, F.sigmoid, F.tanh, F.gelu):
        assert function(x).dtype == np.float32
    assert F.softmax(F.tensor([[1, 2]])).dtype == np.float32


def test_matmul_is_that_of_numpy():
    for a, b in [((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2))]:
        x, y = normal(*a), normal(*b)
        product = np.asarray(F.matmul(F.tensor(x), F.tensor(y)))
        np.testing.assert_allclose(product, x @ y, rtol=1e-14, atol=4 * 3 * 2**-53 * 10)
    with pytest.raises(ValueError, match=r"\[matmul\] a is \(2, 2, 2\) and b is \(2,\)"):
        F.matmul(F.zeros(2, 2, 2), F.zeros(2))


@pytest.mark.parametrize(("function", "ranks"), [(F.dot, (1, 1)), (F.mv, (2, 1)), (F.mm, (2, 2))])
def test_dot_mv_and_mm_are_matmul_of_given_ranks(function, ranks):
    operands = [F.tensor(normal(*[3] * rank)) for rank in ranks]
    assert function(*operands).tolist() == F.matmul(*operands).tolist()
    with pytest.raises(
        ValueError, match=rf"\[{function.__name__}\] a is \(3, 3, 3\) .* needs \({ranks[0]}, {ranks[1]}\)"
    ):
        function(F.zeros(3, 3, 3), operands[1])


def test_norm_is_that_of_numpy():
    x = normal(3, 4)
    # Each of n squares, additions and the root rounds once.
    np.testing.assert_allclose(F.norm(F.tensor(x)).item(), np.linalg.norm(x), rtol=(12 + 2) * 2**-53)
    np.testing.assert_allclose(F.tensor(x).norm(dim=0), np.linalg.norm(x, axis=0), rtol=(3 + 2) * 2**-53)
    assert F.norm(F.tensor([3, -4]), "fro").item() == 5.0
    with pytest.raises(ValueError, match=r"\[norm\] p = 1 must be 2: for 1 use abs\(x\)\.sum\(\)"):
        F.norm(F.tensor(x), 1)


def test_gradient_of_the_norm_of_nothing_is_zero():
    x = F.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    x.norm(dim=1).sum().backward()
    np.testing.assert_allclose(x.grad, [[0, 0], [0.6, 0.8]], rtol=2 * 2**-24)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 17])
def test_cumsum_is_that_of_numpy(n):
    whole, real = RNG.integers(-9, 9, (n, 2)), normal(n, 2)
    assert np.array_equal(F.cumsum(F.tensor(whole), 0), whole.cumsum(0))
    assert F.cumsum(F.tensor(whole % 2 == 0), 1).dtype == "int64"
    # Another order of at most n additions.
    np.testing.assert_allclose(F.tensor(real).cumsum(axis=0), real.cumsum(0), atol=2 * n * 2**-53 * abs(real).sum())


def test_cumsum_needs_an_axis_and_leaves_its_operand_alone():
    x = F.ones(1)
    y = x.cumsum(0)
    y += 1
    assert x.tolist() == [1.0]
    with pytest.raises(IndexError, match=r"\[cumsum\] dim = 1 is not an axis of shape \(1,\)"):
        x.cumsum(1)
    with pytest.raises(TypeError, match=r"\[cumsum\] dim is missing"):
        x.cumsum()


def test_losses_without_gradient_equal_those_with():
    logits, labels = F.tensor(normal(4, 3), requires_grad=True), F.tensor(LABELS)
    prediction, target = F.tensor(normal(4, 1), requires_grad=True), F.tensor(normal(4, 1))
    for reduction in ("mean", "sum", "none"):
        entropy = F.cross_entropy(logits, labels, reduction=reduction)
        error = F.mse_loss(prediction, target, reduction=reduction)
        with no_grad():
            assert F.cross_entropy(logits, labels, reduction=reduction).tolist() == entropy.tolist()
            assert F.mse_loss(prediction, target, reduction=reduction).tolist() == error.tolist()


def test_mse_of_a_row_against_a_column_names_both_shapes():
    for requires_grad in (False, True):
        prediction = F.zeros(5, 1, requires_grad=requires_grad)
        with pytest.raises(ValueError, match=r"\[mse_loss\].*\(5, 1\).*\(5,\)"):
            F.mse_loss(prediction, F.zeros(5))


def test_a_label_outside_the_classes_is_named():
    for requires_grad in (False, True):
        logits = F.zeros(2, 3, requires_grad=requires_grad)
        with pytest.raises(ValueError, match=r"\[cross_entropy\] target\[1\] = 3 is not a class index"):
            F.cross_entropy(logits, F.tensor([0, 3]))


def test_cross_entropy_gives_targets_no_gradient():
    with pytest.raises(ValueError, match=r"\[cross_entropy\] target requires a gradient"):
        F.cross_entropy(F.zeros(2, 3), F.ones(2, 3, requires_grad=True))


def test_cross_entropy_of_the_book():
    p = F.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
    y = F.tensor([0, 2])
    # float32: two logarithms within 2 ULP each, and a mean.
    assert abs(F.cross_entropy(p.log(), y).item() - 1.4978661) < 1e-6
    assert abs(-F.log(p[[0, 1], y]).mean().item() - 1.4978661) < 1e-6


def test_accuracy_and_one_hot():
    logits = F.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert F.accuracy(logits, F.tensor([1, 1, 1])).item() == np.float32(2) / np.float32(3)
    assert F.one_hot(F.tensor([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]


# ---- random ---------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_expected_share_and_scale():
    random.manual_seed(3)
    n, p = 100_000, 0.3
    y = np.asarray(F.dropout(F.ones(n), p))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / (1 - p))}
    share = (y == 0).mean()
    assert abs(share - p) < 6 * (p * (1 - p) / n) ** 0.5


def test_dropout_of_nothing_and_of_everything():
    x = F.ones(5)
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 1.0).tolist() == [0.0] * 5
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"\[dropout\] p = .* must be in \[0, 1\]"):
            F.dropout(x, p)


def test_dropout_uses_its_mask_in_backward_also_after_the_step_moved_on():
    x = F.ones(100, requires_grad=True)
    y = F.dropout(x, 0.5)
    random.begin_step()
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_dropout_as_the_book_writes_it():
    random.manual_seed(0)
    X, dropout = F.ones(1000), 0.5
    mask = (F.rand(X.shape) > dropout).float()
    y = mask * X / (1.0 - dropout)
    assert set(y.tolist()) == {0.0, 2.0}


def test_random_tensors_follow_the_seed():
    random.manual_seed(5)
    first = [F.rand(4).tolist(), F.randn(4).tolist(), F.normal(0, 0.01, (4,)).tolist()]
    random.manual_seed(5)
    assert [F.rand(4).tolist(), F.randn(4).tolist(), F.normal(0, 0.01, (4,)).tolist()] == first
    assert F.rand(4).tolist() != first[0]
    with pytest.raises(ValueError, match=r"\[normal\] std = -1"):
        F.normal(0, -1, (2,))


# ---- clipping -------------------------------------------------------------------------------------------------


def clip(gradients, max_norm):
    parameters = [F.zeros(len(g), requires_grad=True) for g in gradients]
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = F.tensor(g)
    norm = F.clip_grad_norm_(parameters, max_norm)
    return norm.item(), [parameter.grad.tolist() for parameter in parameters]


def test_clipping_scales_all_gradients_together():
    norm, gradients = clip([[3.0], [0.0, 4.0]], 1.0)
    assert norm == 5.0
    flat = np.concatenate(gradients)
    np.testing.assert_allclose(flat, [0.6, 0.0, 0.8], rtol=1e-6)  # 1e-6 stands beside the norm, and float32 rounds
    assert np.linalg.norm(flat) <= 1.0


def test_clipping_leaves_small_gradients_alone():
    assert clip([[3.0], [0.0, 4.0]], 10.0) == (5.0, [[3.0], [0.0, 4.0]])


def test_clipping_needs_a_gradient_and_a_norm():
    with pytest.raises(ValueError, match=r"\[clip_grad_norm_\] no parameter has a gradient"):
        F.clip_grad_norm_([F.zeros(1, requires_grad=True)], 1.0)
    with pytest.raises(ValueError, match=r"\[clip_grad_norm_\] max_norm = 0 must be above 0"):
        F.clip_grad_norm_([], 0)


# ---- scalars that vary ----------------------------------------------------------------------------------------


def test_slots_are_read_when_the_kernel_runs():
    from fastnn.dispatch import run

    w, g, lr = F.ones(1), F.ones(1), Slot(0.25)
    run("sgd_update", w, g, None, lr=lr)
    lr.value = 0.5
    run("sgd_update", w, g, None, lr=lr)
    assert w.tolist() == [0.25]
