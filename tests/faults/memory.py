"""The campaign of memory: `python -m faults.memory` makes a million calls and a hundred thousand that fail, and then
lets every single allocation of each native entry point fail.

Resident memory may grow by `GROWTH` in all those calls. A call whose k-th allocation fails raises MemoryError, has
written nothing and keeps nothing; where it can do without, it gives the right result; and the next call is as ever.
"""

import argparse
import contextlib
import copy
import ctypes
import dataclasses
import functools
import gc
import itertools
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from kernels.cases import CASES
from kernels.sampling import Array

import fastnn as fn
from fastnn import _core
from faults.arguments import _address_space, _bits, cases, watched
from faults.entries import ENTRIES, Arguments, Entry, batches
from faults.malformed import variants

GROWTH = 2**20
SHIM = Path(__file__).with_name("allocations.c")
Call = Callable[[], Any]

# ---- growth -----------------------------------------------------------------------------------------------------


def growth(good: int, failing: int, every: int = 7) -> tuple[int, int]:
    """By how many bytes resident memory grows, and how many blocks of Python's are more, in so many calls, after a
    tenth of them, and all of them twice; `every` so many-th of the catalogue of malformed arguments takes part."""
    with _little_memory():
        right, wrong = _calls(every)
    gc.collect()
    gc.freeze()  # the calls themselves: not to be looked through after every training
    try:
        for calls, count in ((right, good), (wrong, failing)):
            _repeat(calls, max(count // 10, 2 * len(calls)))
        before, blocks = _resident(), sys.getallocatedblocks()
        _repeat(right, good)
        _repeat(wrong, failing)
        return _resident() - before, sys.getallocatedblocks() - blocks
    finally:
        gc.unfreeze()


def _calls(every: int) -> tuple[list[Call], list[Call]]:
    """Calls of every entry point, and such with malformed arguments that are refused."""
    right, wrong = [_fitted], []
    for name, entry in ENTRIES.items():
        for make in entry.calls.values():
            right.append(functools.partial(entry.function, **make()))
        for case in itertools.islice(cases(name), 0, None, every):
            arguments = entry.calls[case.call]()
            ((key, label),) = case.spoiled
            if key in arguments:
                spoiled = arguments | {key: variants(arguments, key)[label](arguments, key)}
                call = functools.partial(entry.function, **spoiled)
                if _is_refused(call):
                    wrong.append(call)
    return right, wrong


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """Calls for results of gigabytes are refused soon."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + 2**28, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _fitted() -> None:
    """One call in some hundred trains a model. Model and trainer refer to each other, and are collected at once: how
    many wait for Python's collector differs from run to run, and with it the memory that is kept for the next."""
    X = np.ones((12, 3), np.float32)
    fn.Trainer(1, progress=False, seed=0).fit(fn.MLP(2, 4, lr=0.1), fn.ArrayData(X, np.zeros(12, int), batch_size=2))
    gc.collect()


def _is_refused(call: Call) -> bool:
    try:
        call()
    except MemoryError:
        return False  # where there is more
    except Exception:
        return True
    return False


def _repeat(calls: list[Call], count: int) -> None:
    for call in itertools.islice(itertools.cycle(calls), count):
        with contextlib.suppress(Exception):
            call()


def _resident() -> int:
    """Bytes, without those that glibc keeps although they are free."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


# ---- the k-th allocation ----------------------------------------------------------------------------------------

PROGRAM = batches()


def _steps() -> Arguments:
    """For a program that has to be planned anew, which takes memory."""
    entry = ENTRIES["Program.run"]
    _core.set_num_threads(1)
    PROGRAM.run(**entry.calls["Program.run"]())
    _core.set_num_threads(2)
    return entry.calls["Program.run"]()


def _large(entry: Entry) -> Entry:
    """The same on arrays of many sizes, some of them worth threads and memory of their own."""
    large = {str(case): case.seeded(large=True) for case in CASES if str(case) in entry.calls}
    calls = {label: lambda call=call: copy.deepcopy(call.arrays | call.scalars) for label, call in large.items()}
    return dataclasses.replace(entry, calls=calls or entry.calls)


# Not those that make instances of native classes: pybind11 3.1 ends the process where it cannot note a new instance.
# For its sake Python's own small objects are not made to fail either: it compares keywords with names that it has no
# memory for. Nor what takes a capsule, which a call uses up: one cannot be compared with another.
FAILING = {name: _large(entry) for name, entry in ENTRIES.items() if "." not in name and name != "from_dlpack"} | {
    "Program.run": dataclasses.replace(ENTRIES["Program.run"], function=PROGRAM.run, calls={"Program.run": _steps})
}


def _drained(shim: Any) -> list[Array]:
    """All memory that is kept to be recycled: what a call wants now, it has to allocate."""
    held = []
    for power in range(8, 23):
        for quarter in (5, 6, 7, 8):
            before = shim.living()
            while shim.living() == before:
                held.append(_core.empty((quarter << power >> 3,), "uint8"))
    return held


def _child(progress: Path, only: str) -> None:
    """Lets the allocations of each call fail, one by one; findings are printed as lines of JSON."""
    shim = ctypes.CDLL(None)
    allocations = 0
    for name, entry in FAILING.items():
        for label, make in entry.calls.items():
            if only in label:
                progress.write_text(label)
                entry.function(**make())  # what is made once, such as a thread's own variables
                for k in itertools.count(1):
                    end = _problem(shim, entry, make, k)
                    if end == "no allocation is left":
                        break
                    allocations += 1
                    if end is not None:
                        print(json.dumps([f"{label} ({name}), allocation {k}", end]), flush=True)
    print(json.dumps(allocations))


def _problem(shim: Any, entry: Entry, make: Callable[[], dict[str, Any]], k: int) -> str | None:
    """What is wrong with a call whose k-th allocation fails, or that there is none."""
    arguments = make()
    before = _bits(list(arguments.values()))
    held = _drained(shim)
    outcome = _failing(shim, entry, arguments, k)
    held.clear()
    if outcome is None:
        return "no allocation is left"
    expected = make()
    result = _bits([entry.function(**expected), *expected.values()])
    if isinstance(outcome, MemoryError):
        if _bits(list(arguments.values())) != before:
            return "wrote, and raised MemoryError"
    elif isinstance(outcome, Exception):
        return f"raised {outcome!r}"
    elif _bits([outcome[0], *arguments.values()]) != result:
        return "gave another result"
    after = make()
    if _bits([entry.function(**after), *after.values()]) != result:
        return "the next call gave another result"
    return _leak(shim, entry, make, k)


def _failing(shim: Any, entry: Entry, arguments: dict[str, Any], k: int) -> tuple[Any] | Exception | None:
    """The result or the exception of a call whose k-th allocation fails; None where it has fewer."""
    outcome: tuple[Any] | Exception | None
    try:
        shim.fail_at(k)
        outcome = (entry.function(**arguments),)
    except Exception as error:
        outcome = error
    try:
        ahead = shim.failure_is_ahead()
        shim.fail_at(0)
    except MemoryError:  # here, not there
        return None
    return None if ahead else outcome


def _leak(shim: Any, entry: Entry, make: Callable[[], dict[str, Any]], k: int) -> str | None:
    """Blocks that more and more failures leave: caches fill up, and leaks do not."""
    arguments, rounds, lives = make(), 8, []
    for _ in range(3):
        for _ in range(rounds):
            _failing(shim, entry, arguments, k)
        gc.collect()
        lives.append(shim.living())
    grows = lives[2] - lives[1] >= rounds and lives[1] - lives[0] >= rounds
    return f"{rounds} calls leave {lives[2] - lives[1]} blocks" if grows else None


def allocations(only: str = "") -> tuple[int, dict[str, str]]:
    """How many allocations have failed, and what was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        progress, library = Path(folder, "progress"), Path(folder, "allocations.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, SHIM], check=True)
        progress.write_text("start")
        command = [sys.executable, "-P", "-m", "faults.memory", "--child", str(progress), "--only", only]
        end, lines = watched(["env", f"LD_PRELOAD={library}", *command], progress)
        *found, total = (*map(json.loads, lines), *([] if end is None else [0]))
        findings = dict(found)
        if end is not None:
            findings[progress.read_text()] = end
        return total, findings


def _lines(findings: dict[str, str]) -> Iterator[str]:
    for call, problem in findings.items():
        yield f"{call}\n    {problem}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--good", type=int, default=1_000_000, help="calls")
    parser.add_argument("--failing", type=int, default=100_000, help="calls that are refused")
    parser.add_argument("--only", default="", metavar="TEXT", help="calls whose name holds this")
    options = parser.parse_args()
    if options.child is not None:
        _child(options.child, options.only)
        return 0
    grown, blocks = growth(options.good, options.failing)
    print(f"{options.good} calls and {options.failing} that failed: {grown / 2**20:.2f} MiB and {blocks} blocks more")
    total, findings = allocations(options.only)
    print("\n".join(_lines(findings)))
    print(f"{total} allocations failed, {len(findings)} findings")
    return 1 if findings or grown > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
