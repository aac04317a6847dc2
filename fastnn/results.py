"""Tables of what was trained: sequences of rows, with a text, a CSV file and a frame of their plain columns."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

from . import checkpoint, tabular

Row = TypeVar("Row")
_SHOWN = 20


class Table(Sequence[Row], Generic[Row]):
    """Rows in a fixed order; subclasses say what their `columns` are."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = tuple(rows)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Values by name, one for each row."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def to_csv(self, path: checkpoint.Path) -> None:
        """Write a line of names and a line per row; the file appears whole or not at all. Raises OSError."""
        columns = self.columns
        checkpoint.atomic_write(path, tabular.csv(columns, zip(*columns.values(), strict=True)).encode())

    def to_frame(self) -> Any:
        """The columns as a pandas DataFrame; ModuleNotFoundError without pandas."""
        import pandas

        return pandas.DataFrame(self.columns)

    def __repr__(self) -> str:
        lines = self._lines()
        table = [line.rstrip() for line in tabular.text(lines, ">" * len(lines[0]))]
        return "\n".join([*table, *([f"... {len(self)} rows"] if len(self) > _SHOWN else [])])

    def _repr_html_(self) -> str:
        """The table as notebooks show it."""
        lines = self._lines()
        shown = f", of which {_SHOWN} are shown" if len(self) > _SHOWN else ""
        return tabular.html(f"{type(self).__name__} of {len(self)} rows{shown}", lines, ">" * len(lines[0]))

    def _lines(self) -> list[list[str]]:
        """The names, and the values of the first rows."""
        columns = {name: values[:_SHOWN] for name, values in self.columns.items()}
        return [list(columns), *map(list, zip(*(map(_text, values) for values in columns.values()), strict=True))]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
