"""Files by somebody who knows how the checksum is made: refused, or a model like any other; never more than that."""

import copy
import json
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import checkpoint
from fastnn.callbacks import Callback
from faults import environment

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def model() -> fn.Model:
    return fn.MLP(2, [8], lr=fn.optim.CosineScheduler(max_update=40, base_lr=0.1), dropout=0.2)


def data() -> fn.ArrayData:
    return fn.ArrayData(X, (X[:, 0] > 0).astype(np.int64), val=0.25, batch_size=8)


class Stop(Callback):
    def on_step_end(self, state: fn.Trainer) -> None:
        if state.train_batch_idx == 10:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Of a run that has not come to the end of its second epoch."""
    path = tmp_path_factory.mktemp("run") / "run"
    trainer = fn.Trainer(2, seed=1, checkpoint=path, checkpoint_every=3, per_step=True, callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(model(), data())
    arrays, metadata = checkpoint.read(path)
    assert metadata is not None
    return arrays, metadata


def test_a_run_whose_file_is_damaged_anywhere_is_refused(tmp_path: Path, run: Any) -> None:
    path, draw = tmp_path / "run", random.Random(0)
    checkpoint.write(path, *run)
    whole = path.read_bytes()
    places_of_bits = [draw.randrange(8 * len(whole)) for _ in range(500)]
    flipped = [bytes([*whole[: i // 8], whole[i // 8] ^ 1 << i % 8, *whole[i // 8 + 1 :]]) for i in places_of_bits]
    shortened = [whole[: draw.randrange(len(whole))] for _ in range(100)]
    for damaged in (*flipped, *shortened, whole + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^\[load\] .*run "):
            fn.Trainer(1).fit(model(), data(), resume=path)


BAD = [
    None,
    True,
    -1,
    2**63,
    1e308,
    float("nan"),
    float("inf"),
    10**400,
    "",
    "x",
    "\0",
    [],
    [[]],
    {},
    {"left_out": "x"},
]
BAD += [
    {"schedule": "x"},
    {"schedule": "CosineScheduler", "max_update": 0, "base_lr": 1},
    ["Sequential", [[0, [0, {}]]]],
]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything within JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from places(inner, (*at, key))


def changed(metadata: Any, place: tuple[Any, ...], value: Any) -> Any:
    result = copy.deepcopy(metadata)
    inner = result
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return result


def used(path: Path) -> None:
    """Whatever one does with a file; what goes wrong names the operation."""
    for use in (
        lambda: fn.load(path).predict(X),
        lambda: model().load(path),
        lambda: fn.Trainer(1, progress=False).fit(model(), data(), resume=path),
    ):
        try:
            use()
        except (ValueError, TypeError, FloatingPointError) as error:
            assert str(error).startswith("["), error  # noqa: PT017


@pytest.mark.parametrize("seed", range(2))
def test_metadata_with_anything_in_it_is_refused_or_used(tmp_path: Path, run: Any, seed: int) -> None:
    draw = random.Random(seed)
    arrays, metadata = run
    everywhere = list(places(metadata))
    for _ in range(200):
        place, value = draw.choice(everywhere), draw.choice(BAD)
        checkpoint.write(tmp_path / "a", arrays, changed(metadata, place, value))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of arguments that were left out
            used(tmp_path / "a")


def test_arrays_of_any_kind_are_refused_or_used(tmp_path: Path, run: Any) -> None:
    arrays, metadata = run
    for name, array in arrays.items():
        other = {key: value for key, value in arrays.items() if key != name}
        for bad in (array.astype(np.float16), array.astype(np.int16), array[None], array[..., None][:0], array.ravel()):
            checkpoint.write(tmp_path / "a", {**other, name: bad}, metadata)
            used(tmp_path / "a")
        for key in (
            f"training/{name}",
            "training/optimizer/99/x",
            "training/optimizer/x",
            "training/optimizer//",
            "training/epoch/0",
        ):
            checkpoint.write(tmp_path / "a", {**other, key: array}, metadata)
            used(tmp_path / "a")


MEMORY = """
import resource, sys
from fastnn import checkpoint
import safetensors.numpy
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
try:
    checkpoint.read(sys.argv[1])
except ValueError as error:
    print(error, file=sys.stderr)
print(peak() - before)
"""


def with_header(path: Path, header: bytes, rest: bytes = b"") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + rest)
    return path


def signed(text: str) -> bytes:
    return json.dumps({"__metadata__": {"fastnn": f"{checkpoint.digest({}, text)} {text}"}}).encode()


def test_memory_is_bounded_by_the_size_of_the_file(tmp_path: Path) -> None:
    """Thirty times a header, of at most ten million bytes, and twice the arrays: what JSON's smallest lists cost."""
    room = 4_000_000
    lists = signed('{"a": [' + ",".join(["[]"] * (room // 3)) + "]}")
    names = json.dumps({f"{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(room // 70)})
    one = json.dumps({"x": {"dtype": "F32", "shape": [room], "data_offsets": [0, 4 * room]}}).encode()
    for path in (
        with_header(tmp_path / "lists", lists),
        with_header(tmp_path / "names", names.encode()),
        with_header(tmp_path / "large", one, bytes(4 * room)),
    ):
        header = int.from_bytes(path.read_bytes()[:8], "little")
        assert header <= checkpoint.LONGEST_HEADER
        bound = 30 * header + 2 * (path.stat().st_size - header) + 20_000_000
        child = subprocess.run(
            [sys.executable, "-P", "-c", MEMORY, path], env=environment(), capture_output=True, check=True
        )
        assert int(child.stdout) < bound, path.name


def test_a_model_of_a_million_layers_is_refused_before_it_is_made(tmp_path: Path) -> None:
    small = model()
    small.predict(X)
    arrays, metadata = small.describe()
    metadata["arguments"]["num_hiddens"] = [1] * 1_000_000
    checkpoint.write(tmp_path / "a", arrays, metadata)
    with pytest.raises(ValueError, match=r"^\[load\] .*a holds a MLP .* more than 1000 hidden layers"):
        fn.load(tmp_path / "a")


def test_a_device_without_an_end_is_no_file() -> None:
    with pytest.raises(ValueError, match="/dev/zero is not a whole safetensors file"):
        checkpoint.read("/dev/zero")


def test_a_longer_header_is_refused_and_not_written(tmp_path: Path) -> None:
    path = with_header(tmp_path / "a", signed('{"a": "' + "x" * checkpoint.LONGEST_HEADER + '"}'))
    with pytest.raises(ValueError, match=r"^\[load\] .*a has a header of 10,000,\d+ bytes: more than 10,000,000 are"):
        checkpoint.read(path)
    for length in (checkpoint.LONGEST_HEADER, 10 * checkpoint.LONGEST_HEADER):
        with pytest.raises(ValueError, match=r"^\[save\] .*b "):
            checkpoint.write(tmp_path / "b", {}, {"a": "x" * length})
    assert not (tmp_path / "b").exists()


def test_a_file_larger_than_memory_is_an_error(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.truncate(2**43)
    with pytest.raises((MemoryError, ValueError)):
        checkpoint.read(tmp_path / "a")
