"""docs/interchange.md shows what happens."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "interchange.md"
PREFACE, *SECTIONS = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
NEEDS = {"ONNX": ["onnx", "onnxruntime"], "PyTorch": ["torch"], "DLPack": ["torch"]}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_the_examples_of_a_section_run(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    title = section.partition("\n")[0]
    for module in NEEDS.get(title, []):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    parser, report = doctest.DocTestParser(), []
    assert parser.get_examples(section)
    example = parser.get_doctest(PREFACE + section, {}, title, str(PAGE), 0)
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)
