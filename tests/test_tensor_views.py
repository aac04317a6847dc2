"""Facts about views, indexing, joining, and writing in place."""

import numpy as np
import pytest

from fastnn import functional as F
from fastnn.autograd import no_grad

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def same(tensor, array):
    np.testing.assert_array_equal(np.asarray(tensor), array)
    assert tensor.dtype == np.asarray(array).dtype


# ---- shapes and views -----------------------------------------------------------------------------------------


def test_views_share_memory():
    x = F.tensor(MATRIX.copy())
    views = [x.reshape(4, 3), x.view(-1), x.T, x.transpose(0, 1), x[1:], x[:, 1], x[0, 0], x.detach(), x.data]
    views += [x.unsqueeze(0), x.flatten(), x[None], x[..., -1], x.reshape((2, -1)).squeeze()]
    for view in views:
        assert np.shares_memory(np.asarray(view), np.asarray(x))
        assert view._storage is x._storage


def test_reshaping_what_is_not_contiguous_copies():
    x = F.tensor(MATRIX)
    same(x.T.reshape(-1), MATRIX.T.reshape(-1))
    with pytest.raises(ValueError, match=r"\[view\] the tensor is not contiguous"):
        x.T.view(-1)


def test_a_reshape_that_does_not_fit_names_both_shapes():
    with pytest.raises(ValueError, match=r"\[reshape\] shape \(5, -1\) does not hold the elements of \(3, 4\)"):
        F.tensor(MATRIX).reshape(5, -1)


def test_shape_questions():
    x = F.zeros(2, 3)
    assert (x.shape, x.size(), x.size(1), x.numel(), x.ndim, x.dim(), len(x)) == ((2, 3), (2, 3), 3, 6, 2, 2, 2)
    with pytest.raises(TypeError, match=r"\[len\]"):
        len(F.zeros(()))


def test_squeeze_and_unsqueeze_take_axes_in_range_only():
    x = F.zeros(2, 1)
    assert (x.squeeze().shape, x.squeeze(1).shape, x.squeeze(0).shape) == ((2,), (2,), (2, 1))
    assert (x.unsqueeze(0).shape, x.unsqueeze(-1).shape) == ((1, 2, 1), (2, 1, 1))
    for function in (x.squeeze, x.unsqueeze):
        with pytest.raises(IndexError, match="dim = 5 is not an axis"):
            function(5)


def test_flatten_joins_a_range_of_axes():
    x = F.zeros(2, 3, 4)
    assert (x.flatten().shape, x.flatten(1).shape, x.flatten(0, 1).shape) == ((24,), (2, 12), (6, 4))
    assert F.zeros(()).flatten().shape == F.zeros(()).flatten(0, -1).shape == (1,)
    for axes, message in (((3,), "start_dim = 3 is not an axis"), ((0, -4), "end_dim = -4 is not an axis")):
        with pytest.raises(IndexError, match=rf"\[flatten\] {message} of shape \(2, 3, 4\)"):
            x.flatten(*axes)
    with pytest.raises(ValueError, match=r"\[flatten\] start_dim = 2 comes after end_dim = 1"):
        x.flatten(2, 1)


def test_transpose_takes_axes_in_range_only():
    x = F.zeros(2, 3, 4)
    assert (x.transpose(0, -1).shape, x.transpose(1, 1).shape) == ((4, 3, 2), (2, 3, 4))
    for axes, message in (((0, 5), "dim1 = 5"), ((-4, 0), "dim0 = -4")):
        with pytest.raises(IndexError, match=rf"\[transpose\] {message} is not an axis of shape \(2, 3, 4\)"):
            x.transpose(*axes)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("reshape", lambda a: F.reshape(a, -1)),
        ("flatten", F.flatten),
        ("transpose", lambda a: F.transpose(a, 0, 1)),
        ("unsqueeze", lambda a: F.unsqueeze(a, 0)),
        ("squeeze", F.squeeze),
        ("cat", F.cat),
        ("cat", lambda a: F.cat([F.tensor(a), a])),
        ("stack", F.stack),
        ("stack", lambda a: F.stack([F.tensor(a), a])),
    ],
)
def test_functions_of_shape_take_tensors(name, call):
    with pytest.raises(TypeError, match=rf"\[{name}\] takes Tensors, not ndarray: use fastnn.tensor"):
        call(MATRIX)


def test_cat_and_stack_are_those_of_numpy():
    a, b = MATRIX, MATRIX[:2] + 100
    same(F.cat((F.tensor(a), F.tensor(b))), np.concatenate((a, b)))
    same(F.cat([F.tensor(a.T), F.tensor(b.T)], dim=-1), np.concatenate((a.T, b.T), 1))
    for axis in (0, 1, 2, -1):
        same(F.stack([F.tensor(a), F.tensor(a + 1)], axis=axis), np.stack((a, a + 1), axis))


def test_cat_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\[cat\] tensors\[1\] is \(2, 2\) but tensors\[0\] is \(3, 4\)"):
        F.cat((F.tensor(MATRIX), F.zeros(2, 2)))
    with pytest.raises(TypeError, match=r"\[cat\] tensors\[1\] is float64"):
        F.cat((F.zeros(1), F.zeros(1, dtype="float64")))
    with pytest.raises(ValueError, match=r"\[cat\] tensors is empty"):
        F.cat([])


# ---- indexing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [0, -1, slice(1, 3), (slice(None), 2), (1, 2), (..., 0), (None, 1), slice(None, None, 2), (slice(0, 0),), ...],
    ids=str,
)
def test_basic_indexing_is_that_of_numpy(key):
    same(F.tensor(MATRIX)[key], np.asarray(MATRIX[key]))


def test_rows_by_index():
    x = F.tensor(MATRIX)
    for rows in ([2, 0, 0], np.array([1, -1]), range(2), np.array([[0, 1], [2, 2]])):
        same(x[rows], MATRIX[np.asarray(rows)])
    same(x[F.tensor(1)], MATRIX[1])
    same(x[F.tensor([2, 1])], MATRIX[[2, 1]])
    assert x[[]].shape == (0, 4)
    with pytest.raises(IndexError):
        x[[3]]


def test_elements_by_pairs_of_indices():
    x, labels = F.tensor(MATRIX), F.tensor([3, 0, 1])
    same(x[range(3), labels], MATRIX[[0, 1, 2], [3, 0, 1]])
    same(x[list(range(len(x))), labels], MATRIX[[0, 1, 2], [3, 0, 1]])
    same(x[[0, -1], [0, -1]], MATRIX[[0, -1], [0, -1]])


def test_elements_by_mask():
    x = F.tensor(MATRIX)
    same(x[x > 5], MATRIX[MATRIX > 5])
    same(x[F.tensor([True, False, True])], MATRIX[[0, 2]])
    with pytest.raises(IndexError, match=r"mask is \(2,\) but the tensor \(3, 4\)"):
        x[F.tensor([True, False])]


def test_mixed_index_arrays_are_refused():
    with pytest.raises(IndexError, match=r"beside an index array"):
        F.tensor(MATRIX)[:, [0, 1]]
    with pytest.raises(IndexError, match=r"2 index arrays for shape \(2, 2, 2\)"):
        F.zeros(2, 2, 2)[[0], [0]]


def test_assignment_writes_into_the_memory():
    array = MATRIX.copy()
    x = F.tensor(array.copy())
    x[1, 2], array[1, 2] = 9, 9
    x[:2, :2], array[:2, :2] = F.tensor([[1], [2]]), [[1], [2]]
    x[2], array[2] = np.arange(4), np.arange(4)
    x[x > 8], array[array > 8] = -1.0, -1.0
    x[0, ...], array[0, ...] = 3, 3
    same(x, array)
    with pytest.raises(IndexError, match=r"\[setitem\] only slices and masks"):
        x[[0, 1]] = 1.0
    with pytest.raises(IndexError, match=r"\[setitem\] index .* beside an index array"):
        x[:, [0]] = 1.0


ROWS, BOTH = np.array([True, False, True]), MATRIX % 3 == 1


@pytest.mark.parametrize(
    ("mask", "value"),
    [
        (ROWS, 7.0),
        (ROWS, np.arange(4)),
        (ROWS, np.arange(4)[None]),
        (ROWS, np.arange(8).reshape(2, 4)),
        (ROWS, np.array([[1], [2]])),
        (~ROWS, np.arange(4)[None]),
        (ROWS & False, 7.0),
        (ROWS & False, np.zeros((0, 4))),
        (BOTH, 7),
        (BOTH, np.array([7])),
        (BOTH, np.arange(4)),
        (np.array(True), MATRIX + 1),
        (BOTH.T.copy().T, np.arange(4)),
    ],
)
@pytest.mark.parametrize("kind", [F.tensor, np.asarray, lambda mask: mask.tolist()], ids=["tensor", "array", "list"])
def test_assignment_by_mask_is_that_of_numpy(mask, value, kind):
    if kind(mask) is True:
        pytest.skip("a Python bool is no array")
    array, x = MATRIX.copy(), F.tensor(MATRIX.copy())
    array[mask] = value
    x[kind(mask)] = F.tensor(np.array(value))
    same(x, array)


@pytest.mark.parametrize(
    ("mask", "value", "error", "message"),
    [
        ([True, False], 1.0, IndexError, r"mask is \(2,\) but the tensor \(3, 4\)"),
        ([True, False, True, True], 1.0, IndexError, r"mask is \(4,\) but the tensor \(3, 4\)"),
        (ROWS, np.zeros((3, 4)), ValueError, r"value is \(3, 4\), but the mask chooses \(2, 4\): give one or all"),
        (ROWS, np.zeros(2), ValueError, r"value is \(2,\), but the mask chooses \(2, 4\)"),
        (BOTH, MATRIX, ValueError, r"value is \(3, 4\), but the mask chooses \(4,\)"),
    ],
)
def test_assignment_by_mask_refuses_what_does_not_fit(mask, value, error, message):
    x = F.tensor(MATRIX.copy())
    with pytest.raises(error, match=rf"\[setitem\] {message}"):
        x[mask] = value
    same(x, MATRIX)


def test_rows_can_be_iterated_over():
    assert [row.tolist() for row in F.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]


# ---- in place -------------------------------------------------------------------------------------------------


def test_writing_in_place_keeps_the_memory_and_raises_the_version():
    x = F.tensor([1.0, 2.0])
    array, storage, original = np.asarray(x), x._storage, x
    changes = ["x += 1", "x -= F.ones(2)", "x *= 2", "x /= 4", "x[:] = 1", "x.fill_(2)", "x.zero_()", "x.data.add_(1)"]
    for change in changes:
        version = storage.version
        scope = {"x": x, "F": F}
        exec(change, scope)
        assert scope["x"] is original
        assert storage.version == version + 1
    assert np.asarray(x) is array
    assert array.tolist() == [1.0, 1.0]


def test_in_place_results_keep_the_dtype():
    x = F.ones(2)
    x += F.ones(2, dtype="float64")
    x *= F.tensor([2, 3])
    same(x, np.array([4, 6], np.float32))
    n = F.tensor([1, 2])
    n += 1
    with pytest.raises(TypeError, match=r"\[\*=\] the result is float32 and cannot be written into int64"):
        n *= 0.5
    with pytest.raises(TypeError, match=r"\[/=\] .* cannot be written into int64"):
        n /= 2
    same(n, np.array([2, 3]))


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_small_integers_are_changed_in_place_and_wrap_around(dtype):
    x = F.tensor(np.array([1, 250], dtype))
    array = np.asarray(x)
    x += 10
    x *= F.tensor([1, 3])
    x -= 300
    assert np.asarray(x) is array
    same(x, ((np.array([1, 250]) + 10) * [1, 3] - 300).astype(dtype))
    with pytest.raises(TypeError, match=rf"\[/=\] the result is float32 and cannot be written into {dtype}"):
        x /= 2


def test_bool_in_place_takes_bool_only():
    x = F.tensor([True, False])
    x += F.tensor([True, True])
    x *= F.tensor([False, True])
    same(x, np.array([False, True]))
    with pytest.raises(TypeError, match=r"\[\+=\] the result is int64 and cannot be written into bool"):
        x += 1


def test_named_in_place_operations():
    x = F.tensor([1.0, 2.0])
    x.add_(1).sub_(F.tensor([1.0, 0.0])).mul_(2).div_(4)
    same(x, np.array([0.5, 1.5], np.float32))
    same(x.copy_(F.tensor([1, 2])), np.array([1, 2], np.float32))


def test_random_fills_take_new_numbers_each_time():
    x = F.zeros(1000)
    first = np.array(x.normal_(3.0, 0.5))
    second = np.array(x.normal_(3.0, 0.5))
    assert (first != second).any()
    # The mean of n normal numbers errs by std / sqrt(n), the standard deviation by about std / sqrt(2 n); six of those.
    assert abs(first.mean() - 3.0) < 6 * 0.5 / 1000**0.5
    assert abs(first.std() - 0.5) < 6 * 0.5 / 2000**0.5
    x.uniform_(2.0, 3.0)
    assert 2.0 <= x.min().item() < x.max().item() < 3.0
    for std in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"\[normal_\] std = {std} must be a finite number of at least 0"):
            x.normal_(0, std)
    for low, high in ((5, 1), (0, float("inf")), (float("nan"), 1)):
        with pytest.raises(ValueError, match=rf"\[uniform_\] low = {low}, high = {high} must be finite"):
            x.uniform_(low, high)


def test_a_leaf_that_requires_a_gradient_is_written_under_no_grad_only():
    w = F.ones(2, requires_grad=True)
    for change in ("w -= 1", "w[0] = 1", "w.fill_(1)", "w.normal_()", "w.add_(1)", "w.copy_(w)"):
        with pytest.raises(RuntimeError, match="requires a gradient and cannot be changed in place"):
            exec(change, {"w": w})
    same(w, np.ones(2, np.float32))
    with no_grad():
        w -= 0.5
    w.data.mul_(2)
    w.data -= 0.25
    same(w, np.full(2, 0.75, np.float32))
    assert w.requires_grad
    assert w.is_leaf


def test_data_is_copied_where_it_fits_and_taken_over_where_not():
    w = F.ones(2, requires_grad=True)
    storage = w._storage
    w.data = F.tensor([3.0, 4.0])
    assert w._storage is storage
    w.data = F.zeros(3, dtype="float64")
    assert (w.shape, w.dtype, w.requires_grad) == ((3,), np.float64, True)
