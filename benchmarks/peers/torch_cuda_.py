"""PyTorch on a GPU: eager, compiled, and a step captured as a CUDA graph. Data and orders are there before."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..train import Problem
from . import Array, Kernel, Peer, Unsupported
from .cuda_ import Cuda
from .torch_ import TorchTraining


class Torch(Peer):
    """float32 as it is by default: TF32 is off in products."""

    PRECISION = "highest"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        if not torch.cuda.is_available():
            raise RuntimeError("PyTorch finds no GPU")
        torch.set_float32_matmul_precision(self.PRECISION)

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        """A call launches a graph of the kernel, as often as fastnn's does."""
        if name not in _KERNELS:
            raise Unsupported(f"no kernel {name}")
        step = _KERNELS[name](*[torch.from_numpy(array).cuda() for array in arrays], **scalars)
        results = tuple(result.cpu().numpy().copy() for result in step())
        graph = _captured(step)

        def call() -> tuple[Array, ...]:
            for _ in range(Cuda.REPEATS):
                graph.replay()
            torch.cuda.synchronize()
            return results

        return call

    def training(self, problem: Problem) -> "CudaTraining":
        return CudaTraining(problem, compiled=False)


class Compiled(Torch):
    """The whole step through torch.compile."""

    def training(self, problem: Problem) -> "CudaTraining":
        return CudaTraining(problem, compiled=True)


class Graphs(Torch):
    """The eager step, captured once and replayed."""

    def training(self, problem: Problem) -> "CudaTraining":
        return GraphTraining(problem, compiled=False)


class GraphsTf32(Graphs):
    """Products in TF32."""

    PRECISION = "high"


class GraphsBf16(Graphs):
    """What PyTorch has for float32 beside bfloat16: where a device does not follow it, products are in TF32."""

    PRECISION = "medium"


class CudaTraining(TorchTraining):
    def __init__(self, problem: Problem, compiled: bool) -> None:
        super().__init__(problem, compiled)
        self.x, self.y = self.x.cuda(), self.y.cuda()
        self.net.cuda()
        self.params = list(self.net.parameters())

    def prepare(self, order: Array) -> list[torch.Tensor]:
        return list(torch.from_numpy(order).cuda().unbind())

    def epoch(self, order: list[torch.Tensor]) -> Array:
        losses: Array = torch.stack([self.step(rows) for rows in order]).cpu().numpy()
        return losses


class GraphTraining(CudaTraining):
    def __init__(self, problem: Problem, compiled: bool) -> None:
        super().__init__(problem, compiled)
        self.rows = torch.from_numpy(problem.orders[0][0]).cuda()
        before = [param.detach().clone() for param in self.params]
        self.losses: list[torch.Tensor] = []
        self.graph = _captured(lambda: self.losses.append(self._step(self.rows)))
        with torch.no_grad():
            for param, value in zip(self.params, before, strict=True):
                param.copy_(value)

    def epoch(self, order: list[torch.Tensor]) -> Array:
        losses = torch.empty(len(order), device="cuda")
        for i, rows in enumerate(order):
            self.rows.copy_(rows)
            self.graph.replay()
            losses[i] = self.losses[-1]
        result: Array = losses.cpu().numpy()
        return result


def _captured(step: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """`step` as a graph; it runs some times before, as PyTorch asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Kernel:
    a, b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype, device="cuda")
    return lambda: (torch.mm(a, b, out=out),)


def _cross_entropy(logits: Any, target: Any) -> Kernel:
    """The loss and its gradient, by the operations that autograd would run."""

    def call() -> tuple[Any, ...]:
        log_p = torch.log_softmax(logits, 1)
        return -(target * log_p).sum(1).mean(), (torch.exp(log_p) - target) / len(logits)

    return call


def _sgd_update(param: Any, grad: Any, velocity: Any, lr: float, momentum: float) -> Kernel:
    def call() -> tuple[Any, ...]:
        velocity.mul_(momentum).add_(grad)
        param.add_(velocity, alpha=-lr)
        return param, velocity

    return call


_KERNELS: dict[str, Callable[..., Kernel]] = {
    "matmul": _matmul,
    "cross_entropy_with_grad": _cross_entropy,
    "sgd_update": _sgd_update,
    "relu": lambda x: lambda: (F.relu(x),),
}
