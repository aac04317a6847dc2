"""`fastnn bench`: kernels and training steps on this machine."""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import fastnn as fn
from fastnn._core import config

from .arguments import Commands, positive

PEERS = ("numpy", "torch", "jax")
ROUNDS = 3


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "bench",
        parents=[common],
        help="measure kernels and training steps on this machine",
        description="Without WHAT: both, with their defaults.",
    )
    parser.set_defaults(run=_run_both)
    what = parser.add_subparsers(title="what to measure", metavar="WHAT")
    kernels = what.add_parser(
        "kernels",
        parents=[common],
        help="single kernels beside NumPy and PyTorch, where these are installed; the best of several rounds",
    )
    kernels.add_argument(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help="inputs-hidden-...-classes@batch or batch x inputs x ... x classes, as 784-256-10@256 or 256x784x256",
    )
    kernels.add_argument(
        "--against", type=_peers, default=PEERS, metavar="PEERS", help=f"some of {','.join(PEERS)} (default: all)"
    )
    kernels.add_argument(
        "--threads", type=positive, metavar="N", help="fastnn's; default: as many as the process may use"
    )
    kernels.add_argument("--json", action="store_true", help="print JSON, with the machine, instead of a table")
    kernels.set_defaults(run=_run_kernels)
    train = what.add_parser(
        "train",
        parents=[common],
        help="training steps of seven models beside NumPy, PyTorch, JAX and scikit-learn, where these are installed",
        description="Every library in a process of its own, on one thread and on all, in turn, results compared first.",
    )
    train.add_argument("--workloads", metavar="NAMES", help="some of W1,W2,...,W7 (default: all)")
    train.add_argument(
        "--against", metavar="PEERS", help="some of 'fastnn eager',numpy,torch,jax,sklearn (default: all)"
    )
    train.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help="turns (default: %(default)s)")
    train.add_argument("--threads", metavar="COUNTS", help="1,2 for instance (default: 1 and all)")
    train.add_argument("--json", type=Path, metavar="FILE", help="keep the results; .md and .png go beside it")
    train.set_defaults(run=_run_training)


def _peers(text: str) -> list[str]:
    peers = [peer for peer in text.split(",") if peer]
    if unknown := set(peers) - set(PEERS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(PEERS)}")
    return peers


def _run_both(options: argparse.Namespace) -> None:
    _measure_kernels()
    print()
    _measure_training(rounds=ROUNDS)


def _run_kernels(options: argparse.Namespace) -> None:
    _measure_kernels(options.shapes, options.against, options.threads, options.json)


def _run_training(options: argparse.Namespace) -> None:
    names = ("workloads", "against", "rounds", "threads", "json")
    _measure_training(**{name: getattr(options, name) for name in names})


def _measure_kernels(
    texts: list[str] | None = None,
    against: "list[str] | tuple[str, ...]" = PEERS,
    threads: int | None = None,
    as_json: bool = False,
) -> None:
    from fastnn import _bench

    try:
        shapes = [_bench.Shape.parse(text) for text in texts or _bench.SHAPES]
    except ValueError as error:
        raise argparse.ArgumentError(None, f"--shapes: {error}") from None
    if threads:
        fn.set_num_threads(threads)
    machine = config()
    peers, missing = _bench.installed(against)
    results = []
    if not as_json:
        print(f"one call of a kernel, {machine['isa']}, {machine['threads']} threads\n{_bench.header(peers)}")
    for result in _bench.bench_kernels(shapes, peers):
        results.append(result)
        if not as_json:
            print(result.row(), flush=True)
    if as_json:
        found = {"machine": machine, "left_out": missing, "results": [vars(result) for result in results]}
        print(json.dumps(found, indent=2))
    for peer, reason in missing.items():
        print(f"{peer} is left out: {reason}", file=sys.stderr)


def _measure_training(**options: Any) -> None:
    """What `python -m benchmarks train` does in a checkout, whose folder the wheel holds as well."""
    try:
        benchmarks = importlib.import_module("fastnn.benchmarks.__main__")
    except ModuleNotFoundError:
        benchmarks = importlib.import_module("benchmarks.__main__")
    given = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    benchmarks.main(["train", *given])
