"""docs/sklearn.md shows what happens."""

import doctest
from pathlib import Path

import pytest

pytest.importorskip("sklearn")


def test_the_example_in_the_documentation_runs() -> None:
    page = Path(__file__).parents[2] / "docs" / "sklearn.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 0
    assert failed == 0
