"""The script for a GPU: its stages on commands that end as they are told, its timing on the stand-in of a device."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import standin

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import gpu, kernels, train  # noqa: E402
from benchmarks.harness import Row  # noqa: E402
from benchmarks.peers.cuda_ import Bf16, Cuda, Tf32  # noqa: E402
from fastnn import num_threads, set_float32_matmul_precision, set_num_threads  # noqa: E402

TINY = train.Workload("W6", (5, 4, 6, 3), 8, 6, 0.1)


@pytest.fixture
def peer():
    standin.library()
    before = num_threads()
    yield Cuda(1)
    set_num_threads(before)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("", "passed"), ("raise SystemExit(3)", "failed with status 3"), ("import time; time.sleep(60)", "not finished")],
)
def test_a_stage_says_how_its_command_ended(code: str, outcome: str, tmp_path: Path) -> None:
    stage = gpu.Stage("stage", [sys.executable, "-c", code])
    stage.run({}, tmp_path / "log", limit=1.0 if "sleep" in code else 60.0)
    assert stage.outcome.startswith(outcome)


def test_a_stage_whose_program_is_missing_is_left_out(tmp_path: Path) -> None:
    stage = gpu.Stage("build", ["no-such-compiler"], needs="no-such-compiler")
    stage.run({}, tmp_path / "log", limit=1.0)
    assert stage.outcome == "left out: no no-such-compiler"


def test_the_stages_name_files_that_exist(tmp_path: Path) -> None:
    named = [word for stage in gpu.stages(tmp_path) for word in stage.command if word.startswith("tests/")]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_kernels_are_checked_and_repeated_on_the_device(peer: Cuda) -> None:
    cases = [kernels._product("16x12x8", which) for which in kernels.PRODUCTS]
    cases += [kernels._sgd_update(100), kernels._relu(100)]
    for case in map(gpu.Repeated, cases):
        results, call = case.start(peer)
        assert case.disagreement(results) is None
        call()
        assert case.steps == peer.REPEATS


def test_training_steps_are_those_of_the_cpu(peer: Cuda) -> None:
    problem = train.make_problem(TINY)
    results, call = problem.start(peer)
    assert problem.disagreement(results) is None
    assert np.isfinite(call()).all()


@pytest.mark.parametrize(("kind", "precision"), [(Tf32, "tf32"), (Bf16, "bf16")])
def test_products_in_a_lower_precision_are_as_near_as_that_allows(
    peer: Cuda, kind: type[Cuda], precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "nvidia" / "cu13" / "lib" / "libcublasLt.so.13"
    place.parent.mkdir(parents=True)
    place.touch()
    monkeypatch.syspath_prepend(tmp_path)
    lower = kind(1)
    try:
        case = kernels._product("16x12x8", "dY W")
        results, _ = gpu.Repeated(gpu.rounded(case, precision)).start(lower)
        assert gpu.rounded(case, precision).disagreement(results) is None
        assert "times what rounding allows" in str(case.disagreement(results))
        problem = gpu.Rounded(train.make_problem(TINY), precision)
        results, _ = problem.start(lower)
        assert problem.disagreement(results) is None
        assert "losses differ" in str(problem.problem.disagreement(results))
    finally:
        set_float32_matmul_precision("float32")


def test_each_precision_has_its_contenders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.WORKLOADS, "W6", TINY)
    monkeypatch.setattr(
        gpu, "make_cases", lambda: [lambda: kernels._product("4x3x2", "dY W"), lambda: kernels._relu(10)]
    )
    assert gpu.contenders("") == [
        "fastnn cuda",
        "fastnn cuda launched",
        "torch cuda graphs",
        "torch cuda compiled",
        "torch cuda",
    ]
    assert gpu.contenders(" tf32") == ["fastnn cuda tf32", "torch cuda graphs tf32"]
    told = [(precision, task.name) for precision, task in gpu.tasks(["W6"])]
    workload, product, relu = (name for precision, name in told if not precision)
    lower = [(rest, name + rest) for name in (workload, product) for rest in (" tf32", " bf16")]
    assert told == [("", workload), *lower[:2], ("", product), *lower[2:], ("", relu)]


def test_the_table_tells_times_ratios_and_what_is_missing() -> None:
    seconds = {"fastnn cuda/1": [1e-5, 2e-5, 3e-5], "torch cuda graphs/1": [4e-5, 4e-5, 6e-5]}
    row = Row("W3 MLP", 2e8, 0, seconds, {}, {"torch cuda/1": "losses differ"})
    seconds = {"fastnn cuda tf32/1": [7e-6], "torch cuda graphs tf32/1": [21e-6]}
    lower = Row("W3 MLP tf32", 2e8, 0, seconds)
    results = {
        "gpu": {"card": "a card", "nvcc": "no nvcc"},
        "stages": [{"name": "build", "outcome": "passed", "seconds": 12.0}],
        "left_out": {"torch cuda compiled": "PyTorch finds no GPU"},
        "rows": [row.__dict__, lower.__dict__, Row("relu", 0, 8e6).__dict__],
    }
    text = gpu.table(results)
    assert "build            passed (12 s)" in text
    assert "torch cuda compiled: left out, PyTorch finds no GPU" in text
    assert "20.00 us                     -                 2.00x                     -" in text
    assert "10.00 TFLOP/s" in text
    assert "(!) torch cuda/1: losses differ" in text
    assert "7.00 us                     -                 3.00x" in text
    assert "not measured" in text


def test_nothing_but_what_is_asked_for_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--only", "--out", str(tmp_path), "--json", str(tmp_path / "gpu.json")]) == 0
    assert json.loads((tmp_path / "gpu.json").read_text())["stages"] == []
    assert "passed" not in capsys.readouterr().out
