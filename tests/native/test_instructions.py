"""How counts of instructions are compared; counting itself is `nox -s instructions`."""

import re
from pathlib import Path

import pytest
from native import instructions


def test_a_path_that_takes_more_than_the_tolerance_fails_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    budgets = {"gather": 1000, "loss": 1000, "update": 1000}
    assert instructions.compare({"gather": 1020, "loss": 1040, "update": 900}, budgets) == ["loss"]
    assert "less than it may" in capsys.readouterr().out


def test_a_path_without_a_budget_fails_and_so_does_a_budget_without_a_path() -> None:
    assert instructions.compare({"gather": 1}, {"loss": 1}) == ["gather", "loss"]


def test_every_path_has_a_budget() -> None:
    paths = re.findall(r'^  \w+\("([^"]+)"', Path(__file__).with_name("instructions.cpp").read_text(), re.MULTILINE)
    assert paths == list(instructions.json.loads(instructions.BUDGETS.read_text())["instructions"])
