"""A layer and a loss of one's own: a Module from operations, and a function with its gradient in NumPy (D2L, 6.1, 6.5).

The layer learns one slope per input for the negative side of ReLU. The loss is the pinball loss, whose minimum is a
quantile: the model learns the value that 90% of the targets stay below, which squared error cannot.
"""

import numpy as np

import fastnn as fn
from fastnn import nn
from fastnn.autograd import Function


class PReLU(nn.Module):
    """x where x > 0, else slope * x, with a learned slope for every input (He et al., 2015)."""

    def __init__(self, num_inputs):
        super().__init__()
        self.slope = nn.Parameter(fn.full((num_inputs,), 0.25))

    def forward(self, X):
        return fn.where(X > 0, X, self.slope * X)


class Pinball(Function):
    """mean(max(q * d, (q - 1) * d)) of d = y - y_hat: forward and backward in NumPy."""

    @staticmethod
    def forward(ctx, y_hat, y, q):
        d = y - y_hat
        ctx.save_for_backward(d)
        ctx.q = q
        return np.maximum(q * d, (q - 1) * d).mean()

    @staticmethod
    def backward(ctx, grad):
        (d,) = ctx.saved_tensors
        return grad * np.where(d > 0, -ctx.q, 1 - ctx.q) / d.size, None, None


class QuantileRegression(fn.Model):
    def __init__(self, q, lr):
        super().__init__()
        self.q = q
        self.lr = lr
        self.net = nn.Sequential(nn.Linear(1, 16), PReLU(16), nn.Linear(16, 1))

    def loss(self, y_hat, y):
        return Pinball.apply(y_hat, y, self.q)


if __name__ == "__main__":
    fn.manual_seed(0)
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (2000, 1)).astype(np.float32)
    y = np.abs(X) + 0.1 * rng.standard_normal((2000, 1), np.float32)
    data = fn.ArrayData(X, y, val=0.25, batch_size=50, seed=0)

    x = fn.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    fn.testing.check_gradients(PReLU(3), x)
    print("the layer's gradient agrees with finite differences")

    for q in (0.5, 0.9):
        model = QuantileRegression(q, lr=0.02)
        fn.Trainer(max_epochs=40, seed=0).fit(model, data)
        below = (y <= model.predict(X)).mean()
        print(f"quantile {q}: {below:.1%} of the targets are below the prediction")
