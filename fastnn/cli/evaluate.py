"""`fastnn evaluate`: how good a model is on the rows of a file."""

import argparse
import dataclasses
from pathlib import Path

from fastnn.data import read_table
from fastnn.data.labels import class_indices

from . import confusion
from .arguments import Commands
from .saved import add_model_and_data, load


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "evaluate",
        parents=[common],
        help="measure a model on the rows of a file",
        description="Prints loss, accuracy and which classes are taken for which, or for values the mean squared\n"
        "error and R^2.",
    )
    add_model_and_data(parser)
    parser.add_argument("--target", metavar="COLUMN", help="the column that is predicted, default: as in training")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of the confusion matrix, PNG, PDF or SVG")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    model, schema = load(options.model)
    table = read_table(options.data)
    model.schema = schema = dataclasses.replace(schema, target=options.target or schema.target)
    if schema.target not in table.names:
        raise ValueError(f"[evaluate] {table.source} has no column {schema.target!r}: say which by --target")
    if options.plot is not None and not model.classifies:
        raise argparse.ArgumentError(None, f"--plot is for classes, and {options.model} predicts values")
    labels = table.labels(schema.target)
    for name, value in model.evaluate(table, labels).items():
        print(f"{name:<8}  {value!r}")
    if not model.classifies:
        return
    classes = model.class_names or ()
    truth, predicted = class_indices(labels, classes), model.predict(table)
    confusion.show(truth, predicted, classes)
    if options.plot is not None:
        from fastnn import plot

        options.plot.parent.mkdir(parents=True, exist_ok=True)
        plot.confusion_matrix(truth, predicted, classes, path=options.plot)
        print(f"\nwritten: {options.plot}")
