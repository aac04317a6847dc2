"""What docs/lecture.md says of the book's names holds, and importing them costs little."""

import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

import fastnn as torch
from fastnn.integrations import d2l

LECTURE = (Path(__file__).parents[3] / "docs" / "lecture.md").read_text()


def test_names_of_the_book_are_those_that_the_lecture_calls_so() -> None:
    names = set(re.findall(r"`d2l\.(\w+)", LECTURE))
    assert len(names) > 10
    assert names <= {*d2l.__all__, "plt"}


def test_what_the_lecture_calls_missing_is_missing() -> None:
    _, _, section = LECTURE.partition("## What of the book does not run")
    rows = [row.split("|")[2] for row in section.partition("\n## ")[0].splitlines() if re.match(r"\| \d", row)]
    missing = set(re.findall(r"`torch\.([\w.]+)`", " ".join(rows)))
    assert missing == {"distributions", "save", "load", "device", "cuda"}
    for name in missing - {"save", "load"}:
        with pytest.raises(AttributeError):
            attrgetter(name)(torch)
    for thing in (torch.arange(4), [torch.zeros(4)], {"x": torch.zeros(4)}):
        with pytest.raises(TypeError, match=r"\[save\] model is a"):
            torch.save(thing, "file")


def test_all_names_are_there() -> None:
    assert [name for name in d2l.__all__ if not hasattr(d2l, name)] == []


def test_importing_the_names_imports_no_heavy_module(tmp_path: Path) -> None:
    heavy = ["matplotlib", "pandas", "IPython", "pooch", "requests", "tqdm"]
    program = (
        f"import sys\nfrom fastnn.integrations import d2l\nprint([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
