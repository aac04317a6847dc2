"""`fastnn evaluate`: how good a model is on the rows of a file."""

import argparse
import dataclasses

from fastnn.data import read_table

from .arguments import Commands
from .saved import add_model_and_data, load


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "evaluate",
        parents=[common],
        help="measure a model on the rows of a file",
        description="Prints loss and accuracy, or for values the mean squared error and R^2.",
    )
    add_model_and_data(parser)
    parser.add_argument("--target", metavar="COLUMN", help="the column that is predicted, default: as in training")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    model, schema = load(options.model)
    table = read_table(options.data)
    model.schema = schema = dataclasses.replace(schema, target=options.target or schema.target)
    if schema.target not in table.names:
        raise ValueError(f"[evaluate] {table.source} has no column {schema.target!r}: say which by --target")
    for name, value in model.evaluate(table, table.labels(schema.target)).items():
        print(f"{name:<8}  {value!r}")
