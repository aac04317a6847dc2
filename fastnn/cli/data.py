"""`fastnn data`: published data sets."""

import argparse

from fastnn.data import fetch, published

from .arguments import Commands


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser("data", parents=[common], help="fetch a data set, or say where it is")
    parser.add_argument(
        "action", choices=["fetch", "path"], help="fetch: get it unless it is here; path: print its folder"
    )
    parser.add_argument("name", choices=[published.FASHION_MNIST.name])
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    found = fetch.find(published.FASHION_MNIST, download=options.action == "fetch")
    if options.action == "fetch":
        print(f"{options.name} from {found.source}")
    else:
        print(found.folder)
