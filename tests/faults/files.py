"""The campaign of hostile files: `python -m faults.files` reads damaged and made-up files of every kind.

Bytes of good files are flipped, cut out, repeated and replaced by others with a meaning, and JSON of good models gets
values of other kinds and sizes, under a checksum that holds. A reader gives a result, or ValueError or OSError, and
takes no more memory than a small file can ask for.
"""

import argparse
import copy
import gzip
import io
import json
import random
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import checkpoint
from fastnn.data.idx import read_idx, write_idx
from fastnn.data.table import read_table
from faults.arguments import _address_space

MOST_MEMORY = 2**28  # of a reader, for files of a few kilobytes
REFUSALS = (ValueError, OSError)

# ---- good files, and their readers ----------------------------------------------------------------------------------


def _table(path: Path) -> Any:
    table = read_table(path)
    return [table.numbers([name]) for name in table.names[:3]], table.labels(table.names[-1])


def _csv() -> bytes:
    return b'size,town,price\n50.5,Ulm,1e3\n"8,0","Bo""nn",2\r\n\xc3\xa4,,-inf\n'.replace(b'"8,0"', b"80")


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, size=np.arange(3.0), town=np.array(["a", "b", "c"]))
    return file.getvalue()


def _idx(folder: Path) -> bytes:
    write_idx(folder / "idx", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    return (folder / "idx").read_bytes()


def trained(model: fn.Model) -> fn.Model:
    X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    targets = np.arange(12) % 3 if isinstance(model, fn.MLP | fn.SoftmaxRegression) else X[:, :1]
    fn.Trainer(1, progress=False, seed=0).fit(model, fn.ArrayData(X, targets, batch_size=4))
    return model


def _models(folder: Path) -> list[Path]:
    models = [fn.MLP(3, 5, lr=0.1, dropout=0.1), fn.SoftmaxRegression(3, lr=0.1), fn.LinearRegression(lr=0.1)]
    paths = []
    for i, model in enumerate(models):
        paths.append(folder / f"model{i}")
        trained(model).save(paths[-1])
    return paths


def _predicts(path: Path) -> Any:
    return fn.load(path).predict(np.zeros((2, 4), np.float32))


# ---- damage -----------------------------------------------------------------------------------------------------

_TOKENS = [
    b"\0",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
    b"\0\0\x08\xff",
    b"{",
    b"}",
    b"[" * 50,
    b'"',
    b",",
    b"\n",
]
_TOKENS += [
    b"nan",
    b"1e999",
    b"-1",
    b"9" * 30,
    b"null",
    b"__proto__",
    b"../../x",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\xef\xbb\xbf",
]


def damaged(draw: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        at, length = draw.randrange(len(out) + 1), draw.choice((1, 2, 4, 8, 64))
        kind = draw.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[at : at + length] * draw.choice((1, 2, 100))
        elif kind == 3:
            token = draw.choice(_TOKENS)
            out[at : at + draw.choice((0, len(token)))] = token
        elif kind == 4:
            del out[at:]
        else:
            out[at : at + length] = draw.randbytes(length)
    return bytes(out)


_VALUES: list[Any] = [None, True, -1, 0, 10**9, 10**12, 2**63, 10**400, 0.5, -0.0, 1e308, "", "x" * 1000, "os.system"]
_VALUES += [[], {}, [[]], {"class": "os.system"}, [None] * 50, "float32", "\ud800", "0.weight"]


def altered(draw: random.Random, value: Any) -> Any:
    """`value` of JSON with one of its parts replaced, left out or doubled."""
    value = copy.deepcopy(value)
    places = _places(value)
    if not places:
        return draw.choice(_VALUES)
    holder, key = draw.choice(places)
    if draw.random() < 0.15:
        del holder[key]
    elif draw.random() < 0.15:
        holder[key] = draw.choice([holder[key], [holder[key]], {"x": holder[key]}])
    else:
        holder[key] = draw.choice(_VALUES)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in items for place in [(value, key), *_places(part)]]


# ---- the campaign -----------------------------------------------------------------------------------------------


def campaign(count: int, seed: int = 0) -> dict[str, str]:
    """Findings, by the kind of file and the exception."""
    draw, findings = random.Random(seed), {}
    limit = resource.getrlimit(resource.RLIMIT_AS)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        folder = Path(name)
        models = _models(folder)
        good: list[tuple[str, bytes, Callable[[Path], Any]]] = [
            ("data.csv", _csv(), _table),
            ("data.npz", _npz(), _table),
            ("data-idx", _idx(folder), read_idx),
            ("data-idx.gz", gzip.compress(_idx(folder)), read_idx),
            *(("model.safetensors", path.read_bytes(), _predicts) for path in models),
        ]
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MOST_MEMORY, limit[1]))
        try:
            for i in range(count):
                if i % 2:
                    label, data, read = draw.choice(good)
                    path = folder / label
                    path.write_bytes(damaged(draw, data))
                else:
                    label, path, read = "model.json", folder / "model.safetensors", _predicts
                    arrays, metadata = checkpoint.read(draw.choice(models))
                    checkpoint.write(path, arrays, altered(draw, metadata))
                try:
                    read(path)
                except REFUSALS:
                    pass
                except BaseException as error:
                    content = path.read_bytes() if i % 2 else json.dumps(checkpoint.read(path)[1])[:2000]
                    findings.setdefault(f"{label}: {error!r:.150}", f"{content!r:.2000}")
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limit)
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.files", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    findings = campaign(options.count, options.seed)
    for finding, content in findings.items():
        print(f"{finding}\n    {content}")
    print(f"{options.count} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
