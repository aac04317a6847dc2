"""IDX files, the format of MNIST and its relatives, plain or gzipped.

A header of 2 zero bytes, a type code, the number of dimensions and the big-endian lengths, then the numbers, row by
row, big-endian. Nothing in a file is believed before it is checked: no memory is taken for what a header only claims.
"""

import gzip
import hashlib
import math
import os
import struct
import threading
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np

from fastnn.dispatch import Array

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _DTYPES.items()}
_MAX_DIMENSIONS = 32
_DEFLATE_RATIO = 1032  # the most bytes that one byte of a deflate stream can stand for (zlib, "Technical Details")


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 1 << 30, sha256: str | None = None) -> Array:
    """The array in an IDX file, which may be gzipped.

    uint8, int8, int16, int32, float32 or float64 in the machine's byte order, with the file's dimensions.
    `max_bytes` limits the decompressed size, and `sha256` is what the decompressed file must hash to.
    ValueError names the file and what is wrong with it: foreign magic, unknown type code, too large, truncated, extra
    bytes, a damaged gzip stream, another hash. (The format: http://yann.lecun.com/exdb/mnist.)

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "labels-idx1-ubyte")
    >>> write_idx(path, np.array([9, 0, 3], np.uint8))
    >>> read_idx(path)
    array([9, 0, 3], dtype=uint8)
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"[read_idx] {path} is not a regular file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if file.peek(2)[:2] != b"\x1f\x8b":
                return _read(file, size, max_bytes, sha256)
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(stream, size * _DEFLATE_RATIO, max_bytes, sha256)
        except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"[read_idx] {path}: {error}") from None


def _read(stream: BufferedReader | gzip.GzipFile, available: int, max_bytes: int, sha256: str | None) -> Array:
    """The array in `stream`, which holds at most `available` bytes."""
    magic = _take(stream, 4, "the magic number")
    if magic[:2] != b"\0\0":
        raise ValueError(f"not an IDX file: it starts with {magic.hex(' ')}, and IDX with 00 00")
    code, dimensions = magic[2], magic[3]
    if code not in _DTYPES:
        raise ValueError(f"type code 0x{code:02x} is unknown: IDX has {', '.join(f'0x{c:02x}' for c in _DTYPES)}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise ValueError(f"{dimensions} dimensions, expected 1 to {_MAX_DIMENSIONS}")
    lengths = _take(stream, 4 * dimensions, "the dimensions")
    shape = struct.unpack(f">{dimensions}I", lengths)
    dtype = np.dtype(_DTYPES[code])
    claimed = math.prod(shape) * dtype.itemsize
    header = magic + lengths
    what = f"{claimed} bytes of {shape} {dtype.name}"
    if len(header) + claimed > max_bytes:
        raise ValueError(f"the header claims {what}, more than max_bytes={max_bytes}")
    if len(header) + claimed > available:
        raise ValueError(f"truncated: the header claims {what}, more than the file holds")

    data = np.empty(claimed, np.uint8)
    filled = 0
    while filled < claimed and (count := stream.readinto(data[filled:].data)):
        filled += count
    if filled < claimed:
        raise ValueError(f"truncated: the file has {filled} of the {what}")
    if stream.read(1):  # reading up to the end also makes gzip compare its checksum
        raise ValueError(f"extra bytes after the {what}")
    if sha256 is not None:
        digest = hashlib.sha256(header)
        digest.update(data.data)
        if digest.hexdigest() != sha256:
            raise ValueError(f"SHA-256 is {digest.hexdigest()}, expected {sha256}: damaged, or another file")
    return data.view(dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def _take(stream: BufferedReader | gzip.GzipFile, count: int, what: str) -> bytes:
    taken = stream.read(count)
    if len(taken) < count:
        raise ValueError(f"truncated: the file ends within {what}")
    return taken


def write_idx(path: str | os.PathLike[str], array: Array) -> None:
    """Writes `array` as an IDX file, uncompressed; an interrupted write leaves what was there before.

    `array` has 1 to 32 dimensions and a dtype that `read_idx` gives; TypeError and ValueError otherwise.
    """
    path = Path(path)
    native = array.dtype.newbyteorder("=")
    if native not in _CODES:
        raise TypeError(f"[write_idx] IDX has no dtype {array.dtype}: use {', '.join(d.name for d in _CODES)}")
    if not 1 <= array.ndim <= _MAX_DIMENSIONS:
        raise ValueError(f"[write_idx] array has {array.ndim} dimensions, expected 1 to {_MAX_DIMENSIONS}")
    header = struct.pack(f">2x2B{array.ndim}I", _CODES[native], array.ndim, *array.shape)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(header + np.ascontiguousarray(array, _DTYPES[_CODES[native]]).tobytes())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # of the file that was asked for
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
