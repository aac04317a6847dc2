"""Campaigns against fastnn, as modules to run (`python -m faults.kills`), each with a short version among the tests."""

import os
import sys


def environment() -> dict[str, str]:
    """In which a child finds the modules that this process finds."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
