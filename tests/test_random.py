"""Facts about the counters of random numbers."""

import threading

import numpy as np
import pytest

from fastnn import functional as F
from fastnn import random
from fastnn.random import Purpose, counters


def test_ordinals_count_within_a_step():
    random.manual_seed(1)
    assert [counters(Purpose.USER)["ordinal"] for _ in range(3)] == [0, 1, 2]
    random.begin_step()
    numbers = counters(Purpose.DROPOUT)
    assert (numbers["seed"], numbers["purpose"], numbers["step"].value, numbers["ordinal"]) == (1, 2, 1, 0)


def test_named_numbers_depend_on_seed_and_name_alone():
    random.manual_seed(1)
    before = counters(Purpose.INIT, "net.0.weight")
    random.begin_step()
    counters(Purpose.USER)
    assert counters(Purpose.INIT, "net.0.weight") == before
    assert counters(Purpose.INIT, "net.0.bias") != before
    random.manual_seed(2)
    assert counters(Purpose.INIT, "net.0.weight") != before


def test_a_saved_state_goes_on_where_it_was():
    random.manual_seed(7)
    random.begin_step()
    F.rand(3)
    state = random.get_state()
    numbers = F.rand(5).tolist()
    random.manual_seed(8)
    random.set_state(state)
    assert F.rand(5).tolist() == numbers
    assert state == (7, 1, 1)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_named(seed):
    with pytest.raises(ValueError, match=rf"\[manual_seed\] seed = {seed} must be in"):
        random.manual_seed(seed)


@pytest.mark.parametrize("seed", [1.5, "1", None, True])
def test_seeds_are_integers(seed):
    with pytest.raises(TypeError, match=r"\[manual_seed\] seed = .* must be an integer"):
        random.manual_seed(seed)
    random.manual_seed(np.int64(3))
    assert random.get_state() == (3, 0, 0)


def test_each_thread_counts_for_itself_from_the_seed_set_last():
    random.manual_seed(5)
    expected = F.rand(4).tolist()
    F.rand(4)
    results = []

    def draw():
        results.append(F.rand(4).tolist())

    for _ in range(2):
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
    assert results == [expected, expected]


def test_without_a_seed_one_is_drawn(monkeypatch):
    monkeypatch.setattr(random, "_latest_seed", None)
    seeds = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: seeds.append(random.get_state()[0]))
        thread.start()
        thread.join()
    assert seeds[0] != seeds[1]
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_purposes_are_those_of_the_native_header():
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "USER": 0,
        "INIT": 1,
        "DROPOUT": 2,
        "SHUFFLE": 3,
        "DATA": 4,
    }
