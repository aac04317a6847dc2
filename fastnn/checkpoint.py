"""Weight files: safetensors with a checksum inside, replaced whole or not at all.

A file holds named arrays and one JSON object of metadata. Nothing in it is code: files from strangers are safe to read.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import functional as F
from .dispatch import Array
from .tensor import Tensor

Path = str | os.PathLike[str]


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path`; after a crash at any point the old or the new file is there, whole.

    Raises OSError when the folder is missing, full or read-only; the old file is then untouched.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "greeting.txt"
    >>> atomic_write(path, b"hello")
    >>> path.read_bytes()
    b'hello'
    """
    target = os.path.realpath(path)  # a link stays a link
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:  # of the file that was asked for
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened; the rename itself is durable there
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
    """Write `arrays` and `metadata` (anything JSON can hold) to a safetensors file, atomically.

    Raises TypeError for metadata that JSON cannot hold and OSError when the file cannot be written.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> write(path, {"0.bias": np.zeros(3, np.float32)}, {"epoch": 2})
    >>> read(path)
    ({'0.bias': array([0., 0., 0.], dtype=float32)}, {'epoch': 2})
    """
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(metadata, sort_keys=True)
    # One entry, because safetensors writes several in random order: the same model gives the same file.
    atomic_write(path, save(contiguous, {"fastnn": f"{_digest(contiguous, text)} {text}"}))


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any] | None]:
    """Arrays and metadata of a safetensors file; the metadata is None for a file that fastnn did not write.

    Raises OSError when the file cannot be read, ValueError when it is no whole safetensors file, holds a type that
    NumPy lacks, or does not match its checksum.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    with open(name, "rb"):  # the usual OSError for what is missing, a folder or forbidden
        pass
    try:
        with safe_open(name, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError) as error:
        raise ValueError(f"[load] {name} is not a whole safetensors file of NumPy's types: {error}") from error
    if "fastnn" not in header:
        return arrays, None
    digest, _, text = header["fastnn"].partition(" ")
    if digest != _digest(arrays, text):
        raise ValueError(f"[load] {name} does not match its checksum: it was damaged or edited; use another copy")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[load] {name} has broken metadata: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"[load] {name} has metadata that is no JSON object: {str(metadata)[:60]}")
    return arrays, metadata


def pack(state_dict: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """An optimizer's state as arrays named ``optimizer/0/momentum_buffer``, and the rest of it for the metadata."""
    if not isinstance(state_dict.get("state"), Mapping):
        raise TypeError(
            "[checkpoint] the optimizer's state_dict() has no 'state' by parameter number, as PyTorch's has"
        )
    arrays: dict[str, Array] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for number, values in state_dict["state"].items():
        numbers[str(number)] = {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
        arrays |= {f"optimizer/{number}/{key}": tensor.numpy() for key, tensor in tensors.items()}
    return arrays, {**state_dict, "state": numbers}


def unpack(arrays: Mapping[str, Array], rest: Mapping[str, Any]) -> dict[str, Any]:
    """What `pack` was given."""
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in rest["state"].items()}
    for name, array in arrays.items():
        if name.startswith("optimizer/"):
            _, number, key = name.split("/")
            state[int(number)][key] = F.tensor(array)
    return {**rest, "state": state}


def _digest(arrays: Mapping[str, Array], text: str) -> str:
    from hashlib import sha256

    digest = sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
