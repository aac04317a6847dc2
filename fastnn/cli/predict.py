"""`fastnn predict`: what a model says of the rows of a file."""

import argparse
from pathlib import Path

from fastnn import tabular
from fastnn.checkpoint import atomic_write
from fastnn.data import read_table
from fastnn.data.labels import text_labels

from .arguments import Commands
from .saved import add_model_and_data, load


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "predict",
        parents=[common],
        help="predict the rows of a file",
        description="Writes predictions for the rows of a file as CSV: classes by their names, or values.",
    )
    add_model_and_data(parser)
    parser.add_argument("--proba", action="store_true", help="a column more for the probability of each class")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write to, default: the standard output")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    model, schema = load(options.model)
    table = read_table(options.data)
    predicted = model.predict(table)
    classes = model.class_names or ()
    columns = {schema.target: text_labels(predicted, classes) if model.classifies else predicted}
    if options.proba:
        columns |= dict(zip((f"P({name})" for name in classes), model.predict_proba(table).T, strict=True))
    text = tabular.csv(columns, zip(*columns.values(), strict=True))
    if options.out is None:
        print(text, end="")
    else:
        atomic_write(options.out, text.encode())
        print(f"written: {options.out}, {len(predicted)} rows")
