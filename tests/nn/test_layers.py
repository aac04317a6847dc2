"""Layers: values, lazy shapes, names by which weights are drawn, errors."""

import copy
import math
import pickle

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.testing import check_gradients


def test_linear_is_x_times_weight_transposed_plus_bias() -> None:
    layer = nn.Linear(4, 3)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = x.astype(np.float64) @ layer.weight.numpy().T.astype(np.float64) + layer.bias.numpy()
    # |error| <= (inputs + 1) roundings of the sum of absolute products (Higham, Accuracy and Stability, 3.5)
    bound = 6 * 2.0**-24 * (np.abs(x) @ np.abs(layer.weight.numpy().T) + np.abs(layer.bias.numpy()))
    assert np.all(np.abs(layer(fn.tensor(x)).numpy() - expected) <= bound)


def test_linear_takes_any_number_of_leading_axes() -> None:
    assert nn.Linear(4, 3)(fn.zeros(2, 5, 4)).shape == (2, 5, 3)


def test_linear_starts_uniform_within_one_over_the_root_of_its_inputs() -> None:
    fn.manual_seed(0)
    layer = nn.Linear(100, 200)
    for parameter in (layer.weight, layer.bias):
        values = parameter.numpy()
        assert np.abs(values).max() <= 0.1
    # 20,000 uniform numbers: the standard deviation is 0.1 / sqrt(3), its sampling error below 1%
    assert layer.weight.numpy().std() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, -1), (2.5, 3), (True, 3)])
def test_linear_refuses_sizes_that_are_no_positive_integers(sizes) -> None:
    with pytest.raises(ValueError, match=r"\[Linear\] (in|out)_features"):
        nn.Linear(*sizes)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Linear(3, 2), (4, 3)),
        (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2, bias=False)), (5, 3)),
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 2), nn.Sigmoid()), (2, 2, 3)),
        (nn.GELU(), (4, 3)),
        (nn.Softmax(dim=0), (4, 3)),
        (nn.Dropout(0.5), (4, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_gradients_of_layers_agree_with_differences(layer: nn.Module, x: tuple[int, ...]) -> None:
    check_gradients(layer, np.random.default_rng(1).normal(size=x))


def test_dropout_drops_in_training_only_and_scales_what_is_left() -> None:
    layer = nn.Dropout(0.25)
    fn.manual_seed(3)
    dropped = layer(fn.ones(100, 100)).numpy()
    assert set(np.unique(dropped).tolist()) == {0.0, np.float32(1 / 0.75)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)  # 10,000 draws: 5 standard deviations are 0.022
    x = fn.ones(3)
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match=r"\[Dropout\] p = 1.5"):
        nn.Dropout(1.5)


# ---- lazy layers ----------------------------------------------------------------------------------------------


def test_a_lazy_layer_becomes_a_linear_one_with_the_first_input() -> None:
    layer = nn.LazyLinear(3)
    assert repr(layer) == repr(nn.LazyLinear(np.int64(3))) == "LazyLinear(out_features=3, bias=True)"
    assert layer(fn.zeros(2, 5)).shape == (2, 3)
    assert type(layer) is nn.Linear
    assert type(layer.weight) is nn.Parameter
    assert layer.weight.shape == (3, 5)


def test_a_lazy_layer_keeps_the_initialisation_asked_for_before() -> None:
    net = nn.Sequential(nn.LazyLinear(100), nn.LazyLinear(2))
    net[0].weight.data.normal_(0, 0.01)
    net[0].bias.data.fill_(0.5)
    nn.init.xavier_uniform_(net[1].weight)
    net(fn.zeros(1, 200))
    assert net[0].weight.numpy().std() == pytest.approx(0.01, rel=0.05)
    assert net[0].bias.tolist() == [0.5] * 100
    assert 0.2 < np.abs(net[1].weight.numpy()).max() <= math.sqrt(6 / 102)


def test_a_lazy_layer_without_initialisation_starts_as_linear_does() -> None:
    fn.manual_seed(5)
    lazy = nn.LazyLinear(3)
    lazy(fn.zeros(1, 4))
    fn.manual_seed(5)
    plain = nn.Linear(4, 3)
    np.testing.assert_array_equal(lazy.weight.numpy(), plain.weight.numpy())
    np.testing.assert_array_equal(lazy.bias.numpy(), plain.bias.numpy())


def test_an_optimizer_made_before_the_first_forward_trains_a_lazy_layer() -> None:
    layer = nn.LazyLinear(1)
    optimizer = fn.optim.SGD(layer.parameters(), lr=1.0)
    layer(fn.ones(1, 2)).sum().backward()
    before = layer.weight.numpy().copy()
    optimizer.step()
    np.testing.assert_allclose(layer.weight.numpy(), before - 1, rtol=0, atol=2**-23)


def test_a_lazy_layer_has_the_dtype_of_its_first_input() -> None:
    layer = nn.LazyLinear(1)
    assert layer(fn.zeros(1, 2, dtype="float64")).dtype == np.float64
    with pytest.raises(ValueError, match=r"\[LazyLinear\] x is int64 \(2,\)"):
        nn.LazyLinear(1)(fn.tensor([1, 2]))


def test_a_first_input_that_fails_leaves_a_lazy_layer_as_it_was() -> None:
    layer = nn.LazyLinear(2)
    nn.init.xavier_uniform_(layer.weight)
    with pytest.raises(ValueError, match=r"\[LazyLinear\]"):
        layer(fn.zeros(4, 0))
    for x in (np.ones((1, 3), np.float32), [1.0]):
        with pytest.raises(TypeError, match=r"\[LazyLinear\] takes Tensors, not (ndarray|list)"):
            layer(x)
    nn.init.xavier_uniform_(layer.weight, gain=math.inf)
    with pytest.raises((ValueError, OverflowError)):
        layer(fn.ones(1, 3))
    assert isinstance(layer.weight, nn.UninitializedParameter)
    assert isinstance(layer.bias, nn.UninitializedParameter)
    nn.init.ones_(layer.weight)
    layer(fn.ones(1, 5))
    assert layer.weight.tolist() == [[1.0] * 5] * 2


def test_a_spread_that_is_none_is_refused_when_it_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"\[normal_\] std = -1"):
        nn.LazyLinear(2).weight.data.normal_(0, -1)
    with pytest.raises(ValueError, match=r"\[uniform_\] low = 5, high = 1"):
        nn.LazyLinear(2).weight.data.uniform_(5, 1)


def test_a_parameter_without_values_says_what_to_do() -> None:
    layer = nn.LazyLinear(3)
    for use in (lambda: layer.weight.shape, lambda: layer.weight.numpy(), lambda: layer.weight + 1):
        with pytest.raises(AttributeError, match="call the model on a batch first"):
            use()
    with pytest.raises(ValueError, match=r"\[state_dict\] weight has no values yet"):
        layer.state_dict()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copied_lazy_layer_keeps_its_initialisation(duplicate) -> None:
    layer = nn.LazyLinear(2)
    layer.weight.data.fill_(0.25)
    other = duplicate(layer)
    other(fn.zeros(1, 3))
    assert other.weight.tolist() == [[0.25] * 3] * 2
    assert np.abs(other.bias.numpy()).max() <= 1 / math.sqrt(3)
    assert type(layer) is nn.LazyLinear


def test_flatten_takes_tensors() -> None:
    with pytest.raises(TypeError, match=r"\[flatten\] takes Tensors, not ndarray"):
        nn.Flatten()(np.ones((2, 3)))


# ---- Sequential -----------------------------------------------------------------------------------------------


def test_sequential_is_indexed_sliced_and_extended() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    assert net[-1] is net[2]
    assert [type(layer) for layer in net] == [nn.Linear, nn.ReLU, nn.Linear]
    assert net[:2](fn.zeros(1, 4)).shape == (1, 3)
    assert net[:2][0] is net[0]
    net.append(nn.Softmax(1))
    net[1] = nn.Tanh()
    assert [type(layer).__name__ for layer in net] == ["Linear", "Tanh", "Linear", "Softmax"]
    with pytest.raises(IndexError):
        net[9]


def test_sequential_takes_names_and_refuses_what_is_no_module() -> None:
    assert list(nn.Sequential({"hidden": nn.Linear(2, 1)}).state_dict()) == ["hidden.weight", "hidden.bias"]
    with pytest.raises(TypeError, match=r"\[Sequential\] module 1 is a function"):
        nn.Sequential(nn.ReLU(), fn.relu)
