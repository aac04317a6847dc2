"""Softmax regression with the built-in model: three kinds of flowers, then Fashion-MNIST (D2L, sections 4.1 and 4.5).

Four features and three classes need 4 * 3 weights and 3 biases. On Fashion-MNIST ten epochs give a validation accuracy
of about 0.83.

    python softmax_regression_concise.py --epochs 10
"""

import argparse

import numpy as np

import fastnn as fn


def flowers(count, rng):
    """Four measurements (count, 4) of flowers of three kinds, and the kinds (count,): one cloud of points for each."""
    centres = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]], np.float32)
    kinds = rng.integers(0, 3, count)
    return centres[kinds] + 0.3 * rng.standard_normal((count, 4), np.float32), kinds


def four_features_three_classes():
    X, y = flowers(300, np.random.default_rng(0))
    data = fn.ArrayData(X - X.mean(0), y, val=0.2, batch_size=32, seed=0)
    model = fn.SoftmaxRegression(num_outputs=3, lr=0.1)
    history = fn.Trainer(max_epochs=20, seed=0).fit(model, data)
    for name, param in model.named_parameters():
        print(f"{name}: {param.shape}, {param.numel()} numbers")
    print(f"flowers: validation accuracy {history.val_acc[-1]:.2f}")
    for kind, probabilities in zip(y[:2], model.predict_proba(X[:2] - X.mean(0)), strict=True):
        print(f"a flower of kind {kind} is of the three kinds with probability", *(f"{p:.2f}" for p in probabilities))


def fashion_mnist(epochs):
    data = fn.FashionMNIST(batch_size=256)
    model = fn.SoftmaxRegression(num_outputs=10, lr=0.1)
    history = fn.Trainer(max_epochs=epochs, seed=0).fit(model, data)
    print(f"Fashion-MNIST: training loss {history.train_loss[-1]:.3f}, validation accuracy {history.val_acc[-1]:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10, help="epochs on Fashion-MNIST")
    args = parser.parse_args()
    four_features_three_classes()
    fashion_mnist(args.epochs)
