"""Random numbers by counters: a number depends on where it stands, not on what was drawn before.

The counter and its words are laid out in csrc/array/philox.h.
"""

import math

import numpy as np

from fastnn.reference._common import Array, give

_M = np.uint64(0xFFFFFFFF)


def _check_counters(name: str, purpose: int, step: int, step_name: str = "step") -> None:
    """More bits than the counter has room for would give the numbers of another."""
    if not 0 <= purpose <= 255:
        raise ValueError(f"[{name}] purpose = {purpose} must be at most 255")
    if not 0 <= step < 2**44:
        raise ValueError(f"[{name}] {step_name} = {step} must be a whole number from 0 to 2**44 - 1")


def _philox(seed: int, blocks: int, ordinal: int, step: int, purpose: int) -> Array:
    """Words (blocks, 4) of Philox4x32-10, uint64 holding 32 bits."""
    position = np.arange(blocks, dtype=np.uint64)
    high = np.uint64((purpose & 0xFF) | ((step >> 32) & 0xFFF) << 8)
    c0, c1 = position & _M, np.full(blocks, ordinal, np.uint64)
    c2 = np.full(blocks, step & 0xFFFFFFFF, np.uint64)
    c3 = high | ((position >> np.uint64(32)) & np.uint64(0xFFF)) << np.uint64(20)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & _M,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & _M,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], 1)


def _uniform01(count: int, seed: int, purpose: int, step: int, ordinal: int, double: bool) -> Array:
    """Multiples of 2**-24 (number i from word i) or 2**-53 (from words 2 i, the high 32 bits, and 2 i + 1)."""
    words = _philox(seed, -(-count * (2 if double else 1) // 4), ordinal, step, purpose).reshape(-1)
    if not double:
        return (words[:count] >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    pairs = words[: 2 * count].reshape(-1, 2)
    bits = (pairs[:, 0] << np.uint64(32) | pairs[:, 1]) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def uniform(
    shape: tuple[int, ...],
    *,
    low: float = 0.0,
    high: float = 1.0,
    seed: int,
    purpose: int = 0,
    step: int = 0,
    ordinal: int = 0,
    dtype: str = "float32",
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Numbers from [low, high), each from its position under (seed, purpose, step, ordinal).

    Where ``low + u * (high - low)`` is rounded up, it can be `high`, or the number after it. `low` above `high` is an
    error, and so is a bound, or their difference, that `dtype` does not hold.
    """
    _check_counters("uniform", purpose, step)
    real = np.dtype(dtype).type
    u = _uniform01(math.prod(shape), seed, purpose, step, ordinal, dtype == "float64")
    return give((real(low) + u * real(high - low)).reshape(shape), out)


def normal(
    shape: tuple[int, ...],
    *,
    mean: float = 0.0,
    std: float = 1.0,
    seed: int,
    purpose: int = 0,
    step: int = 0,
    ordinal: int = 0,
    dtype: str = "float32",
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Normally distributed numbers, by the inverse of the distribution function, computed in float64.

    float32: of ``(word + 0.5) * 2**-32``; float64: of ``(53 bits + 0.5) * 2**-53``. (Wichura, algorithm AS 241, 1988.)
    A `std` below 0 is an error.
    """
    from statistics import NormalDist

    _check_counters("normal", purpose, step)
    count = math.prod(shape)
    if dtype == "float64":
        p = _uniform01(count, seed, purpose, step, ordinal, True) + 2.0**-54
    else:
        words = _philox(seed, -(-count // 4), ordinal, step, purpose).reshape(-1)[:count]
        p = (words.astype(np.float64) + 0.5) * 2.0**-32
    z = np.array([NormalDist().inv_cdf(q) for q in p], np.float64)
    return give((mean + std * z).astype(dtype).reshape(shape), out)


def dropout(
    x: Array,
    *,
    p: float,
    seed: int,
    purpose: int = 2,
    step: int = 0,
    ordinal: int = 0,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """``x / (1 - p)`` where the 24-bit uniform number at the element's position is at least `p`, else 0.

    Its own gradient: the same call on the gradient, under the same counters.
    """
    _check_counters("dropout", purpose, step)
    real = x.dtype.type
    keep = _uniform01(x.size, seed, purpose, step, ordinal, False).reshape(x.shape) >= np.float32(p)
    scale = real(0 if p == 1 else 1 / (1 - p))
    return give(np.where(keep, x * scale, real(0)), out)


def permutation(
    n: int, *, seed: int, epoch: int = 0, out: Array | None = None, num_threads: int | None = None
) -> Array:
    """A permutation of 0..n-1 (int64) by Fisher and Yates.

    For i from n-1 down to 1, swaps element i with element ``bits * (i + 1) >> 64``. The 64 bits of index i are words
    2 (i % 2), the high half, and 2 (i % 2) + 1 of block i / 2, purpose 3, step `epoch`.
    """
    _check_counters("permutation", 3, epoch, "epoch")
    words = _philox(seed, -(-n // 2), 0, epoch, 3).reshape(-1, 2)
    order = np.arange(n, dtype=np.int64)
    for i in range(n - 1, 0, -1):
        bits = int(words[i, 0]) << 32 | int(words[i, 1])
        j = bits * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return give(order, out)
