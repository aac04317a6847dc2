"""`fastnn export`: a saved model as an ONNX file."""

import argparse
import importlib.util
from pathlib import Path

import fastnn as fn

from .arguments import Commands


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser("export", parents=[common], help="write a saved model as an ONNX file")
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="file that Model.save or a trainer's checkpoint wrote"
    )
    parser.add_argument("out", type=Path, metavar="OUT.onnx", help="file to write")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("onnx") is None:
        raise ImportError("[export] ONNX files need onnx: pip install onnx")
    from fastnn.integrations import onnx

    onnx.export(fn.load(options.model), options.out)
    print(f"written: {options.out}")
