"""Cells of a notebook, run in this process (the fixture `shell`)."""

from typing import Any


def displayed(shell: Any, cell: str) -> list[tuple[bool, str]]:
    """What a cell displays: whether it takes the place of something, and of what."""
    shell.display_pub.outputs.clear()
    shell.run_cell(cell)
    outputs = shell.display_pub.outputs
    assert all("image/png" in output["data"] for output in outputs)
    return [(output["update"], output["transient"]["display_id"]) for output in outputs]
