"""Weights go to PyTorch and come back: by file, by state_dict and by DLPack, under the same names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rounding import bounds
from safetensors.numpy import load_file, save_file

import fastnn as fn
from fastnn import nn

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 6)).astype(np.float32)


def a_net(library: Any, lazy: bool = False) -> Any:
    """Every layer there is, from either library."""
    linear = (lambda _, *rest, **options: library.LazyLinear(*rest, **options)) if lazy else library.Linear
    inner = library.Sequential(library.Tanh(), linear(8, 5, bias=False), library.GELU())
    return library.Sequential(
        library.Flatten(), linear(6, 8), library.ReLU(), library.Dropout(0.5), inner, linear(5, 4), library.Sigmoid(),
        linear(4, 3), library.Softmax(1),
    )  # fmt: skip


class TorchModel(torch.nn.Module):
    """What the book calls a model: its network is `net`."""

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        self.net = layers[0] if len(layers) == 1 else torch.nn.Sequential(*layers)

    def forward(self, X: Any) -> Any:
        return self.net(X)


MODELS: dict[str, tuple[Callable[[], fn.Model], Callable[[], Any]]] = {
    "linear regression": (lambda: fn.LinearRegression(lr=0.1), lambda: TorchModel(torch.nn.Linear(6, 1))),
    "softmax regression": (
        lambda: fn.SoftmaxRegression(3, lr=0.1),
        lambda: TorchModel(torch.nn.Flatten(), torch.nn.Linear(6, 3)),
    ),
    "MLP": (
        lambda: fn.MLP(3, [8, 5], lr=0.1, dropout=0.5, activation="gelu"),
        lambda: TorchModel(
            torch.nn.Flatten(),
            torch.nn.Linear(6, 8), torch.nn.GELU(), torch.nn.Dropout(0.5),
            torch.nn.Linear(8, 5), torch.nn.GELU(), torch.nn.Dropout(0.5),
            torch.nn.Linear(5, 3),
        ),
    ),
}  # fmt: skip


def shapes(state_dict: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state_dict.items()}


def assert_equal_results(net: nn.Module, other: Any) -> None:
    with torch.no_grad():
        theirs = other.eval()(torch.from_numpy(X)).numpy()
    _, error = bounds(net, X)
    assert (abs(net.eval()(fn.tensor(X)).numpy() - theirs) <= 2 * error).all()


def test_a_network_has_the_names_and_the_layout_of_pytorch() -> None:
    ours, theirs = a_net(nn).state_dict(), a_net(torch.nn).state_dict()
    assert list(shapes(ours).items()) == list(shapes(theirs).items())
    assert {value.dtype.name for value in ours.values()} == {"float32"}


@pytest.mark.parametrize(("make", "make_other"), MODELS.values(), ids=MODELS)
def test_a_built_in_model_has_the_names_and_the_layout_of_the_same_in_pytorch(make, make_other) -> None:
    model = make()
    model.predict(X)
    assert list(shapes(model.state_dict()).items()) == list(shapes(make_other().state_dict()).items())


def test_a_network_goes_to_pytorch_by_file_and_comes_back(tmp_path: Path) -> None:
    net, other, third = a_net(nn), a_net(torch.nn), a_net(nn, lazy=True)
    save_file({name: weight.numpy() for name, weight in net.state_dict().items()}, tmp_path / "ours")
    other.load_state_dict(safetensors_torch.load_file(tmp_path / "ours"))
    assert_equal_results(net, other)
    safetensors_torch.save_file(other.state_dict(), tmp_path / "theirs")
    third.load_state_dict(load_file(tmp_path / "theirs"))
    np.testing.assert_array_equal(third.eval()(fn.tensor(X)), net(fn.tensor(X)))


@pytest.mark.parametrize(("make", "make_other"), MODELS.values(), ids=MODELS)
def test_a_model_goes_to_pytorch_by_its_own_file_and_comes_back(tmp_path: Path, make, make_other) -> None:
    model, other, third = make(), make_other(), make()
    model.predict(X)
    model.save(tmp_path / "ours")
    safetensors_torch.load_model(other, tmp_path / "ours")
    assert_equal_results(model.net, other)
    safetensors_torch.save_file(other.state_dict(), tmp_path / "theirs")
    third.load(tmp_path / "theirs")
    np.testing.assert_array_equal(third.predict(X), model.predict(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_go_without_a_file_too(dtype: str) -> None:
    net, other = a_net(nn).to(dtype), a_net(torch.nn).to(getattr(torch, dtype))
    other.load_state_dict({name: torch.from_dlpack(weight) for name, weight in net.state_dict().items()})
    for name, weight in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), weight)
    third = a_net(nn).to(dtype)
    third.load_state_dict(other.state_dict())
    for name, weight in net.state_dict().items():
        np.testing.assert_array_equal(third.state_dict()[name], weight)


def test_a_state_of_other_shapes_is_refused_with_names(tmp_path: Path) -> None:
    safetensors_torch.save_file(torch.nn.Sequential(torch.nn.Linear(6, 2)).state_dict(), tmp_path / "theirs")
    with pytest.raises(ValueError, match=r"0.weight is \(2, 6\), not \(3, 6\); 0.bias is \(2,\), not \(3,\)"):
        nn.Sequential(nn.Linear(6, 3)).load_state_dict(load_file(tmp_path / "theirs"))


def test_memory_is_shared_both_ways() -> None:
    ours, theirs = fn.zeros(3), torch.zeros(3)
    torch.from_dlpack(ours)[0] = 1.0
    fn.from_dlpack(theirs)[1] = 2.0
    assert ours.tolist() == [1.0, 0.0, 0.0]
    assert theirs.tolist() == [0.0, 2.0, 0.0]
