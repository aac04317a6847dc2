"""What SECURITY.md promises."""

import ast
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faults import files

import fastnn as fn
from fastnn import checkpoint
from fastnn.data.idx import read_idx
from fastnn.data.table import read_table

PACKAGE = Path(fn.__file__).parent
BENCH = ("_bench", "benchmarks")

# What makes code of data, unpacks by names out of an archive, or starts a program; and who may, with the reason.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "extractall", "extract", "unpack_archive", "system", "popen", "Popen",
    "run_path", "run_module", "load_module", "exec_module", "Unpickler", "loads_pickle", "literal_eval", "urlopen",
    "urlretrieve", "CDLL", "check_output",
}  # fmt: skip
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "torch", "code", "ctypes", "xmlrpc", "yaml"}
# Measurements start other libraries, and processes for them; no file of a user's reaches them.
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in BENCH]
ALLOWED = {
    ("data/fetch.py", "subprocess"): "apt-get, with fixed arguments, for the Debian package of a data set",
    ("integrations/sklearn", "joblib"): "scikit-learn's own",
}


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield node.lineno, function.id
            elif isinstance(function, ast.Attribute) and not _is_eval_mode(node, function):
                yield node.lineno, function.attr


def _is_eval_mode(node: ast.Call, function: ast.Attribute) -> bool:
    """``model.eval()``, and ``re.compile``."""
    of_re = isinstance(function.value, ast.Name) and function.value.id == "re"
    return (function.attr == "eval" and not node.args) or (function.attr == "compile" and of_re)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, str(node.module).split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_code_comes_from_data(path: Path) -> None:
    tree, name = ast.parse(path.read_text()), path.relative_to(PACKAGE).as_posix()
    allowed = {module for (room, module) in ALLOWED if name.startswith(room)}
    assert [found for found in calls(tree) if found[1] in FORBIDDEN] == []
    assert [found for found in imports(tree) if found[1] in (MODULES | {"subprocess"}) - allowed] == []


def test_numpy_reads_without_pickle_and_imports_have_fixed_names() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "load" and getattr(node.func.value, "id", "") in ("np", "numpy"):
                keywords = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                assert keywords.get("allow_pickle") is False, f"{path}:{node.lineno}"


def test_what_would_break_the_promise_is_seen() -> None:
    tree = ast.parse("import pickle\nfrom torch import load\neval('1')\nx.extractall()\nmodel.eval()\nre.compile('')")
    assert [name for _, name in imports(tree)] == ["pickle", "torch"]
    assert [name for _, name in calls(tree) if name in FORBIDDEN] == ["eval", "extractall"]


class Opened:
    """Its pickle opens a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["model", "run", "table.npz"])
def test_a_pickle_is_not_unpickled(tmp_path: Path, name: str) -> None:
    import pickle

    path, opened = tmp_path / name, tmp_path / "opened"
    objects = np.array([Opened(opened)], dtype=object)
    if name == "table.npz":
        np.savez(path, x=objects, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Opened(opened)))
    readers = {
        "model": lambda: fn.load(path),
        "run": lambda: fn.Trainer(1).fit(
            fn.MLP(2, 4, lr=0.1), fn.ArrayData(np.ones((4, 2)), [0, 1, 0, 1]), resume=path
        ),
        "table.npz": lambda: read_table(path),
    }
    with pytest.raises(ValueError, match=path.name):
        readers[name]()
    assert not opened.exists()


def test_classes_named_in_a_file_are_looked_up_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "model"
    files.trained(fn.MLP(3, 4, lr=0.1)).save(path)
    _, metadata = checkpoint.read(path)
    for name in ("os.system", "builtins.exec", "fastnn.Trainer", "Trainer", "__import__"):
        checkpoint.write(path, {}, {**metadata, "class": name, "net": None})
        with pytest.raises(ValueError, match=r"^\[load\]"):
            fn.load(path)


def test_archives_are_never_unpacked(tmp_path: Path) -> None:
    """A member that climbs out of its folder, in a tar file and in a zip file under the name of a table."""
    member = tmp_path / "member"
    member.write_text("x,y\n1,2\n")
    folder = tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(folder / "table.npz", "w") as archive:
        archive.write(member, "../../escaped.npy")
    with tarfile.open(folder / "train-images-idx3-ubyte.gz", "w:gz") as archive:
        archive.add(member, "../escaped")
    with pytest.raises(ValueError, match=r"table\.npz"):
        read_table(folder / "table.npz")
    with pytest.raises(ValueError, match="not an IDX file"):
        read_idx(folder / "train-images-idx3-ubyte.gz")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "in", "member", "table.npz", "train-images-idx3-ubyte.gz",
    ]  # fmt: skip


def test_hostile_files_are_refused_and_take_little_memory(tmp_path: Path) -> None:
    assert files.campaign(400) == {}


def test_the_campaign_of_files_sees_other_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def reads(path: Path) -> None:
        raise KeyError(path.suffix)

    monkeypatch.setattr(files, "read_idx", reads)
    assert set(files.campaign(60)) == {"data-idx: KeyError('')", "data-idx.gz: KeyError('.gz')"}


# ---- found ------------------------------------------------------------------------------------------------------


def test_a_zip_file_of_an_unknown_compression_is_no_table(tmp_path: Path) -> None:
    """It was a NotImplementedError of zipfile."""
    path = tmp_path / "table.npz"
    np.savez(path, x=np.arange(3.0))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 10
    data[at : at + 2] = b"\x63\x00"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"^\[read_table\] .* is no NPZ file"):
        read_table(path)
