"""How branches that tests take are counted; running them is `nox -s coverage`."""

from pathlib import Path
from typing import Any

import pytest
from native import coverage

SOURCE = """int sign(T x) {
  if (x > 0) return 1;
  call(x);
  return x < 0 ? -1 : 0;  // why?
}
"""


def report(*lines: tuple[int, int, list[int]]) -> dict[str, Any]:
    """Of a file with that source: number of a line, how often it was run, how often each of its branches was taken."""
    entries = [
        {"line_number": number, "count": count, "branches": [{"count": taken, "throw": False} for taken in branches]}
        for number, count, branches in lines
    ]
    return {"files": [{"file": "sign.h", "lines": entries}]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sign.h").write_text(SOURCE)
    return tmp_path


IF, CHOICE = ("sign.h", "if (x > 0) return 1;"), ("sign.h", "return x < 0 ? -1 : 0;  // why?")


def test_a_branch_has_been_taken_where_any_instance_has_taken_it(root: Path) -> None:
    found = coverage.merged(report((2, 3, [3, 0]), (2, 1, [0, 1]), (4, 2, [2, 0]), (4, 0, [0, 0])), root)
    assert found == {IF: (2, 2), CHOICE: (2, 1)}


def test_instances_that_decide_other_things_are_counted_apart(root: Path) -> None:
    assert coverage.merged(report((2, 1, [1, 1]), (2, 1, [1, 0, 0])), root) == {IF: (5, 3)}


def test_branches_of_a_line_that_never_ran_are_not_taken(root: Path) -> None:
    assert coverage.merged(report((2, 0, [0, 0]), (2, 0, [0])), root) == {IF: (2, 0)}


def test_exceptions_that_leave_a_call_are_no_branches(root: Path) -> None:
    """Where the call has not been made, gcov does not tell them from others."""
    thrown = report((2, 1, [1, 0, 0]), (2, 1, [0, 1, 0]), (3, 1, [1, 0]))
    thrown["files"][0]["lines"][0]["branches"][2]["throw"] = True
    assert coverage.merged(thrown, root) == {IF: (2, 2)}


def test_what_no_test_takes_needs_a_reason_and_a_reason_something_that_no_test_takes() -> None:
    lines = {IF: (2, 1), CHOICE: (2, 2)}
    assert coverage.compare(lines, {IF: "rare"}) == []
    assert coverage.compare(lines, {CHOICE: "rare"}) == [
        "no test takes every branch, without a reason: sign.h: if (x > 0) return 1;",
        "a reason, but no branch that no test takes: sign.h: return x < 0 ? -1 : 0;  // why?",
    ]


def test_reasons_are_those_of_lines_that_exist() -> None:
    for file, line in coverage.explained():
        assert line in map(str.strip, (coverage.ROOT / file).read_text().splitlines()), f"{file}: {line}"
