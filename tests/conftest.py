"""What all tests share: how many examples each property is tried on, a notebook, and what is recorded."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
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


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """IPython as a notebook has it, in this process; what it displays is collected."""
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # IPython puts its own there
    monkeypatch.setattr(sys, "path", list(sys.path))
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    from IPython.core.displaypub import CapturingDisplayPublisher
    from traitlets.config import Config

    shell = interactive.InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.kernel = SimpleNamespace()  # of all shells, notebooks have one
    shell.display_pub = CapturingDisplayPublisher()
    yield shell
    interactive.InteractiveShell.clear_instance()
