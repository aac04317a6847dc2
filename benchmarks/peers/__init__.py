"""The libraries that fastnn is measured against, and fastnn itself: one file each, all with the same few entries."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..many import Many
    from ..train import Problem

Array = NDArray[Any]
Kernel = Callable[[], tuple[Any, ...]]
"""A call of a kernel; its results, arrays of the library."""

PEERS = {
    "fastnn": "fastnn_:Fastnn",
    "fastnn eager": "fastnn_:Eager",
    "fastnn cuda": "cuda_:Cuda",
    "fastnn cuda launched": "cuda_:Launched",
    "fastnn cuda tf32": "cuda_:Tf32",
    "fastnn cuda bf16": "cuda_:Bf16",
    "numpy": "numpy_:Numpy",
    "torch": "torch_:Torch",
    "torch.compile": "torch_:Compiled",
    "torch cuda": "torch_cuda_:Torch",
    "torch cuda compiled": "torch_cuda_:Compiled",
    "torch cuda graphs": "torch_cuda_:Graphs",
    "torch cuda graphs tf32": "torch_cuda_:GraphsTf32",
    "torch cuda graphs bf16": "torch_cuda_:GraphsBf16",
    "jax": "jax_:Jax",
    "sklearn": "sklearn_:Sklearn",
}
"""Where each contender is defined; only the worker process of a contender imports its library."""

PACKAGES = {
    "fastnn eager": "fastnn",
    "fastnn cuda": "fastnn",
    "fastnn cuda launched": "fastnn",
    "fastnn cuda tf32": "fastnn",
    "fastnn cuda bf16": "fastnn",
    "torch.compile": "torch",
    "torch cuda": "torch",
    "torch cuda compiled": "torch",
    "torch cuda graphs": "torch",
    "torch cuda graphs tf32": "torch",
    "torch cuda graphs bf16": "torch",
    "sklearn": "scikit-learn",
}
"""The distribution that a contender comes from, where it has another name."""


class Unsupported(Exception):
    """A contender has no counterpart of what is measured."""


class Training(Protocol):
    """A model in training: weights and optimizer state live in here, from the problem's initial weights on."""

    def prepare(self, order: Array) -> Any:
        """The row numbers (steps, batch) of an epoch in the library's own form; not timed."""

    def epoch(self, order: Any) -> Array:
        """A training step for each batch; the losses, or one mean loss where the library keeps no more."""


class Peer:
    """A library with its thread count set; one per worker process."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        """A call of the kernel `name` of `fastnn.reference` on these arrays, writing into memory of its own."""
        raise Unsupported(f"no kernel {name}")

    def training(self, problem: "Problem") -> Training:
        raise Unsupported("does not train")

    def many(self, many: "Many") -> Callable[[], Array]:
        """A function that trains all models of `many` anew; each one's mean loss of the last epoch."""
        raise Unsupported("does not train many models at once")


def open_peer(name: str, threads: int) -> Peer:
    module, attribute = PEERS[name].split(":")
    peer: Peer = getattr(importlib.import_module(f".{module}", __package__), attribute)(threads)
    return peer


def bench_kernel(peer: str, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
    """A call of a kernel as `fastnn bench` makes it. (Imported here: processes that are timed whole load no fastnn.)"""
    from fastnn import _bench

    kernels = _bench.kernels_of(peer)
    if name not in kernels:
        raise Unsupported(f"no kernel {name}")
    return kernels[name](*arrays, **scalars)


def unit_floats(x: Array) -> Array:
    """float32 rows of a data set; images stored as uint8 are scaled to [0, 1] once, before any timing."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x
