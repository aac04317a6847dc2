"""Training that is killed and resumed, again and again, ends as if nothing had happened."""

from pathlib import Path

from fastnn import checkpoint
from faults import kills


def test_killed_runs_end_with_the_bits_of_runs_that_nobody_killed() -> None:
    report = kills.campaign(kills=6)
    assert report.findings == []
    assert report.kills == 6


def test_the_campaign_sees_a_checkpoint_that_is_gone_older_or_torn(tmp_path: Path) -> None:
    def noted(steps: int) -> list[str]:
        (tmp_path / "notes").write_bytes(steps.to_bytes(8, "little"))
        return list(kills._after_kill(tmp_path, kills.Report()))

    assert noted(0) == []
    assert noted(40) == ["the checkpoint of step 40 is gone"]
    checkpoint.write(tmp_path / "run", {}, {"training": {"steps": 40}})
    assert noted(40) == noted(40 + kills.WRITING) == []
    assert noted(80) == ["the checkpoint is of step 40, but that of step 80 had been written"]
    (tmp_path / "run").write_bytes((tmp_path / "run").read_bytes()[:-1])
    assert "is not a whole safetensors file" in noted(40)[0]
