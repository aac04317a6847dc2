"""docs/cuda.md: its example runs, on a tiny Fashion-MNIST."""

import re
from pathlib import Path

import pytest
import tiny_fashion_mnist

PAGE = Path(__file__).parents[2] / "docs" / "cuda.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_DATA", str(tiny_fashion_mnist.install(tmp_path, monkeypatch)))
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(program, names)
    assert names["trainer"].device == "cuda"  # type: ignore[attr-defined]
    assert names["x"].device == "cuda"  # type: ignore[attr-defined]
    assert names["y"].device == "cpu"  # type: ignore[attr-defined]
