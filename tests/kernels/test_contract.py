"""One contract: the same kernels, under the same names and signatures, in C++, in the specification and in Python."""

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import _core, kernels, reference
from kernels.cases import CASES

CSRC = Path(__file__).parents[2] / "csrc"


def declared() -> dict[str, str]:
    """The kernels of Table in csrc/kernels/kernels.h, and the file that is to hold each."""
    text = (CSRC / "kernels" / "kernels.h").read_text()
    table = re.search(r"struct Table \{(.*?)\n\};", text, re.DOTALL)
    assert table
    files: dict[str, str] = {}
    for file, names in re.findall(r"// (cpu/\w+\.cpp)|Entry<\w+> ([^;]+);", table[1]):
        if file:
            current = file
        files |= dict.fromkeys(re.split(r",\s*", names), current) if names else {}
    return files


DECLARED = declared()


def test_kernels_have_the_same_names_everywhere() -> None:
    specified = {
        name for name, function in inspect.getmembers(reference, inspect.isfunction) if not name.startswith("_")
    }
    native = {name for name, function in inspect.getmembers(_core, inspect.isroutine) if not name.startswith("_")}
    services = {"empty", "num_threads", "set_num_threads", "config", "explain_product"}
    assert set(DECLARED) == specified == set(kernels.__all__)
    assert set(DECLARED) <= native
    assert services <= native


def test_every_kernel_has_a_case() -> None:
    assert {case.kernel for case in CASES} == set(DECLARED)


def test_every_kernel_has_a_hash_that_all_instruction_sets_must_have() -> None:
    hashes = (Path(__file__).parents[1] / "native" / "bits.txt").read_text()
    assert {line.split()[0] for line in hashes.splitlines()} == {*DECLARED, "training"}


@pytest.mark.parametrize("file", sorted(set(DECLARED.values())))
def test_files_hold_the_kernels_that_the_contract_gives_them(file: str) -> None:
    names = sorted(name for name, home in DECLARED.items() if home == file)
    device_file = file.replace("cpu", "cuda").replace(".cpp", ".cu")
    for path in (file, device_file):
        assert sorted(re.findall(r"\b(?:table|kernels)\.(\w+) = ", (CSRC / path).read_text())) == names, path

    specification = f"fastnn.reference.{Path(file).stem}"
    assert {getattr(reference, name).__module__ for name in names} == {specification}


def test_native_tests_of_device_kernels_go_through_all_of_them() -> None:
    text = (CSRC.parent / "tests" / "native" / "cuda" / "kernel_names.h").read_text()
    assert re.findall(r"use\((\w+)\)", text) == list(DECLARED)


def defaults(function: object) -> list[tuple[str, str, object]]:
    """Name, kind and default of each parameter."""
    return [(p.name, p.kind.name, p.default) for p in inspect.signature(function).parameters.values()]


def native_defaults(name: str) -> list[tuple[str, str, object]]:
    """The same from the first line of the docstring that pybind11 writes."""
    line = getattr(_core, name).__doc__.splitlines()[0]
    (function,) = ast.parse(f"def {line}: ...").body
    assert isinstance(function, ast.FunctionDef)
    a = function.args
    positional = [None] * (len(a.args) - len(a.defaults)) + a.defaults
    pairs = [(arg.arg, "POSITIONAL_OR_KEYWORD", value) for arg, value in zip(a.args, positional, strict=True)]
    pairs += [(arg.arg, "KEYWORD_ONLY", value) for arg, value in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    return [(n, kind, ast.literal_eval(value) if value else inspect.Parameter.empty) for n, kind, value in pairs]


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_signatures_agree(name: str) -> None:
    assert defaults(getattr(kernels, name)) == defaults(getattr(reference, name)) == native_defaults(name)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_kernel_is_documented_and_its_examples_run_natively(name: str) -> None:
    kernel = getattr(kernels, name)
    assert kernel.__doc__ == getattr(reference, name).__doc__
    assert kernel.__doc__
    assert kernel.__doc__.splitlines()[0].endswith(".")
    example = doctest.DocTestParser().get_doctest(kernel.__doc__, vars(kernels) | {"np": np}, name, None, None)
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)


# ---- what stands beside the kernels ---------------------------------------------------------------------------


def test_empty_gives_aligned_memory() -> None:
    x = _core.empty((3, 5))
    assert (x.shape, x.dtype, x.flags.c_contiguous, x.ctypes.data % 64) == ((3, 5), np.float32, True, 0)
    assert _core.empty((2, 0), "int64").dtype == np.int64
    with pytest.raises(ValueError, match=r"\[empty\] shape"):
        _core.empty((-1,))


def imported_with(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "from fastnn import _core; print(_core.num_threads())"
    env = {name: value for name, value in os.environ.items() if not name.startswith("FASTNN_")} | environment
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_environment_says_how_many_threads(tmp_path: Path) -> None:
    assert imported_with(tmp_path, FASTNN_NUM_THREADS="3").stdout.strip() == "3"
    assert imported_with(tmp_path, FASTNN_NUM_THREADS="").stdout == imported_with(tmp_path).stdout != ""


@pytest.mark.parametrize("bad", ["0", "-1", "257", "99999999999", "2.5", "4 threads", " 4", "many"])
def test_environment_with_a_bad_number_of_threads_is_refused_at_import(bad: str, tmp_path: Path) -> None:
    message = f"ImportError: [FASTNN_NUM_THREADS] '{bad}' must be a whole number from 1 to 256"
    assert message in imported_with(tmp_path, FASTNN_NUM_THREADS=bad).stderr


def test_environment_without_an_instruction_set_leaves_the_choice(tmp_path: Path) -> None:
    chosen = {imported_with(tmp_path, **environment).stdout for environment in ({}, {"FASTNN_ISA": ""})}
    assert len(chosen) == 1
    assert chosen != {""}


def test_environment_with_an_unknown_instruction_set_is_refused_at_import(tmp_path: Path) -> None:
    assert "ImportError: [FASTNN_ISA] 'avx1024' cannot run here" in imported_with(tmp_path, FASTNN_ISA="avx1024").stderr


def test_number_of_threads_is_kept() -> None:
    before = _core.num_threads()
    assert before == _core.config()["threads"]
    try:
        _core.set_num_threads(1)
        assert _core.num_threads() == _core.config()["threads"] == 1
        for bad in (0, -1):
            with pytest.raises(ValueError, match=rf"\[set_num_threads\] .*{bad}\b"):
                _core.set_num_threads(bad)
        assert _core.num_threads() == 1
    finally:
        _core.set_num_threads(before)
