"""Random calls: a short version of the campaign, which belongs under a sanitizer, and what it sees."""

import itertools

import numpy as np
import pytest

from fastnn import kernels
from faults import calls


def test_random_calls_give_results_or_exceptions_that_users_know() -> None:
    accepted, findings = calls.campaign(1500)
    assert findings == {}
    assert accepted > 500


def test_a_call_is_given_by_its_number() -> None:
    def outcomes() -> list[tuple[int, str]]:
        caller = calls.Caller(seed=3)
        seen = []
        for number in range(200):
            caller.problem(number)
            seen.append((caller.accepted, str([x.shape for x in caller.results])))
        return seen

    with np.errstate(all="ignore"):
        assert outcomes() == outcomes()


def test_an_exception_of_another_kind_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise KeyError("x")

    for name in kernels.__all__:
        monkeypatch.setattr(kernels, name, broken)
    caller = calls.Caller(seed=0)
    problems = itertools.islice(filter(None, map(caller.problem, itertools.count())), 3)
    assert all("KeyError('x')" in problem for problem in problems)
