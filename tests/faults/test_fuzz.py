"""The corpora of fuzzing, gone through once: what reached new branches, and what was found."""

from pathlib import Path

import pytest

pytest.importorskip("safetensors")

from faults import targets

INPUTS = sorted(path for path in targets.CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", targets.TARGETS)
def test_nothing_in_the_corpus_is_a_finding(name: str) -> None:
    inputs = [path for path in INPUTS if path.parent.name == name]
    assert inputs
    for path in inputs:
        targets.TARGETS[name](path.read_bytes())


@pytest.mark.parametrize(
    ("name", "module", "reader"),
    [
        ("idx", targets, "read_idx"),
        ("csv", targets, "read_table"),
        ("npz", targets, "read_table"),
        ("file", targets.checkpoint, "read"),
        ("model", targets.fn, "load"),
        ("run", targets.fn, "load"),
    ],
)
def test_an_error_of_another_kind_is_a_finding(
    name: str, module: object, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, **options: object) -> None:
        raise KeyError(path)

    good = next(path for path in INPUTS if path.parent.name == name).read_bytes()
    targets.TARGETS[name](good)  # what it keeps is made
    monkeypatch.setattr(module, reader, fails)
    with pytest.raises(KeyError):
        targets.TARGETS[name](good)
