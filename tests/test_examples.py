"""Every script of examples/ runs as a student would run it, and prints what its first lines promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn as fn

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = r"(-?\d+\.?\d*(?:e-?\d+)?)"

# What a line of the output says, and the range of each number in it. One epoch on Fashion-MNIST is noisy.
PROMISES = {
    "custom_layer_and_loss.py": [
        ("gradient agrees with finite differences", []),
        (f"quantile 0.5: {NUMBER}%", [(45, 55)]),
        (f"quantile 0.9: {NUMBER}%", [(87, 93)]),
    ],
    "fashion_mnist_pictures.py": [
        (r"X \(256, 1, 28, 28\) float32, y \(256,\) int64", []),
        (f"{NUMBER} of 256 wrong", [(26, 103)]),
    ],
    "linear_regression_concise.py": [
        (rf"gradient descent: error of w \[{NUMBER}, {NUMBER}\], error of b {NUMBER}", [(-0.02, 0.02)] * 3),
        (rf"closed form: error of w \[{NUMBER}, {NUMBER}\], error of b {NUMBER}", [(-0.005, 0.005)] * 3),
    ],
    "linear_regression_scratch.py": [
        (rf"error of w: \[{NUMBER}, {NUMBER}\]", [(-0.28, 0.28)] * 2),
        (f"error of b: {NUMBER}", [(0.177, 0.277)]),
    ],
    "mlp_dropout_weight_decay.py": [
        (rf"784-256-10: .* accuracy {NUMBER}", [(0.65, 0.86)]),
        (rf"dropout 0.5: .* accuracy {NUMBER}", [(0.55, 0.86)]),
        (rf"weight decay 0.001: .* accuracy {NUMBER}", [(0.65, 0.86)]),
    ],
    "sklearn_pipeline.py": [
        (f"softmax regression: accuracy {NUMBER}", [(0.95, 0.98)]),
        (f"best perceptron: {NUMBER} units", [(64, 64)]),
        (f"perceptron: accuracy {NUMBER}", [(0.96, 0.99)]),
        ("epoch: steps run natively", []),
    ],
    "softmax_regression_concise.py": [
        (r"weight: \(3, 4\), 12 numbers", []),
        (r"bias: \(3,\), 3 numbers", []),
        (f"flowers: validation accuracy {NUMBER}", [(0.85, 1)]),
        (f"Fashion-MNIST: .* accuracy {NUMBER}", [(0.65, 0.85)]),
    ],
    "softmax_regression_scratch.py": [
        (f"book's two rows: {NUMBER}", [(1.4978, 1.498)]),
        (f"epoch 1: .* accuracy {NUMBER}", [(0.65, 0.85)]),
    ],
    "weight_decay.py": [
        (rf"{name}, lambda {decay}: .* norm {NUMBER}", [limits])
        for decay, limits in ((0, (0.0078, 0.0132)), (3, (0.0009, 0.0023)))
        for name in ("WithPenalty", "WithDecay")
    ],
}


def test_every_example_is_tried() -> None:
    assert sorted(PROMISES) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(PROMISES))
def test_example_keeps_its_promise(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_OFFLINE", "1")  # a test uses the data it finds and fetches none
    program = EXAMPLES / name
    arguments = []
    if "sklearn" in name:
        pytest.importorskip("sklearn")
    if "FashionMNIST" in program.read_text():
        arguments = ["--epochs", "1"]
        try:
            fn.FashionMNIST()
        except FileNotFoundError:
            pytest.skip("Fashion-MNIST is not on this machine: `fastnn data fetch fashion-mnist` gets it")
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    run = subprocess.run(
        [sys.executable, program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for pattern, limits in PROMISES[name]:
        found = re.search(pattern, run.stdout)
        assert found, f"no line {pattern!r} in\n{run.stdout}"
        for number, (low, high) in zip(found.groups(), limits, strict=True):
            assert low <= float(number) <= high, f"{number} is not from {low} to {high} in\n{found.group()}"
