"""What commands on a saved model and a file have in common."""

import argparse

import fastnn as fn
from fastnn.data import Schema
from fastnn.data.table import SUFFIXES


def add_model_and_data(parser: argparse.ArgumentParser) -> None:
    """The arguments MODEL and DATA."""
    parser.add_argument("model", metavar="MODEL", help="model.safetensors of `fastnn train`")
    parser.add_argument("data", metavar="DATA", help=f"a {', '.join(SUFFIXES)} file")


def load(path: str) -> tuple[fn.Model, Schema]:
    """The model in a file, and what it knows of its columns; ValueError where it was not trained on a table."""
    model = fn.load(path)
    if model.schema is None:
        raise ValueError(f"[load] {path} was not trained on a table and knows no columns: use fastnn.load in Python")
    return model, model.schema
