"""`fastnn train`: a model from a data set, with its history and pictures."""

import argparse
import importlib.util
from pathlib import Path

import fastnn as fn
from fastnn.callbacks import Callback

from .arguments import Commands, positive

EXAMPLES = """examples:
  fastnn train fashion-mnist                                  784-256-10 MLP, 10 epochs, about 0.84 accuracy
  fastnn train fashion-mnist --model softmax                  softmax regression, about 0.83
  fastnn train fashion-mnist --hiddens 256 256 --dropout 0.5  two hidden layers with dropout
  fastnn train fashion-mnist --seed 1 --out runs/seed-1       a run that can be repeated, in a folder of its own
"""


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Make the command known."""
    parser = commands.add_parser(
        "train",
        parents=[common],
        help="train a model and write weights, history and pictures",
        description="Trains a model, prints a row per epoch, and writes model.safetensors, history.csv,\n"
        "curves.png and predictions.png.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", choices=["fashion-mnist"], help="what to train on")
    parser.add_argument("--model", choices=["mlp", "softmax"], default="mlp", help="default: %(default)s")
    parser.add_argument(
        "--hiddens", type=positive, nargs="+", metavar="N", help="widths of the MLP's hidden layers (256)"
    )
    parser.add_argument("--dropout", type=float, metavar="P", help="probability of dropping a hidden unit (0)")
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=0.1, metavar="LR", help="learning rate, default: %(default)s")
    parser.add_argument("--batch-size", type=positive, default=256, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, metavar="N", help="repeats a run bit by bit; default: drawn, and printed")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: as many as the process may use")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder with the data, looked into first")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to, default: runs/MODEL-DATA")
    parser.set_defaults(run=_run)


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


def _run(options: argparse.Namespace) -> None:
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
