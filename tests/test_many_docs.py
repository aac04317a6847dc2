"""docs/many.md shows what happens."""

import doctest
from pathlib import Path


def test_the_examples_of_the_page_give_what_it_says() -> None:
    page = Path(__file__).parents[1] / "docs" / "many.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
    assert tried > 10
