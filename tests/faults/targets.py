"""What is fuzzed: functions of bytes that end in nothing, or raise what is a finding.

Inputs that reach new branches lie in `corpus`, a folder for each target. `faults.fuzz` finds them, and the test suite
goes through them.
"""

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from test_random_training import test_training_has_the_bits_of_training_from_python

import fastnn as fn
from fastnn import checkpoint
from fastnn.callbacks import Callback
from fastnn.data.idx import read_idx
from fastnn.data.table import read_table
from faults.files import REFUSALS, trained

CORPUS = Path(__file__).with_name("corpus")
X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
EXPECTED = (*REFUSALS, FloatingPointError)  # the last of numbers that come from a file, and end training


@contextlib.contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        path = Path(folder, name)
        path.write_bytes(data)
        yield path


def _read_idx(data: bytes) -> None:
    with _file("idx", data) as path, contextlib.suppress(*REFUSALS):
        read_idx(path, max_bytes=2**24)


def _read_table(suffix: str, data: bytes) -> None:
    with _file(f"table.{suffix}", data) as path, contextlib.suppress(*REFUSALS):
        table = read_table(path)
        for name in table.names[:3]:
            for column in (lambda name=name: table.numbers([name]), lambda name=name: table.labels(name)):
                with contextlib.suppress(*REFUSALS):
                    column()


# ---- models and runs ------------------------------------------------------------------------------------------------


class _Stop(Callback):
    def on_step_end(self, state: fn.Trainer) -> None:
        if state.train_batch_idx == 1:
            raise KeyboardInterrupt


def _data() -> fn.ArrayData:
    return fn.ArrayData(X, np.arange(12) % 3, batch_size=4)


@functools.cache
def written(name: str) -> bytes:
    """The file of a model, or of a run that was ended within its second epoch."""
    with _file(name, b"") as path:
        if name == "model":
            trained(fn.MLP(3, 5, lr=0.1, dropout=0.1)).save(path)
        else:
            model = fn.MLP(3, 5, lr=fn.optim.CosineScheduler(9, 0.1), dropout=0.1)
            fn.Trainer(1, seed=0, progress=False, checkpoint=path).fit(model, _data())
            with contextlib.suppress(KeyboardInterrupt):
                stopped = fn.Trainer(
                    2, seed=0, progress=False, checkpoint=path, checkpoint_every=1, callbacks=[_Stop()]
                )
                stopped.fit(model, _data(), resume=path)
        return path.read_bytes()


def _use(path: Path) -> None:
    with contextlib.suppress(*EXPECTED):
        model = fn.load(path)
        try:
            model.predict(X)
        except IndexError as error:
            if not str(error).startswith("[flatten] "):  # which may name an axis that X does not have
                raise
    with contextlib.suppress(*EXPECTED):
        fn.Trainer(1, progress=False).fit(fn.MLP(3, 5, lr=0.1, dropout=0.1), _data(), resume=path)


def _load(data: bytes) -> None:
    with _file("model", data) as path:
        _use(path)


@functools.cache
def _arrays(name: str) -> dict[str, Any]:
    with _file(name, written(name)) as path:
        return checkpoint.read(path)[0]


def _load_metadata(name: str, data: bytes) -> None:
    """`data` as the metadata of a good file, whose checksum holds."""
    text = data.decode(errors="replace")
    signed = save(_arrays(name), {"fastnn": f"{checkpoint.digest(_arrays(name), text)} {text}"})
    with _file(name, signed) as path:
        _use(path)


def _train(data: bytes) -> None:
    """A model that Hypothesis makes of `data`: recorded, planned and run natively, it has the bits of eager steps."""
    test_training_has_the_bits_of_training_from_python.hypothesis.fuzz_one_input(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "idx": _read_idx,
    "csv": functools.partial(_read_table, "csv"),
    "npz": functools.partial(_read_table, "npz"),
    "file": _load,
    "model": functools.partial(_load_metadata, "model"),
    "run": functools.partial(_load_metadata, "run"),
    "training": _train,
}
