"""The campaign of kills: `python -m faults.kills` ends training runs by SIGKILL at random moments, again and again, and
resumes them until they are through.

After each kill the checkpoint must be whole, and not older than the last one that was written. In the end weights,
optimizer and history must be those of the run that nobody killed, to the bit.
"""

import argparse
import json
import mmap
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import checkpoint, nn, trainer
from fastnn.callbacks import Callback
from faults import environment

EPOCHS, EVERY = 6, 40
WRITING = 2**63  # in the notes, beside the steps of the last checkpoint


class Net(fn.Model):
    """Everything that a run has to remember: lazy layers, dropout, a schedule, an optimizer with state."""

    def __init__(self, optimizer: str) -> None:
        self.optimizer = optimizer
        self.net = nn.Sequential(nn.LazyLinear(24), nn.ReLU(), nn.Dropout(0.3), nn.LazyLinear(3))

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return nn.CrossEntropyLoss()(y_hat, y)

    def configure_optimizers(self) -> fn.optim.Optimizer:
        schedule = fn.optim.CosineScheduler(max_update=900, base_lr=0.05, warmup_steps=50)
        if self.optimizer == "Adam":
            return fn.optim.Adam(self.parameters(), lr=schedule)
        return fn.optim.SGD(self.parameters(), lr=schedule, momentum=0.9)


class Batches(fn.DataModule):
    """Batches from a loader that is not fastnn's, so that steps run one by one."""

    def __init__(self, data: fn.ArrayData) -> None:
        self.data = data

    def train_dataloader(self) -> Any:
        return list(self.data.train_dataloader())

    def val_dataloader(self) -> Any:
        return self.data.val_dataloader()


class EveryStep(Callback):
    """Keeps every step in Python."""

    def on_step_end(self, state: fn.Trainer) -> None:
        pass


@dataclass(frozen=True)
class Run:
    """A run that can be repeated. The optimizer, and whether steps run natively, depend on the seed too."""

    seed: int

    def data(self) -> Any:
        rows = np.random.default_rng(0).normal(size=(4000, 12)).astype(np.float32)
        data = fn.ArrayData(rows, rows[:, :3].argmax(1), val=0.1, batch_size=16)
        return Batches(data) if self.seed % 3 == 1 else data

    def live(self, folder: Path) -> None:
        """Trains to the end, from the latest checkpoint in `folder` if there is one."""
        path = folder / "run"
        net = Net("Adam" if self.seed % 2 else "SGD")
        trainer = fn.Trainer(
            EPOCHS,
            seed=self.seed,
            per_step=True,
            checkpoint=path,
            checkpoint_every=EVERY,
            callbacks=[EveryStep()] if self.seed % 3 == 2 else [],
        )
        trainer.fit(net, self.data(), resume=path if path.exists() else None)


def result(folder: Path) -> tuple[dict[str, bytes], list[Any]]:
    """What a run has led to, but for how long it took: the arrays of the last checkpoint, and what else it says."""
    arrays, metadata = checkpoint.read(folder / "run")
    assert metadata is not None
    training = metadata["training"]
    for number, name in enumerate(training["names"]["history"]):
        if "second" in name:
            del arrays[f"training/history/{number}"]
    return {name: array.tobytes() for name, array in arrays.items()}, [training]


# ---- the child --------------------------------------------------------------------------------------------------


def _child(folder: Path, seed: int) -> None:
    """Trains, and notes when a checkpoint is being written and how many steps the last one holds."""
    with open(folder / "notes", "r+b") as file, mmap.mmap(file.fileno(), 8) as notes:
        write = trainer.write_run

        def note(steps: int) -> None:
            notes[:] = steps.to_bytes(8, "little")

        def noting(state: fn.Trainer, *arguments: Any) -> None:
            note(int.from_bytes(notes[:], "little") | WRITING)
            write(state, *arguments)
            note(state.train_batch_idx)

        note(int.from_bytes(notes[:], "little") % WRITING)
        trainer.write_run = noting
        print("training", flush=True)
        Run(seed).live(folder)


# ---- the parent -------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """Runs that were through, kills, how many of these fell while a checkpoint was written, and what went wrong."""

    runs: int = 0
    kills: int = 0
    while_writing: int = 0
    findings: list[str] = field(default_factory=list)


def campaign(kills: int, seed: int = 0) -> Report:
    """Runs of the seeds from `seed` on, until there were so many kills."""
    report, clock = Report(), random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        while report.kills < kills:
            whole, killed = Path(name, f"whole-{seed}"), Path(name, f"killed-{seed}")
            seconds = _whole_run(whole, seed)
            while True:
                process = _start(killed, seed)
                if report.kills < kills:
                    time.sleep(clock.uniform(0, seconds))
                    process.kill()
                if process.wait() != -signal.SIGKILL:
                    break
                report.kills += 1
                report.findings += [f"seed {seed}, kill {report.kills}: {what}" for what in _after_kill(killed, report)]
            if process.returncode != 0:
                report.findings.append(f"seed {seed}: ended with {process.returncode}")
                return report
            report.runs += 1
            report.findings += [f"seed {seed}: {what}" for what in _differences(whole, killed)]
            seed += 1
    return report


def _start(folder: Path, seed: int) -> "subprocess.Popen[bytes]":
    """A child that has begun to train."""
    folder.mkdir(exist_ok=True)
    if not (folder / "notes").exists():
        (folder / "notes").write_bytes(bytes(8))
    options = json.dumps([str(folder), seed])
    command = [sys.executable, "-P", "-m", "faults.kills", "--child", options]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        output.readline()
    return process


def _whole_run(folder: Path, seed: int) -> float:
    """A run that nobody kills, and how many seconds it trains."""
    process = _start(folder, seed)
    started = time.perf_counter()
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return time.perf_counter() - started


def _after_kill(folder: Path, report: Report) -> Iterator[str]:
    noted = int.from_bytes((folder / "notes").read_bytes(), "little")
    report.while_writing += noted >= WRITING
    if not (folder / "run").exists():
        if noted % WRITING:
            yield f"the checkpoint of step {noted % WRITING} is gone"
        return
    try:
        _, metadata = checkpoint.read(folder / "run")
    except ValueError as error:
        yield str(error)
    else:
        steps = metadata["training"]["steps"] if metadata else -1
        if steps < noted % WRITING:
            yield f"the checkpoint is of step {steps}, but that of step {noted % WRITING} had been written"


def _differences(whole: Path, killed: Path) -> Iterator[str]:
    if result(whole) != result(killed):
        yield "the weights, the optimizer or the history are not those of the run that nobody killed"
    if leftovers := [path.name for path in killed.iterdir() if path.suffix == ".tmp"]:
        yield f"left {leftovers}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the first run, and of the moments")
    options = parser.parse_args()
    if options.child is not None:
        folder, seed = json.loads(options.child)
        _child(Path(folder), seed)
        return 0
    report = campaign(options.kills, options.seed)
    for finding in report.findings:
        print(finding)
    print(
        f"{report.kills} kills, {report.while_writing} of them while a checkpoint was being written, in {report.runs} "
        f"runs: {len(report.findings)} findings"
    )
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
