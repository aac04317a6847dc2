"""What machine, what versions, and what the machine can do at most, measured in the same run."""

import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .harness import LIMIT, ROOT, Failed, Task
from .peers import PACKAGES

LARGE = 1 << 28
"""Bytes that a copy moves when the bandwidth of main memory is asked for: far beyond any cache."""


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """The kind of machine; nothing that names this one."""
    info = _cpuinfo()
    model = info.get("model name") or platform.processor() or platform.machine()
    family = info.get("cpu family")
    return {
        "cores": cores(),
        "cpu": f"{model}, family {family} model {info.get('model')}" if family else model,
        "instruction_set": _instruction_set(info.get("flags", info.get("Features", "")).split()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    path = Path("/proc/cpuinfo")
    first = path.read_text().split("\n\n")[0] if path.exists() else ""
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _instruction_set(flags: list[str]) -> str:
    if "avx512f" in flags:
        return "AVX-512"
    if "avx2" in flags and "fma" in flags:
        return "AVX2+FMA"
    return "NEON" if "asimd" in flags or platform.machine() == "arm64" else platform.machine()


def versions(names: list[str]) -> dict[str, str]:
    """Of Python and of the distributions that the contenders come from."""
    found = {"python": platform.python_version()}
    for name in ("numpy", *(PACKAGES.get(name, name) for name in names)):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a distribution"
    return found


def commit() -> str | None:
    """The commit of the working tree, marked where files were changed since; None outside a checkout."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head} with changes" if changed else head


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


class Probe:
    """probe.cpp, compiled for this machine by the system's compiler; `Failed` where that cannot be done."""

    def __init__(self) -> None:
        compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "c++", "g++", "clang++"))), None)
        if compiler is None:
            raise Failed("no C++ compiler")
        with tempfile.TemporaryDirectory(prefix="fastnn-probe-", ignore_cleanup_errors=True) as folder:
            library = Path(folder) / "probe.so"
            source = Path(__file__).with_name("probe.cpp")
            options = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread"]
            built = subprocess.run([compiler, *options, source, "-o", library], capture_output=True, text=True)
            if built.returncode != 0:
                raise Failed(f"the probe does not compile: {built.stderr.splitlines()[:1]}")
            self._library = ctypes.CDLL(str(library))
        self._multiply_add = {"float32": self._library.probe_float32, "float64": self._library.probe_float64}
        for function in self._multiply_add.values():
            function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double, ctypes.c_int]
        self._copy = self._library.probe_copy
        self._copy.restype = ctypes.c_double
        self._copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int]
        self._source = self._target = np.ones(0, np.uint8)

    def multiply_add(self, flops: float, threads: int, dtype: str = "float32") -> float:
        """Seconds for so many operations (a multiply-add is two) by fused multiply-adds on registers."""
        seconds: float = self._multiply_add[dtype](flops, threads)
        return seconds

    def copy(self, memory: int, repeats: int, threads: int) -> float:
        """Seconds for copies of one half of `memory` bytes onto the other, one after another."""
        size = max(memory // 2, 1)
        if len(self._source) != size:
            self._source, self._target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
        seconds: float = self._copy(self._target.ctypes.data, self._source.ctypes.data, size, repeats, threads)
        return seconds


class Limit:
    """The contender that nobody beats: the task's arithmetic or its memory traffic, whichever takes longer.

    Arithmetic runs at the peak rate of multiply-adds, traffic at the rate of a copy on as much memory.
    """

    name = LIMIT

    def __init__(self, probe: Probe, threads: int) -> None:
        self.probe, self.threads = probe, threads

    def load(self, task: Task) -> None:
        self._flops, self._traffic, self._memory = task.flops, task.bytes, task.memory
        self._repeats_copy = self._copy(100) > self._arithmetic(100)

    def run(self, calls: int) -> tuple[float, float]:
        seconds = self._copy(calls) if self._repeats_copy else self._arithmetic(calls)
        return seconds, seconds * self.threads

    def _arithmetic(self, calls: int) -> float:
        return self.probe.multiply_add(float(self._flops) * calls, self.threads) if self._flops else 0.0

    def _copy(self, calls: int) -> float:
        if not self._traffic:
            return 0.0
        return self.probe.copy(self._memory, calls, self.threads) * self._traffic / self._memory


def limits(probe: Probe, threads: list[int]) -> dict[str, dict[str, float]]:
    """The best of three of each probe, by thread count: GFLOP/s, and GB/s read and written by a large copy."""
    found = {}
    for count in threads:
        flops = 4e9 * count
        arithmetic = {
            f"{dtype}_gflops": flops / min(probe.multiply_add(flops, count, dtype) for _ in range(3)) / 1e9
            for dtype in ("float32", "float64")
        }
        seconds = min(probe.copy(LARGE, 2, count) for _ in range(3))
        found[str(count)] = arithmetic | {"copy_gb_per_s": 2 * LARGE / seconds / 1e9}
    return found
