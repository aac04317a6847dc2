"""Campaigns of forks, Ctrl-C and threads: `python -m faults.processes` makes a thousand of each.

A process that trained, and so has threads, is forked: every child has to train or to compute on threads of its own,
with the parent's bits, before a watchdog loses patience. A process that trains gets SIGINT at random times: `fit` has
to end within the running step and `CTRL_C_SECONDS`, and the model has to train on. Models that are trained at once on
several threads have the bits that they have alone.
"""

import argparse
import contextlib
import hashlib
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

import fastnn as fn
from fastnn import execution, kernels
from fastnn.record import Engine
from fastnn.record.epochs import Epochs

SECONDS = 300  # without an end are a hang; the machine may be busy with other things
CTRL_C_SECONDS = 0.05
RNG = np.random.default_rng(0)
X = RNG.normal(size=(512, 256)).astype(np.float32)
Y = (X[:, :10] * 2).argmax(1)


def data(batch_size: int = 128) -> fn.ArrayData:
    return fn.ArrayData(X, Y, batch_size=batch_size, val=0.2)


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest()


def weights(model: fn.Model) -> str:
    return digest(*(value.numpy() for value in model.state_dict().values()))


def trained(seed: int = 0, epochs: int = 2) -> str:
    """Trains on threads: phases of these products are worth two of them."""
    model = fn.MLP(10, 256, lr=0.1, dropout=0.2)
    fn.Trainer(epochs, seed=seed, num_threads=3, progress=False).fit(model, data())
    return weights(model)


def computed() -> str:
    return digest(kernels.linear(X, X, activation="gelu", num_threads=3), kernels.softmax(X, num_threads=2))


WORK: dict[str, Callable[[], str]] = {"train": trained, "compute": computed}


@dataclass
class Report:
    """How many were tried, what went wrong, and what was measured."""

    tried: int = 0
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"    {finding}" for finding in self.findings]
        return "\n".join([f"{self.tried} tried, {len(self.findings)} findings", *lines, *self.notes])


# ---- forks ------------------------------------------------------------------------------------------------------


def forks(count: int, seconds: float = SECONDS, at_once: int = 4) -> Report:
    """Children of a process whose threads have worked, and of which one is training meanwhile."""
    report = Report(count)
    expected = {name: work() for name, work in WORK.items()}
    stop = threading.Event()

    def train_beside() -> None:
        while not stop.is_set():
            trained(epochs=20)

    beside = threading.Thread(target=train_beside)
    beside.start()
    try:
        children: dict[int, tuple[str, float]] = {}
        for i in range(count):
            name = list(WORK)[i % len(WORK)]
            child = _forked(lambda name=name: WORK[name]() == expected[name])
            children[child] = name, time.monotonic() + seconds
            if len(children) == at_once:
                _reap(children, report)
        while children:
            _reap(children, report)
    finally:
        stop.set()
        beside.join()
    return report


def _forked(fact: Callable[[], bool]) -> int:
    """A child that ends with 0 where `fact` holds, 1 where not, and 2 after an exception."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if fact() else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    return child


def _reap(children: dict[int, tuple[str, float]], report: Report) -> None:
    """Waits for the oldest child."""
    child = next(iter(children))
    name, deadline = children.pop(child)
    pause = 0.001
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            if status != 0:
                code = os.waitstatus_to_exitcode(status)
                ends = {1: "gave other bits", 2: "raised"}
                report.findings.append(f"{name}: {ends.get(code, f'ended with {code}')}")
            return
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            report.findings.append(f"{name}: hung")
            return
        time.sleep(pause := min(0.05, 2 * pause))


# ---- Ctrl-C -----------------------------------------------------------------------------------------------------


class Steps:
    """While it watches: when native calls and steps from Python began and ended, and how many steps each made."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, float, int]] = []

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        with (
            mock.patch.object(Engine, "run", self._timed(Engine.run, lambda _, steps, *rest: steps)),
            mock.patch.object(Epochs, "run", self._timed(Epochs.run, lambda self, n, *rest: n * len(self.engines))),
            mock.patch.object(execution.Steps, "_run", self._timed(execution.Steps._run, lambda *rest: 1)),
        ):
            yield

    def _timed(self, run: Callable[..., Any], steps_of: Callable[..., int]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return run(*arguments)
            finally:
                self.calls.append((began, time.perf_counter(), steps_of(*arguments)))

        return timed

    def running(self, at: float) -> float:
        """Seconds that a step took in the call that was running then; 0 where none was."""
        return next(((ended - began) / steps for began, ended, steps in self.calls if began <= at <= ended), 0.0)

    def median(self) -> float:
        return statistics.median((ended - began) / steps for began, ended, steps in self.calls)


def interrupts(count: int, seed: int = 0, load: int = 0) -> Report:
    """SIGINT at random times of runs with short and with long steps; what stands around training gets its share.

    `load` other processes compute meanwhile. The running step is timed in the very run that is interrupted. What a bare
    loop of Python's takes until it notices, at the same time, is the machine's own share.
    """
    report, draw = Report(count), random.Random(seed)
    expected, before = trained(), fn.num_threads()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs this in the background
    with _computing(load):
        for width, part, epochs, longest in ((256, 0.8, (1, 1000), 0.1), (16384, 0.2, (1000,), 1.0)):
            steps, delays, beyond, bare = Steps(), [], [], []
            for _ in range(round(count * part)):
                model = fn.MLP(10, width, lr=0.1, dropout=0.2)
                trainer = fn.Trainer(draw.choice(epochs), num_threads=3, progress=False)
                with steps.watched():
                    sent, ended = _interrupted(draw.random() * longest, lambda t=trainer, m=model: t.fit(m, data()))
                if ended == math.inf:
                    report.findings.append("nobody noticed")
                elif ended is not None:
                    delays.append(ended - sent)
                    beyond.append(max(0.0, ended - sent - steps.running(sent)))
                    sent, ended = _interrupted(0.05, _bare_loop)
                    bare += [] if ended is None else [ended - sent]
                if fn.num_threads() != before:
                    report.findings.append(f"{fn.num_threads()} threads are left, not {before}")
                try:
                    trainer.max_epochs = 1
                    trainer.fit(model, data())
                    fn.Trainer(1, progress=False).fit(model, data())
                except Exception as error:
                    report.findings.append(f"does not train on: {error!r}")
                if not all(np.isfinite(value.numpy()).all() for value in model.state_dict().values()):
                    report.findings.append("left weights that are no numbers")
            if trained() != expected:
                report.findings.append("another model got other bits")
            if len(delays) > 1:
                report.notes.append(
                    f"steps of {1e3 * steps.median():.1f} ms: {len(delays)} came while it trained, and fit ended after "
                    f"{_shown(delays)}, beyond the running step {_shown(beyond)}; a bare loop after {_shown(bare)}"
                )
                if _slowest(beyond) > CTRL_C_SECONDS + (_slowest(bare) if load else 0):
                    report.findings.append(f"{_slowest(beyond):.3f} s beyond the running step")
    return report


@contextlib.contextmanager
def _computing(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _bare_loop() -> None:
    while True:
        pass


def _slowest(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]


def _shown(seconds: Sequence[float]) -> str:
    median, slowest = 1e3 * statistics.median(seconds), 1e3 * _slowest(seconds)
    return f"{median:.1f} ms in the median ({slowest:.1f} in the 99th percentile)"


def _interrupted(delay: float, run: Callable[[], object]) -> tuple[float, float | None]:
    """When SIGINT was sent, after `delay`, and when `run` had ended by it; None where it was over before, infinity
    where it was never noticed."""
    sent, ended = 0.0, None

    def send() -> None:
        nonlocal sent
        time.sleep(delay)
        sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    try:
        sender.start()
        try:
            run()
        except KeyboardInterrupt:
            ended = time.perf_counter()
        if ended is None:  # not yet sent, or not yet seen: Python calls handlers between two instructions
            time.sleep(SECONDS)
            ended = math.inf
    except KeyboardInterrupt:
        pass
    sender.join()
    return sent, ended


# ---- threads ----------------------------------------------------------------------------------------------------


def threads(count: int, at_once: int = 4) -> Report:
    """Models trained at once, each with the bits that it has alone; and one model by two trainers, of which one is
    refused."""
    report = Report(count)
    alone = [trained(seed) for seed in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(count):
            for seed, bits in enumerate(pool.map(trained, range(at_once))):
                if bits != alone[seed]:
                    report.findings.append(f"the model of seed {seed} got other bits")
            report.findings += _two_trainers_of_one_model(pool, alone[0])
    return report


def _two_trainers_of_one_model(pool: ThreadPoolExecutor, alone: str) -> list[str]:
    """The second trainer begins in the middle of what the first does, or after it."""
    model = fn.MLP(10, 256, lr=0.1, dropout=0.2)

    def train(_: int) -> str:
        try:
            fn.Trainer(2, seed=0, num_threads=3, progress=False).fit(model, data())
        except RuntimeError as error:
            return str(error)
        return "trained"

    results = sorted(pool.map(train, range(2)))
    if results == ["trained", "trained"]:  # one after the other
        return []
    if not results[0].startswith("[fit] this model or trainer is at work already"):
        return [results[0]]
    return [] if weights(model) == alone else ["a trainer that was refused has changed bits"]


CAMPAIGNS: dict[str, Callable[..., Report]] = {"forks": forks, "interrupts": interrupts, "threads": threads}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.processes", description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", choices=[[], *CAMPAIGNS], help="those to run; all of them by default")
    parser.add_argument("--count", type=int, default=1000, help="of each")
    parser.add_argument("--load", type=int, default=0, help="processes that compute beside interrupted training")
    options = parser.parse_args(arguments)
    failed = False
    for name in options.only or CAMPAIGNS:
        more = {"load": options.load} if name == "interrupts" else {}
        report = CAMPAIGNS[name](options.count, **more)
        print(f"{name}: {report}", flush=True)
        failed = failed or bool(report.findings)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
