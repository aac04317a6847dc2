"""Every example in README.md and docs/ runs: those of the pages that no other test runs, and none is forgotten."""

import doctest
import re
from pathlib import Path

import pytest
import tiny_fashion_mnist

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ELSEWHERE = {  # pages whose examples another test runs
    "cuda.md": "devices/test_cuda_docs.py",
    "interchange.md": "integrations/test_interchange_docs.py",
    "shell.md": "test_shell_docs.py",
    "sklearn.md": "integrations/test_sklearn_docs.py",
}
WITH_OUTPUT = ["many.md", "pictures.md", "questions.md", "start.md"]
PROGRAMS = ["../README.md", "index.md", "lecture.md", "scaling.md"]


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def test_no_page_with_examples_is_forgotten() -> None:
    pages = {page.name for page in DOCS.glob("*.md") if blocks(page.name)}
    assert pages == {*ELSEWHERE, *WITH_OUTPUT, *PROGRAMS} - {"../README.md"}
    for name, test in ELSEWHERE.items():
        assert f'"{name}"' in (ROOT / "tests" / test).read_text()


@pytest.mark.parametrize("page", WITH_OUTPUT)
def test_examples_give_what_the_page_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("page", PROGRAMS)
def test_programs_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("FASTNN_DATA", str(tiny_fashion_mnist.install(tmp_path, monkeypatch)))
    monkeypatch.chdir(tmp_path)
    assert blocks(page)
    for block in blocks(page):
        exec(block, {})


@pytest.mark.parametrize("page", sorted((DOCS / "notebooks").glob("*.md")), ids=lambda page: page.stem)
def test_cells_of_a_notebook_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("FASTNN_DATA", str(tiny_fashion_mnist.install(tmp_path, monkeypatch)))
    monkeypatch.chdir(tmp_path)
    cells = re.findall(
        r"^```{code-cell} ipython3\n(?::[^\n]*\n)*(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(cells) >= 5
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell, names)


@pytest.mark.parametrize("page", sorted(page.name for page in DOCS.glob("*.md")))
def test_links_of_a_page_lead_to_files_that_are_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", (DOCS / page).read_text())
    assert [link for link in links if not (DOCS / link).exists()] == []
