"""Losses, with their gradients, and accuracy."""

import numpy as np

from fastnn.reference._common import Array, check_labels, give, give_both
from fastnn.reference.softmax import log_softmax, softmax


def cross_entropy_with_grad(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    out: tuple[Array, Array] | None = None,
    num_threads: int | None = None,
) -> tuple[Array, Array]:
    """Cross-entropy of softmax(logits) and its gradient with respect to `logits`.

    `logits` is (n, classes). `target` is class indices (n,), any integer dtype, or probabilities (n, classes) of the
    dtype of `logits`. `weight` (classes,) scales each class; rows labelled `ignore_index` count for nothing;
    `label_smoothing` e mixes the target with the uniform distribution, ``(1 - e) * target + e / classes``.
    `reduction` "mean" divides by the summed weight of the labels (by n for probabilities), "sum" adds, "none" gives
    one loss per row; the gradient is that of the summed result. (torch.nn.CrossEntropyLoss.)
    """
    n, classes = logits.shape
    indices = target.ndim == 1
    if reduction == "mean" and n == 0:
        raise ValueError("[cross_entropy] empty batch: the mean of nothing is undefined")
    w = np.ones(classes, logits.dtype) if weight is None else weight
    keep = np.ones(n, bool)
    if indices:
        check_labels("cross_entropy", target, classes, ignore_index)
        keep = target != ignore_index
        q = np.zeros_like(logits)
        q[np.arange(n)[keep], target[keep]] = 1
    else:
        q = target
    row_weight = (q * w).sum(1) if indices else keep.astype(logits.dtype)
    smooth = (1 - label_smoothing) * q + label_smoothing / classes
    wq = (smooth * w) * keep[:, None]
    p = softmax(logits)
    with np.errstate(invalid="ignore"):
        # Where wq is 0 an infinite logarithm counts for nothing, and NaN is still NaN.
        loss = -(wq * np.where(wq == 0, p, log_softmax(logits))).sum(1)
    loss[~keep] = 0
    grad = p * wq.sum(1, keepdims=True) - wq
    if reduction != "none":
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1 / row_weight.sum() if reduction == "mean" else 1.0
            loss, grad = np.asarray(loss.sum() * scale), grad * scale
    grad[~keep] = 0
    return give_both((loss.astype(logits.dtype), grad.astype(logits.dtype)), out)


def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """The loss of `cross_entropy_with_grad`, alone.

    >>> round(float(cross_entropy(np.log([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]), np.array([0, 2]))), 4)
    1.4979
    """
    loss, _ = cross_entropy_with_grad(
        logits,
        target,
        weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    return give(loss, out)


def mse_loss_with_grad(
    prediction: Array,
    target: Array,
    *,
    half: bool = False,
    reduction: str = "mean",
    out: tuple[Array, Array] | None = None,
    num_threads: int | None = None,
) -> tuple[Array, Array]:
    """Squared error and its gradient with respect to `prediction`; shapes must be equal. `half` halves both."""
    if prediction.shape != target.shape:
        raise ValueError(f"[mse_loss] prediction is {prediction.shape} but target is {target.shape}")
    if reduction == "mean" and prediction.size == 0:
        raise ValueError("[mse_loss] empty batch: the mean of nothing is undefined")
    factor = prediction.dtype.type(0.5 if half else 1.0)
    difference = prediction - target
    loss, grad = factor * difference * difference, 2 * factor * difference
    if reduction != "none":
        count = prediction.size if reduction == "mean" else 1
        loss, grad = np.asarray(loss.sum() / count, prediction.dtype), (grad / count).astype(prediction.dtype)
    return give_both((loss, grad), out)


def mse_loss(
    prediction: Array,
    target: Array,
    *,
    half: bool = False,
    reduction: str = "mean",
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """The loss of `mse_loss_with_grad`, alone.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    array(2.)
    """
    return give(mse_loss_with_grad(prediction, target, half=half, reduction=reduction)[0], out)


def accuracy(logits: Array, target: Array, *, out: Array | None = None, num_threads: int | None = None) -> Array:
    """Share of rows whose largest logit stands at the label, in the dtype of `logits`.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    array(0.5)
    """
    if logits.shape[0] == 0:
        raise ValueError("[accuracy] empty batch")
    check_labels("accuracy", target, logits.shape[1])
    return give(np.asarray((logits.argmax(1) == target).mean(), logits.dtype), out)
