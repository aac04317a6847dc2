"""Facts about the tree: what may import what, what importing costs, and examples in docstrings that run."""

import ast
import doctest
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fastnn"

# The rooms of the package from the inside out. A module may import from its own row and from those before it.
ROWS = [
    {"_core"},
    {"reference"},
    {"kernels"},
    {"devices"},
    {"dispatch"},
    {"exchange"},
    {"random"},
    {"tensor", "autograd", "functional"},
    {"testing"},
    {"record"},
    {"plot", "metrics"},
    {"schedules", "reprs", "tabular"},
    {"nn", "optim"},
    {"data", "utils"},
    {"models", "description", "checkpoint", "loading", "least_squares", "summary"},
    {"all_reduce", "ranks", "claims"},
    {
        "history",
        "callbacks",
        "closures",
        "divergence",
        "execution",
        "progress",
        "resume",
        "settings",
        "snapshot",
        "trainer",
    },
    {"structure", "workers", "results", "sweep", "groups"},
    {"__init__"},
    {"integrations"},
    {"cli", "_bench", "__main__"},
]

# What a file of a room of csrc/ may include from other rooms.
INCLUDES = {
    "array": {"array"},
    "team": {"array", "team"},
    "kernels": {"array", "kernels"},
    "cpu": {"array", "kernels", "cpu"},
    "cuda": {"array", "kernels", "cpu", "cuda"},
    "eager": {"array", "kernels", "team", "engine", "eager"},
    "engine": {"array", "kernels", "team", "engine"},
    "bindings": {"array", "kernels", "team", "eager", "engine", "cuda", "bindings"},
}
# What csrc/cuda compiles of csrc/cpu: expressions that are written over the vector type alone.
SHARED = {"cpu/activation.h", "cpu/half.h", "cpu/inverse_normal.h", "cpu/math.h", "cpu/rules.h", "cpu/traits.h"}


def row(room: str) -> int:
    rows = [i for i, rooms in enumerate(ROWS) if room in rooms]
    assert rows, f"fastnn/{room} has no row in ROWS"
    return rows[0]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of fastnn in a file, those inside functions too."""
    package = ("fastnn", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "fastnn":
                inner = parts[1] if len(parts) > 1 else "__init__"
                yield node.lineno, inner if any(inner in rooms for rooms in ROWS) else "__init__"


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", python_files("fastnn"), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_python_looks_only_upward(path: Path) -> None:
    limit = row(room(path))
    assert [f"line {line} imports fastnn.{name}" for line, name in imported_rooms(path) if row(name) > limit] == []


def test_nothing_but_the_shell_imports_integrations() -> None:
    inside = [path for path in python_files("fastnn") if room(path) not in {"integrations", "cli"}]
    assert [path for path in inside if "integrations" in {name for _, name in imported_rooms(path)}] == []


def native_files(*suffixes: str) -> list[Path]:
    return sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in suffixes)


def includes(path: Path) -> list[str]:
    return re.findall(r'^#include ([<"].+[>"])', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "path", native_files(".h", ".cpp", ".cu"), ids=lambda path: str(path.relative_to(ROOT / "csrc"))
)
def test_native_rooms_include_only_what_they_may(path: Path) -> None:
    name = path.relative_to(ROOT / "csrc").parts[0]
    rooms = {include.strip('"').split("/")[0] for include in includes(path) if include.startswith('"')}
    assert rooms <= INCLUDES[name]
    if name != "bindings":
        assert not [include for include in includes(path) if "Python.h" in include or "pybind11" in include]


def test_device_sources_share_expressions_with_the_cpu_and_nothing_else() -> None:
    files = [path for path in native_files(".h", ".cu") if "cuda" in path.parts]
    used = {include.strip('"') for path in files for include in includes(path)}
    assert {name for name in used if name.startswith("cpu/")} == SHARED


def test_only_one_file_outside_the_room_of_cuda_knows_it() -> None:
    files = [path for path in native_files(".h", ".cpp") if "cuda" not in path.parts[-2:]]
    assert [path.name for path in files if any("cuda" in name for name in includes(path))] == ["cuda.cpp"]


def test_kernel_sources_include_no_standard_header_with_code() -> None:
    """An inline function that a linker keeps from an AVX-512 object would stop a machine without AVX-512."""
    used = {include for path in native_files(".h", ".cpp") if "cpu" in path.parts for include in includes(path)}
    assert [
        name for name in used if not re.fullmatch(r'"[\w/.]+"|<(cstddef|cstdint|\w+intrin.h|arm_neon.h)>', name)
    ] == []


def test_kernel_objects_have_no_weak_symbols_and_no_initialisers() -> None:
    others = ("sanitize", "coverage", "macos")  # whose inline functions are not inlined, or whose files nm cannot read
    folders = [folder for folder in (ROOT / "build").glob("*") if not folder.name.startswith(others)]
    objects = [path for folder in folders for path in folder.rglob("*.o") if path.parent.match("csrc/cpu")]
    if not objects or shutil.which("nm") is None:
        pytest.skip("no compiled kernels under build/, or no nm")
    symbols = subprocess.run(
        ["nm", "--print-file-name", "--defined-only", *objects], check=True, capture_output=True, text=True
    ).stdout
    assert symbols
    assert [line for line in symbols.splitlines() if re.search(r" [WVu] | _GLOBAL__sub_I", line)] == []


def test_importing_fastnn_imports_no_heavy_module(tmp_path: Path) -> None:
    heavy = ["matplotlib", "tqdm", "safetensors", "pooch", "urllib.request", "pandas", "polars", "sklearn", "onnx",
             "torch", "asyncio", "fastnn.record"]  # fmt: skip
    program = f"import sys, fastnn; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    (command,) = re.findall(r'bash -ec "(.+)"', (ROOT / ".ci" / "run").read_text())
    assert f"\n{command}\n" in (ROOT / "README.md").read_text()


def test_there_is_one_version() -> None:
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited == [tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]]


def test_the_walk_through_a_kernel_quotes_the_files() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    quotes = re.findall(r"^(?:\d\.|  ) `([\w/.]+)`(?:(?!```).)*?```\w+\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert len(quotes) >= 8
    for path, quoted in quotes:
        lines = {line.strip() for line in (ROOT / path).read_text().splitlines()}
        assert [line for line in map(str.strip, quoted.splitlines()) if line and line not in lines] == [], path


def test_every_source_file_fits_one_sitting() -> None:
    sources = python_files("fastnn", "tests", "benchmarks", "examples") + native_files(".h", ".cpp", ".cu")
    assert {path.name: n for path in sources if (n := len(path.read_text().splitlines())) > 500} == {}


@pytest.mark.parametrize("path", python_files("fastnn"), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_examples_in_docstrings_run(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("fastnn"):
            raise
        pytest.skip(f"{missing.name} is not installed")
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs={"np": np}):
        report: list[str] = []
        assert runner.run(example, out=report.append).failed == 0, "".join(report)
