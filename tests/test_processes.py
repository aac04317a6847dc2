"""Processes: forked, spawned, interrupted, with several threads, within limits. The long versions are campaigns of
`faults.processes`.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from faults import processes

import fastnn as fn
from fastnn import claims
from fastnn.record import Engine

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="for systems with fork and signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def in_a_process(tmp_path: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if name != "FASTNN_NUM_THREADS"} | environment,
    )


# ---- forks and spawned processes ------------------------------------------------------------------------------


def test_children_of_a_process_with_threads_train_and_compute_with_the_same_bits() -> None:
    report = processes.forks(12)
    assert report.findings == []


def test_the_campaign_of_forks_sees_a_hang_an_exception_and_other_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()
    faults = {
        "hangs": lambda: "" if os.getpid() == parent else str(time.sleep(processes.SECONDS)),
        "differs": lambda: str(os.getpid()),
        "raises": lambda: "" if os.getpid() == parent else str(1 / 0),
        "dies": lambda: "" if os.getpid() == parent else str(os._exit(7)),
    }
    monkeypatch.setattr(processes, "WORK", faults)
    findings = processes.forks(4, seconds=1).findings
    assert findings == ["hangs: hung", "differs: gave other bits", "raises: raised", "dies: ended with 7"]


def test_a_fork_waits_for_a_thread_that_registers_a_model() -> None:
    held = threading.Event()

    def hold() -> None:
        with claims._busy_lock:
            held.set()
            time.sleep(0.05)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    child = processes._forked(lambda: processes.trained(epochs=1) != "")
    thread.join()
    report = processes.Report(1)
    processes._reap({child: ("train", time.monotonic() + processes.SECONDS)}, report)
    assert report.findings == []


def test_spawned_processes_train_with_the_same_bits() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(processes.trained, [0, 1]) == [processes.trained(0), processes.trained(1)]


# ---- threads --------------------------------------------------------------------------------------------------


def test_models_trained_at_once_have_the_bits_that_they_have_alone() -> None:
    report = processes.threads(3)
    assert report.findings == []


# ---- signals --------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_training_and_the_model_trains_on() -> None:
    """How soon is the campaign's to say, on a machine that does nothing else."""
    report = processes.interrupts(10)
    assert [finding for finding in report.findings if "beyond the running step" not in finding] == []


def test_the_first_native_call_is_a_single_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is known how long one takes: four long ones made Ctrl-C wait for all of them."""
    calls, run = [], Engine.run

    def counted(self: Engine, steps: int, rows: Any) -> Any:
        calls.append(steps)
        return run(self, steps, rows)

    monkeypatch.setattr(Engine, "run", counted)
    fn.Trainer(1, progress=False).fit(fn.MLP(10, 8, lr=0.1), fn.ArrayData(processes.X, processes.Y, batch_size=4))
    assert calls[0] == 1 < calls[1]


def test_a_process_that_is_asked_to_end_ends(tmp_path: Path) -> None:
    """SIGTERM keeps its meaning while native steps run."""
    program = (
        "from faults import processes; print('begun', flush=True);"
        "import fastnn as fn; fn.Trainer(10**9, progress=False).fit(fn.MLP(10, 256, lr=0.1), processes.data())"
    )
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, env=os.environ | paths
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(processes.SECONDS) == -signal.SIGTERM


# ---- what importing leaves as it was --------------------------------------------------------------------------

SURROUNDINGS = """
import ctypes, json, os, random, signal, sys, threading, warnings
import numpy as np

def floating_point():
    environment = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).fegetenv(environment)
    return environment.raw[:2].hex(), environment.raw[28:32].hex() if os.uname().machine == "x86_64" else ""

def surroundings():
    return {
        "floating point": floating_point(),
        "signal handlers": [str(signal.getsignal(s)) for s in sorted(signal.valid_signals())],
        "blocked signals": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "environment": dict(os.environ),
        "threads": [threading.active_count(), len(os.listdir("/proc/self/task"))],
        "children": open("/proc/self/task/%d/children" % os.getpid()).read(),
        "files": len(os.listdir("/proc/self/fd")),
        "errstate": np.geterr(), "printing": {k: v for k, v in np.get_printoptions().items() if k != "override_repr"},
        "random": [str(random.getstate()), str(np.random.get_state())],
        "warnings": len(warnings.filters),
        "hooks": [str(x) for x in (sys.excepthook, sys.displayhook, sys.gettrace(), sys.getprofile(), sys.path_hooks)],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(), os.umask(0o22)],
        "affinity": sorted(os.sched_getaffinity(0)),
        "folder": os.getcwd(), "path": sys.path,
    }

os.umask(0o22)
before = surroundings()
import fastnn as fn
after_import = surroundings()
import fastnn.callbacks, fastnn.kernels, fastnn.plot, fastnn.record, fastnn.reference, fastnn.testing, fastnn.utils
after_modules = surroundings()
fn.Trainer(2, progress=False).fit(
    fn.MLP(3, 8, lr=0.1), fn.ArrayData(np.ones((40, 4), np.float32), np.zeros(40, np.int64), batch_size=8)
)
after_training = surroundings()
changed = lambda after: [name for name in before if before[name] != after[name]]
print(json.dumps([changed(after_import), changed(after_modules), changed(after_training)]))
"""


@linux
def test_importing_and_training_change_nothing_around_them(tmp_path: Path) -> None:
    """MXCSR's flags aside, which say that numbers were rounded. Products of this size use no threads."""
    run = in_a_process(tmp_path, SURROUNDINGS)
    assert run.stderr == ""
    assert json.loads(run.stdout) == [[], [], []]


# ---- limits ---------------------------------------------------------------------------------------------------

THREADS = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import fastnn; \
print(fastnn.num_threads())"


@linux
def test_threads_are_no_more_than_the_cpus_that_a_process_may_use(tmp_path: Path) -> None:
    """Quotas of containers: tests/native/linux_test.cpp."""
    assert in_a_process(tmp_path, THREADS).stdout == "1\n"


@pytest.mark.parametrize("number", ["0", "-1", "257", "two", "1.5", "2 ", "9" * 30])
def test_a_number_of_threads_in_the_environment_that_is_none_is_refused_at_import(tmp_path: Path, number: str) -> None:
    run = in_a_process(tmp_path, "import fastnn", FASTNN_NUM_THREADS=number)
    assert f"[FASTNN_NUM_THREADS] '{number}' must be a whole number from 1 to 256" in run.stderr


SUB_INTERPRETER = """
import _xxsubinterpreters as interpreters
other = interpreters.create()
try:
    interpreters.run_string(other, "import warnings; warnings.simplefilter('ignore'); import fastnn")
except interpreters.RunFailedError as error:
    print(error)
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pybind11 refuses by itself")
def test_a_sub_interpreter_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    assert "ImportError" in in_a_process(tmp_path, SUB_INTERPRETER).stdout
