"""Random numbers are functions of their counters, with the distributions they are named after."""

import math
from types import ModuleType

import numpy as np
import pytest

from fastnn import kernels, reference
from kernels.comparing import same_bits

floats = pytest.mark.parametrize("dtype", ["float32", "float64"])
N = 100_000
# Kolmogorov and Smirnov: the largest distance from the distribution function exceeds this once in a thousand samples.
DISTANCE = 1.95 / math.sqrt(N)


def test_philox_gives_the_published_words() -> None:
    """The known answer of Random123 for a counter and a key of zeros."""
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    expected = np.array([(word >> 8) * 2.0**-24 for word in words], np.float32)
    assert same_bits(kernels.uniform((4,), seed=0, purpose=0), expected)


@floats
def test_uniform_numbers_are_uniform(dtype: str) -> None:
    u = np.sort(kernels.uniform((N,), low=-1.0, high=3.0, seed=5, dtype=dtype))
    assert u[0] >= -1
    assert u[-1] < 3
    assert np.abs((u + 1) / 4 - np.arange(N) / N).max() < DISTANCE


@floats
def test_normal_numbers_are_normal(dtype: str) -> None:
    z = np.sort(kernels.normal((N,), mean=2.0, std=0.5, seed=5, dtype=dtype))
    below = np.array([(1 + math.erf((v - 2) / 0.5 / math.sqrt(2))) / 2 for v in z])
    assert np.abs(below - np.arange(N) / N).max() < DISTANCE


@floats
def test_dropout_drops_its_share_and_scales_the_rest(dtype: str) -> None:
    y = kernels.dropout(np.ones(N, dtype), p=0.25, seed=5)
    assert abs((y == 0).mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / N)
    assert set(y.tolist()) == {0.0, float(np.asarray(1 / 0.75, dtype))}
    assert (kernels.dropout(np.ones(N, dtype), p=1.0, seed=5) == 0).all()


@pytest.mark.parametrize("counter", [{"seed": 6}, {"purpose": 1}, {"step": 1}, {"step": 2**32}, {"ordinal": 1}])
def test_every_counter_counts(counter: dict[str, int]) -> None:
    here, there = ({"seed": 5, "purpose": 0, "step": 0, "ordinal": 0, **c} for c in ({}, counter))
    for kernel in (kernels.uniform, kernels.normal):
        assert (kernel((1000,), **here) == kernel((1000,), **there)).mean() < 0.01


def test_uniform_numbers_stay_within_a_rounding_of_their_bounds() -> None:
    for low, high in [(0.1, 0.3), (-3e38, 0.4e38), (1.0, 1.0), (1.0, 1 + 2**-30)]:
        u = kernels.uniform((N,), low=low, high=high, seed=5)
        assert u.min() >= np.float32(low)
        assert u.max() <= np.nextafter(np.float32(high), np.float32(np.inf))


@pytest.mark.parametrize("module", [kernels, reference], ids=["native", "reference"])
def test_counter_that_does_not_fit_is_refused(module: ModuleType) -> None:
    """Cut short, it would give the numbers of another."""
    for bad in ({"purpose": 256}, {"step": 2**44}, {"step": -1}):
        (counter,) = bad
        for kernel in ("uniform", "normal"):
            with pytest.raises(ValueError, match=rf"^\[{kernel}\] {counter} = "):
                getattr(module, kernel)((3,), seed=5, **bad)
        with pytest.raises(ValueError, match=rf"^\[dropout\] {counter} = "):
            module.dropout(np.ones(3, "float32"), p=0.5, seed=5, **bad)
    with pytest.raises(ValueError, match=rf"^\[permutation\] epoch = {2**44} "):
        module.permutation(3, seed=5, epoch=2**44)


def test_number_depends_on_its_position_alone() -> None:
    whole = kernels.uniform((1000,), seed=5)
    assert same_bits(kernels.uniform((37,), seed=5), whole[:37])
    assert same_bits(kernels.uniform((10, 100), seed=5).ravel(), whole)


def test_permutation_is_one_and_differs_by_seed_and_epoch() -> None:
    orders = [kernels.permutation(1000, seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 4
    # Every element comes to every place: of 4000 permutations of 8, some 500 begin with each, 21 more or less.
    first = np.bincount([kernels.permutation(8, seed=s)[0] for s in range(4000)], minlength=8)
    assert np.abs(first - 500).max() < 5 * 21
