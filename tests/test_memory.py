"""Memory: it does not grow, may run out, and is bounded for a model and a data set. The long version is the campaign of
`faults.memory`.
"""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import memory
from faults.entries import ENTRIES, Entry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_memory_does_not_grow() -> None:
    """Fewer blocks than a hundredth of the calls."""
    grown, blocks = memory.growth(50_000, 5_000, every=101)
    assert blocks < 500
    assert grown <= memory.GROWTH


def test_growth_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    leaking = [lambda: kept.append(np.ones(2000))]
    monkeypatch.setattr(memory, "_calls", lambda every: (leaking, leaking))
    grown, blocks = memory.growth(1000, 100)
    assert grown > 4 * memory.GROWTH
    assert blocks > 1000


@pytest.mark.skipif(
    shutil.which("cc") is None or os.uname().machine != "x86_64", reason="glibc's allocator is replaced"
)
def test_any_allocation_may_fail() -> None:
    """MemoryError or the right result, nothing leaked, nothing written, and the next call is as ever."""
    libc = subprocess.run(["getconf", "GNU_LIBC_VERSION"], capture_output=True, text=True)
    if libc.returncode != 0:
        pytest.skip("glibc's allocator is replaced")
    total, findings = memory.allocations()
    assert findings == {}
    assert total > 200


class Shim:
    """Stands for the library: the call itself does what it would do when an allocation fails."""

    def __init__(self, step: int = 0) -> None:
        self.blocks, self.step = itertools.count(), step

    def fail_at(self, k: int) -> None: ...
    def failure_is_ahead(self) -> int:
        return 0

    def living(self) -> int:
        return next(self.blocks) * 1000


def test_the_campaign_of_allocations_sees_what_is_planted() -> None:
    def problem(function: Any) -> str | None:
        entry = Entry("planted", function, {}, (), {}, {})
        return memory._problem(Shim(), entry, lambda: {"x": np.zeros(3)}, 1)

    calls = itertools.count()

    def writes(x: Any) -> None:
        x[0] = 1
        if next(calls) == 0:
            raise MemoryError

    def fails(x: Any) -> None:
        if next(calls) == 0:
            raise ValueError("no")

    def differs(x: Any) -> int:
        return next(calls) == 0

    def leaks(x: Any) -> None: ...

    assert problem(writes) == "wrote, and raised MemoryError"
    calls = itertools.count()
    assert problem(fails) == "raised ValueError('no')"
    calls = itertools.count()
    assert problem(differs) == "gave another result"
    assert problem(leaks) == "8 calls leave 1000 blocks"
    assert "Program.run" in memory.FAILING
    assert {name for name in ENTRIES if "." not in name} - set(memory.FAILING) == {"from_dlpack"}


TRAINING = """
import resource, sys, numpy as np, fastnn as fn
rows, columns, classes, batch = 300_000, 784, 10, 256
X = np.memmap(sys.argv[1], np.uint8, "r", shape=(rows, columns))
y = (np.arange(rows) % classes).astype(np.int64)
{model}
parameters = sum(n * m + m for n, m in zip((columns, *widths), (*widths, classes)))
bound = {bound}
private = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (private + bound,) * 2)
trainer = fn.Trainer(1, progress=False, seed=0, num_threads=2)
trainer.fit(model, fn.ArrayData(X, y, batch_size=batch))
print(trainer.execution, rows * columns > 3 * bound)
"""
MODELS = [
    "model, widths = fn.SoftmaxRegression(classes, lr=0.1), ()",
    "model, widths = fn.MLP(classes, 64, lr=0.1), (64,)",
]


@pytest.mark.parametrize("model", MODELS)
def test_training_on_a_mapped_data_set_needs_no_more_memory_than_is_stated(tmp_path: Path, model: str) -> None:
    """Larger than what the process may take: a limit is set, and the formula is the one of docs/reliability.md."""
    page = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text()
    (bound,) = [line.strip() for line in page.splitlines() if line.startswith("    2**25 ")]
    data = tmp_path / "images"
    with open(data, "wb") as file:
        file.truncate(300_000 * 784)
    program = TRAINING.format(model=model, bound=bound)
    run = subprocess.run([sys.executable, "-P", "-c", program, data], capture_output=True, text=True)
    assert run.stderr == ""
    assert run.stdout == "epoch: steps run natively, shuffling and gathering included True\n"
