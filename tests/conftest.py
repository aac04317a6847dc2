"""Settings of all tests, how many examples each property is tried on, and fixtures of several files."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from fastnn.record import Recorder

# One example of a kernel may take as long as a cold cache: time is no property here.
settings.register_profile("fast", max_examples=40, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "thorough", max_examples=4000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fast")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of examples in steps that are recorded."""
    sizes = []

    def run(recorder: Recorder, step: Any, batch: Any) -> Any:
        sizes.append(len(batch[-1]))
        return original(recorder, step, batch)

    original = Recorder.run
    monkeypatch.setattr(Recorder, "run", run)
    return sizes
