"""Shampoo: the steps of a plain NumPy re-telling, state, errors, and native training by it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5)).astype(np.float32)
LABELS = (X[:, 0] > X[:, 1]).astype(np.int64) + (X[:, 2] > 0.5)


def inverse_root(sums: np.ndarray, epsilon: float, power: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(sums + epsilon * np.eye(len(sums)))
    return vectors @ np.diag(values**-power) @ vectors.T


def retold(w: np.ndarray, gradients: list[np.ndarray], lr=0.1, momentum=0.0, weight_decay=0.0, epsilon=1e-4, every=1):
    """`w` after a step for each gradient, written as in the paper's algorithm 1, in float64."""
    m, n = w.shape if w.ndim > 1 else (len(w), 1)
    left, right, velocity = np.zeros((m, m)), np.zeros((n, n)), 0.0
    for number, given in enumerate(gradients):
        g = given.reshape(m, n)
        left, right = left + g @ g.T, right + g.T @ g
        if number % every == 0:
            roots = inverse_root(left, epsilon, 1 / 4 if w.ndim > 1 else 1 / 2), inverse_root(right, epsilon, 1 / 4)
        step = roots[0] @ g @ roots[1] if w.ndim > 1 else roots[0] @ g
        velocity = momentum * velocity + step.reshape(w.shape) + weight_decay * w
        w = w - lr * velocity
    return w


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (5,), (1, 1)])
@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9}, {"weight_decay": 0.1, "lr": 0.3}, {"epsilon": 0.1, "every": 3, "momentum": 0.5}],
    ids=str,
)
def test_steps_are_those_of_the_paper(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    start, gradients = RNG.normal(size=shape), [RNG.normal(size=shape) for _ in range(7)]
    w = fn.tensor(start.copy(), requires_grad=True)
    given = {"update_freq" if name == "every" else name: value for name, value in settings.items()}
    optimizer = optim.Shampoo([w], **given)
    for gradient in gradients:
        w.grad = fn.tensor(gradient)
        optimizer.step()
    # The inverse root of sums of condition 1e6 at most, in float64.
    np.testing.assert_allclose(w.detach(), retold(start, gradients, **settings), rtol=1e-9, atol=1e-9)


def test_more_dimensions_count_as_a_matrix_of_the_first_side() -> None:
    start, gradient = RNG.normal(size=(3, 2, 2)), RNG.normal(size=(3, 2, 2))
    w = fn.tensor(start.copy(), requires_grad=True)
    w.grad = fn.tensor(gradient)
    optim.Shampoo([w]).step()
    expected = retold(start.reshape(3, 4), [gradient.reshape(3, 4)])
    np.testing.assert_allclose(w.detach(), expected.reshape(3, 2, 2), rtol=1e-9)


class Perceptron(fn.MLP):
    """An MLP that Shampoo trains."""

    def configure_optimizers(self) -> optim.Optimizer:
        return optim.Shampoo(self.parameters(), lr=self.lr, momentum=0.5, update_freq=2, epsilon=1e-2)


def fit(max_epochs: int = 4, resume: Path | None = None, **options: Any) -> tuple[fn.Trainer, list[bytes]]:
    fn.manual_seed(0)
    model, trainer = Perceptron(3, 8, lr=0.05), fn.Trainer(max_epochs, progress=False, seed=0, **options)
    trainer.fit(model, fn.ArrayData(X, LABELS, batch_size=16), resume=resume)
    return trainer, [weight.numpy().tobytes() for weight in model.parameters()]


def test_training_runs_natively_and_halves_the_loss() -> None:
    trainer, _ = fit(20)
    assert trainer.execution == "epoch: steps run natively, shuffling and gathering included"
    assert trainer.history.train_loss[-1] < 0.5 * trainer.history.train_loss[0]


def test_native_steps_have_the_bits_of_those_from_python() -> None:
    assert fit(verify="every_step")[1] == fit()[1]


def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(tmp_path: Path) -> None:
    fit(3, checkpoint=tmp_path / "run")
    assert fit(5, resume=tmp_path / "run")[1] == fit(5)[1]


def test_models_of_a_sweep_have_the_bits_of_each_alone() -> None:
    """The second finds the memory of the first, whose sums and roots must be gone."""
    data = fn.ArrayData(X, LABELS, batch_size=16)
    options = {"max_epochs": 4, "seed": 0, "max_workers": 1, "monitor": "train_loss"}
    sweep = fn.fit_many(lambda lr: Perceptron(3, 8, lr=lr), data, {"lr": [0.02, 0.05]}, **options)
    for row in sweep:
        fn.manual_seed(0)
        alone = Perceptron(3, 8, **row.parameters)
        fn.Trainer(4, progress=False, seed=0).fit(alone, data)
        np.testing.assert_array_equal(row.model.predict_proba(X), alone.predict_proba(X))


def test_a_gradient_that_is_not_finite_is_told_as_a_loss() -> None:
    w = fn.tensor(np.ones((2, 2)), requires_grad=True)
    w.grad = fn.tensor(np.array([[1.0, np.nan], [0.0, 0.0]]))
    optim.Shampoo([w]).step()
    assert np.isnan(w.detach().numpy()).any()


def test_state_of_other_parameters_is_refused() -> None:
    def stepped(shape: tuple[int, int]) -> optim.Shampoo:
        w = fn.tensor(np.ones(shape), requires_grad=True)
        w.grad = fn.tensor(np.ones(shape))
        optimizer = optim.Shampoo([w])
        optimizer.step()
        return optimizer

    optimizer = stepped((3, 2))
    optimizer.load_state_dict(stepped((3, 2)).state_dict())
    with pytest.raises(ValueError, match=r"\[Shampoo\] right_sum of parameter 0 is float64 \(4, 4\), not .*\(2, 2\)"):
        optimizer.load_state_dict(stepped((3, 4)).state_dict())


@pytest.mark.parametrize(
    "settings",
    [{"lr": -1}, {"momentum": -0.1}, {"epsilon": 0}, {"epsilon": -1}, {"update_freq": 0}, {"update_freq": 1.5}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"\[Shampoo\] {min(settings)} = "):
        optim.Shampoo([fn.tensor([1.0], requires_grad=True)], **settings)
