"""Module: what it finds, saves, loads and copies."""

import copy
import pickle

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))


class Scratch(nn.Module):
    """Parameters as in the book's chapters from scratch: plain Tensors."""

    def __init__(self) -> None:
        self.w = fn.normal(0, 0.01, (2, 1), requires_grad=True)
        self.b = fn.zeros(1, requires_grad=True)
        self.offset = fn.ones(1)

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return x @ self.w + self.b + self.offset


def test_parameters_have_the_names_of_torch_nn_sequential() -> None:
    assert [name for name, _ in small_net().named_parameters()] == ["0.weight", "0.bias", "2.weight"]
    outer = nn.Sequential(nn.Sequential(nn.Linear(1, 1)), nn.Linear(1, 1))
    assert list(outer.state_dict()) == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]


def test_plain_tensors_that_require_a_gradient_are_parameters_and_others_are_not() -> None:
    module = Scratch()
    module.last = module(fn.ones(1, 2))  # computed: requires a gradient, but is no leaf
    assert [name for name, _ in module.named_parameters()] == ["w", "b"]


def test_a_shared_parameter_counts_once_and_is_saved_under_each_name() -> None:
    layer = nn.Linear(3, 3)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(net.parameters())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(list(net.modules())) == 3


def test_replacing_a_parameter_by_a_tensor_that_would_not_train_is_an_error() -> None:
    layer = nn.Linear(2, 1)
    with pytest.raises(TypeError, match=r"\[Linear\] weight is a Parameter"):
        layer.weight = fn.zeros(1, 2)
    layer.weight = nn.Parameter(fn.zeros(1, 2))
    assert layer(fn.ones(1, 2)).item() == layer.bias.item()


def test_train_and_eval_reach_every_module() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    net.eval()
    assert [module.training for module in net.modules()] == [False] * 4
    net.train()
    assert [module.training for module in net.modules()] == [True] * 4


def test_apply_visits_children_first() -> None:
    seen: list[str] = []
    small_net().apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "Sequential"]


def test_zero_grad_forgets_gradients() -> None:
    net = small_net()
    net(fn.ones(1, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_state_dict_shares_memory_and_needs_no_gradient() -> None:
    net = small_net()
    state = net.state_dict()
    state["0.bias"].fill_(7)
    assert net[0].bias.tolist() == [7, 7, 7]
    assert not state["0.bias"].requires_grad


def test_load_state_dict_copies_and_leaves_the_source_alone() -> None:
    source, target = small_net(), small_net()
    target.load_state_dict(source.state_dict())
    target[0].weight.data.fill_(0)
    assert np.abs(source[0].weight.numpy()).max() > 0
    np.testing.assert_array_equal(target[2].weight.numpy(), source[2].weight.numpy())


def test_load_state_dict_lists_every_problem_and_writes_nothing() -> None:
    net = small_net()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    state = {"0.weight": np.zeros((3, 5), np.float32), "0.bias": np.zeros(3, np.float64), "9.bias": np.zeros(1)}
    with pytest.raises(ValueError, match="load_state_dict") as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert "2.weight is missing" in message
    assert "9.bias is unexpected" in message
    assert "0.weight is (3, 5), not (3, 4)" in message
    assert "0.bias is float64, not float32" in message
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_load_state_dict_not_strict_takes_what_is_there() -> None:
    net = small_net()
    net.load_state_dict({"0.bias": np.arange(3, dtype=np.float32), "other": np.zeros(1)}, strict=False)
    assert net[0].bias.tolist() == [0, 1, 2]


def test_lazy_layers_take_their_shape_from_a_state_dict() -> None:
    source = small_net()
    lazy = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(2, bias=False))
    with pytest.raises(ValueError, match=r"0.weight is \(4, 4\), not \(3, \?\)"):
        lazy.load_state_dict({**source.state_dict(), "0.weight": fn.zeros(4, 4)})
    assert "?" in repr(lazy[0].weight)
    lazy.load_state_dict(source.state_dict())
    x = fn.randn(5, 4)
    np.testing.assert_array_equal(lazy(x).numpy(), source(x).numpy())
    assert repr(lazy) == repr(source)


def test_to_float64_keeps_the_parameters_that_an_optimizer_holds() -> None:
    net = small_net()
    optimizer = fn.optim.SGD(net.parameters(), lr=1.0)
    assert net.to("float64") is net
    net(fn.ones(1, 4, dtype="float64")).sum().backward()
    before = net[2].weight.numpy().copy()
    optimizer.step()
    assert net[2].weight.dtype == np.float64
    assert not np.array_equal(before, net[2].weight.numpy())


@pytest.mark.parametrize(("target", "error"), [("cuda:1", ValueError), ("int64", TypeError)])
def test_to_refuses_what_is_not_there(target: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"\[to\]"):
        small_net().to(target)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))], ids=["deepcopy", "pickle"]
)
def test_copies_are_equal_and_independent(duplicate) -> None:
    layer = nn.Linear(3, 3)
    net = nn.Sequential(nn.Linear(4, 3), layer, nn.Dropout(0.5), layer).eval()
    other = duplicate(net)
    x = fn.randn(2, 4)
    np.testing.assert_array_equal(net(x).numpy(), other(x).numpy())
    assert other[1] is other[3]
    assert type(other[0].weight) is nn.Parameter
    assert not other[2].training
    other[0].weight.data.fill_(0)
    assert np.abs(net[0].weight.numpy()).max() > 0


def test_repr_shows_the_tree_as_pytorch_does() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 3)))
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Flatten(start_dim=1, end_dim=-1)\n"
        "  (1): Sequential(\n"
        "    (0): Linear(in_features=4, out_features=3, bias=True)\n"
        "  )\n"
        ")"
    )


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"\[Module\] forward is missing"):
        nn.Module()(1)
