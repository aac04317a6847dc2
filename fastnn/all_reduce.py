"""Sums over ranks on MPI, in an order that the number of shards fixes: one binary tree, whoever holds its leaves."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from .dispatch import Array

Node = tuple[int, int]  # of the tree: the shards from, to
Addition = tuple[Array, Array, Array]  # left and right, and where their sum goes
_SHORT = 8192  # elements


def cover(node: Node, shards: Node) -> list[Node]:
    """The largest nodes of the tree under `node` that together are `shards`.

    >>> cover((0, 8), (4, 8)), cover((0, 6), (0, 3))
    ([(4, 8)], [(0, 2), (2, 3)])
    """
    if shards[0] <= node[0] and node[1] <= shards[1]:
        return [node]
    if node[1] <= shards[0] or shards[1] <= node[0]:
        return []
    return [part for half in halves(node) for part in cover(half, shards)]


def halves(node: Node) -> tuple[Node, Node]:
    """The two nodes below `node`: the first holds the largest power of two of its shards that is less than all.

    >>> halves((0, 6))
    ((0, 4), (4, 6))
    """
    low, high = node
    middle = low + (1 << ((high - low - 1).bit_length() - 1))
    return (low, middle), (middle, high)


def additions(node: Node, pieces: Mapping[Node, Array], out: Array | None = None) -> tuple[Array, list[Addition]]:
    """Where the sum at `node` of the tree will be, and the additions that make it, from the sums at the nodes in
    `pieces`; worked out once, they are made again and again.

    >>> pieces = {(0, 1): np.array([1.0]), (1, 2): np.array([2.0]), (2, 3): np.array([4.0])}
    >>> total, steps = additions((0, 3), pieces)
    >>> for left, right, into in steps:
    ...     _ = np.add(left, right, into)
    >>> total
    array([7.])
    """
    if node in pieces:
        return pieces[node], []
    (left, first), (right, second) = (additions(half, pieces) for half in halves(node))
    out = np.empty_like(left) if out is None else out
    return out, [*first, *second, (left, right, out)]


class AllReduce:
    """Sums over the ranks of `comm`; rank r holds the sums at ``nodes[r]`` of the tree over `shards`.

    Each rank adds a part of every array, from the pieces of all, and hands the sum to all: `by_memory`, which ranks of
    one machine can share, or by messages. None for `shards`: MPI adds, in an order of its own.
    """

    def __init__(self, comm: Any, nodes: Sequence[Sequence[Node]], shards: int | None, by_memory: bool) -> None:
        self._comm, self._nodes, self._shards, self._by_memory = comm, nodes, shards, by_memory
        self._windows: list[Any] = []
        self._sums: dict[tuple[int, str], Callable[[Array], Array]] = {}

    def __call__(self, flat: Array) -> Array:
        """The sum of `flat`, which holds the pieces of this rank one after the other. It is valid until the next."""
        if self._comm.size == 1:
            return flat
        if self._shards is None:
            total = np.empty_like(flat)
            self._comm.Allreduce(flat, total)
            return total
        key = len(flat), flat.dtype.str
        if key not in self._sums:
            make = self._through_memory if self._by_memory else self._through_messages
            self._sums[key] = make(len(flat) // len(self._nodes[self._comm.rank]), flat.dtype)
        return self._sums[key](flat)

    def free(self) -> None:
        """Give back the shared memory, by all ranks together; sums that were handed out are not valid any more."""
        self._sums.clear()
        for window in self._windows:
            window.Unlock_all()
            window.Free()
        self._windows.clear()

    def _through_memory(self, length: int, dtype: np.dtype[Any]) -> Callable[[Array], Array]:
        """Of arrays of `length`: each rank reads the pieces where the others have put them.

        Short arrays are added by each rank for itself: that takes less than to wait for each other once more. They are
        put to two places in turn, of which one is free again when all have met at the other.
        """
        comm, most, short = self._comm, max(map(len, self._nodes)), length <= _SHORT
        places = 2 if short else 1
        size = (places * most + (comm.rank == 0 and not short)) * length * dtype.itemsize
        window = _mpi().Win.Allocate_shared(size, dtype.itemsize, comm=comm)
        window.Lock_all(_mpi().MODE_NOCHECK)
        self._windows.append(window)
        memory = [np.frombuffer(window.Shared_query(r)[0], dtype) for r in range(comm.size)]
        mine = memory[comm.rank][: places * most * length].reshape(places, -1)
        total = np.empty(length, dtype) if short else memory[0][most * length :]
        own = slice(*((0, length) if short else (length * r // comm.size for r in (comm.rank, comm.rank + 1))))
        turns = []
        for place in range(places):
            pieces = {
                node: memory[r][(place * most + i) * length :][own]
                for r, nodes in enumerate(self._nodes)
                for i, node in enumerate(nodes)
            }
            put = mine[place, : len(self._nodes[comm.rank]) * length]
            turns.append((put, additions((0, self._shards or 0), pieces, total[own])[1]))
        next_turn = cycle(turns).__next__

        def reduce(flat: Array) -> Array:
            put, steps = next_turn()
            put[:] = flat
            window.Sync()
            comm.Barrier()
            for left, right, out in steps:
                np.add(left, right, out)
            if not short:
                window.Sync()
                comm.Barrier()
            return total

        return reduce

    def _through_messages(self, length: int, dtype: np.dtype[Any]) -> Callable[[Array], Array]:
        """Of arrays of `length`: each rank is sent its part of the pieces, and sends its part of the sum."""
        comm, most, chunk = self._comm, max(map(len, self._nodes)), -(-length // self._comm.size)
        sent, received = np.zeros((2, comm.size, most, chunk), dtype)
        total = np.empty(comm.size * chunk, dtype)
        pieces = {node: received[r, i] for r, nodes in enumerate(self._nodes) for i, node in enumerate(nodes)}
        own, steps = additions((0, self._shards or 0), pieces)

        def reduce(flat: Array) -> Array:
            for i, piece in enumerate(flat.reshape(-1, length)):
                whole, rest = divmod(length, chunk)
                sent[:whole, i] = piece[: whole * chunk].reshape(whole, chunk)
                if rest:
                    sent[whole, i, :rest] = piece[whole * chunk :]
            comm.Alltoall(sent, received)
            for left, right, out in steps:
                np.add(left, right, out)
            comm.Allgather(own, total)
            return total[:length]

        return reduce


def _mpi() -> Any:
    from mpi4py import MPI

    return MPI
