"""Initial values: their spread, and what they depend on."""

import math

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn

SHAPE = (300, 200)  # (out, in): 60,000 numbers, whose standard deviation errs by 0.3%


@pytest.mark.parametrize(
    ("initialise", "std", "bound"),
    [
        (lambda t: nn.init.normal_(t, 0.0, 0.5), 0.5, None),
        (lambda t: nn.init.uniform_(t, -0.5, 0.5), 1 / math.sqrt(12), 0.5),
        (nn.init.xavier_uniform_, math.sqrt(2 / 500), math.sqrt(6 / 500)),
        (nn.init.xavier_normal_, math.sqrt(2 / 500), None),
        (lambda t: nn.init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(3 * 200), 1 / math.sqrt(200)),
        (lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / 300), None),
    ],
)
def test_spread_is_that_of_the_formula(initialise, std: float, bound: float | None) -> None:
    fn.manual_seed(0)
    tensor = fn.zeros(SHAPE)
    assert initialise(tensor) is tensor
    values = tensor.numpy()
    assert values.std() == pytest.approx(std, rel=0.02)
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    assert bound is None or np.abs(values).max() <= bound * (1 + 2**-22)


def test_constants() -> None:
    tensor = fn.zeros(2, requires_grad=True)
    assert nn.init.ones_(tensor).tolist() == [1, 1]
    assert nn.init.constant_(tensor, -0.5).tolist() == [-0.5, -0.5]
    assert nn.init.zeros_(tensor).tolist() == [0, 0]
    assert tensor.requires_grad


def test_numbers_of_a_name_depend_on_the_seed_and_that_name_alone() -> None:
    fn.manual_seed(1)
    first = nn.init.normal_(fn.zeros(4), name="net.0.weight").numpy()
    fn.manual_seed(1)
    nn.init.normal_(fn.zeros(9))  # something else is drawn before
    assert np.array_equal(nn.init.normal_(fn.zeros(4), name="net.0.weight").numpy(), first)
    assert not np.array_equal(nn.init.normal_(fn.zeros(4), name="net.1.weight").numpy(), first)
    fn.manual_seed(2)
    assert not np.array_equal(nn.init.normal_(fn.zeros(4), name="net.0.weight").numpy(), first)


def test_numbers_without_a_name_follow_each_other() -> None:
    fn.manual_seed(1)
    first, second = nn.init.normal_(fn.zeros(4)).numpy(), nn.init.normal_(fn.zeros(4)).numpy()
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.init.normal_(fn.zeros(2), std=-1.0), "std = -1.0"),
        (lambda: nn.init.normal_(fn.zeros(2), std=math.nan), "std = nan"),
        (lambda: nn.init.uniform_(fn.zeros(2), 1.0, 0.0), "a = 1.0, b = 0.0"),
        (lambda: nn.init.xavier_uniform_(fn.zeros(2)), r"tensor is \(2,\)"),
        (lambda: nn.init.kaiming_uniform_(fn.zeros(2, 2), mode="fan"), "mode = 'fan'"),
        (lambda: nn.init.calculate_gain("swish"), "nonlinearity = 'swish'"),
    ],
)
def test_settings_out_of_range_are_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
