"""Tables: named columns of a file or a frame, read as numbers for inputs and as labels for targets."""

import csv
import importlib
import importlib.util
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastnn.dispatch import Array

SUFFIXES = (".csv", ".tsv", ".npz", ".parquet")
_MISSING = frozenset(("", "na", "n/a", "nan", "nat", "null", "<na>"))  # cells that say nothing, in lower case
_ROWS = 64  # of a CSV file that are parsed together: few enough for the cache


class Table(ABC):
    """Named columns of equal length. `names` are theirs, `source` is what messages call the whole.

    Messages count rows from 1, without a header.
    """

    def __init__(self, source: str, names: Sequence[str]) -> None:
        self.source, self.names = source, _unique(source, names)
        if not self.names:
            raise ValueError(f"[read_table] {source} has no columns")

    @abstractmethod
    def numbers(self, names: Sequence[str]) -> Array:
        """The columns `names` as (n, len(names)) float64; ValueError for what is text, missing or infinite."""

    @abstractmethod
    def labels(self, name: str) -> Array:
        """The column `name` (n,): bool, integers, floats or text; ValueError for what is missing or infinite."""

    def _fault(self, where: str, name: str, value: Any) -> ValueError:
        if _is_missing(value):
            what = "is missing: fill it in, or leave the row or the column out"
        else:
            what = "is no finite number: turn the column into numbers, or leave it out (drop)"
        return ValueError(f"[read_table] {self.source}, {where}: {name} = {value!r} {what}")


def read_table(source: Any) -> Table:
    """The columns of `source`, a file or a frame.

    A file is CSV (.csv or .tsv; UTF-8 with a header; separated by comma, semicolon or tab, whichever the header has
    most of), NPZ, or Parquet, which takes polars or pandas. Anything else is a frame of pandas or polars, or a mapping
    of names to arrays of equal length. An array (n, k) in an NPZ or a mapping is k columns, ``name[0]`` to
    ``name[k - 1]``, and one of more dimensions is flattened to that.

    Raises OSError when a file cannot be read, ValueError for one that is broken, without rows or of another kind, and
    ImportError for Parquet without a package that reads it.

    >>> table = read_table({"size": [50.0, 80.0], "town": ["Ulm", "Bonn"]})
    >>> table.names, table.numbers(["size"]).tolist(), table.labels("town").tolist()
    (('size', 'town'), [[50.0], [80.0]], ['Ulm', 'Bonn'])
    >>> table.numbers(["size", "town"])
    Traceback (most recent call last):
    ValueError: [read_table] the dict, row 1: town = 'Ulm' is no finite number: turn the column into numbers, or ...
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | os.PathLike):
        return _read_file(os.fspath(source))
    if isinstance(source, Mapping):
        return ArrayTable(f"the {type(source).__name__}", source)
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        return _from_frame(f"the {type(source).__name__}", source)
    raise TypeError(f"[read_table] source is a {type(source).__name__}: give a file, a frame or a mapping of arrays")


def _read_file(path: str) -> Table:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"[read_table] {path} has the extension {suffix!r}: use {', '.join(SUFFIXES)}")
    if suffix == ".npz":
        return ArrayTable(path, _load_npz(path))
    return _from_frame(path, _load_parquet(path)) if suffix == ".parquet" else CSVTable(path)


def _load_npz(path: str) -> dict[str, Array]:
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception as error:  # of zip files, their compression and encryption, and of arrays
            raise ValueError(f"[read_table] {path} is no NPZ file of plain arrays: {error}") from error


def _load_parquet(path: str) -> Any:
    package = next((name for name in ("polars", "pandas") if importlib.util.find_spec(name)), None)
    if package is None:
        raise ImportError("[read_table] Parquet takes polars or pandas: pip install polars")
    with open(path, "rb") as file:
        try:
            return importlib.import_module(package).read_parquet(file)
        except ImportError:  # pandas needs yet another package
            raise
        except Exception as error:  # each has errors of its own
            raise ValueError(f"[read_table] {path} is no whole Parquet file: {error}") from error


def _from_frame(source: str, frame: Any) -> "ArrayTable":
    _unique(source, frame.columns)
    return ArrayTable(source, {str(name): frame[name].to_numpy() for name in frame.columns})


def _unique(source: str, names: Iterable[object]) -> tuple[str, ...]:
    counts = Counter(map(str, names))
    for name, count in counts.items():
        if count > 1:
            raise ValueError(f"[read_table] {source} has two columns {name!r}: rename one")
    return tuple(counts)


def _is_missing(value: Any) -> bool:
    return value is None or str(value).strip().lower() in _MISSING


def _number(value: Any) -> float:
    """`value` as a float, NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _typed(cells: list[str]) -> Array:
    """Text as integers or floats, where all of it is that."""
    for kind in (np.int64, np.float64):
        try:
            return np.array(cells).astype(kind)
        except (ValueError, OverflowError):
            continue
    return np.array(cells)


def _plain(column: Array) -> Array:
    """A column of objects as bools, integers or floats, where all of them are that, and otherwise as text."""
    for kind, dtype in ((bool, np.bool_), (Integral, np.int64), (Real, np.float64)):
        if all(isinstance(value, kind) for value in column):
            return column.astype(dtype)
    return np.array([str(value) for value in column])


class ArrayTable(Table):
    """Columns from arrays in memory."""

    def __init__(self, source: str, arrays: Mapping[str, Any]) -> None:
        columns: list[tuple[str, Array]] = []
        lengths = {}
        for name, given in arrays.items():
            array = np.asarray(given)
            if 0 in array.shape or array.ndim == 0:
                raise ValueError(f"[read_table] {source}: {name} has shape {array.shape}, and so no rows")
            flat = array.reshape(len(array), -1)
            lengths[name], width = flat.shape
            columns += [(name if width == 1 else f"{name}[{j}]", flat[:, j]) for j in range(width)]
        if len(set(lengths.values())) > 1:
            raise ValueError(f"[read_table] {source} has columns of different lengths: {lengths}")
        super().__init__(source, [name for name, _ in columns])
        self._columns = dict(columns)

    def numbers(self, names: Sequence[str]) -> Array:
        columns = [self._columns[name] for name in names]
        numbers = np.empty((len(columns[0]), len(names)))
        for j, column in enumerate(columns):
            if column.dtype.kind in "biuf":
                numbers[:, j] = column
            elif column.dtype.kind == "O":
                numbers[:, j] = [np.nan if isinstance(value, str) else _number(value) for value in column]
            else:  # text, dates
                numbers[:, j] = np.nan
        for row, j in np.argwhere(~np.isfinite(numbers)):
            raise self._fault_at(int(row), names[j])
        return numbers

    def labels(self, name: str) -> Array:
        column = self._columns[name]
        labels = column if column.dtype.kind in "biufU" else _plain(column)
        if labels.dtype.kind == "U":
            bad = np.array([_is_missing(value) for value in column])
        else:
            bad = ~np.isfinite(labels)
        for row in np.flatnonzero(bad):
            raise self._fault_at(int(row), name)
        return labels

    def _fault_at(self, row: int, name: str) -> ValueError:
        value = self._columns[name][row]
        return self._fault(f"row {row + 1}", name, value.item() if isinstance(value, np.generic) else value)


class CSVTable(Table):
    """Columns of a CSV file, read when they are asked for.

    Python's own reader and conversion of numbers, so that a file gives the same bits whatever else is installed.
    """

    def __init__(self, path: str) -> None:
        self._path, self._delimiter = path, ","
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            header = file.readline()
        self._delimiter = max(",;\t", key=header.count)
        _, names = next(self._rows(), (0, []))
        super().__init__(path, [name.strip() for name in names])

    def numbers(self, names: Sequence[str]) -> Array:
        parts = []
        for where, columns in self._blocks(names):
            part = np.empty((len(where), len(names)))
            for j, cells in enumerate(columns):
                try:
                    part[:, j] = list(map(float, cells))
                except ValueError:
                    part[:, j] = list(map(_number, cells))
            for row, j in np.argwhere(~np.isfinite(part)):
                raise self._fault(where[row], names[j], columns[j][row])
            parts.append(part)
        return np.concatenate(parts)

    def labels(self, name: str) -> Array:
        places: list[str] = []
        cells: list[str] = []
        for where, (block,) in self._blocks([name]):
            places += where
            cells += [cell.strip() for cell in block]
        labels = _typed(cells)
        bad = np.array([_is_missing(cell) for cell in cells])
        if labels.dtype.kind == "f":
            bad |= ~np.isfinite(labels)
        for row in np.flatnonzero(bad):
            raise self._fault(places[row], name, cells[row])
        return labels

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The cells of each row and the line where it ends, the header first; blank lines are no rows."""
        with open(self._path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=self._delimiter, skipinitialspace=True, strict=True)
            try:
                for row in reader:
                    if row:
                        yield reader.line_num, row
            except (csv.Error, UnicodeDecodeError) as error:
                raise ValueError(f"[read_table] {self._path}, after line {reader.line_num}: {error}") from error

    def _blocks(self, names: Sequence[str]) -> Iterator[tuple[list[str], list[tuple[str, ...]]]]:
        """Where each row of a block is, in words, and its cells column by column."""
        places = {name: j for j, name in enumerate(self.names)}
        chosen = [places[name] for name in names]
        rows, number = self._rows(), 0
        next(rows)
        while block := list(islice(rows, _ROWS)):
            where = [f"row {number} (line {line})" for number, (line, _) in enumerate(block, number + 1)]
            number += len(block)
            for i, (_, row) in enumerate(block):
                if len(row) != len(self.names):
                    raise ValueError(
                        f"[read_table] {self.source}, {where[i]} has {len(row)} cells, the header {len(self.names)}"
                    )
            columns = list(zip(*(row for _, row in block), strict=True))
            yield where, [columns[j] for j in chosen]
        if number == 0:
            raise ValueError(f"[read_table] {self.source} has a header and no rows")
