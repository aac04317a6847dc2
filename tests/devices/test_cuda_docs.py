"""docs/cuda.md: its examples run, on a tiny Fashion-MNIST."""

import re
from pathlib import Path

import pytest
import tiny_fashion_mnist

import fastnn as fn

PAGE = Path(__file__).parents[2] / "docs" / "cuda.md"


@pytest.mark.usefixtures("library")
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_DATA", str(tiny_fashion_mnist.install(tmp_path, monkeypatch)))
    program, lower = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(program, names)
    assert names["trainer"].device == "cuda"  # type: ignore[attr-defined]
    assert names["x"].device == "cuda"  # type: ignore[attr-defined]
    assert names["y"].device == "cpu"  # type: ignore[attr-defined]
    try:
        exec(lower, names)
        assert names["trainer"].precision == fn.get_float32_matmul_precision() == "tf32"  # type: ignore[attr-defined]
    finally:
        fn.set_float32_matmul_precision("float32")
