"""Data-parallel training on MPI: each global batch is cut into shards, whose gradients are added by one binary tree.

A shard is a part of the batch and the unit of the arithmetic: every shard runs the same step, and the tree over the
shards fixes the order in which their gradients are added. A rank holds several neighbouring shards, or one. So the bits
depend on the number of shards, and not on the number of ranks that share them.
"""

import os
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _core, random
from . import functional as F
from .all_reduce import AllReduce, Node, cover, halves
from .autograd import Function, no_grad
from .data.loader import is_plain
from .dispatch import Array
from .functional.loss import divisors
from .nn import UninitializedParameter
from .tensor import Tensor

Run = Callable[[Sequence[Tensor]], Tensor | None]  # a step on a shard; gives the loss where there is one to learn from


def is_launched() -> bool:
    """Whether an MPI launcher has started this process."""
    return any(name in os.environ for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"))


class SumOverRanks(Function):
    """`AllReduce` as a node of a step and its plan."""

    _borrows = True

    @staticmethod
    def forward(ctx: Any, flat: Array, reduce: AllReduce) -> Array:
        """The sum of `flat` over all ranks."""
        return reduce(flat)


class Ranks:
    """The processes that train one model, and what this one of them does.

    `shards` is the number of parts of a batch, a multiple of the number of ranks. None: one for each rank, and MPI adds
    their gradients in an order of its own. Raises ImportError without mpi4py, ValueError for another number.
    """

    def __init__(self, shards: int | None = None) -> None:
        try:
            from mpi4py import MPI
        except ImportError:
            raise ImportError("[Trainer] strategy = 'mpi' needs mpi4py: pip install mpi4py mpich") from None
        self._comm = MPI.COMM_WORLD
        self.rank, self.size = self._comm.rank, self._comm.size
        self.shards = self.size if shards is None else shards
        if self.shards < 1 or self.shards % self.size:
            raise ValueError(f"[Trainer] shards = {shards} must be a multiple of the number of ranks, {self.size}")
        owned = self.shards // self.size
        self._own = range(self.rank * owned, (self.rank + 1) * owned)
        self._nodes = [cover((0, self.shards), (r * owned, (r + 1) * owned)) for r in range(self.size)]
        self._here = self._comm.Split_type(MPI.COMM_TYPE_SHARED)  # the ranks of this machine
        self._reduce = AllReduce(self._comm, self._nodes, shards, by_memory=self._here.size == self.size)
        self._logs: dict[str, Tensor] = {}
        self._logged: dict[bool, tuple[list[str], np.dtype[Any]]] = {}  # by every shard, in training and validation

    # ---- which rows ---------------------------------------------------------------------------------------------

    def _bounds(self, rows: int, shard: int) -> tuple[int, int]:
        return rows * shard // self.shards, rows * (shard + 1) // self.shards

    def part(self, rows: int) -> slice:
        """The rows of a batch that are this rank's."""
        return slice(self._bounds(rows, self._own.start)[0], self._bounds(rows, self._own.stop - 1)[1])

    # ---- a step ---------------------------------------------------------------------------------------------------

    def step(
        self,
        run: Run,
        batch: Sequence[Tensor],
        examples: int,
        parameters: Callable[[], list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Runs `run` on this rank's shards of a batch of `examples` rows, of which `batch` has its own.

        With `parameters`, the gradients of the loss that `run` returns are left there, those of the whole batch. Gives
        the means of what was logged.
        """
        first = self._bounds(examples, self._own.start)[0]

        def total_of(node: Node) -> Tensor:
            if node[1] - node[0] > 1:
                left, right = map(total_of, halves(node))
                return left + right
            start, stop = self._bounds(examples, node[0])
            part = [tensor[start - first : stop - first] for tensor in batch]
            random.set_ordinal(node[0] << 16)  # dropout draws other numbers in each shard
            return self._shard(run, tuple(part) if type(batch) is tuple else part, stop - start, parameters)

        totals = [total_of(node) for node in self._nodes[self.rank]]
        random.set_ordinal(self.shards << 16)
        with no_grad():
            total: Tensor = SumOverRanks.apply(F.cat(totals) if len(totals) > 1 else totals[0], self._reduce)
            names, _ = self._logged[parameters is not None]
            size, count = total.numel(), len(names)
            if parameters is not None:
                _set_gradients(total[: size - 2 * count - 1] / total[size - 1], parameters())
            means = total[size - 2 * count - 1 : size - count - 1] / total[size - count - 1 : size - 1]
            return {name: means[i] for i, name in enumerate(names)}

    def log(self, name: str, value: Tensor) -> None:
        """Takes what a shard logs."""
        self._logs[name] = value

    def _shard(
        self, run: Run, part: Sequence[Tensor], rows: int, parameters: Callable[[], list[Tensor]] | None
    ) -> Tensor:
        """A shard's share of the total: gradients, what it logs, the weights of that, and the weight of its loss.

        Gradients and what is logged are multiplied by their weights: the number of rows, or what a loss divides by.
        """
        learns = parameters is not None
        if not rows:
            if learns not in self._logged:
                raise ValueError(f"[fit] the first batch has fewer rows than shards, {self.shards}: use fewer shards")
            names, dtype = self._logged[learns]
            numbers = sum(p.numel() for p in parameters()) if parameters is not None else 0
            return F.zeros(numbers + 2 * len(names) + 1, dtype=dtype)
        self._logs = {}
        with divisors() as divided:
            loss = run(part)
        logs, self._logs = self._logs, {}
        params = [] if parameters is None else parameters()
        dtype = np.result_type(*{t.dtype for t in (params or logs.values())})
        number = weight = F.tensor(float(rows), dtype=dtype)
        if loss is not None:
            weight = divided.get(loss._storage, next(reversed(divided.values()), number))
            for param in params:
                param.grad = None
            scaled = loss * _cast(weight, loss.dtype)
            with no_grad():
                scaled.backward()
        with no_grad():
            gradients = [F.zeros_like(p) if p.grad is None else p.grad for p in params]
            weights = [_cast(divided.get(value._storage, number), dtype) for value in logs.values()]
            values = [_cast(value, dtype) * w for value, w in zip(logs.values(), weights, strict=True)]
            names, _ = self._logged.setdefault(learns, (list(logs), dtype))
            if names != list(logs):
                raise ValueError(f"[fit] a step logs {', '.join(logs)}, one before it {', '.join(names)}")
            return F.cat([_cast(t, dtype).reshape(-1) for t in (*gradients, *values, *weights, weight)])

    # ---- a run ----------------------------------------------------------------------------------------------------

    def share(self, value: Any) -> Any:
        """What the first rank has."""
        return self._comm.bcast(value, 0)

    def agree(self, model: Any, loaders: Sequence[Any]) -> None:
        """All ranks take the weights of the first. ValueError where they have other models or other rows."""
        made = {n: p for n, p in model.named_parameters() if not isinstance(p, UninitializedParameter)}
        self._check_same("models", [(name, value.shape, str(value.dtype)) for name, value in made.items()])
        self._check_same("data", [zlib.crc32(loader.order(0)) for loader in loaders if is_plain(loader)])
        for value in made.values():
            self._comm.Bcast(value._array, 0)
        import socket

        processes = self._comm.gather(f"{socket.gethostname()}:{os.getpid()}")
        if processes is not None and self.size > 1:  # a launcher names a process that was killed, not its rank
            print(f"[mpi] ranks 0 to {self.size - 1} are {', '.join(processes)}", file=sys.stderr, flush=True)

    def _check_same(self, what: str, value: Any) -> None:
        values = self._comm.allgather(value)
        if any(other != values[0] for other in values):
            raise ValueError(f"[fit] the ranks have different {what}: build them in the same way, with a seed given")

    def threads(self) -> int:
        """How many threads each rank of this machine may use: what they share, divided."""
        cpus = self._here.allgather(frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)
        alike: int = sum(other == cpus[self._here.rank] for other in cpus)
        return max(1, _core.num_threads() // alike)

    def free(self) -> None:
        """Give back what belongs to MPI, by all ranks together, when the model is trained."""
        self._reduce.free()
        self._here.Free()

    @contextmanager
    def ends_together(self) -> Iterator[None]:
        """An exception within, on any rank, ends all of them, so that none waits for another."""
        try:
            yield
        except BaseException as error:
            if self.size > 1:
                end = f"[mpi] rank {self.rank} of {self.size}: {error!r}. All ranks end"
                print(traceback.format_exc(), end, sep="", file=sys.stderr, flush=True)
                time.sleep(0.2)  # for the launcher to pass it on: what it has not read when it ends all is lost
                self._comm.Abort(1)
                os._exit(1)
            raise


def _set_gradients(flat: Tensor, params: Sequence[Tensor]) -> None:
    start = 0
    for param in params:
        part = flat[start : start + param.numel()]
        param.grad = _cast(part, param.dtype).reshape(param.shape)
        start += param.numel()


def _cast(value: Tensor, dtype: np.dtype[Any]) -> Tensor:
    return value if value.dtype == dtype else value.to(dtype)
