"""Files: whole or not there, and nothing broken goes unnoticed."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastnn import checkpoint

ARRAYS = {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "0.bias": np.array([0.5, -0.5])}
A_FOLDER = PermissionError if sys.platform == "win32" else IsADirectoryError
METADATA = {"class": "MLP", "lr": 0.1}


def equal(arrays: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> bool:
    return arrays.keys() == others.keys() and all(
        a.dtype == others[name].dtype and np.array_equal(a, others[name]) for name, a in arrays.items()
    )


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3.0).reshape(()),
        np.zeros((0, 4), np.float32),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12, dtype=np.int64)[::-2],
        np.array([np.nan, -0.0, np.inf], np.float32),
    ],
    ids=["scalar", "empty", "transposed", "reversed", "special"],
)
def test_arrays_come_back_bit_by_bit(tmp_path: Path, array: np.ndarray) -> None:
    checkpoint.write(tmp_path / "a", {"x": array}, METADATA)
    arrays, metadata = checkpoint.read(tmp_path / "a")
    assert metadata == METADATA
    assert (arrays["x"].shape, arrays["x"].dtype) == (array.shape, array.dtype)
    assert arrays["x"].tobytes() == array.tobytes()


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        checkpoint.atomic_write(tmp_path / "missing" / "a", b"")
    assert missing.value.filename == str(tmp_path / "missing" / "a")
    with pytest.raises(A_FOLDER) as folder:
        checkpoint.atomic_write(tmp_path, b"")
    assert (folder.value.filename, folder.value.filename2) == (str(tmp_path), None)


def test_other_safetensors_files_can_be_read_and_have_no_metadata(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(ARRAYS, tmp_path / "a")
    arrays, metadata = checkpoint.read(tmp_path / "a")
    assert metadata is None
    assert equal(arrays, ARRAYS)


def test_every_bit_flip_and_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    checkpoint.write(path, ARRAYS, METADATA)
    whole = path.read_bytes()
    flipped = [
        whole[:position] + bytes([whole[position] ^ (1 << bit)]) + whole[position + 1 :]
        for position in range(len(whole))
        for bit in range(8)
    ]
    for damaged in flipped + [whole[:length] for length in range(len(whole))]:
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^\[load\] .*a "):
            checkpoint.read(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not safetensors", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"],
)
def test_what_is_no_safetensors_file_is_a_value_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=r"\[load\] .*a is not a whole safetensors file"):
        checkpoint.read(tmp_path / "a")


def test_a_missing_file_and_a_folder_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.read(tmp_path / "missing")
    with pytest.raises(A_FOLDER):
        checkpoint.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        checkpoint.write(tmp_path / "missing" / "a", ARRAYS, METADATA)


def test_metadata_that_json_cannot_hold_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        checkpoint.write(tmp_path / "a", ARRAYS, {"model": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="making a link is a privilege there")
def test_a_link_stays_a_link_and_the_file_has_ordinary_permissions(tmp_path: Path) -> None:
    target, link, plain = tmp_path / "target", tmp_path / "link", tmp_path / "plain"
    plain.write_bytes(b"")
    link.symlink_to(target)
    checkpoint.atomic_write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode == plain.stat().st_mode


def test_after_kill_at_any_time_a_whole_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    program = (
        "import sys, numpy as np; from fastnn import checkpoint\n"
        "for i in range(10**6): checkpoint.write(sys.argv[1], {'x': np.full(100_000, float(i))}, {'i': i})"
    )
    clock = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-P", "-c", program, path])
        while not path.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(clock.uniform(0.0, 0.1))
        process.kill()
        assert process.wait() != 0
        arrays, metadata = checkpoint.read(path)
        assert metadata is not None
        assert np.all(arrays["x"] == metadata["i"])
