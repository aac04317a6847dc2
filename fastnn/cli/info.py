"""`fastnn info`: what this installation and this machine have."""

import argparse
import platform

import numpy as np

from fastnn import devices
from fastnn._core import config
from fastnn.data import fetch, published

from .arguments import Commands


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser("info", parents=[common], help="version, instruction set, threads, CUDA, data found")
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> None:
    machine = {**config(), "cuda": devices.status()}
    rows = {"fastnn": machine.pop("version"), "Python": platform.python_version(), "NumPy": np.__version__}
    rows |= {name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
             for name, value in machine.items()}  # fmt: skip
    try:
        rows["Fashion-MNIST"] = fetch.find(published.FASHION_MNIST, download=False).source
    except FileNotFoundError:
        rows["Fashion-MNIST"] = f"not here: `fastnn data fetch {published.FASHION_MNIST.name}` gets it"
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
