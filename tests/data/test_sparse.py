"""Sparse matrices as X: the bits of their dense twins, in training and predictions, without ever being dense whole."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fastnn as fn
from fastnn.data import ArrayDataset

sparse = pytest.importorskip("scipy.sparse")

RNG = np.random.default_rng(0)
X = sparse.random_array((300, 40), density=0.1, rng=RNG, format="csr")
Y = RNG.integers(0, 3, 300)


def train(X, dtype: str = "float32", seed: int = 1, **options) -> tuple[bytes, fn.MLP, fn.Trainer]:
    model, trainer = fn.MLP(3, 16, lr=0.1), fn.Trainer(4, seed=seed, **options)
    trainer.fit(model, fn.ArrayData(X, Y, val=0.2, batch_size=32, dtype=dtype))
    return b"".join(p.numpy().tobytes() for p in model.parameters()), model, trainer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["csr_array", "csr_matrix", "csc_array", "coo_matrix", "lil_array"])
def test_training_has_the_bits_of_dense_rows(form: str, dtype: str) -> None:
    expected, dense, _ = train(X.toarray(), dtype)
    given = getattr(sparse, form)(X)
    found, model, trainer = train(given, dtype)
    assert found == expected
    assert model.predict_proba(given, batch_size=7).tobytes() == dense.predict_proba(X.toarray()).tobytes()
    assert model.evaluate(given, Y) == dense.evaluate(X.toarray(), Y)
    assert trainer.execution == "epoch: steps run natively, shuffling and gathering included, of sparse rows by SciPy"


def test_native_steps_have_the_bits_of_steps_from_python() -> None:
    assert train(X)[0] == train(X, replay=False)[0] == train(X, verify="every_step")[0]


def test_integers_and_bool_become_floating_point() -> None:
    counts = sparse.csr_array(RNG.integers(0, 3, (300, 40)) * (RNG.random((300, 40)) < 0.2))
    assert train(counts)[0] == train(counts.toarray())[0]
    assert train(counts.astype(np.uint8))[0] == train(counts.toarray())[0]  # no image: nothing is divided
    assert train(counts.astype(bool))[0] == train(counts.toarray().astype(bool))[0]


def test_what_lies_at_one_place_twice_is_added_up() -> None:
    twice = sparse.csr_array((np.ones(3), [1, 1, 0], [0, 2, 3]), shape=(2, 2))
    (rows,) = ArrayDataset(twice).take(fn.tensor([1, 0]))
    assert rows.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert twice.nnz == 3  # it stays as it was given


def test_a_dataset_gives_dense_examples() -> None:
    dataset = ArrayDataset(X, Y)
    row, label = dataset[7]
    np.testing.assert_array_equal(row.numpy(), X.toarray()[7])
    assert (len(dataset), label.item()) == (300, Y[7])


def test_the_whole_matrix_never_becomes_dense() -> None:
    wide = sparse.random_array((2000, 50_000), density=1e-4, rng=RNG, format="csr", dtype=np.float32)
    whole = 2000 * 50_000 * 4
    model = fn.SoftmaxRegression(2, lr=0.1)
    tracemalloc.start()
    fn.Trainer(2, seed=0).fit(model, fn.ArrayData(wide, np.arange(2000) % 2, batch_size=20))
    model.predict(wide, batch_size=20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < whole / 8


def test_validation_may_be_sparse_where_training_is_not() -> None:
    given = fn.ArrayData(X.toarray(), Y, val=(X, Y), batch_size=32)
    history = fn.Trainer(2, seed=0).fit(fn.SoftmaxRegression(3, lr=0.1), given)
    expected = fn.Trainer(2, seed=0).fit(
        fn.SoftmaxRegression(3, lr=0.1), fn.ArrayData(X.toarray(), Y, val=(X.toarray(), Y), batch_size=32)
    )
    assert history["val_loss"] == expected["val_loss"]


def test_a_saved_model_predicts_for_sparse_rows(tmp_path) -> None:
    _, model, _ = train(X)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(fn.load(tmp_path / "model.safetensors").predict(X), model.predict(X.toarray()))
    assert "on X (1, 40)" in str(model.summary())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fn.ArrayData(X, Y[:-1]), r"\[ArrayData\] X has 300 rows but y has 299"),
        (lambda: fn.ArrayData(X.astype(complex), Y), r"\[ArrayData\] X has dtype complex128"),
        (lambda: fn.ArrayData(X[:0], Y[:0]), r"\[ArrayData\] X has shape \(0, 40\)"),
        (lambda: fn.ArrayData(X.toarray(), Y, val=(X[:, :5], Y)), r"\[ArrayData\] val has rows of shape \(5,\)"),
        (lambda: fn.LinearRegression(0.1).solve(fn.ArrayData(X, Y * 1.0)), r"\[solve\] X is sparse.*X.toarray\(\)"),
        (
            lambda: fn.fit_groups(lambda: fn.LinearRegression(0.1), X, Y * 1.0, Y, max_epochs=1),
            r"\[fit_groups\] X is sparse: use X.toarray\(\)",
        ),
        (lambda: train(X)[1].predict(X[:, :5]), r"\[linear\]|\[matmul\]"),
    ],
)
def test_what_does_not_fit_is_refused(call, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_indices_outside_of_the_matrix_are_refused() -> None:
    broken = sparse.csr_array(X)
    broken.indices[5] = 1_000_000
    with pytest.raises(ValueError, match="indices"):
        fn.ArrayData(broken, Y)


def test_scipy_is_not_imported_for_dense_rows() -> None:
    program = (
        "import sys, numpy as np, fastnn as fn; fn.Trainer(1).fit(fn.SoftmaxRegression(2, 0.1), "
        "fn.ArrayData(np.eye(4), np.arange(4) % 2)); print([name for name in sys.modules if 'scipy' in name])"
    )
    run = subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
