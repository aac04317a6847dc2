"""`fastnn train`: a model from a data set or a file of one's own, with its history and pictures."""

import argparse
import importlib.util
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import ClassVar

import numpy as np

import fastnn as fn
from fastnn.callbacks import Callback
from fastnn.data.labels import class_indices, listed
from fastnn.data.published import FASHION_MNIST
from fastnn.data.table import SUFFIXES
from fastnn.ranks import Ranks, is_launched

from . import confusion
from .arguments import Commands, add_device, positive

EXAMPLES = """examples:
  fastnn train fashion-mnist                                  784-256-10 MLP, 10 epochs, about 0.84 accuracy
  fastnn train fashion-mnist --model softmax                  softmax regression, about 0.83
  fastnn train fashion-mnist --hiddens 256 256 --dropout 0.5  two hidden layers with dropout
  fastnn train fashion-mnist --seed 1 --out runs/seed-1       a run that can be repeated, in a folder of its own
  fastnn train flowers.csv --target species                   an MLP from a file, whose columns are numbers
  fastnn train homes.csv --target price --model linear        linear regression
  mpiexec -n 4 fastnn train fashion-mnist --shards 4          four processes, which find the same weights as one would
"""
_SHOWN = 40  # images
_TABLE_OPTIONS = ("target", "drop", "task", "val")


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "train",
        parents=[common],
        help="train a model and write weights, history and pictures",
        description="Trains a model, prints a row per epoch, and writes model.safetensors, history.csv and\n"
        "curves.png; for classes also confusion.png, for fashion-mnist predictions.png.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    suffixes = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    parser.add_argument("data", type=_data, metavar="DATA", help=f"{FASHION_MNIST.name}, or a {suffixes} file")
    parser.add_argument(
        "--model",
        choices=["mlp", "softmax", "linear"],
        default="mlp",
        help="default: %(default)s; linear is for values",
    )
    parser.add_argument(
        "--hiddens", type=positive, nargs="+", metavar="N", help="widths of the MLP's hidden layers (256)"
    )
    parser.add_argument("--dropout", type=float, metavar="P", help="probability of dropping a hidden unit (0)")
    parser.add_argument("--epochs", type=positive, metavar="N", help="default: 10, of a file 100")
    parser.add_argument("--lr", type=float, metavar="LR", help="learning rate, default: 0.1, for values 0.01")
    parser.add_argument("--batch-size", type=positive, metavar="N", help="default: 256, of a file 32")
    parser.add_argument("--seed", type=int, metavar="N", help="repeats a run bit by bit; default: drawn, and printed")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: as many as the process may use")
    add_device(parser)
    parser.add_argument(
        "--shards",
        type=positive,
        metavar="N",
        help="parts of a batch, added in a fixed order: the same weights for any number of MPI ranks that divides it",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help=f"folder with {FASHION_MNIST.name}, looked into first")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to, default: runs/MODEL-DATA")
    table = parser.add_argument_group("a file")
    table.add_argument("--target", metavar="COLUMN", help="the column to predict; all others are inputs")
    table.add_argument("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    table.add_argument(
        "--task",
        choices=["classification", "regression"],
        help="default: classification of text, and of whole numbers of at most 20 kinds",
    )
    table.add_argument("--val", type=float, metavar="P", help="fraction of rows to validate on, default: 0.2")
    parser.set_defaults(run=_run)


def _data(text: str) -> str:
    if text != FASHION_MNIST.name and Path(text).suffix.lower() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {FASHION_MNIST.name} nor a {', '.join(SUFFIXES)} file")
    return text


def _run(options: argparse.Namespace) -> None:
    is_published = options.data == FASHION_MNIST.name
    if options.model != "mlp" and not (options.hiddens is None and options.dropout is None):
        raise argparse.ArgumentError(None, "--hiddens and --dropout need --model mlp")
    if is_published and options.model == "linear":
        raise argparse.ArgumentError(None, f"--model linear predicts values, {FASHION_MNIST.name} has classes")
    if is_published and (given := [name for name in _TABLE_OPTIONS if getattr(options, name) is not None]):
        raise argparse.ArgumentError(None, f"--{given[0]} is for files, not for {FASHION_MNIST.name}")
    if not is_published and options.root is not None:
        raise argparse.ArgumentError(None, f"--root is for {FASHION_MNIST.name}, not for files")
    if not is_published and options.target is None:
        raise argparse.ArgumentError(None, f"--target is missing: say which column of {options.data} to predict")
    if options.seed is None:
        options.seed = secrets.randbits(32)  # ten digits at most, so that it can be typed
    with _together(options):
        (_train_on_images if is_published else _train_on_table)(options)


@contextmanager
def _together(options: argparse.Namespace) -> Iterator[None]:
    """Processes that a launcher has started train one model; only the first of them speaks and writes."""
    options.strategy = "mpi" if is_launched() or options.shards is not None else None
    options.writes = True
    if options.strategy is None:
        yield
        return
    ranks = Ranks(options.shards)
    with ranks.ends_together(), ExitStack() as stack:
        options.seed, options.writes = ranks.share(options.seed), ranks.rank == 0
        if not options.writes:
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        yield


def _folder(options: argparse.Namespace) -> Path:
    out: Path = options.out or Path("runs") / f"{options.model}-{Path(options.data).stem}"
    out.mkdir(parents=True, exist_ok=True)
    return out


def _train_on_images(options: argparse.Namespace) -> None:
    out = _folder(options)
    data = fn.FashionMNIST(options.batch_size or 256, options.root)
    print(f"Fashion-MNIST: {len(data.train):,} examples to train on, {len(data.val):,} to validate")
    model = _model(options, 784, 10, values=False)
    trainer = _fit(model, data, options, options.epochs or 10)
    last = trainer.history["val_acc"][-3:]
    print(f"\nmean val_acc of the last {len(last)} epoch{'s' * (len(last) > 1)}: {sum(last) / len(last):.4f}")
    images, labels = (np.concatenate(parts) for parts in zip(*data.val_dataloader(), strict=True))
    predicted = model.predict(images)
    confusion.show(labels, predicted, data.classes)
    written = _write(trainer, out, options)
    if written and _can_draw():
        from fastnn import plot

        plot.confusion_matrix(labels, predicted, data.classes, path=out / "confusion.png")
        truth, guesses = data.text_labels(labels[:_SHOWN]), data.text_labels(predicted[:_SHOWN])
        plot.images(images[:_SHOWN], truth, predicted=guesses, path=out / "predictions.png")
        written += ["confusion.png", "predictions.png"]
    print()
    _conclude(trainer, out, written)


def _train_on_table(options: argparse.Namespace) -> None:
    data = fn.TableData(
        options.data,
        options.target,
        0.2 if options.val is None else options.val,
        options.batch_size or 32,
        seed=options.seed,
        drop=options.drop or (),
        task=options.task,
    )
    schema, val = data.schema, data.val
    assert val is not None
    values = data.classes is None
    if options.model == ("softmax" if values else "linear"):
        found, other = ("values", "linear") if values else ("classes", "softmax")
        raise argparse.ArgumentError(None, f"{schema.target} has {found}: use --model {other} or mlp, or say --task")
    out = _folder(options)
    print(f"{options.data}: {len(data.train):,} rows to train on, {len(val):,} to validate")
    kind = "values; losses in units of their variance" if data.classes is None else f"classes {listed(data.classes)}"
    print(f"{schema.target} from {len(schema.features)} columns: {kind}")
    model = _model(options, len(schema.features), len(data.classes or [schema.target]), values=values)
    trainer = _fit(model, data, options, options.epochs or 100)
    rows, labels = data.X[val.rows], data.y[val.rows]
    scores = model.evaluate(rows, labels)
    print("\nvalidation:", ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))
    if data.classes is not None:
        truth, predicted = class_indices(labels, data.classes), model.predict(rows)
        confusion.show(truth, predicted, data.classes)
    written = _write(trainer, out, options)
    if written and data.classes is not None and _can_draw():
        from fastnn import plot

        plot.confusion_matrix(truth, predicted, data.classes, path=out / "confusion.png")
        written.append("confusion.png")
    print()
    _conclude(trainer, out, written)


def _model(options: argparse.Namespace, inputs: int, outputs: int, *, values: bool) -> fn.Model:
    """What `options` ask for: a model of `values`, or of classes."""
    lr = options.lr if options.lr is not None else 0.01 if values else 0.1
    hiddens = (options.hiddens or [256]) if options.model == "mlp" else []
    print(f"{'-'.join(map(str, [inputs, *hiddens, outputs]))}, lr {lr:g}", end="")
    if options.model == "mlp":
        return (fn.MLPRegression if values else fn.MLP)(outputs, hiddens, lr, options.dropout or 0.0)
    return fn.LinearRegression(lr, outputs) if values else fn.SoftmaxRegression(outputs, lr)


class _Rows(Callback):
    """Prints a header and some twenty rows, each after an epoch."""

    columns: ClassVar = {
        "train_loss": ("train_loss", "10.4f"),
        "val_loss": ("val_loss", "8.4f"),
        "val_acc": ("val_acc", "7.4f"),
        "examples_per_second": ("examples/s", "10,.0f"),
        "train_seconds": ("seconds", "7.2f"),
    }

    def on_epoch_end(self, state: fn.Trainer) -> None:
        shown = {name: column for name, column in self.columns.items() if name in state.history}
        if state.epoch == 1:
            print("epoch", *(heading for heading, _ in shown.values()), sep="  ")
        if state.epoch % -(-state.max_epochs // 20) == 0 or state.epoch == state.max_epochs:
            cells = (f"{state.history[name][-1]:{form}}" for name, (_, form) in shown.items())
            print(f"{state.epoch:5}", *cells, sep="  ", flush=True)


def _fit(model: fn.Model, data: fn.DataModule, options: argparse.Namespace, epochs: int) -> fn.Trainer:
    print(f", batches of {data.batch_size}\n", flush=True)
    trainer = fn.Trainer(
        epochs,
        device=options.device,
        num_threads=options.threads,
        callbacks=[_Rows()],
        progress=False,
        seed=options.seed,
        strategy=options.strategy,
        shards=options.shards,
    )
    trainer.fit(model, data)
    return trainer


def _can_draw() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _write(trainer: fn.Trainer, out: Path, options: argparse.Namespace) -> list[str]:
    """Write model, history and curves; gives the names of the files."""
    if not options.writes:
        return []
    trainer.model.save(out / "model.safetensors")
    trainer.history.to_csv(out / "history.csv")
    if not _can_draw():
        return ["model.safetensors", "history.csv"]
    trainer.history.plot(out / "curves.png")
    return ["model.safetensors", "history.csv", "curves.png"]


def _conclude(trainer: fn.Trainer, out: Path, written: list[str]) -> None:
    place = "" if trainer.device == "cpu" else f" on {trainer.device}"
    print(f"{trainer.execution}{place}; --seed {trainer.history.seed} repeats this run")
    if not _can_draw():
        print("no pictures without matplotlib: pip install matplotlib")
    print("written:", *(f"  {out / name}" for name in written), sep="\n")
