"""Weight files: safetensors with a checksum inside, replaced whole or not at all.

A file holds named arrays and one JSON object of metadata. Nothing in it is code: files from strangers are safe to read.
"""

import contextlib
import errno
import glob
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import functional as F
from .dispatch import Array, read_only
from .tensor import Tensor

if sys.platform != "win32":
    import fcntl

_IS_POSIX = sys.platform != "win32"

Path = str | os.PathLike[str]

LONGEST_HEADER = 10_000_000  # bytes; as Python objects it may take thirty times as much
TRAINING = "training/"  # what the file of a run holds beside the weights of its model has names that begin so


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path`; after a crash at any point the old or the new file is there, whole.

    Raises OSError when the folder is missing, full or read-only; the old file is then untouched.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "greeting.txt"
    >>> atomic_write(path, b"hello")
    >>> path.read_bytes()
    b'hello'
    """
    try:
        _replace(os.path.realpath(path), data)  # a link stays a link
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None  # of the file that was asked for


def _replace(target: str, data: bytes) -> None:
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            _claim(file.fileno())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if _IS_POSIX:  # while it is claimed; elsewhere only a closed file can be renamed
                os.replace(temporary, target)
        if not _IS_POSIX:
            os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    if _IS_POSIX:  # elsewhere a folder cannot be opened; the rename itself is durable there
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems have no such thing
                raise
        finally:
            os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote `path`; those at work keep theirs."""
    folder, name = os.path.split(os.path.realpath(path))
    for leftover in glob.glob(os.path.join(glob.escape(folder), f".{glob.escape(name)}.{'[0-9a-f]' * 8}.tmp")):
        with contextlib.suppress(OSError), open(leftover, "rb") as file:  # it is in nobody's way
            if _claim(file.fileno()):
                os.unlink(leftover)


def _claim(descriptor: int) -> bool:
    """Whether a file is this process's own now: until it is closed, be it by the end of the process."""
    if not _IS_POSIX:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another's, or on a file system without locks
        return False
    return True


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
    """Write `arrays` and `metadata` (anything JSON can hold) to a safetensors file, atomically.

    Raises TypeError for metadata that JSON cannot hold, ValueError for more than ten megabytes of it, and OSError when
    the file cannot be written.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> write(path, {"0.bias": np.zeros(3, np.float32)}, {"epoch": 2})
    >>> read(path)
    ({'0.bias': array([0., 0., 0.], dtype=float32)}, {'epoch': 2})
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(metadata, sort_keys=True)
    # One entry, because safetensors writes several in random order: the same model gives the same file.
    try:
        data = save(contiguous, {"fastnn": f"{digest(contiguous, text)} {text}"})
    except SafetensorError as error:
        raise ValueError(f"[save] {os.fspath(path)} cannot hold this: {error}") from error
    _require_header(data, f"[save] {os.fspath(path)}")
    atomic_write(path, data)


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any] | None]:
    """Arrays and metadata of a safetensors file; the metadata is None for a file that fastnn did not write.

    Takes a small multiple of the file's size in memory; the arrays are read-only, and float16 has become float32.
    Raises OSError when the file cannot be read, ValueError when it is no whole safetensors file, holds numbers of a
    type that Tensors lack, or does not match its checksum.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = os.fspath(path)
    with open(name, "rb") as file:
        # Not mapped: whoever shortened the file meanwhile would end the process. Not to its end: devices have none.
        data = file.read(os.fstat(file.fileno()).st_size)
    length = _require_header(data, f"[load] {name}")
    try:
        arrays = load(data)
        header = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"[load] {name} is not a whole safetensors file of NumPy's types: {error}") from error
    for key, array in arrays.items():
        if array.dtype.kind not in "biu" and array.dtype not in (np.float16, np.float32, np.float64):
            raise ValueError(
                f"[load] {name} has {key} in {array.dtype}: floating point up to float64, integers and bool can be used"
            )
    # Without an entry of this name, the only one there is may be ours, with its name damaged.
    key = "fastnn" if "fastnn" in header else next(iter(header), "")
    checksum, _, text = header.get(key, "").partition(" ")
    is_whole = len(checksum) == 64 and checksum == digest(arrays, text)
    halves = [each for each, array in arrays.items() if array.dtype == np.float16]
    arrays |= {each: read_only(arrays[each].astype(np.float32)) for each in halves}
    if key != "fastnn" and not is_whole:
        return arrays, None
    if key != "fastnn" or not is_whole:
        raise ValueError(f"[load] {name} does not match its checksum: it was damaged or edited; use another copy")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[load] {name} has broken metadata: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"[load] {name} has metadata that is no JSON object: {str(metadata)[:60]}")
    return arrays, metadata


def rounded(arrays: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    """`arrays` with floating-point numbers rounded to `dtype`, "float16"; ValueError for finite ones beyond it."""
    if dtype != "float16":
        raise ValueError(f'[save] dtype = {dtype!r} must be "float16", or None for weights as they are')
    result = dict(arrays)
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                result[name] = half = array.astype(np.float16)
            beyond = array[np.isinf(half) & np.isfinite(array)]
            if beyond.size:
                raise ValueError(f"[save] {name} has {beyond.flat[0]}, beyond float16's 65504: leave dtype out")
    return result


def pack(state_dict: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """An optimizer's state as arrays, ``training/optimizer/0/momentum_buffer``, and the rest of it for the metadata."""
    if not isinstance(state_dict.get("state"), Mapping):
        raise TypeError(
            "[checkpoint] the optimizer's state_dict() has no 'state' by parameter number, as PyTorch's has"
        )
    arrays: dict[str, Array] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for number, values in state_dict["state"].items():
        numbers[str(number)] = {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
        arrays |= {f"{TRAINING}optimizer/{number}/{key}": tensor.numpy() for key, tensor in tensors.items()}
    return arrays, {**state_dict, "state": numbers}


def unpack(arrays: Mapping[str, Array], rest: Mapping[str, Any]) -> dict[str, Any]:
    """What `pack` was given."""
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in rest["state"].items()}
    for name, array in arrays.items():
        if name.startswith(f"{TRAINING}optimizer/"):
            *_, number, key = name.split("/")
            state[int(number)][key] = F.tensor(array)
    return {**rest, "state": state}


def _require_header(data: bytes, what: str) -> int:
    """The length of a safetensors file's header, which must not be too long."""
    length = int.from_bytes(data[:8], "little")
    if LONGEST_HEADER < length <= len(data):
        raise ValueError(f"{what} has a header of {length:,} bytes: more than {LONGEST_HEADER:,} are refused")
    return length


def digest(arrays: Mapping[str, Array], text: str = "") -> str:
    """SHA-256 of C-contiguous arrays, their names, dtypes and shapes, and of `text`, in hexadecimal.

    >>> digest({"0.bias": np.zeros(3, np.float32)})[:16]
    'fb030cd8cbcaeaf1'
    """
    from hashlib import sha256

    state = sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        state.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        state.update(array.reshape(-1).view(np.uint8).data)
    return state.hexdigest()
