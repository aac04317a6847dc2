"""The logic of the benchmarks, on made-up clocks: turns, ratios, workers, tables; never how long anything takes."""

import dataclasses
import importlib.util
import itertools
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import harness, kernels, machine, report, train  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402

TINY = train.Workload("W6", (5, 4, 6, 3), 8, 6, 0.1)


# ---- turns, calls and ratios ----------------------------------------------------------------------------------


@dataclasses.dataclass
class Task:
    name: str = "task"
    flops: int = 8
    bytes: int = 0
    memory: int = 1
    steps: int = 4

    def disagreement(self, result: tuple[Any, ...]) -> str | None:
        return None if result[0] == 1 else f"result is {result[0]}"


class Fake:
    """A contender whose calls take made-up seconds, one value for each turn."""

    def __init__(self, name: str, threads: int, seconds: list[float], log: list[str], result: float = 1) -> None:
        self.name, self.threads, self.log, self.result = name, threads, log, result
        self.seconds = itertools.cycle(seconds)

    def load(self, task: Any) -> Any:
        self.log.append(f"load {self.name}")
        return (self.result,)

    def run(self, calls: int) -> tuple[float, float]:
        self.log.append(f"run {self.name}")
        wall = calls * next(self.seconds)
        return wall, wall / 2


class Broken(Fake):
    def load(self, task: Any) -> Any:
        raise harness.Failed("no such library")


def quietly(seconds: float) -> None:
    pass


def test_contenders_take_turns_with_a_pause_before_each() -> None:
    log: list[str] = []
    contenders = [Fake("a", 1, [1.0], log), Fake("b", 1, [1.0], log)]
    harness.measure(Task(), contenders, 2, block=0.5, pause=lambda seconds: log.append("pause"))
    assert log[:4] == ["load a", "run a", "load b", "run b"]
    assert log[4:] == ["pause", "run a", "pause", "run b"] * 2


def test_times_are_told_for_a_step() -> None:
    row = harness.measure(Task(), [Fake("a", 2, [1.0, 2.0, 6.0], [])], 2, block=0.5, pause=quietly)
    assert row.seconds == {"a/2": [0.5, 1.5]}
    assert row.processors == {"a/2": 0.5}
    assert row.flops == 2


def test_results_that_differ_are_named_and_timed_all_the_same() -> None:
    row = harness.measure(Task(), [Fake("a", 1, [1.0], [], result=3)], 1, block=0.5, pause=quietly)
    assert row.notes == {"a/1": "result is 3"}
    assert row.seconds == {"a/1": [0.25]}


def test_a_contender_that_fails_is_left_out_by_name() -> None:
    row = harness.measure(Task(), [Broken("a", 1, [], []), Fake("b", 1, [1.0], [])], 1, block=0.5, pause=quietly)
    assert row.notes == {"a/1": "no such library"}
    assert list(row.seconds) == ["b/1"]


@pytest.mark.parametrize("seconds", [1e-9, 3e-4, 0.02, 5.0])
def test_a_block_of_calls_lasts_long_enough_and_not_much_longer(seconds: float) -> None:
    calls = harness.calibrate(Fake("a", 1, [seconds], []), block=0.1)
    assert calls * seconds >= 0.1
    assert calls == 1 or calls * seconds < 0.25


def a_row(**seconds: list[float]) -> harness.Row:
    return harness.Row("row", 2e9, 0, {name.replace("_", "/"): values for name, values in seconds.items()})


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    row = a_row(fastnn_1=[1, 2, 4, 8, 16], torch_1=[3, 4, 4, 32, 80])
    assert harness.ratio(row, "torch/1", "fastnn/1") == harness.Quartiles(2, 3, 4)
    assert harness.quartiles([7.0]) == harness.Quartiles(7, 7, 7)


def test_every_contender_counts_at_its_best_number_of_threads() -> None:
    row = a_row(torch_1=[3, 3, 9], torch_2=[4, 4, 4], limit_1=[1, 1, 1])
    assert harness.best(row, "torch") == "torch/1"
    assert harness.best(row, "jax") is None


def test_the_share_of_the_limit_is_taken_at_the_same_number_of_threads() -> None:
    row = a_row(fastnn_1=[4, 4], fastnn_2=[2, 4], limit_2=[1, 1])
    assert harness.share_of_limit(row, "fastnn/2") == harness.Quartiles(0.3125, 0.375, 0.4375)
    assert harness.share_of_limit(row, "fastnn/1") is None


# ---- workers --------------------------------------------------------------------------------------------------


@pytest.fixture
def worker() -> Iterator[harness.Worker]:
    worker = harness.Worker("numpy", 1)
    worker.opened()
    yield worker
    worker.close()


def test_a_worker_runs_in_its_own_process_on_as_many_processors_as_threads(worker: harness.Worker) -> None:
    assert worker._process.pid != os.getpid()
    if hasattr(os, "sched_getaffinity"):
        assert len(os.sched_getaffinity(worker._process.pid)) == 1


def test_a_worker_answers_with_results_and_with_seconds(worker: harness.Worker) -> None:
    problem = train.make_problem(TINY)
    result = worker.load(problem)
    assert result is not None
    assert problem.disagreement(result) is None
    wall, cpu = worker.run(3)
    assert wall > 0
    assert cpu >= 0


def test_an_error_in_a_worker_leaves_it_usable(worker: harness.Worker) -> None:
    with pytest.raises(harness.Failed, match="no kernel sorcery"):
        worker.load(dataclasses.replace(kernels._relu(3), kernel="sorcery"))
    assert worker.load(kernels._relu(3)) is not None


def test_a_worker_that_dies_is_a_failure_not_a_hang(worker: harness.Worker) -> None:
    worker._process.kill()
    with pytest.raises(harness.Failed, match="process"):
        worker.run(1)


def test_a_contender_that_cannot_be_opened_is_left_out_by_name() -> None:
    workers, left_out = harness.open_workers(["no such peer"], [1])
    assert workers == []
    assert left_out == {"no such peer": "KeyError: 'no such peer'"}


# ---- the machine and the report -------------------------------------------------------------------------------


def test_the_probes_measure_arithmetic_and_copies_on_any_number_of_threads() -> None:
    try:
        probe = machine.Probe()
    except harness.Failed as failure:
        pytest.skip(str(failure))
    for threads in (1, 2, 3):
        assert probe.multiply_add(1e6, threads) > 0
        assert probe.multiply_add(1e6, threads, "float64") > 0
        probe._source = np.zeros(0, np.uint8)
        assert probe.copy(2 * 1001, 2, threads) > 0
        assert probe._target.tolist() == [1] * 1001


class FakeProbe:
    """A second for each operation and each byte of memory."""

    def multiply_add(self, flops: float, threads: int) -> float:
        return flops

    def copy(self, memory: int, repeats: int, threads: int) -> float:
        return float(memory * repeats)


@pytest.mark.parametrize(("flops", "traffic", "seconds"), [(5, 2, 15), (2, 5, 15), (0, 5, 15), (5, 0, 15)])
def test_the_limit_is_arithmetic_or_traffic_whichever_takes_longer(flops: int, traffic: int, seconds: float) -> None:
    limit = machine.Limit(FakeProbe(), 2)  # type: ignore[arg-type]
    limit.load(Task(flops=flops, bytes=traffic, memory=4))
    assert limit.run(3) == (seconds, 2 * seconds)


def test_a_run_from_the_command_line_leaves_table_json_and_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.harness.SETTLE", 0.0)
    monkeypatch.setattr("benchmarks.harness.measure.__defaults__", (1e-4, quietly))
    monkeypatch.setitem(train.WORKLOADS, "W6", TINY)
    kept = tmp_path / "results" / "train.json"
    main(["train", "--workloads", "W6", "--against", "numpy", "--threads", "1", "--rounds", "2", "--json", str(kept)])
    text, table = kept.read_text(), kept.with_suffix(".md").read_text()
    results = json.loads(text)
    assert table in capsys.readouterr().out
    assert "| W6 MLP 5-4-6-3, batch 8 |" in table
    (row,) = results["rows"]
    assert len(row["seconds"]["numpy/1"]) == 2
    assert row["notes"] == {}
    assert row["summary"]["numpy"]["median_seconds"] > 0
    assert {"cores", "cpu", "instruction_set"} <= set(results["machine"])
    for private in (platform.node(), str(ROOT), str(Path.home()), str(tmp_path)):
        assert len(private) < 4 or private not in text + table
    if importlib.util.find_spec("matplotlib"):
        assert kept.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_rate_of_square_products_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("benchmarks.harness.SETTLE", 0.0)
    monkeypatch.setattr("benchmarks.harness.measure.__defaults__", (1e-4, quietly))
    monkeypatch.setattr("benchmarks.kernels.make_squares.__defaults__", ((3, 5),))
    picture, kept = tmp_path / "rates.png", tmp_path / "rates.json"
    chosen = ["--against", "numpy", "--threads", "1", "--rounds", "2"]
    main(["kernels", "--plot", str(picture), *chosen, "--json", str(kept)])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [row["flops"] for row in json.loads(kept.read_text())["rows"]] == [2 * 3**3, 2 * 5**3]


def results_of(*rows: harness.Row, **changes: Any) -> report.Results:
    machine_kind = {"cores": 2, "cpu": "a cpu", "instruction_set": "AVX2+FMA", "system": "Linux x86_64"}
    results = {
        "what": "train", "title": "Steps", "base": "fastnn", "machine": machine_kind, "versions": {"numpy": "2"},
        "commit": "abc", "rounds": 3, "data": [], "limits": {}, "left_out": {},
        "rows": [dataclasses.asdict(row) for row in rows],
    }  # fmt: skip
    return results | changes


def test_the_table_tells_ratios_spread_share_and_what_is_wrong() -> None:
    row = a_row(fastnn_2=[0.01, 0.01, 0.01], limit_2=[0.005] * 3, torch_1=[0.02, 0.03, 0.04], jax_1=[0.03] * 3)
    row.notes["torch/1"] = "losses differ"
    table = report.render(results_of(row, left_out={"sklearn": "not installed"}))
    line = next(line for line in table.splitlines() if line.startswith("| row"))
    assert line == (
        "| row | 10 ms /2 | 200 GFLOP/s | 50% | **3.00** (2.50 to 3.50) /1 (!) | **3.00** (3.00 to 3.00) /1 |"
    )
    assert "- row: torch/1: losses differ" in table
    assert "- sklearn was left out: not installed" in table


def test_the_geometric_mean_takes_the_best_peer_of_each_row() -> None:
    rows = [a_row(fastnn_1=[1.0], torch_1=[8.0], jax_1=[2.0]), a_row(fastnn_1=[1.0], torch_1=[8.0], jax_1=[9.0])]
    assert "best peer of each row: 4.00." in report.render(results_of(*rows))


def test_a_table_without_fastnn_or_limit_still_tells_times() -> None:
    table = report.render(results_of(a_row(torch_1=[2.0])))
    assert "| row | - | - | 2 s /1 |" in table


def test_the_commit_is_told_without_a_path() -> None:
    told = machine.commit()
    assert told is None or re.fullmatch("[0-9a-f]{12}( with changes)?", told)
