"""The command `fastnn`: train, export, measure, look at the machine, fetch data."""

import argparse
import importlib.util
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastnn as fn
from fastnn._core import config
from fastnn.callbacks import Callback
from fastnn.data import fetch, published

_TRAIN_EXAMPLES = """examples:
  fastnn train fashion-mnist                                  784-256-10 MLP, 10 epochs, about 0.84 accuracy
  fastnn train fashion-mnist --model softmax                  softmax regression, about 0.83
  fastnn train fashion-mnist --hiddens 256 256 --dropout 0.5  two hidden layers with dropout
  fastnn train fashion-mnist --seed 1 --out runs/seed-1       a run that can be repeated, in a folder of its own
"""

_EXAMPLES = """examples:
  fastnn train fashion-mnist --epochs 10 --out runs/mlp       weights, history and pictures in runs/mlp
  fastnn export runs/mlp/model.safetensors mlp.onnx           the model for onnxruntime, its preprocessing included
  fastnn bench                                                speed of kernels and training steps on this machine
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

    train = commands.add_parser(
        "train",
        parents=[common],
        help="train a model and write weights, history and pictures",
        description="Trains a model, prints a row per epoch, and writes model.safetensors, history.csv,\n"
        "curves.png and predictions.png.",
        epilog=_TRAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("data", choices=["fashion-mnist"], help="what to train on")
    train.add_argument("--model", choices=["mlp", "softmax"], default="mlp", help="default: %(default)s")
    train.add_argument(
        "--hiddens", type=_positive, nargs="+", metavar="N", help="widths of the MLP's hidden layers (256)"
    )
    train.add_argument("--dropout", type=float, metavar="P", help="probability of dropping a hidden unit (0)")
    train.add_argument("--epochs", type=_positive, default=10, metavar="N", help="default: %(default)s")
    train.add_argument("--lr", type=float, default=0.1, metavar="LR", help="learning rate, default: %(default)s")
    train.add_argument("--batch-size", type=_positive, default=256, metavar="N", help="default: %(default)s")
    train.add_argument("--seed", type=int, metavar="N", help="repeats a run bit by bit; default: drawn, and printed")
    train.add_argument("--threads", type=_positive, metavar="N", help="default: as many as the process may use")
    train.add_argument("--root", type=Path, metavar="DIR", help="folder with the data, looked into first")
    train.add_argument("--out", type=Path, metavar="DIR", help="folder to write to, default: runs/MODEL-DATA")
    train.set_defaults(run=_train)

    export = commands.add_parser("export", parents=[common], help="write a saved model as an ONNX file")
    export.add_argument(
        "model", type=Path, metavar="MODEL", help="file that Model.save or a trainer's checkpoint wrote"
    )
    export.add_argument("out", type=Path, metavar="OUT.onnx", help="file to write")
    export.set_defaults(run=_export)

    bench = commands.add_parser(
        "bench",
        parents=[common],
        help="measure kernels and training steps on this machine",
        description="Times kernels and training steps beside NumPy doing the same; the best of several rounds.",
    )
    bench.add_argument(
        "what", choices=["kernels", "train", "all"], nargs="?", default="all", help="default: %(default)s"
    )
    bench.add_argument(
        "--shapes", nargs="+", metavar="SHAPE", help="inputs-hidden-...-classes@batch, as 784-256-10@256"
    )
    bench.add_argument(
        "--threads", type=_positive, metavar="N", help="fastnn's; default: as many as the process may use"
    )
    bench.add_argument("--json", action="store_true", help="print JSON, with the machine, instead of a table")
    bench.set_defaults(run=_bench)

    info = commands.add_parser("info", parents=[common], help="version, instruction set, threads, CUDA, data found")
    info.set_defaults(run=_info)

    data = commands.add_parser("data", parents=[common], help="fetch a data set, or say where it is")
    data.add_argument(
        "action", choices=["fetch", "path"], help="fetch: get it unless it is here; path: print its folder"
    )
    data.add_argument("name", choices=[published.FASHION_MNIST.name])
    data.set_defaults(run=_data)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} must be at least 1")
    return number


_positive.__name__ = "positive integer"  # how argparse names it where int() fails


class _Rows(Callback):
    """Prints a header, and a row after each epoch."""

    columns = ("train_loss", "val_loss", "val_acc", "examples_per_second", "train_seconds")

    def on_fit_start(self, state: fn.Trainer) -> None:
        print("epoch  train_loss  val_loss  val_acc  examples/s  seconds", flush=True)

    def on_epoch_end(self, state: fn.Trainer) -> None:
        loss, val_loss, val_acc, speed, seconds = (state.history[name][-1] for name in self.columns)
        print(
            f"{state.epoch:5}  {loss:10.4f}  {val_loss:8.4f}  {val_acc:7.4f}  {speed:10,.0f}  {seconds:7.2f}",
            flush=True,
        )


def _train(options: argparse.Namespace) -> None:
    if options.model == "softmax" and not (options.hiddens is None and options.dropout is None):
        raise argparse.ArgumentError(None, "--hiddens and --dropout need --model mlp")
    out = options.out or Path("runs") / f"{options.model}-{options.data}"
    out.mkdir(parents=True, exist_ok=True)

    data = fn.FashionMNIST(options.batch_size, options.root)
    print(f"Fashion-MNIST: {len(data.train):,} examples to train on, {len(data.val):,} to validate")
    hiddens = [] if options.model == "softmax" else options.hiddens or [256]
    model: fn.Model
    if options.model == "softmax":
        model = fn.SoftmaxRegression(10, options.lr)
    else:
        model = fn.MLP(10, hiddens, options.lr, dropout=options.dropout or 0.0)
    print(f"{'-'.join(map(str, [784, *hiddens, 10]))}, lr {options.lr:g}, batches of {options.batch_size}\n")

    trainer = fn.Trainer(
        options.epochs, num_threads=options.threads, callbacks=[_Rows()], progress=False, seed=options.seed
    )
    history = trainer.fit(model, data)
    last = history["val_acc"][-3:]
    print(f"\nmean val_acc of the last {len(last)} epoch{'s' * (len(last) > 1)}: {sum(last) / len(last):.4f}")
    print(f"{trainer.execution}; --seed {history.seed} repeats this run")

    model.save(out / "model.safetensors")
    history.to_csv(out / "history.csv")
    written = ["model.safetensors", "history.csv"]
    if importlib.util.find_spec("matplotlib") is None:
        print("no pictures without matplotlib: pip install matplotlib")
    else:
        from fastnn import plot

        plot.history(history, out / "curves.png")
        X, y = next(iter(data.val_dataloader()))
        shown = min(40, len(X))
        truth, predicted = data.text_labels(y[:shown]), data.text_labels(model.predict(X[:shown]))
        plot.images(X[:shown], truth, predicted=predicted, path=out / "predictions.png")
        written += ["curves.png", "predictions.png"]
    print("written:", *(f"  {out / name}" for name in written), sep="\n")


def _export(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("onnx") is None:
        raise ImportError("[export] ONNX files need onnx: pip install onnx")
    from fastnn.integrations import onnx

    onnx.export(fn.load(options.model), options.out)
    print(f"written: {options.out}")


def _bench(options: argparse.Namespace) -> None:
    import json

    from fastnn import _bench

    try:
        shapes = [_bench.Shape.parse(text) for text in options.shapes or _bench.SHAPES]
    except ValueError as error:
        raise argparse.ArgumentError(None, f"--shapes: {error}") from None
    if options.threads:
        fn.set_num_threads(options.threads)
    machine = config()
    results = []
    for what, title, measure in (
        ("kernels", "one call of a kernel", _bench.bench_kernels),
        ("train", "one training step", _bench.bench_training),
    ):
        if options.what in (what, "all"):
            if not options.json:
                print(f"\n{title}, {_summary(machine)}\n{_bench.HEADER}")
            for result in measure(shapes):
                results.append(result)
                if not options.json:
                    print(result.row(), flush=True)
    if options.json:
        print(json.dumps({"machine": machine, "results": [vars(result) for result in results]}, indent=2))


def _summary(machine: dict[str, Any]) -> str:
    return f"{machine['isa']}, {machine['threads']} threads"


def _info(_: argparse.Namespace) -> None:
    import numpy

    machine = dict(config())
    rows = {"fastnn": machine.pop("version"), "Python": platform.python_version(), "NumPy": numpy.__version__}
    rows |= {name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
             for name, value in machine.items()}  # fmt: skip
    try:
        rows["Fashion-MNIST"] = fetch.find(published.FASHION_MNIST, download=False).source
    except FileNotFoundError:
        rows["Fashion-MNIST"] = f"not here: `fastnn data fetch {published.FASHION_MNIST.name}` gets it"
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")


def _data(options: argparse.Namespace) -> None:
    found = fetch.find(published.FASHION_MNIST, download=options.action == "fetch")
    if options.action == "fetch":
        print(f"{options.name} from {found.source}")
    else:
        print(found.folder)
