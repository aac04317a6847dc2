"""Tables: the same columns from every kind of file and frame, and faults that name column and row."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import Table, read_table

COLUMNS = {"size": [50.5, 80.0, 1e-3], "rooms": [2, 3, 1], "town": ["Ulm", "Bonn", "Ulm"]}
CSV = "size,rooms,town\n50.5,2,Ulm\n80.0,3,Bonn\n1e-3,1,Ulm\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def as_csv(folder: Path) -> Path:
    return write(folder / "homes.csv", CSV)


def as_npz(folder: Path) -> Path:
    np.savez(folder / "homes.npz", **{name: np.array(column) for name, column in COLUMNS.items()})
    return folder / "homes.npz"


def as_parquet(folder: Path) -> Path:
    pytest.importorskip("polars").DataFrame(COLUMNS).write_parquet(folder / "homes.parquet")
    return folder / "homes.parquet"


def as_pandas(_: Path) -> Any:
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


def as_polars(_: Path) -> Any:
    return pytest.importorskip("polars").DataFrame(COLUMNS)


@pytest.mark.parametrize("make", [as_csv, as_npz, as_parquet, as_pandas, as_polars, lambda _: COLUMNS])
def test_every_source_gives_the_same_columns(make, tmp_path: Path) -> None:
    table = read_table(make(tmp_path))
    assert table.names == ("size", "rooms", "town")
    numbers = table.numbers(["rooms", "size"])
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [[2, 50.5], [3, 80.0], [1, 1e-3]]
    assert table.labels("town").tolist() == COLUMNS["town"]
    assert table.labels("rooms").dtype.kind == "i"
    assert table.labels("size").dtype.kind == "f"
    assert read_table(table) is table


def test_pandas_reads_parquet_where_polars_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    path, found = as_parquet(tmp_path), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "polars" else found(name))
    assert read_table(path).numbers(["size"])[:, 0].tolist() == COLUMNS["size"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"\[read_table\] Parquet takes polars or pandas"):
        read_table(path)


# ---- CSV ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        CSV.replace(",", ";"),
        CSV.replace(",", "\t"),
        CSV.replace(",", ", "),
        CSV.replace("\n", "\r\n"),
        "\ufeff" + CSV,
        CSV + "\n\n",
        CSV.replace("Ulm", '"Ulm"').replace("size", '"size"'),
    ],
    ids=["semicolons", "tabs", "spaces", "Windows", "byte order mark", "blank lines", "quotes"],
)
def test_csv_of_any_custom_is_understood(tmp_path: Path, text: str) -> None:
    table = read_table(write(tmp_path / "a.csv", text))
    assert table.numbers(["size", "rooms"]).tolist() == [[50.5, 2], [80.0, 3], [1e-3, 1]]
    assert table.labels("town").tolist() == COLUMNS["town"]


def test_csv_keeps_every_bit_of_a_number(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(300, 3)) * 10.0 ** np.arange(-300, 300, 2)[:, None]
    text = "a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())
    np.testing.assert_array_equal(read_table(write(tmp_path / "a.csv", text)).numbers("abc"), values)


def test_quoted_cells_hold_separators_and_lines_and_the_line_of_a_fault_is_right(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'x,name\n1,"a,\nb"\n\nno,c\n')
    assert read_table(path).labels("name").tolist() == ["a,\nb", "c"]
    with pytest.raises(ValueError, match=r"\[read_table\] .*a\.csv, row 2 \(line 5\): x = 'no' is no finite number"):
        read_table(path).numbers(["x"])


def test_a_fault_far_down_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x\n" + "1\n" * 999 + "one\n")
    with pytest.raises(ValueError, match=r"row 1000 \(line 1001\): x = 'one' is no finite number"):
        read_table(path).numbers(["x"])


@pytest.mark.parametrize(("cells", "kind"), [("1 2", "i"), ("1 2.0", "f"), ("1 b", "U"), (f"1 {10**30}", "f")])
def test_labels_of_csv_are_integers_floats_or_text(tmp_path: Path, cells: str, kind: str) -> None:
    labels = read_table(write(tmp_path / "a.csv", "y\n" + cells.replace(" ", "\n"))).labels("y")
    assert labels.dtype.kind == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " has no columns"),
        ("a,b\n", " has a header and no rows"),
        ("a,a\n1,2\n", " has two columns 'a': rename one"),
        ("a,b\n1,2\n3\n", r", row 2 \(line 3\) has 1 cells, the header 2"),
        ("a,b\n1,2,3\n", r", row 1 \(line 2\) has 3 cells, the header 2"),
        ('a,b\n1,"2\n', ", after line 2: unexpected end of data"),
        ('a,b\n1,"2"3\n', ", after line 2: ',' expected"),
    ],
)
def test_a_broken_csv_is_an_error_that_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(ValueError, match=rf"\[read_table\] .*a\.csv{message}"):
        read_table(path).numbers(["a"])


def test_a_csv_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("name\nJürgen\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"\[read_table\] .*a\.csv, after line 0: .*utf-8"):
        read_table(tmp_path / "a.csv").labels("name")


# ---- faults ---------------------------------------------------------------------------------------------------


def in_csv(folder: Path, cells: list[Any]) -> Table:
    rows = "".join("," + ("" if cell is None else str(cell)) + "\n" for cell in cells)
    return read_table(write(folder / "a.csv", "i,x\n" + rows))


def in_array(_: Path, cells: list[Any]) -> Table:
    return read_table({"x": np.array(cells, dtype=object)})


def in_pandas(_: Path, cells: list[Any]) -> Table:
    return read_table(pytest.importorskip("pandas").DataFrame({"x": cells}))


def in_polars(_: Path, cells: list[Any]) -> Table:
    return read_table(pytest.importorskip("polars").DataFrame({"x": cells}, strict=False))


ANY_TABLE = pytest.mark.parametrize("make", [in_csv, in_array, in_pandas, in_polars])


@ANY_TABLE
@pytest.mark.parametrize("missing", [None, float("nan")])
def test_what_is_missing_is_an_error_that_names_column_and_row(make, tmp_path: Path, missing: Any) -> None:
    table = make(tmp_path, [1.0, 2.0, missing, 4.0])
    for read in (lambda: table.numbers(["x"]), lambda: table.labels("x")):
        with pytest.raises(ValueError, match=r"\[read_table\] .*, row 3.*: x = .* is missing: fill it in, or leave"):
            read()


@ANY_TABLE
def test_infinity_is_an_error_that_names_column_and_row(make, tmp_path: Path) -> None:
    table = make(tmp_path, [1.0, float("inf")])
    for read in (lambda: table.numbers(["x"]), lambda: table.labels("x")):
        with pytest.raises(ValueError, match=r", row 2.*: x = '?inf'? is no finite number"):
            read()


@pytest.mark.parametrize("make", [in_csv, in_array, in_pandas])
def test_text_among_numbers_is_an_error_that_names_column_and_row(make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r", row 2.*: x = 'big' is no finite number: turn the column into numbers, or"):
        make(tmp_path, [1.0, "big"]).numbers(["x"])


def test_dates_and_text_that_looks_like_numbers_are_no_numbers() -> None:
    for column in (np.array(["2020-01-01"], "datetime64[D]"), np.array(["5"]), np.array(["5"], object)):
        with pytest.raises(ValueError, match=r"row 1: x = .* is no finite number"):
            read_table({"x": column}).numbers(["x"])


def test_columns_of_objects_are_read_by_what_they_hold() -> None:
    def labels(*values: Any) -> list[Any]:
        return read_table({"y": np.array(values, object)}).labels("y").tolist()

    assert labels(True, False) == [True, False]
    assert labels(1, 2) == [1, 2]
    assert labels(1, 2.5) == [1.0, 2.5]
    assert labels("a", 1) == ["a", "1"]


# ---- arrays ---------------------------------------------------------------------------------------------------


def test_an_array_of_several_dimensions_is_a_column_for_each_number_of_a_row() -> None:
    images = np.arange(12).reshape(2, 2, 3)
    table = read_table({"x": images, "y": np.array([[1], [0]])})
    assert table.names == ("x[0]", "x[1]", "x[2]", "x[3]", "x[4]", "x[5]", "y")
    np.testing.assert_array_equal(table.numbers(table.names[:6]), images.reshape(2, 6))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({"a": [1, 2], "b": [1]}, ValueError, "the dict has columns of different lengths"),
        ({"a": 3.0}, ValueError, r"the dict: a has shape \(\), and so no rows"),
        ({"a": []}, ValueError, r"the dict: a has shape \(0,\), and so no rows"),
        ({}, ValueError, "the dict has no columns"),
        (np.zeros((2, 2)), TypeError, "source is a ndarray: give a file, a frame or a mapping"),
        ("data.xlsx", ValueError, "data.xlsx has the extension '.xlsx': use .csv, .tsv, .npz, .parquet"),
        ("data", ValueError, "data has the extension ''"),
    ],
)
def test_what_is_no_table_is_an_error(source: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"\[read_table\] {message}"):
        read_table(source)


def test_two_columns_of_a_name_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\[read_table\] the dict has two columns 'a\[0\]': rename one"):
        read_table({"a": np.zeros((2, 2)), "a[0]": np.zeros(2)})
    frame = pytest.importorskip("pandas").DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ValueError, match=r"\[read_table\] the DataFrame has two columns 'a': rename one"):
        read_table(frame)


@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.parquet"])
def test_a_missing_file_and_a_folder_are_os_errors(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError):
        read_table(tmp_path / name)


@pytest.mark.parametrize("make", [as_npz, as_parquet])
def test_a_broken_file_is_an_error_that_names_it(make, tmp_path: Path) -> None:
    path = make(tmp_path)
    for content in (b"", b"PK\x03\x04 no archive", path.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"\[read_table\] .*homes"):
            read_table(path).numbers(["size"])


def test_an_npz_runs_no_code(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([object()]))
    with pytest.raises(ValueError, match=r"\[read_table\] .*a\.npz is no NPZ file of plain arrays"):
        read_table(tmp_path / "a.npz")
