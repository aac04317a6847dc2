"""A Fashion-MNIST of a few images that takes the place of the real one, for tests of what is built on it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from fastnn.data import published
from fastnn.data.idx import write_idx

NUM_TRAIN, NUM_VAL = 200, 60


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes the four files to a new folder, makes their hashes the published ones, and forbids everything else."""
    root = folder / "tiny"
    root.mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", NUM_TRAIN), ("t10k", NUM_VAL)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 100, (count, 28, 28), dtype=np.uint8)
        images[np.arange(count), 2 * labels] = 255  # a bright line that tells the class
        write_idx(root / f"{part}-images-idx3-ubyte", images)
        write_idx(root / f"{part}-labels-idx1-ubyte", labels)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.iterdir()}
    tiny = published.FASHION_MNIST._replace(files=hashes, debian_folder=str(folder / "debian"))
    monkeypatch.setattr(published, "FASHION_MNIST", tiny)
    monkeypatch.setenv("FASTNN_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    return root
