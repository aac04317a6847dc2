"""`fastnn verify`: whether the lecture's models are trained here to the weights that were published, to the bit."""

import argparse
import dataclasses
import json
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import checkpoint
from fastnn._core import config
from fastnn.data import fetch, published
from fastnn.integrations import d2l

from .arguments import Commands, add_device

PUBLISHED = Path(__file__).with_name("published.json")


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "verify",
        parents=[common],
        help="train the lecture's models and compare their weights with the published ones",
        description="Trains the lecture's models and compares their weights with those that were published, to the\n"
        "bit. Those on Fashion-MNIST are left out where it is not on this machine. The exit status is 0\n"
        "where all that was run is identical, else 1.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="runs to compare, default: all")
    add_device(parser)
    parser.add_argument("--json", action="store_true", help="print what was trained here as the published file says it")
    parser.set_defaults(run=_run)


@dataclasses.dataclass(frozen=True)
class Run:
    """A published run: what was trained, by names of classes and their arguments, and what came of it."""

    name: str
    section: str  # of the lecture
    model: str
    model_arguments: dict[str, Any]
    data: str
    data_arguments: dict[str, Any]
    epochs: int
    seed: int
    train_loss: list[float]
    sha256: str

    def make(self) -> tuple[fn.Model, Any]:
        """The model and the data; FileNotFoundError for a data set that is not on this machine."""
        fn.manual_seed(self.seed)
        return _MODELS[self.model](**self.model_arguments), _DATA[self.data](**self.data_arguments)

    def again(self, device: str) -> "Run":
        """The same run with what came of it here, on `device`."""
        model, data = self.make()
        history = fn.Trainer(self.epochs, device, seed=self.seed, progress=False).fit(model, data)
        return dataclasses.replace(self, train_loss=history.train_loss, sha256=weights(model))

    def difference(self, other: "Run") -> str | None:
        """Where the training loss of `other`, or else its weights, parted from this run's; None where they did not."""
        if other.sha256 == self.sha256:
            return None
        for epoch, (ours, theirs) in enumerate(zip(self.train_loss, other.train_loss, strict=False), 1):
            if not math.isclose(ours, theirs):
                return f"train_loss of epoch {epoch} is {theirs!r} instead of {ours!r}"
        return (
            f"the weights differ, the training loss hardly: SHA-256 {other.sha256[:12]} instead of {self.sha256[:12]}"
        )


def weights(model: fn.Model) -> str:
    """The SHA-256 of a model's weights, with their names and shapes."""
    return checkpoint.digest({name: value.numpy() for name, value in model.state_dict().items()})


def read() -> tuple[dict[str, str], list[Run]]:
    """What the published runs were made by, and the runs."""
    file = json.loads(PUBLISHED.read_text())
    return file["made_by"], [Run(**run) for run in file["runs"]]


class SyntheticImages(fn.ArrayData):
    """Images of the size of Fashion-MNIST's, in [0, 1]: each of ten classes is a pattern, under noise."""

    def __init__(self, num_train: int, num_val: int, batch_size: int) -> None:
        labels = np.arange(num_train + num_val) % 10
        patterns, noise = fn.rand(10, 28, 28).numpy(), fn.rand(len(labels), 28, 28).numpy()
        images = (patterns[labels] + 3 * noise) / 4  # rounded like this everywhere
        train, val = slice(num_train), slice(num_train, None)
        super().__init__(images[train], labels[train], (images[val], labels[val]), batch_size)


def _fashion_mnist(batch_size: int) -> fn.FashionMNIST:
    fetch.find(published.FASHION_MNIST, download=False)  # FileNotFoundError
    return fn.FashionMNIST(batch_size)


_MODELS: dict[str, Callable[..., fn.Model]] = {
    model.__name__: model for model in (fn.LinearRegression, d2l.WeightDecay, fn.SoftmaxRegression, fn.MLP)
}
_DATA: dict[str, Callable[..., Any]] = {
    "SyntheticRegression": fn.SyntheticRegression,
    "Data": d2l.Data,
    "SyntheticImages": SyntheticImages,
    "FashionMNIST": _fashion_mnist,
}


def _run(options: argparse.Namespace) -> None:
    made_by, runs = read()
    if unknown := sorted(set(options.names) - {run.name for run in runs}):
        raise argparse.ArgumentError(None, f"{unknown[0]!r} is no published run: {', '.join(run.name for run in runs)}")
    chosen = [run for run in runs if not options.names or run.name in options.names]
    if options.json:
        rows = ",\n".join(json.dumps(dataclasses.asdict(run.again(options.device))) for run in chosen)
        print(f'{{"made_by": {json.dumps(_this())}, "runs": [\n{rows}\n]}}')
        return
    width = max(len(run.name) for run in chosen)
    differences = []
    for run in chosen:
        started = time.perf_counter()
        try:
            difference = run.difference(run.again(options.device))
        except FileNotFoundError:
            print(f"{run.name:<{width}}  not run: `fastnn data fetch {published.FASHION_MNIST.name}` gets its data")
            continue
        differences.append(difference)
        verdict = difference or "identical to the published run"
        print(f"{run.name:<{width}}  {verdict} ({time.perf_counter() - started:.1f} s)", flush=True)
    if not differences:
        raise FileNotFoundError("[verify] nothing was run: the data are not here")
    if differing := sum(difference is not None for difference in differences):
        raise RuntimeError(f"[verify] {differing} of {len(differences)} runs differ: {_reason(made_by)}")


def _this() -> dict[str, str]:
    """What makes a run here."""
    machine = config()
    return {
        "fastnn": machine["version"],
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "machine": platform.machine(),
        "isa": machine["isa"],
    }


def _reason(made_by: dict[str, str]) -> str:
    """What may be the reason of a difference to what was `made_by` others."""
    if not config()["fused_multiply_add"]:
        return f"the instruction set {config()['isa']} has no fused multiply-add, and so bits of its own"
    if config()["version"] != made_by["fastnn"]:
        return (
            f"they were published by version {made_by['fastnn']}, this is {config()['version']}; "
            'CHANGELOG.md says under "Bits" what has changed'
        )
    theirs = ", ".join(f"{name} {value}" for name, value in made_by.items())
    return f"they were made by {theirs}; that is a bug, to be reported with what `fastnn info` prints"
