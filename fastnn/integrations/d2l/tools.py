"""Small helpers: time, devices, and numbers by the names that the book calls for on every backend."""

import time
from itertools import accumulate

import numpy as np

from fastnn import devices
from fastnn import functional as F
from fastnn.dispatch import Array
from fastnn.tensor import Tensor


class Timer:
    """Times in seconds, from `start` to `stop`; it runs from the beginning.

    >>> timer = Timer()
    >>> timer.stop() >= 0
    True
    >>> timer.times = [1.0, 3.0]
    >>> timer.avg(), timer.sum(), timer.cumsum()
    (2.0, 4.0, [1.0, 4.0])
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.start()

    def start(self) -> None:
        """Begin a measurement."""
        self._started = time.perf_counter()

    def stop(self) -> float:
        """End it; returns what was measured, and keeps it in `times`."""
        self.times.append(time.perf_counter() - self._started)
        return self.times[-1]

    def avg(self) -> float:
        """The mean of all measurements."""
        return float(np.mean(self.times))

    def sum(self) -> float:
        """All measurements together."""
        return sum(self.times)

    def cumsum(self) -> list[float]:
        """After each measurement, all until then together."""
        return list(accumulate(self.times))


# ---- devices: the CPU, and a GPU where one can be used ----------------------------------------------------------


def cpu() -> str:
    """The CPU, as a device."""
    return "cpu"


def gpu(i: int = 0) -> str:
    """The name of GPU `i`, whether there is one or not."""
    return f"cuda:{i}"


def num_gpus() -> int:
    """How many GPUs can be used: one where there is any."""
    return 1 if devices.why_not() is None else 0


def try_gpu(i: int = 0) -> str:
    """GPU `i` where there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[str]:
    """All GPUs, or the CPU where there is none."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


# ---- numbers --------------------------------------------------------------------------------------------------


def numpy(x: Tensor) -> Array:
    """The array of `x`, sharing memory."""
    return x.numpy()


def transpose(x: Tensor) -> Tensor:
    """`x` with its axes reversed."""
    return x.T


def accuracy(y_hat: Tensor, y: Tensor) -> float:
    """How many rows of `y_hat` (n, classes), or classes (n,), are right by the labels `y` (n,).

    >>> accuracy(F.tensor([[0.1, 0.9], [0.8, 0.2]]), F.tensor([1, 1]))
    1.0
    """
    classes = y_hat.argmax(1) if y_hat.ndim > 1 and y_hat.shape[1] > 1 else y_hat.reshape(-1)
    return float((classes == y).sum())


def cross_entropy(y_hat: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of labels `y` (n,) and probabilities `y_hat` (n, classes), as written from scratch.

    Of logits there is `fastnn.functional.cross_entropy`, which neither overflows nor takes the logarithm of 0.

    >>> cross_entropy(F.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]), F.tensor([0, 2]))
    tensor(1.4979)
    """
    return -F.log(y_hat[range(len(y_hat)), y]).mean()


def l2_penalty(w: Tensor) -> Tensor:
    """Half the squared norm.

    >>> l2_penalty(F.tensor([3.0, 4.0]))
    tensor(12.5000)
    """
    return F.sum(w**2) / 2


def dropout_layer(X: Tensor, dropout: float) -> Tensor:
    """Each element 0 with probability `dropout`, else divided by ``1 - dropout``; in evaluation too."""
    return F.dropout(X, dropout)
