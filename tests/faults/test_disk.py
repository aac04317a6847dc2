"""Checkpoints on disks that are full, forbidden or broken: the old file or the new one is there, whole."""

import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import checkpoint
from faults import environment
from faults.disk import failing

OLD, NEW = {"x": np.zeros(1000)}, {"x": np.ones(2000)}


def content(path: Path) -> float:
    """0 for the old file, 1 for the new one; an error for one that is not whole."""
    arrays, metadata = checkpoint.read(path)
    assert metadata is not None
    assert (arrays["x"] == metadata["i"]).all()
    return metadata["i"]


def training(folder: Path, *, epochs: int = 4, resume: bool = False) -> fn.Model:
    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    model, path = fn.MLP(2, 64, lr=0.1), folder / "run"
    trainer = fn.Trainer(epochs, seed=1, checkpoint=path, checkpoint_every=5)
    trainer.fit(model, fn.ArrayData(x, (x[:, 0] > 0).astype(int), batch_size=16), resume=path if resume else None)
    return model


def weights(model: fn.Model) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()],
    ids=["full", "broken", "Ctrl-C"],
)
def test_whatever_call_fails_the_old_or_the_new_file_is_whole_and_nothing_else_is_left(
    tmp_path: Path, error: BaseException
) -> None:
    def fault() -> None:
        raise error

    path = tmp_path / "a"
    seen = []
    for number in itertools.count():
        checkpoint.write(path, OLD, {"i": 0})
        with failing(number, fault) as has_failed:
            try:
                checkpoint.write(path, NEW, {"i": 1})
            except OSError as raised:
                assert raised.filename == str(path)  # noqa: PT017
            except KeyboardInterrupt:
                pass
        if not has_failed():
            break
        seen.append(content(path))
        assert list(tmp_path.iterdir()) == [path], number
    assert set(seen) == {0, 1}
    assert seen == sorted(seen)


KILLED = """
import os, signal, sys
import numpy as np
from fastnn import checkpoint
from faults.disk import failing
for number, path in enumerate(sys.argv[1:]):
    if os.fork() == 0:
        with failing(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            checkpoint.write(path, {"x": np.ones(2000)}, {"i": 1})
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_killed_at_whatever_call_the_old_or_the_new_file_is_whole(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(40)]
    for path in paths:
        checkpoint.write(path, OLD, {"i": 0})
    command = [sys.executable, "-P", "-c", KILLED, *paths]
    child = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    statuses = list(map(int, child.stdout.split()))
    killed = statuses.count(-signal.SIGKILL)
    assert statuses == [-signal.SIGKILL] * killed + [0] * (len(paths) - killed)
    seen = [content(path) for path in paths[:killed]]
    assert set(seen) == {0, 1}
    assert seen == sorted(seen)
    assert len(list(tmp_path.iterdir())) > len(paths)
    for path in paths:
        checkpoint.remove_leftovers(path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_what_others_are_writing_is_left_alone(tmp_path: Path) -> None:
    """A file that is being written, one of another checkpoint, and what only looks alike."""
    path, at_work = tmp_path / "a*", tmp_path / ".a*.01234567.tmp"
    for name in (".a*.00000000.tmp", ".ab.00000000.tmp", ".a*.0000.tmp", "a*.tmp"):
        (tmp_path / name).touch()
    with open(at_work, "xb") as file:
        assert checkpoint._claim(file.fileno())
        checkpoint.remove_leftovers(path)
        assert {entry.name for entry in tmp_path.iterdir()} == {
            at_work.name,
            ".ab.00000000.tmp",
            ".a*.0000.tmp",
            "a*.tmp",
        }
    checkpoint.remove_leftovers(path)
    assert not at_work.exists()


def test_training_begins_without_what_was_killed_while_it_wrote(tmp_path: Path) -> None:
    (tmp_path / ".run.01234567.tmp").touch()
    training(tmp_path, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_a_file_may_not_grow_training_ends_and_goes_on_later(tmp_path: Path) -> None:
    expected = weights(training(tmp_path / "whole"))
    folder = tmp_path / "run"
    training(folder, epochs=2)
    before = (folder / "run").read_bytes()
    with files_of_at_most(len(before) // 2), pytest.raises(OSError, match="File too large") as error:
        training(folder, resume=True)
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(folder / "run"))
    assert (folder / "run").read_bytes() == before
    assert len(list(folder.iterdir())) == 1
    assert weights(training(folder, resume=True)) == expected


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_a_folder_that_may_not_be_written_keeps_its_file() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a")
        checkpoint.write(path, OLD, {"i": 0})
        os.chmod(name, 0o555)
        with as_nobody():
            with pytest.raises(PermissionError) as error:
                checkpoint.write(path, NEW, {"i": 1})
            assert error.value.filename == str(path)
            assert content(path) == 0
        os.chmod(name, 0o755)
        assert os.listdir(name) == ["a"]


def test_a_file_system_that_cannot_make_a_folder_durable_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some that are shared over a network."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    checkpoint.write(tmp_path / "a", NEW, {"i": 1})
    assert content(tmp_path / "a") == 1
