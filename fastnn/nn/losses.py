"""Losses as modules, with the names and reductions of torch.nn: "mean", "sum" or "none"."""

from typing import Any

from fastnn import functional as F
from fastnn.tensor import Tensor

from .module import Module


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"[{type(self).__name__}] reduction = {reduction!r} must be 'mean', 'sum' or 'none'")
        self.reduction = reduction

    def _check(self, prediction: Tensor, target: Tensor) -> None:
        if prediction.shape != target.shape:
            raise ValueError(f"[{type(self).__name__}] prediction is {prediction.shape} but target is {target.shape}")

    def _reduce(self, losses: Tensor) -> Tensor:
        if self.reduction == "none":
            return losses
        return losses.sum() if self.reduction == "sum" else losses.mean()

    def config(self) -> dict[str, Any]:
        return {"reduction": self.reduction}


class MSELoss(_Loss):
    """Squared error ``(prediction - target)**2``, without half; ValueError unless the shapes are equal.

    >>> MSELoss()(F.tensor([1.0, 2.0]), F.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss, over equal shapes."""
        return F.mse_loss(prediction, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Absolute error ``|prediction - target|``; ValueError unless the shapes are equal.

    >>> L1Loss()(F.tensor([1.0, 2.0]), F.tensor([1.0, 4.0]))
    tensor(1.)
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss, over equal shapes."""
        self._check(prediction, target)
        return self._reduce(abs(prediction - target))


class HuberLoss(_Loss):
    """Half the squared error up to `delta`, beyond it linear (Huber, 1964); ValueError unless the shapes are equal.

    >>> HuberLoss(reduction="none")(F.tensor([0.5, 3.0]), F.tensor([0.0, 0.0]))
    tensor([0.1250, 2.5000])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not delta > 0:
            raise ValueError(f"[HuberLoss] delta = {delta} must be above 0")
        self.delta = delta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss, over equal shapes."""
        self._check(prediction, target)
        error = abs(prediction - target)
        near = error.clamp(max=self.delta)
        return self._reduce(near * (error - 0.5 * near))

    def config(self) -> dict[str, Any]:
        return {**super().config(), "delta": self.delta}


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of ``sigmoid(logits)`` with targets in [0, 1], without overflow.

    Raises ValueError unless the shapes are equal.

    >>> BCEWithLogitsLoss()(F.tensor([0.0, 1000.0]), F.tensor([1.0, 1.0]))
    tensor(0.3466)
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss, over equal shapes."""
        self._check(logits, target)
        # maximum, not relu: its gradient at 0 is 1/2, which makes the whole sigmoid(0) - target
        return self._reduce(F.maximum(logits, 0.0) - logits * target + F.log(F.exp(-abs(logits)) + 1.0))


class CrossEntropyLoss(_Loss):
    """Cross-entropy of softmax(logits), computed from the logits (torch.nn.CrossEntropyLoss).

    `logits` is (n, classes). The target is class indices (n,), or one-hot rows or probabilities (n, classes). `weight`
    (classes,) scales each class, rows labelled `ignore_index` count for nothing, `label_smoothing` mixes the target
    with the uniform distribution. Raises ValueError for a label that is no class.

    >>> loss = CrossEntropyLoss()
    >>> logits = F.log(F.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]))
    >>> loss(logits, F.tensor([0, 2])), loss(logits, F.tensor([[1, 0, 0], [0, 0, 1]]))
    (tensor(1.4979), tensor(1.4979))
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"[CrossEntropyLoss] label_smoothing = {label_smoothing} must be in [0, 1]")
        self.weight = weight
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of `logits` (n, classes)."""
        if target.ndim == logits.ndim and target.dtype.kind != "f":  # one-hot, as integers or bool
            target = F.cast(target, logits.dtype)
        return F.cross_entropy(
            logits,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )

    def config(self) -> dict[str, Any]:
        return {**super().config(), "ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing}


class NLLLoss(_Loss):
    """Negative of the log-probability of the label: CrossEntropyLoss after a log-softmax (torch.nn.NLLLoss).

    `log_probabilities` is (n, classes), the target class indices (n,); `weight` and `ignore_index` as for
    CrossEntropyLoss. Raises ValueError for a label that is no class.

    >>> NLLLoss()(F.log(F.tensor([[0.1, 0.9], [0.5, 0.5]])), F.tensor([1, 0]))
    tensor(0.3993)
    """

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight
        self.ignore_index = ignore_index

    def forward(self, log_probabilities: Tensor, target: Tensor) -> Tensor:
        """The loss of `log_probabilities` (n, classes)."""
        if self.reduction == "mean" and 0 in target.shape:
            raise ValueError("[NLLLoss] target is an empty batch: the mean of nothing is undefined")
        classes = log_probabilities.shape[-1]
        kept = F.not_equal(target, self.ignore_index)
        chosen = F.one_hot(F.where(kept, target, 0), classes).bool()
        losses = -F.where(chosen, log_probabilities, 0.0).sum(1)
        weights = F.cast(kept, losses.dtype)
        if self.weight is not None:
            weights = weights * F.where(chosen, self.weight, 0.0).sum(1)
        losses = losses * weights
        return losses.sum() / weights.sum() if self.reduction == "mean" else self._reduce(losses)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "ignore_index": self.ignore_index}
