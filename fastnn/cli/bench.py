"""`fastnn bench`: kernels and training steps on this machine."""

import argparse
import json
import sys

import fastnn as fn
from fastnn._core import config

from .arguments import Commands, positive

PEERS = ("numpy", "torch")


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "bench",
        parents=[common],
        help="measure kernels and training steps on this machine",
        description="Times kernels beside NumPy and PyTorch doing the same, where these are installed, "
        "and training steps beside NumPy; the best of several rounds.",
    )
    parser.add_argument(
        "what", choices=["kernels", "train", "all"], nargs="?", default="all", help="default: %(default)s"
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help="inputs-hidden-...-classes@batch or batch x inputs x ... x classes, as 784-256-10@256 or 256x784x256",
    )
    parser.add_argument(
        "--against", type=_peers, default=PEERS, metavar="PEERS", help=f"some of {','.join(PEERS)} (default: all)"
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="fastnn's; default: as many as the process may use"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with the machine, instead of a table")
    parser.set_defaults(run=_run)


def _peers(text: str) -> list[str]:
    peers = [peer for peer in text.split(",") if peer]
    if unknown := set(peers) - set(PEERS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(PEERS)}")
    return peers


def _run(options: argparse.Namespace) -> None:
    from fastnn import _bench

    try:
        shapes = [_bench.Shape.parse(text) for text in options.shapes or _bench.SHAPES]
    except ValueError as error:
        raise argparse.ArgumentError(None, f"--shapes: {error}") from None
    if options.threads:
        fn.set_num_threads(options.threads)
    machine = config()
    missing: dict[str, str] = {}
    results = []
    for what, title, measure, libraries in (
        ("kernels", "one call of a kernel", _bench.bench_kernels, PEERS),
        ("train", "one training step", _bench.bench_training, ("numpy",)),
    ):
        if options.what in (what, "all"):
            peers, absent = _bench.installed([peer for peer in options.against if peer in libraries])
            missing |= absent
            if not options.json:
                print(f"\n{title}, {machine['isa']}, {machine['threads']} threads\n{_bench.header(peers)}")
            for result in measure(shapes, peers):
                results.append(result)
                if not options.json:
                    print(result.row(), flush=True)
    if options.json:
        print(
            json.dumps(
                {"machine": machine, "left_out": missing, "results": [vars(result) for result in results]}, indent=2
            )
        )
    for peer, reason in missing.items():
        print(f"{peer} is left out: {reason}", file=sys.stderr)
