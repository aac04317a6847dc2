"""What Windows and macOS lack: the package asks for no function of Linux that it can do without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="takes away what Linux has")

# Before the package is imported, and after what it builds on: that was made for the system it runs on.
LIKE_WINDOWS = """
import os, sys
import numpy, safetensors.numpy, tqdm

sys.platform = "win32"
sys.modules["fcntl"] = sys.modules["resource"] = sys.modules["pwd"] = None
for name in ("fork", "register_at_fork", "uname", "sched_getaffinity", "geteuid", "kill"):
    delattr(os, name)

def is_open(path):
    return any(os.path.realpath(f"/proc/self/fd/{fd}") == os.path.realpath(path) for fd in os.listdir("/proc/self/fd"))

def closed_only(function):
    def call(path, *rest, **options):
        if is_open(path):
            raise PermissionError(13, "The process cannot access the file because it is being used", path)
        return function(path, *rest, **options)
    return call

def no_folder(path, *rest, open=os.open, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return open(path, *rest, **options)

os.replace, os.unlink, os.remove, os.open = *map(closed_only, (os.replace, os.unlink, os.remove)), no_folder
"""

# From macOS no lock and no rename is missing.
LIKE_MACOS = """
import os, sys
import numpy, safetensors.numpy, tqdm

sys.platform = "darwin"
del os.sched_getaffinity, os.sched_setaffinity
"""

TRAIN = """
import fastnn as fn

rows = numpy.random.default_rng(0).normal(size=(64, 5)).astype("float32")

def train(max_epochs, resume=None):
    fn.manual_seed(0)
    model = fn.MLP(num_outputs=3, num_hiddens=4, lr=0.1)
    data = fn.ArrayData(rows, (rows[:, 0] > 0).astype("int64"), batch_size=16)
    fn.Trainer(max_epochs=max_epochs, checkpoint="run.safetensors").fit(model, data, resume=resume)
    return model

expected = train(4).state_dict()
open(".run.safetensors.0123abcd.tmp", "w").close()  # what somebody who was killed has left
train(2)
model = train(4, resume="run.safetensors")
model.save("model.safetensors")
model.save("model.safetensors")  # over the old one
for got in (model.state_dict(), fn.load("model.safetensors").state_dict()):
    assert all(numpy.array_equal(got[name].numpy(), value.numpy()) for name, value in expected.items())
print("trained, resumed, saved and loaded", sorted(os.listdir()))
"""


@linux
@pytest.mark.parametrize("system", [LIKE_WINDOWS, LIKE_MACOS], ids=["windows", "macos"])
def test_the_package_trains_saves_and_resumes_without_what_other_systems_lack(system: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", system + TRAIN], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    left = ["run.safetensors"] if system == LIKE_MACOS else [".run.safetensors.0123abcd.tmp", "run.safetensors"]
    assert done.stdout.splitlines()[-1] == f"trained, resumed, saved and loaded {sorted(['model.safetensors', *left])}"
