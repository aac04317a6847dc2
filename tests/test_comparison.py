"""docs/comparison.md: behind each thing that fastnn is said to do stands a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "comparison.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("| |", "|-"))
]


def test_the_page_has_empty_cells_too() -> None:
    assert len(ROWS) >= 30
    assert {len(row) for row in ROWS} == {8}
    assert any(not row[1] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_claim_has_a_test_and_what_is_not_there_has_none(row: list[str]) -> None:
    _, claim, *_, test = row
    assert bool(claim) == bool(test)
    if test:
        (path,) = re.findall(r"\(\.\./(tests/.+)\)", test)
        assert re.search(r"^def test_", (ROOT / path).read_text(), re.MULTILINE)
