"""IDX files: what is written is read, and whatever is broken is named without taking the memory it claims."""

import gzip
import hashlib
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fastnn.data.idx import read_idx, write_idx

LABELS = b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes([9, 0, 3])
DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def idx_arrays() -> st.SearchStrategy[np.ndarray]:
    shapes = npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
    return st.sampled_from(DTYPES).flatmap(lambda dtype: npst.arrays(dtype, shapes))


@given(array=idx_arrays(), zipped=st.booleans())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    write_idx(path, array)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    read = read_idx(path)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_header_and_numbers_are_big_endian(tmp_path: Path) -> None:
    write_idx(tmp_path / "file", np.array([[1, -2]], np.int16))
    assert (tmp_path / "file").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001 fffe")


def test_byte_swapped_and_strided_arrays_are_written_by_value(tmp_path: Path) -> None:
    array = np.arange(12, dtype=">i4").reshape(3, 4).T[::2]
    write_idx(tmp_path / "file", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "file"), array)


BROKEN = {
    "empty": (b"", "truncated: the file ends within the magic number"),
    "short magic": (LABELS[:3], "within the magic number"),
    "short header": (LABELS[:6], "within the dimensions"),
    "foreign magic": (b"\x89PNG\r\n\x1a\n", "not an IDX file: it starts with 89 50 4e 47"),
    "HTML": (b"<!DOCTYPE html>", "not an IDX file"),
    "zeros": (bytes(100), "type code 0x00 is unknown"),
    "type code": (b"\0\0\x0a\x01" + LABELS[4:], "type code 0x0a is unknown"),
    "no dimension": (b"\0\0\x08\0" + LABELS[4:], "0 dimensions"),
    "255 dimensions": (b"\0\0\x08\xff" + bytes(2000), "255 dimensions"),
    "truncated": (LABELS[:-1], "truncated"),
    "extra bytes": (LABELS + b"\0", "extra bytes after the 3 bytes of"),
    "claims 1 GB": (b"\0\0\x08\x01" + struct.pack(">I", 2**30 - 100) + bytes(10), "truncated"),
    "claims 4 GB": (b"\0\0\x08\x01" + b"\xff" * 4 + bytes(10), "more than max_bytes"),
    "product of 2**96": (b"\0\0\x08\x03" + b"\xff" * 12 + bytes(10), "more than max_bytes"),
    "product of 2**64, wraps to 0": (b"\0\0\x08\x02" + b"\x80\0\0\0" * 2, "more than max_bytes"),
    "zero times much": (b"\0\0\x08\x02" + bytes(4) + b"\xff" * 4 + b"x", "extra bytes after the 0 bytes"),
    "gzip header alone": (gzip.compress(LABELS)[:10], "end-of-stream"),
    "gzip magic alone": (b"\x1f\x8b", "end-of-stream"),
    "gzip truncated": (gzip.compress(LABELS)[:-9], "end-of-stream"),
    "gzip of nothing": (gzip.compress(b""), "within the magic number"),
    "gzip of truncated": (gzip.compress(LABELS[:-1]), "truncated: the file has 2 of the 3 bytes"),
    "gzip of extra bytes": (gzip.compress(LABELS + bytes(1 << 20)), "extra bytes"),
    "gzip claims more than deflate can hold": (
        gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 10**8) + bytes(10)),
        "more than the file holds",
    ),
    "gzip with a wrong checksum": (gzip.compress(LABELS)[:-8] + bytes(8), "CRC"),
    "gzip with a damaged stream": (gzip.compress(LABELS)[:10] + b"\xff" * 30, "invalid"),
    "gzip and rubbish": (gzip.compress(LABELS) + b"rubbish", "Not a gzipped file"),
    "gzip of gzip": (gzip.compress(gzip.compress(LABELS)), "not an IDX file: it starts with 1f 8b"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_named_and_takes_no_memory(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "broken-file"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"\[read_idx\] .*broken-file: .*{message}"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def array_or_message(path: Path, sha256: str | None = None) -> np.ndarray | str:
    """What is in the file, or the message of a named ValueError; nothing else may happen."""
    try:
        return read_idx(path, sha256=sha256)
    except ValueError as error:
        message = str(error)
    assert message.startswith(f"[read_idx] {path}: ")
    return message


@given(data=st.data())
def test_flipped_bits_never_pass_unnoticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    plain = data.draw(st.sampled_from([LABELS, gzip.compress(LABELS)]))
    at = data.draw(st.integers(0, 8 * len(plain) - 1))
    damaged = bytearray(plain)
    damaged[at // 8] ^= 1 << at % 8
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(damaged)
    read = array_or_message(path, sha256=hashlib.sha256(LABELS).hexdigest())
    if not isinstance(read, str):  # some bits of a gzip header mean nothing
        assert read.tolist() == [9, 0, 3]


@given(content=st.binary(max_size=200), header=st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x08\x02\0\0\0\x01"]))
def test_random_bytes_give_an_array_or_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, header: bytes
) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(header + content)
    read = array_or_message(path)
    assert isinstance(read, str) or read.nbytes <= len(content)


def test_zip_bomb_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 1 << 24) + bytes(1 << 24)))
    assert path.stat().st_size < 1 << 16
    assert read_idx(path).shape == (1 << 24,)
    with pytest.raises(ValueError, match="more than max_bytes=1000000"):
        read_idx(path, max_bytes=1_000_000)


def test_other_hash_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(LABELS)
    assert read_idx(path, sha256=hashlib.sha256(LABELS).hexdigest()).tolist() == [9, 0, 3]
    with pytest.raises(ValueError, match=r"SHA-256 is [0-9a-f]{64}, expected 0000"):
        read_idx(path, sha256="0" * 64)


def test_missing_file_and_folder_and_pipe_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "missing")
    with pytest.raises(ValueError, match="not a regular file"):
        read_idx(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="not a regular file"):
            read_idx(tmp_path / "pipe")


def test_what_idx_cannot_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no dtype int64"):
        write_idx(tmp_path / "file", np.arange(3))
    with pytest.raises(ValueError, match="0 dimensions"):
        write_idx(tmp_path / "file", np.array(3, np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing/labels'$"):
        write_idx(tmp_path / "missing" / "labels", np.zeros(5, np.uint8))


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(LABELS)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_idx(path, np.zeros(5, np.uint8))
    assert path.read_bytes() == LABELS
    assert list(tmp_path.iterdir()) == [path]
