"""Runs under mpiexec: what they find is printed as JSON by the first rank.

``mpiexec -n 2 python mpi_runs.py hashes FOLDER``, and so on: see the functions below.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

import fastnn as fn
from fastnn import nn, optim
from fastnn.all_reduce import AllReduce, cover
from fastnn.callbacks import Callback, CSVLogger, ModelCheckpoint

RANK = MPI.COMM_WORLD.rank
SHARDS = 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((66, 7), np.float32)  # two rows are left for the last batch: two shards have none
LABELS = RNG.integers(0, 4, len(X))
VALUES = X @ RNG.standard_normal((7, 2), np.float32)


class Data(fn.DataModule):
    def __init__(self, y, size: int = 16) -> None:
        self.y, self.batch_size = y, size

    def get_dataloader(self, train):
        return self.get_tensorloader((X, self.y), train, slice(None) if train else slice(0, 30))


class Listed(fn.DataModule):
    """Batches as a list: each rank takes its rows of them."""

    def train_dataloader(self):
        return [(X[i : i + 16], LABELS[i : i + 16]) for i in range(0, len(X), 16)]


class Own(fn.MLP):
    def __init__(self, loss, optimizer=None) -> None:
        super().__init__(4, [9], lr=0.1)
        self.objective, self.optimizer = loss, optimizer

    def loss(self, y_hat, y):
        return self.objective(y_hat, y)

    def configure_optimizers(self):
        return super().configure_optimizers() if self.optimizer is None else self.optimizer(self.parameters())


def with_momentum(parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


def weighted():
    return nn.CrossEntropyLoss(weight=fn.tensor([1.0, 2.0, 3.0, 4.0]))


def some_ignored():
    labels = LABELS.copy()
    labels[:20:2] = -100
    data = Data(labels)
    data.val_dataloader = lambda: None
    return data


RUNS = {
    "softmax": lambda: (fn.SoftmaxRegression(4, lr=0.1), Data(LABELS), {}),
    "dropout": lambda: (fn.MLP(4, [9], lr=0.1, dropout=0.4), Data(LABELS), {}),
    "regression": lambda: (fn.LinearRegression(0.1, 2), Data(VALUES), {}),
    "float64": lambda: (fn.LinearRegression(0.1, 2), Data(VALUES.astype(np.float64)), {}),
    "clipping": lambda: (fn.MLP(4, [9], lr=0.1), Data(LABELS), {"gradient_clip_val": 0.2}),
    "momentum": lambda: (
        Own(nn.CrossEntropyLoss(), with_momentum),
        Data(LABELS),
        {},
    ),
    "Adam": lambda: (Own(nn.CrossEntropyLoss(), optim.Adam), Data(LABELS), {}),
    "class weights": lambda: (Own(weighted()), Data(LABELS), {}),
    "ignored labels": lambda: (Own(nn.CrossEntropyLoss()), some_ignored(), {}),
    "a list of batches": lambda: (fn.MLP(4, [9], lr=0.1), Listed(), {}),
    "from Python": lambda: (fn.MLP(4, [9], lr=0.1, dropout=0.4), Data(LABELS), {"replay": False}),
    "verified": lambda: (fn.MLP(4, [9], lr=0.1, dropout=0.4), Data(LABELS), {"verify": "every_step"}),
}


def trained(name: str, **options) -> tuple[fn.Trainer, list[np.ndarray]]:
    model, data, settings = RUNS[name]()
    trainer = fn.Trainer(4, seed=1, progress=False, per_step=True, **settings, **options)
    trainer.fit(model, data)
    return trainer, [parameter.numpy() for parameter in model.parameters()]


def digest(trainer: fn.Trainer, weights) -> str:
    measured = {n: v for n, v in trainer.history.items() if not n.endswith("seconds") and n != "examples_per_second"}
    found = json.dumps([measured, trainer.history.steps], sort_keys=True).encode()
    return hashlib.sha256(found + b"".join(w.tobytes() for w in weights)).hexdigest()[:16]


def everywhere(value):
    """`value`, which all ranks have to agree on."""
    values = MPI.COMM_WORLD.allgather(value)
    assert values == values[:1] * len(values), values
    return value


def hashes(folder: Path) -> dict[str, str]:
    """Of each run: of its weights and its history, with fixed shards."""
    return {name: everywhere(digest(*trained(name, strategy="mpi", shards=SHARDS))) for name in RUNS}


def unlike_one_process(folder: Path) -> dict[str, float]:
    """How far weights are from those of a run without ranks, by its largest."""
    found = {}
    for name in RUNS:
        _, shared = trained(name, strategy="mpi")
        _, alone = trained(name)
        found[name] = max(float(abs(a - b).max() / abs(b).max()) for a, b in zip(shared, alone, strict=True))
    return found


def executions(folder: Path) -> list[str]:
    return [trained(name, strategy="mpi", shards=SHARDS)[0].execution for name in RUNS]


def files(folder: Path) -> list[str]:
    """What a run of several ranks writes, each file once, and what a resumed one finds."""
    writers = [CSVLogger(folder / "history.csv"), ModelCheckpoint(folder / "best.safetensors", "train_loss")]
    trained("momentum", strategy="mpi", shards=SHARDS, callbacks=writers, checkpoint=folder / "run.safetensors")
    return sorted(path.name for path in folder.iterdir())


def resumed(folder: Path) -> str:
    """A run of six epochs that goes on from the file of one of four, or that began itself."""
    model, data, _ = RUNS["momentum"]()
    trainer = fn.Trainer(6, seed=1, progress=False, strategy="mpi", shards=SHARDS, per_step=True)
    path = folder / "run.safetensors"
    trainer.fit(model, data, resume=path if path.exists() else None)
    return everywhere(digest(trainer, [parameter.numpy() for parameter in model.parameters()]))


def long(folder: Path) -> str:
    """A run of some seconds that goes on from its file where there is one."""
    path = folder / "run.safetensors"
    model, data, _ = RUNS["momentum"]()
    trainer = fn.Trainer(60, seed=1, progress=False, strategy="mpi", shards=SHARDS, checkpoint=path)
    trainer.fit(model, data, resume=path if path.exists() else None)
    return everywhere(digest(trainer, [parameter.numpy() for parameter in model.parameters()]))


def sums(folder: Path) -> bool:
    """Sums by shared memory and by messages have the same bits, those of the tree, for lengths that divide or not."""
    size = MPI.COMM_WORLD.size
    for shards in (size, 2 * size, 3 * size):
        nodes = [cover((0, shards), (r * shards // size, (r + 1) * shards // size)) for r in range(size)]
        by_memory, by_messages = (AllReduce(MPI.COMM_WORLD, nodes, shards, by_memory=here) for here in (True, False))
        for length in (1, 2, 7, 1000, 10_001):
            for _ in range(3):
                flat = RNG.standard_normal(length * len(nodes[RANK])).astype(np.float32)
                assert everywhere(by_memory(flat).tobytes()) == by_messages(flat).tobytes()
        by_memory.free()
    return True


class Ends(Callback):
    def __init__(self, how) -> None:
        self.how = how

    def on_epoch_end(self, state):
        if state.epoch == 2 and state.rank == 1:
            self.how()


def raises(folder: Path) -> None:
    trained("softmax", strategy="mpi", callbacks=[Ends(lambda: [][0])])


def dies(folder: Path) -> None:
    trained("softmax", strategy="mpi", callbacks=[Ends(lambda: os.kill(os.getpid(), signal.SIGKILL))])


def other_data(folder: Path) -> None:
    fn.Trainer(1, strategy="mpi", seed=1).fit(fn.SoftmaxRegression(4, 0.1), fn.ArrayData(X, LABELS, val=0.5, seed=RANK))


def other_models(folder: Path) -> None:
    fn.Trainer(1, strategy="mpi", seed=1).fit(Own(nn.CrossEntropyLoss()) if RANK else nets(), Data(LABELS))


def nets():
    model = Own(nn.CrossEntropyLoss())
    model.net = nn.Sequential(nn.Linear(7, 4))
    return model


def too_many_shards(folder: Path) -> None:
    fn.Trainer(1, strategy="mpi", shards=64).fit(fn.SoftmaxRegression(4, 0.1), Data(LABELS))


if __name__ == "__main__":
    started = time.perf_counter()
    result = globals()[sys.argv[1]](Path(sys.argv[2]))
    if RANK == 0:
        print(json.dumps(result))
