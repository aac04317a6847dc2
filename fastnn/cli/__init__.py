"""The command `fastnn`: train, predict, export, measure, look at the machine, fetch data. A file for each command."""

import argparse
import sys
from collections.abc import Sequence

import fastnn as fn

from . import bench, data, evaluate, export, info, predict, train, verify

_EXAMPLES = """examples:
  fastnn train fashion-mnist --epochs 10 --out runs/mlp       weights, history and pictures in runs/mlp
  fastnn train flowers.csv --target species                   the same from a file
  fastnn predict MODEL new.csv --out answers.csv              predictions for the rows of a file
  fastnn evaluate MODEL flowers.csv --target species          loss and accuracy, or squared error and R^2
  fastnn export runs/mlp/model.safetensors mlp.onnx           the model for onnxruntime, its preprocessing included
  fastnn bench                                                speed of kernels and training steps on this machine
  fastnn verify                                               are the lecture's models trained here as published?
  fastnn info                                                 version, instruction set, threads, CUDA, data found
  fastnn data fetch fashion-mnist                             get the data once; FASTNN_OFFLINE=1 forbids the network

`fastnn COMMAND --help` says more about each.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, 1 after an error, 2 for arguments that are not understood.

    >>> main(["data", "path", "no-such-data"])
    Traceback (most recent call last):
    SystemExit: 2
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except argparse.ArgumentError as error:
        print(f"fastnn: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        print(f"fastnn: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where an error came from")

    parser = argparse.ArgumentParser(
        prog="fastnn",
        description="Linear regression, softmax regression and multilayer perceptrons, trained by a C++ engine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (train, predict, evaluate, export, bench, verify, info, data):
        command.add(commands, common)
    return parser
