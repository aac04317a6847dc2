"""Training on MPI ranks: bits depend on the shards alone, and whatever ends one rank ends all."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import ranks

import fastnn as fn
from fastnn.all_reduce import cover, halves

pytest.importorskip("mpi4py")
MPIEXEC = Path(sys.executable).parent / "mpiexec"  # of the wheel of mpich
needs_launcher = pytest.mark.skipif(not MPIEXEC.exists(), reason="mpiexec is not in the virtual environment")


def launch(size: int, what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [MPIEXEC, "-n", str(size), sys.executable, Path(__file__).with_name("mpi_runs.py"), what, folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def found(size: int, what: str, folder: Path):
    result = launch(size, what, folder)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@needs_launcher
def test_ranks_that_divide_the_shards_find_the_same_bits(tmp_path: Path) -> None:
    one, two, four = (found(size, "hashes", tmp_path) for size in (1, 2, 4))
    assert one == two == four
    assert one["dropout"] == one["from Python"] == one["verified"]
    assert len(set(one.values())) == len(one) - 2


@needs_launcher
def test_two_ranks_learn_what_one_process_does(tmp_path: Path) -> None:
    """But for rounding: some 20 updates of sums of 16 rows. Dropout draws other numbers, and Adam's first steps go by
    the signs of gradients, however small.
    """
    differences = found(2, "unlike_one_process", tmp_path)
    others = {"dropout", "Adam", "from Python", "verified"}
    assert max(difference for name, difference in differences.items() if name not in others) < 1e-5


@needs_launcher
def test_steps_of_ranks_run_natively(tmp_path: Path) -> None:
    ways = [text.partition(":")[0] for text in found(2, "executions", tmp_path)]
    assert ways == ["epoch"] * 9 + ["step", "eager", "verify"]


@needs_launcher
def test_only_the_first_rank_writes_and_any_number_of_ranks_goes_on_from_it(tmp_path: Path) -> None:
    begun, other = tmp_path / "begun", tmp_path / "other"
    begun.mkdir()
    other.mkdir()
    assert found(2, "files", begun) == ["best.safetensors", "history.csv", "run.safetensors"]
    assert found(4, "resumed", begun) == found(1, "resumed", other)


@needs_launcher
@pytest.mark.parametrize("size", [2, 3])
def test_sums_by_memory_and_by_messages_have_the_same_bits(tmp_path: Path, size: int) -> None:
    assert found(size, "sums", tmp_path)


@needs_launcher
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("raises", "[mpi] rank 1 of 2: IndexError"),
        ("dies", "[mpi] ranks 0 to 1 are "),
        ("other_data", "[fit] the ranks have different data: build them in the same way, with a seed given"),
        ("other_models", "[fit] the ranks have different models"),
        ("too_many_shards", "[fit] the first batch has fewer rows than shards, 64: use fewer shards"),
    ],
)
def test_what_ends_a_rank_ends_all(tmp_path: Path, what: str, says: str) -> None:
    started = time.monotonic()
    result = launch(2, what, tmp_path)
    assert result.returncode != 0
    assert says in result.stderr
    assert time.monotonic() - started < 60  # a start under load included; without an end it would be 300


@needs_launcher
def test_a_run_goes_on_from_its_checkpoint_when_a_rank_was_killed() -> None:
    """`nox -s faults -- ranks` does this a hundred times."""
    assert len(ranks.campaign(count=1, ranks=2, seed=7)) == 1


def test_a_tree_has_the_same_sums_whoever_holds_its_leaves() -> None:
    def leaves(node):
        return (node,) if node[1] - node[0] == 1 else tuple(leaves(half) for half in halves(node))

    for shards in range(1, 13):
        tree = leaves((0, shards))
        for size in (n for n in range(1, shards + 1) if shards % n == 0):
            owned = shards // size
            pieces = [node for r in range(size) for node in cover((0, shards), (r * owned, (r + 1) * owned))]
            assert [n for a, b in pieces for n in range(a, b)] == list(range(shards))
            assert all(str(leaves(piece)) in str(tree) for piece in pieces)


def test_shards_must_be_a_multiple_of_the_ranks_and_need_a_strategy() -> None:
    data, model = fn.SyntheticRegression(w=[2, -3.4], b=4.2), fn.LinearRegression(0.03)
    with pytest.raises(ValueError, match=r"\[Trainer\] shards = 0 must be a multiple of the number of ranks, 1"):
        fn.Trainer(1, strategy="mpi", shards=0).fit(model, data)
    with pytest.raises(ValueError, match=r"\[Trainer\] shards = 2 needs strategy='mpi'"):
        fn.Trainer(1, shards=2)
    with pytest.raises(ValueError, match=r"\[Trainer\] strategy = 'ddp' must be None or 'mpi'"):
        fn.Trainer(1, strategy="ddp")


def test_without_mpi4py_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    trainer = fn.Trainer(1, strategy="mpi")
    with pytest.raises(ImportError, match="pip install mpi4py mpich"):
        trainer.fit(fn.LinearRegression(0.03), fn.SyntheticRegression(w=[2, -3.4], b=4.2))
