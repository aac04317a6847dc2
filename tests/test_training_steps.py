"""A hundred steps of training against a float64 model in NumPy, and against PyTorch.

The tolerance is what rounding does to the NumPy model itself: it runs again with every operand of its products and
every result changed at random by as much as the roundings of the tested dtype may change them (Higham, Accuracy and
Stability of Numerical Algorithms, section 3.5: a sum of k products equals that of operands changed by k roundings).
"""

import functools
from dataclasses import dataclass

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn

STEPS, ROWS = 100, 16
RULES: dict[str, dict[str, float]] = {
    "plain": {"lr": 0.05},
    "momentum": {"lr": 0.02, "momentum": 0.9},
    "nesterov+decay": {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "dampening+decay": {"lr": 0.05, "momentum": 0.5, "dampening": 0.25, "weight_decay": 0.1},
}


@dataclass
class Case:
    """A network of linear layers with ReLU between; the loss is cross-entropy, or squared error for one output."""

    sizes: list[int]

    def __post_init__(self) -> None:
        rng = np.random.default_rng(sum(self.sizes))
        self.weights = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in zip(self.sizes, self.sizes[1:], strict=False)]
        self.biases = [0.1 * rng.normal(size=o) for o in self.sizes[1:]]
        self.X = rng.normal(size=(STEPS, ROWS, self.sizes[0]))
        if self.sizes[-1] == 1:
            self.y = self.X[..., :1] - 0.5 * self.X[..., 1:2] + 0.1 * rng.normal(size=(STEPS, ROWS, 1))
        else:
            self.y = self.X[..., : self.sizes[-1]].argmax(-1)


CASES = {
    "linear regression": Case([3, 1]),
    "softmax regression": Case([8, 4]),
    "MLP": Case([8, 12, 8, 4]),
}
EVERY_RUN = [
    pytest.param(case, rule, dtype, id=f"{case}-{rule}-{dtype}")
    for case in CASES
    for rule in RULES
    for dtype in ("float32", "float64")
]


def numpy_run(case: Case, rule: dict[str, float], dtype: type, noise: np.random.Generator | None) -> list[np.ndarray]:
    """The parameters after every step, in float64; with `noise`, rounded at random as by `dtype`."""
    unit = np.finfo(dtype).eps / 2

    def rounded(a: np.ndarray, roundings: int = 1) -> np.ndarray:
        return a if noise is None else a * (1 + unit * roundings * noise.uniform(-1, 1, np.shape(a)))

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return rounded(rounded(a, a.shape[1]) @ rounded(b, a.shape[1]))

    lr, momentum, decay = rule["lr"], rule.get("momentum", 0.0), rule.get("weight_decay", 0.0)
    parameters = [
        p.astype(dtype).astype(np.float64) for pair in zip(case.weights, case.biases, strict=True) for p in pair
    ]
    velocities: list[np.ndarray] = []
    states = []
    for X, y in zip(case.X.astype(dtype).astype(np.float64), case.y, strict=True):
        inputs = [X]
        for i in range(0, len(parameters), 2):
            z = rounded(product(inputs[-1], parameters[i].T) + parameters[i + 1])
            inputs.append(np.maximum(z, 0) if i + 2 < len(parameters) else z)
        if case.sizes[-1] == 1:
            delta = rounded(2 * (inputs[-1] - y.astype(dtype)) / ROWS, 3)
        else:
            e = rounded(np.exp(z - z.max(1, keepdims=True)), 8)  # a difference and exp
            delta = rounded((rounded(e / e.sum(1, keepdims=True), 8) - np.eye(e.shape[1])[y]) / ROWS, 2)
        gradients: list[np.ndarray] = []
        for i in range(len(parameters) - 2, -1, -2):
            gradients[:0] = [product(delta.T, inputs[i // 2]), product(np.ones((1, ROWS)), delta)[0]]
            delta = product(delta, parameters[i]) * (inputs[i // 2] > 0)
        gradients = [rounded(g + rounded(decay * p), 2) for g, p in zip(gradients, parameters, strict=True)]
        kept = 1 - rule.get("dampening", 0.0)
        if velocities:
            velocities = [rounded(momentum * v + kept * g, 3) for v, g in zip(velocities, gradients, strict=True)]
        else:
            velocities = [1 * g for g in gradients]
        if momentum:
            ahead = momentum if rule.get("nesterov") else None
            gradients = [v if ahead is None else g + ahead * v for g, v in zip(gradients, velocities, strict=True)]
        parameters = [rounded(p - rounded(lr * g, 3)) for p, g in zip(parameters, gradients, strict=True)]
        states.append(np.concatenate([p.ravel() for p in parameters]))
    return states


@functools.cache
def exact_run_and_tolerance(case: str, rule: str, dtype: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The parameters after every step, and how much they may differ: twice the worst of three runs with roundings."""
    exact = numpy_run(CASES[case], RULES[rule], np.dtype(dtype).type, None)
    worst = np.zeros(STEPS)
    for seed in range(3):
        run = numpy_run(CASES[case], RULES[rule], np.dtype(dtype).type, np.random.default_rng(seed))
        worst = np.maximum(worst, [np.abs(a - b).max() for a, b in zip(run, exact, strict=True)])
    return exact, 2 * np.maximum.accumulate(worst)


@functools.cache
def fastnn_run(case_name: str, rule: str, dtype: str) -> list[np.ndarray]:
    case = CASES[case_name]
    layers: list[nn.Module] = []
    for weight, bias in zip(case.weights, case.biases, strict=True):
        layers += [nn.Linear(*weight.shape[::-1]), nn.ReLU()]
        layers[-2].weight, layers[-2].bias = nn.Parameter(weight.astype(dtype)), nn.Parameter(bias.astype(dtype))
    net = nn.Sequential(*layers[:-1])
    loss = nn.MSELoss() if case.sizes[-1] == 1 else nn.CrossEntropyLoss()
    optimizer = fn.optim.SGD(net.parameters(), **RULES[rule])
    states = []
    for X, y in zip(case.X.astype(dtype), case.y, strict=True):
        optimizer.zero_grad()
        loss(net(fn.tensor(X)), fn.tensor(y.astype(dtype) if y.dtype.kind == "f" else y)).backward()
        optimizer.step()
        states.append(np.concatenate([p.numpy().ravel() for p in net.parameters()]))
    return states


def torch_run(case_name: str, rule: str, dtype: str) -> list[np.ndarray]:
    import torch

    case = CASES[case_name]
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(case.weights, case.biases, strict=True):
        layers += [torch.nn.Linear(*weight.shape[::-1]), torch.nn.ReLU()]
        layers[-2].weight = torch.nn.Parameter(torch.tensor(weight.astype(dtype)))
        layers[-2].bias = torch.nn.Parameter(torch.tensor(bias.astype(dtype)))
    net = torch.nn.Sequential(*layers[:-1])
    loss = torch.nn.MSELoss() if case.sizes[-1] == 1 else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), **RULES[rule])
    states = []
    for X, y in zip(case.X.astype(dtype), case.y, strict=True):
        optimizer.zero_grad()
        loss(net(torch.tensor(X)), torch.tensor(y.astype(dtype) if y.dtype.kind == "f" else y)).backward()
        optimizer.step()
        states.append(np.concatenate([p.detach().numpy().ravel() for p in net.parameters()]))
    return states


@pytest.mark.parametrize(("case", "rule", "dtype"), EVERY_RUN)
def test_every_step_is_that_of_the_float64_model(case: str, rule: str, dtype: str) -> None:
    exact, allowed = exact_run_and_tolerance(case, rule, dtype)
    assert allowed[-1] < STEPS * np.finfo(dtype).eps  # a tolerance that can fail
    for step, (got, expected) in enumerate(zip(fastnn_run(case, rule, dtype), exact, strict=True)):
        assert np.abs(got - expected).max() <= allowed[step], f"step {step}"


@pytest.mark.parametrize(("case", "rule", "dtype"), EVERY_RUN)
def test_every_step_is_that_of_pytorch(case: str, rule: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a small product is slower in two
    theirs = torch_run(case, rule, dtype)
    torch.set_num_threads(threads)
    allowed = 2 * exact_run_and_tolerance(case, rule, dtype)[1]  # both sides round
    for step, (got, expected) in enumerate(zip(fastnn_run(case, rule, dtype), theirs, strict=True)):
        assert np.abs(got - expected).max() <= allowed[step], f"step {step}"


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_adam_is_that_of_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=20), rng.normal(size=(STEPS, 20))
    ours, theirs = fn.tensor(start.copy(), requires_grad=True), torch.tensor(start, requires_grad=True)
    settings = {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1}
    optimizer, other = getattr(fn.optim, name)([ours], **settings), getattr(torch.optim, name)([theirs], **settings)
    for gradient in gradients:
        ours.grad, theirs.grad = fn.tensor(gradient), torch.tensor(gradient)
        optimizer.step()
        other.step()
        # steps are at most about lr long, each with some ten float64 roundings
        np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=0, atol=STEPS * 10 * 2.0**-53)
