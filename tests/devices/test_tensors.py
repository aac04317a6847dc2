"""Tensors, modules and optimizers on a device."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn


def test_moving() -> None:
    x = fn.tensor([[1.0, 2.0], [3.0, 4.0]])
    y = x.to("cuda")
    assert (x.device, y.device) == ("cpu", "cuda")
    assert y.to("cuda") is y
    assert y.cuda() is y
    assert x.cpu() is x
    assert y.cpu().tolist() == x.tolist()
    assert y.to("cuda", "float64").dtype == np.float64
    assert x.to(y).device == "cuda"
    assert y.T.device == y[0].device == y.reshape(-1).device == y.detach().device == "cuda"


@pytest.mark.parametrize(
    "make",
    [
        lambda device: fn.tensor([1.0, 2.0], device=device),
        lambda device: fn.tensor(np.arange(3), device=device),
        lambda device: fn.tensor(fn.ones(2), device=device),
        lambda device: fn.zeros(2, 3, device=device),
        lambda device: fn.ones((2, 3), device=device, dtype="int64"),
        lambda device: fn.full((2,), 3.5, device=device),
        lambda device: fn.arange(5, device=device),
        lambda device: fn.rand(4, device=device),
        lambda device: fn.randn(4, device=device),
        lambda device: fn.normal(0, 2, (3, 3), device=device),
        lambda device: fn.zeros_like(fn.ones(2, device=device)),
        lambda device: fn.ones_like(fn.zeros(2, device=device)),
    ],
)
def test_new_tensors_are_the_same_wherever_they_are_made(make: Callable[[str], fn.Tensor]) -> None:
    results = []
    for device in ("cpu", "cuda"):
        fn.manual_seed(1)
        results.append(make(device))
    here, there = results
    assert (here.device, there.device) == ("cpu", "cuda")
    assert here.dtype == there.dtype
    assert here.tolist() == there.tolist()


def computed(x: fn.Tensor, w: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
    """A loss by way of many functions."""
    z = (x @ w + 1.0 - 0.5 * x[:, :1]).tanh()
    z = fn.cat((z, fn.where(z > 0, z, 0.0), z.clamp(-0.5, 0.5)), 1)
    z = fn.stack([z, z**2, 1 / (1 + abs(z))]).sum(0) + fn.maximum(z, 0.1)
    z[z > 1.5] = 1.0
    z[0] = fn.zeros(z.shape[1])
    return nn.functional.cross_entropy(z, y) + z[range(4), y].mean() + z[[1, 0]].max() + w.norm()


def test_gradients_have_the_bits_of_the_cpu() -> None:
    rng = np.random.default_rng(0)
    x, w, y = rng.normal(size=(4, 3)).astype("f"), rng.normal(size=(3, 3)).astype("f"), np.array([0, 2, 1, 1])
    results = []
    for device in ("cpu", "cuda"):
        weight = fn.tensor(w, device=device, requires_grad=True)
        with fn.no_grad():
            plain = computed(fn.tensor(x, device=device), weight, fn.tensor(y, device=device))
        z = (fn.tensor(x, device=device) @ weight).tanh()
        loss = nn.functional.cross_entropy(z, fn.tensor(y, device=device)) + z[range(4), y].mean() + weight.norm()
        loss = loss + fn.cat((z, z.clamp(-0.5, 0.5)), 1)[1:].max() + (z**2).sum() / 3 + z.log_softmax(1)[[1, 0]].mean()
        loss.backward()
        assert weight.grad is not None
        assert loss.device == weight.grad.device == plain.device == device
        results.append((plain.item(), loss.item(), weight.grad.tolist()))
    assert results[0] == results[1]


def test_a_gradient_goes_back_over_a_transfer() -> None:
    w = fn.ones(3, requires_grad=True)
    ((w * 2).to("cuda") ** 2).sum().backward()
    assert w.grad is not None
    assert w.grad.device == "cpu"
    assert w.grad.tolist() == [8, 8, 8]


def test_functions_in_numpy_see_arrays_and_give_results_on_the_device() -> None:
    class Double(fn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            assert isinstance(x, np.ndarray)
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    x = fn.ones(3, device="cuda", requires_grad=True)
    y = Double.apply(x * 3)
    assert y.device == "cuda"
    y.sum().backward()
    assert x.grad is not None
    assert (x.grad.device, x.grad.tolist()) == ("cuda", [6, 6, 6])


LOOKS: list[Callable[[fn.Tensor], object]] = [
    lambda x: x.numpy().tolist(),
    lambda x: x.sum().item(),
    lambda x: x.tolist(),
    lambda x: np.asarray(x).tolist(),
    lambda x: bool(x.sum() > 2),
    lambda x: float(x.sum()),
    lambda x: int(x.sum()),
    repr,
    lambda x: f"{x.sum():.3f}",
    lambda x: [row.tolist() for row in x],
    lambda x: pickle.loads(pickle.dumps(x)).tolist(),
    lambda x: copy.deepcopy(x).tolist(),
    lambda x: x[x > 2].tolist(),
]


@pytest.mark.parametrize("look", LOOKS)
def test_python_sees_what_has_been_computed(look: Callable[[fn.Tensor], object]) -> None:
    x = fn.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert look(x.to("cuda").exp() * 0.5) == look(x.exp() * 0.5)


def test_copies_stay_on_their_device() -> None:
    x = fn.ones(2, device="cuda", requires_grad=True)
    x.sum().backward()
    for again in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.clone()):
        assert again.device == "cuda"
    assert copy.deepcopy(x).grad.device == "cuda"


def test_assignments_bring_values_from_another_device() -> None:
    x = fn.zeros(2, 3, device="cuda")
    x[0] = fn.ones(3)
    x[1, 1:] = np.array([5.0, 6.0])
    x.copy_(x + fn.ones(3, device="cuda"))
    x += 1
    assert (x.device, x.tolist()) == ("cuda", [[3, 3, 3], [2, 7, 8]])
    x.fill_(2.0).normal_().zero_()
    x.data = fn.ones(2, 3)
    assert (x.device, x.tolist()) == ("cpu", [[1, 1, 1], [1, 1, 1]])


def test_mixed_operands_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[add\] b is on the CPU but a is on cuda: move it with .to\('cuda'\)"):
        fn.ones(2, device="cuda") + fn.ones(2)


@pytest.mark.parametrize("device", ["tpu", "cuda:1", 3])
def test_other_devices_are_refused(device: object) -> None:
    with pytest.raises(ValueError, match=r"\[zeros\] device = '.*' must be 'cpu' or 'cuda'"):
        fn.zeros(2, device=device)  # type: ignore[arg-type]


# ---- modules and optimizers -----------------------------------------------------------------------------------


def test_modules_take_their_tensors_along() -> None:
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(3), nn.ReLU(), nn.Linear(3, 2))
    net.scale = fn.full((2,), 2.0)
    fn.manual_seed(1)
    assert net.to("cuda") is net
    assert {p.device for p in net.parameters()} == {net.scale.device} == {"cuda"}
    y = net(fn.ones(4, 5, device="cuda"))
    assert {y.device, *(p.device for p in net.parameters())} == {"cuda"}
    with pytest.raises(ValueError, match="is on the CPU but"):
        net(fn.ones(4, 5))
    net.cpu()
    assert np.array_equal(net(fn.ones(4, 5)).numpy(), y.numpy())


def test_lazy_layers_are_initialised_alike_on_every_device() -> None:
    weights = []
    for device in ("cpu", "cuda"):
        fn.manual_seed(3)
        layer = nn.LazyLinear(3).to(device)
        layer(fn.ones(2, 5, device=device))
        weights.append(layer.weight.tolist())
    assert weights[0] == weights[1]


def test_states_go_between_devices() -> None:
    here, there = nn.Linear(4, 3), nn.Linear(4, 3).cuda()
    there.load_state_dict(here.state_dict())
    assert there.weight.device == "cuda"
    assert np.array_equal(here.weight.numpy(), there.weight.numpy())
    here.load_state_dict(there.state_dict())
    assert here.weight.device == "cpu"


@pytest.mark.parametrize(
    "make",
    [
        lambda p: fn.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda p: fn.optim.Adam(p, lr=0.1),
        lambda p: fn.optim.AdamW(p, lr=0.1),
    ],
)
def test_optimizers_step_alike_and_their_states_go_between_devices(make: Callable[..., fn.optim.Optimizer]) -> None:
    layers = nn.Linear(4, 3), nn.Linear(4, 3).cuda()
    layers[1].load_state_dict(layers[0].state_dict())
    optimizers = [make(layer.parameters()) for layer in layers]
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("f")
    for _ in range(3):
        for layer, optimizer in zip(layers, optimizers, strict=True):
            optimizer.zero_grad()
            (layer(fn.tensor(x, device=layer.weight.device)) ** 2).mean().backward()
            fn.optim.clip_grad_norm_(layer.parameters(), 0.5)
            optimizer.step()
        optimizers.reverse()
        optimizers[0].load_state_dict(optimizers[1].state_dict())
        optimizers.reverse()
    assert np.array_equal(layers[0].weight.numpy(), layers[1].weight.numpy())
