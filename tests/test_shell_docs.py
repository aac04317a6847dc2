"""docs/shell.md: its commands do and print what it says."""

import doctest
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from fastnn import cli

TEXT = (Path(__file__).parents[1] / "docs" / "shell.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console, each with what it prints."""
    return re.findall(r"^\$ fastnn (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


def test_the_examples_do_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    ran = 0
    for kind, block in BLOCKS:
        if kind == "python":
            exec(block, names)
            capsys.readouterr()
        for line, expected in commands(block) if kind == "console" else []:
            status = cli.main(shlex.split(line))
            printed, told = capsys.readouterr()
            assert status == (1 if expected.startswith("fastnn: ") else 0), line
            assert doctest.OutputChecker().check_output(expected, printed + told, FLAGS), f"{line}\n{printed}{told}"
            ran += 1
    assert ran == TEXT.count("\n$ ") >= 7


def test_commands_that_are_not_run_are_understood() -> None:
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        assert name == "fastnn"
        cli._parser().parse_args(arguments)
