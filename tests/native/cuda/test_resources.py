"""What resources.py reads of ptxas' report."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "resources.py"
REPORT = """\
ptxas info    : Compiling entry function '_Z3sumPf' for 'sm_80'
ptxas info    : Function properties for _Z3sumPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 128 bytes smem, 392 bytes cmem[0]
"""


def run(tmp_path: Path, report: str) -> subprocess.CompletedProcess[str]:
    log = tmp_path / "ptxas.log"
    log.write_text(report)
    return subprocess.run([sys.executable, PROGRAM, log], capture_output=True, text=True)


def test_kernels_in_registers_pass(tmp_path: Path) -> None:
    result = run(tmp_path, REPORT)
    assert result.returncode == 0
    assert "sm_80     40 registers    128 bytes shared" in result.stdout
    assert "1 kernels for sm_80; 0 with local memory" in result.stdout


@pytest.mark.parametrize("spilled", ["8 bytes stack frame", "4 bytes spill stores", "4 bytes spill loads"])
def test_one_that_keeps_something_in_local_memory_fails(tmp_path: Path, spilled: str) -> None:
    result = run(tmp_path, REPORT.replace(f"0 {spilled[2:]}", spilled))
    assert result.returncode == 1
    assert f"{spilled[0]} bytes of local memory in sum" in result.stdout


def test_a_report_of_nothing_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "").returncode == 1
