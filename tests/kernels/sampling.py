"""Where the arguments of kernel calls come from: sizes, options and data, all from one source of integers.

Given hypothesis' integers a failing call is shrunk; given a seeded generator the same calls come again in another
process.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Around the edges of what the kernels are cut into: 4, 8 or 16 lanes, tiles of 6, 14 rows and 8, 16, 32 columns, chunks
# of 256, blocks of 4096. The simplest come first: hypothesis shrinks toward them.
SIZES = (1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 28, 29, 31, 32, 33, 47, 48, 49, 63, 64, 65)
SIZES += (127, 129, 255, 256, 257, 511, 512, 513, 1000, 4095, 4096, 4097, 8193)
LARGE_SIZES = (97, 130, 257, 300, 1025, 4099, 65537, 150001)  # enough work for several threads

INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")


class Sampler:
    """Draws arguments; `integer(low, high)` gives an integer of [low, high]."""

    def __init__(self, integer: Callable[[int, int], int], *, large: bool = False) -> None:
        self.integer, self.large = integer, large

    def option(self, *options: Any) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def size(self, limit: int, *, least: int = 0) -> int:
        sizes = [n for n in LARGE_SIZES if n <= limit] if self.large else []
        return self.option(*(sizes or [n for n in SIZES if max(least, int(self.large)) <= n <= limit]))

    def shape(self, lowest_rank: int, highest_rank: int, *, least: int = 0, limit: int = 0) -> tuple[int, ...]:
        """A shape of at most `limit` elements, by itself a few thousand, or some hundred thousand for large calls."""
        limit = limit or (200_000 if self.large else 8200)
        shape: tuple[int, ...] = ()
        for _ in range(self.integer(max(lowest_rank, int(self.large)), highest_rank)):
            shape += (self.size(max(least, limit), least=least),)
            limit //= max(shape[-1], 1)
        return shape

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.integer(0, 2**32 - 1))

    def array(self, shape: tuple[int, ...], dtype: str, low: float = -4.0, high: float = 4.0) -> Array:
        """Finite elements of [low, high]: integers, or even or very uneven ones. No -0 (its max with 0 is either)."""
        if dtype == "bool":
            return self.generator().integers(0, 2, shape).astype(bool)
        if np.dtype(dtype).kind in "iu":
            low, high = max(low, np.iinfo(dtype).min), min(high, np.iinfo(dtype).max)
            return self.generator().integers(int(low), int(high), shape, dtype, endpoint=True)
        style, x = self.integer(0, 2), self.generator().uniform(low, high, shape)
        if style == 0:
            x = np.trunc(x)
        if style == 2:
            x = np.clip(x * 2.0 ** self.generator().integers(-20, 1, shape), low, high)
        return np.asarray(x.astype(dtype) + 0)

    def anything(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Ordinary elements or, as often, any bit pattern: subnormals, infinities, NaN, the extreme integers."""
        if dtype == "bool" or self.integer(0, 1) == 0:
            return self.array(shape, dtype)
        patterns = self.generator().integers(0, 256, (*shape, np.dtype(dtype).itemsize), "uint8")
        x = patterns.view(dtype)[..., 0] if shape else patterns.view(dtype)[0]
        return np.asarray(np.where(x == 0, np.zeros_like(x), x))

    def indices(self, shape: tuple[int, ...], bound: int, *, negative: bool = False) -> Array:
        """Integers of [0, bound), or of [-bound, bound) for the signed dtypes, in any integer dtype that holds them."""
        dtype = self.option(*(d for d in INTEGERS if bound - 1 <= np.iinfo(d).max))
        low = -bound if negative and -bound >= np.iinfo(dtype).min else 0
        return self.generator().integers(low, bound, shape, dtype)


def seeded(seed: int, *, large: bool = False) -> Sampler:
    return Sampler(random.Random(seed).randint, large=large)
