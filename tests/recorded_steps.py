"""Training steps to record: of the book's chapters and of the package, each with synthetic batches."""

import numpy as np

from fastnn import dispatch
from fastnn import functional as F
from fastnn.autograd import Function, no_grad
from fastnn.dispatch import Slot, run
from fastnn.record import log

STEPS = 20
BATCH = 8


def regression_batches():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(STEPS, BATCH, 2)).astype(np.float32)
    y = X @ np.array([[2.0], [-3.4]], np.float32) + np.float32(4.2)
    return [(F.tensor(a), F.tensor(b)) for a, b in zip(X, y, strict=True)]


def class_batches():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(STEPS, BATCH, 1, 3, 2)).astype(np.float32)
    return [(F.tensor(a), F.tensor(rng.integers(0, 3, BATCH))) for a in X]


# ---- steps, each given as: its batches, and a function that makes parameters and a step -------------------------


def scratch_sgd(params, lr):
    """The book's optimizer."""
    with no_grad():
        for param in params:
            param -= lr * param.grad
    for param in params:
        param.grad.zero_()


def linear_regression_from_scratch():
    w, b = F.normal(0, 0.01, (2, 1), requires_grad=True), F.zeros(1, requires_grad=True)

    def step(X, y):
        loss = ((F.matmul(X, w) + b - y) ** 2 / 2).mean()
        loss.backward()
        scratch_sgd([w, b], 0.03)
        return loss

    return [w, b], step


def linear_regression_with_weight_decay_from_scratch():
    w, b = F.normal(0, 0.01, (2, 1), requires_grad=True), F.zeros(1, requires_grad=True)

    def step(X, y):
        loss = ((X @ w + b - y.reshape(-1, 1)) ** 2 / 2).mean() + 3 * ((w**2).sum() / 2)
        loss.backward()
        scratch_sgd([w, b], 0.01)
        return loss

    return [w, b], step


def fused_linear_regression(**settings):
    w, b = F.normal(0, 0.01, (1, 2), requires_grad=True), F.zeros(1, requires_grad=True)
    velocities = [F.zeros_like(w), F.zeros_like(b)] if "momentum" in settings else [None, None]

    def step(X, y):
        w.grad = b.grad = None
        loss = F.mse_loss(F.linear(X, w, b), y)
        loss.backward()
        for param, velocity in zip((w, b), velocities, strict=True):
            run("sgd_update", param, param.grad, velocity, lr=0.03, **settings)
        return loss

    return [w, b, *(velocity for velocity in velocities if velocity is not None)], step


def softmax_regression_from_scratch():
    W, b = F.normal(0, 0.01, (6, 3), requires_grad=True), F.zeros(3, requires_grad=True)

    def step(X, y):
        logits = F.matmul(X.reshape((-1, W.shape[0])), W) + b
        y_hat = F.exp(logits) / F.exp(logits).sum(1, keepdims=True)
        loss = -F.log(y_hat[list(range(len(y_hat))), y]).mean()
        loss.backward()
        scratch_sgd([W, b], 0.1)
        return loss

    return [W, b], step


def fused_softmax_regression():
    W, b = F.normal(0, 0.01, (3, 6), requires_grad=True), F.zeros(3, requires_grad=True)

    def step(X, y):
        W.grad = b.grad = None
        logits = F.linear(X.flatten(1), W, b)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        log("acc", F.accuracy(logits, y))
        for param in (W, b):
            run("sgd_update", param, param.grad, None, lr=0.1)
        return loss

    return [W, b], step


def mlp_with_dropout_and_clipping():
    W1, b1 = F.normal(0, 0.5, (16, 6), requires_grad=True), F.zeros(16, requires_grad=True)
    W2, b2 = F.normal(0, 0.5, (3, 16), requires_grad=True), F.zeros(3, requires_grad=True)
    params = [W1, b1, W2, b2]

    def step(X, y):
        for param in params:
            param.grad = None
        hidden = F.dropout(F.relu(F.linear(X.reshape(-1, 6), W1, b1)), 0.5)
        loss = F.cross_entropy(F.linear(F.dropout(hidden, 0.2), W2, b2), y, label_smoothing=0.1)
        loss.backward()
        log("norm", F.clip_grad_norm_(params, 0.5))
        for param in params:
            run("sgd_update", param, param.grad, None, lr=0.1)
        return loss

    return params, step


def mlp_from_scratch():
    W1, b1 = F.normal(0, 0.5, (6, 16), requires_grad=True), F.zeros(16, requires_grad=True)
    W2, b2 = F.normal(0, 0.5, (16, 3), requires_grad=True), F.zeros(3, requires_grad=True)

    def step(X, y):
        hidden = F.matmul(X.reshape((-1, 6)), W1) + b1
        hidden = F.max(hidden, F.zeros_like(hidden))
        mask = (F.rand(hidden.shape) > 0.5).float()
        loss = F.cross_entropy(F.matmul(mask * hidden / (1.0 - 0.5), W2) + b2, y)
        loss.backward()
        scratch_sgd([W1, b1, W2, b2], 0.1)
        return loss

    return [W1, b1, W2, b2], step


class Adam:
    """As an optimizer would: what varies is set before the step, by a callback."""

    def __init__(self, params):
        self.params = params
        self.state = [(F.zeros_like(param), F.zeros_like(param)) for param in params]
        self.updates = 0
        self.lr, self.corrections = Slot(0.0), (Slot(0.0), Slot(0.0))

    def advance(self, steps):
        updates = range(self.updates + 1, self.updates + steps + 1)
        varying = {self.lr: [0.1 / n**0.5 for n in updates]}
        for slot, beta in zip(self.corrections, (0.9, 0.999), strict=True):
            varying[slot] = [1 - beta**n for n in updates]
        for slot, values in varying.items():
            slot.value = values[-1]
        self.updates += steps
        return varying

    def step(self):
        dispatch.before_step(self.advance)
        for param, (m, v) in zip(self.params, self.state, strict=True):
            c1, c2 = self.corrections
            run("adam_update", param, param.grad, m, v, lr=self.lr, correction1=c1, correction2=c2)


def adam():
    w, b = F.normal(0, 0.01, (1, 2), requires_grad=True), F.zeros(1, requires_grad=True)
    optimizer = Adam([w, b])

    def step(X, y):
        w.grad = b.grad = None
        loss = F.mse_loss(F.linear(X, w, b), y, half=True)
        loss.backward()
        optimizer.step()
        return loss

    step.watch = [optimizer]
    return [w, b, *(moment for pair in optimizer.state for moment in pair)], step


class Soft(Function):
    """softplus in NumPy; backward reads what forward saved."""

    @staticmethod
    def forward(ctx, x, sharpness):
        ctx.save_for_backward(x)
        ctx.sharpness = sharpness
        return np.logaddexp(0, x * np.float32(sharpness), dtype=x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        k = np.float32(ctx.sharpness)
        return grad * k / (1 + np.exp(-k * x)), None


def layer_in_numpy():
    w, b = F.normal(0, 0.5, (1, 2), requires_grad=True), F.zeros(1, requires_grad=True)

    def step(X, y):
        w.grad = b.grad = None
        loss = F.mse_loss(Soft.apply(F.linear(X, w, b), 2.0), y)
        loss.backward()
        for param in (w, b):
            run("sgd_update", param, param.grad, None, lr=0.01)
        return loss

    return [w, b], step


def views_and_joins():
    w = F.normal(0, 0.5, (4, 2), requires_grad=True)

    def step(X, y):
        joined = F.cat((X, X.T.reshape(BATCH, 2) * 0.1), 1)
        y_hat = joined @ w[:, :1] + F.stack([w[0], w[1]]).sum() + w.T[1, 2]
        loss = (y_hat - y).abs().mean() + y_hat[3:].max() * 1e-3
        loss.backward()
        scratch_sgd([w], 0.05)
        return loss

    return [w], step


def powers_and_masked_places():
    w = F.normal(0, 0.5, (2, 1), requires_grad=True)
    b, exponent = F.zeros(1, requires_grad=True), F.full((1,), 3.0, requires_grad=True)

    def step(X, y):
        weights = F.zeros(BATCH, 2)
        weights[y[:, 0] > 4] = 1.0
        y_hat = X @ w + b
        loss = (weights * abs(y_hat - y) ** exponent).mean() * 1e-3 + (b**0).sum() + y_hat.clamp(min=0.5).mean()
        loss.backward()
        scratch_sgd([w, b, exponent], 0.01)
        return loss

    return [w, b, exponent], step


STEP_KINDS = {
    "linear regression from scratch": (regression_batches, linear_regression_from_scratch),
    "weight decay from scratch": (regression_batches, linear_regression_with_weight_decay_from_scratch),
    "fused linear regression": (regression_batches, fused_linear_regression),
    "momentum": (regression_batches, lambda: fused_linear_regression(momentum=0.9, dampening=0.1)),
    "nesterov, weight decay": (
        regression_batches,
        lambda: fused_linear_regression(momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    "adam": (regression_batches, adam),
    "softmax regression from scratch": (class_batches, softmax_regression_from_scratch),
    "fused softmax regression": (class_batches, fused_softmax_regression),
    "MLP with dropout and clipping": (class_batches, mlp_with_dropout_and_clipping),
    "MLP from scratch": (class_batches, mlp_from_scratch),
    "a layer in NumPy": (regression_batches, layer_in_numpy),
    "views and joins": (regression_batches, views_and_joins),
    "powers and masked places": (regression_batches, powers_and_masked_places),
}
