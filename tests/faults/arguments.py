"""The campaign of malformed arguments: `python -m faults.arguments` calls every native entry point with all of them.

The calls are made in a child process, so that a crash or a hang is a finding like any other. For each call this holds:
it raises an exception that names the entry point, and has written nothing; or every argument stands for a plain one,
and the results, the memory written and the memory around it are those of the call with the plain arguments.
"""

import argparse
import itertools
import json
import mmap
import operator
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kernels.comparing import bits
from kernels.sampling import Array

from fastnn import _core, kernels
from faults import environment
from faults.entries import ENTRIES, Arguments, Entry
from faults.malformed import Boom, variants

SECONDS = 300  # without a finished call are a hang; the machine may be busy with other things
MOST_MEMORY = 2**31  # that a call may ask for: beyond it, MemoryError comes quickly
PADDING = 64  # bytes around each array, watched
REFUSALS = (TypeError, ValueError, IndexError, MemoryError)


@dataclass(frozen=True)
class Case:
    """A call of an entry point: the name of valid arguments, and what is put in the place of some of them.

    `spoiled` pairs arguments with labels of the catalogue, or stands for a broken signature.
    """

    entry: Entry
    call: str
    spoiled: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.call}: {', '.join(f'{name} = {label}' for name, label in self.spoiled)}"

    def problem(self) -> str | None:
        """What is wrong with what the call does, or None."""
        valid = {name: _guarded(x) for name, x in self.entry.calls[self.call]().items()}
        arguments, positional = dict(valid), ()
        for name, label in self.spoiled:
            if name in _SIGNATURES:
                positional = _SIGNATURES[name](arguments, label)
            else:
                arguments[name] = variants(valid, name)[label](valid, name)
        return _problem(self.entry, self.entry.written[self.call], positional, arguments)


def cases(name: str) -> Iterator[Case]:
    """Each argument of each kind of call of an entry point spoiled in every way, and broken signatures."""
    entry = ENTRIES[name]
    for call, make in entry.calls.items():
        arguments = make()
        for key in entry.kinds:
            for label in variants(arguments, key):
                yield Case(entry, call, ((key, label),))
        for key in entry.required:
            yield Case(entry, call, (("left out", key),))
        yield Case(entry, call, (("too many", ""),))
        yield Case(entry, call, (("unknown keyword", "nonsense"),))
        for key in itertools.islice(entry.kinds, 1):
            yield Case(entry, call, (("twice", key),))


def several(seed: int) -> Iterator[Case]:
    """Two or three arguments spoiled at once, drawn without end."""
    draw = random.Random(seed)
    names = [name for name, entry in ENTRIES.items() if len(entry.kinds) > 1]
    while True:
        entry = ENTRIES[draw.choice(names)]
        call = draw.choice(list(entry.calls))
        arguments = entry.calls[call]()
        keys = draw.sample(list(entry.kinds), min(len(entry.kinds), draw.randint(2, 3)))
        yield Case(entry, call, tuple((key, draw.choice(list(variants(arguments, key)))) for key in keys))


_SIGNATURES = {
    "left out": lambda arguments, name: [arguments.pop(name)][1:],
    "too many": lambda arguments, _: (None,) * 40,
    "unknown keyword": lambda arguments, name: arguments.update({name: 1}) or (),
    "twice": lambda arguments, name: (arguments.get(name),),
}

# ---- what must hold ---------------------------------------------------------------------------------------------


def _problem(entry: Entry, written: Sequence[str], positional: Sequence[Any], arguments: Arguments) -> str | None:
    roots = _roots(arguments)
    before = [_flat(root).copy() for root in roots]
    try:
        plain = {name: _plain(entry.kinds[name], value) for name, value in arguments.items()}
        expected = TypeError("a broken signature") if positional else _outcome(entry, (), plain)
    except (KeyError, *_NOT_PLAIN) as error:
        expected = error
    outcome = _outcome(entry, positional, arguments)
    _core.set_num_threads(2)  # as an accepted call may have set it
    if isinstance(outcome, Exception):
        changed = [i for i, root in enumerate(roots) if not np.array_equal(_flat(root), before[i])]
        return "wrote, and raised " + repr(outcome) if changed else _complaint(entry, arguments, outcome)
    if isinstance(expected, Exception):
        return f"was accepted: {expected!r}"
    given = [arguments[name] for name in (*written, "out") if arguments.get(name) is not None]
    places = [place for value in given for place in (value if isinstance(value, list | tuple) else [value])]
    for root, old in zip(roots, before, strict=True):
        if not np.array_equal(_without(root, _flat(root), places), _without(root, old, places)):
            return "changed what is no result"
    got = [outcome, *(arguments[name] for name in written)]
    wanted = [expected, *(plain[name] for name in written)]
    return None if _bits(got) == _bits(wanted) else f"gave {_bits(got)!r:.200}, not {_bits(wanted)!r:.200}"


def _outcome(entry: Entry, positional: Sequence[Any], arguments: Arguments) -> Any:
    try:
        return entry.function(*positional, **arguments)
    except Exception as error:
        return error


def _complaint(entry: Entry, arguments: Arguments, error: Exception) -> str | None:
    """What is wrong with an exception."""
    if isinstance(error, Boom | MemoryError):
        return None
    message = str(error)
    if not isinstance(error, REFUSALS):
        return f"raised {error!r:.200}"
    if entry.name not in kernels.__all__ and "arguments" in message:  # of the signature, said by pybind11
        return None
    if "." in entry.name:  # no user reaches these
        return None
    if not re.match(rf"\[{entry.operation}(_with_grad)?\] ", message):
        return f"says {message!r:.200}"
    if len(message) > 1000:
        return f"says {len(message)} characters"
    names = "|".join([*entry.kinds, *arguments, "positional arguments", "size overflows"])
    return None if re.search(rf"\b({names})\b", message) else f"names no argument: {message!r}"


def _bits(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return bits(np.asarray(value))
    return [_bits(part) for part in value] if isinstance(value, list | tuple) else repr(value)


# ---- plain arguments --------------------------------------------------------------------------------------------

_NOT_PLAIN = (TypeError, ValueError, OverflowError, Boom, RecursionError)


def _plain(kinds: Sequence[Any], value: Any) -> Any:
    """What `value` stands for: a contiguous copy of an array, a Python number; an error where it is neither."""
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is Any:
            return value
        if kind is np.ndarray:
            return _plain_array(value)
        if kind is int and hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0:
            return operator.index(value)
        if kind is float and not isinstance(value, str | bytes | bytearray):
            return float(value)
        if kind is bool and isinstance(value, bool | np.bool_):
            return bool(value)
        if kind is str and isinstance(value, str) and value.isprintable():
            return str(value)
        if kind is np.dtype and value is not None and np.dtype(value).isnative:
            return np.dtype(value).name
        if kind in (tuple[int, ...], tuple[int, int]) and isinstance(
            value, list | tuple | range | bytearray | memoryview | np.ndarray
        ):
            return tuple(map(operator.index, value))
        if kind == tuple[np.ndarray, np.ndarray] and isinstance(value, list | tuple) and len(value) == 2:
            return tuple(map(_plain_array, value))
        if kind is list and isinstance(value, list | tuple):
            return [_plain_array(x) if isinstance(x, np.ndarray) else _slot(x) for x in value]
        if kind is Callable and callable(value):
            return value
    raise TypeError(f"{type(value).__name__} is none of {kinds}")


def _slot(value: Any) -> _core.Slot:
    if not isinstance(value, _core.Slot):
        raise TypeError(f"{type(value).__name__} is no Slot")
    return value


def _plain_array(value: Any) -> Array:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} is no array")
    if not (value.dtype.isnative and value.dtype.kind in "biuf" and value.flags.aligned and value.ndim <= 8):
        raise TypeError(f"an array of {value.dtype}, aligned or not")
    if value.nbytes > MOST_MEMORY:
        return value  # by strides of 0, and no copy can be had
    return np.array(value.view(np.ndarray), order="C")


# ---- memory -----------------------------------------------------------------------------------------------------


def _guarded(value: Any) -> Any:
    """A copy of an array with watched bytes on both sides."""
    if not isinstance(value, np.ndarray):
        return value
    memory = np.full(value.nbytes + 2 * PADDING, 0xA5, np.uint8)
    copy = memory[PADDING : PADDING + value.nbytes].view(value.dtype).reshape(value.shape)
    copy[...] = value
    return copy


def _roots(value: Any) -> list[Array]:
    """The arrays that own the memory of all arrays among the arguments."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        roots = list(itertools.chain.from_iterable(map(_roots, value)))
        return list({id(root): root for root in roots}.values())
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return []
    root = value
    while isinstance(root.base, np.ndarray):
        root = root.base
    return [root.view(np.ndarray)] if root.flags.forc else []


def _flat(root: Array) -> Array:
    """The bytes of an array without gaps."""
    return (root if root.flags.c_contiguous else root.T).reshape(-1).view(np.uint8)


def _without(root: Array, flat: Array, places: Sequence[Array]) -> Array:
    """`flat`, the bytes of `root`, with those of `places` set to 0."""
    flat = flat.copy()
    start = root.__array_interface__["data"][0]
    for place in places:
        offset = place.__array_interface__["data"][0] - start
        if place.size and 0 <= offset < flat.size:
            view = np.ndarray(place.shape, f"V{place.itemsize}", flat.data, offset, place.strides)
            view[...] = np.zeros((), view.dtype)
    return flat


# ---- the child --------------------------------------------------------------------------------------------------


def _selected(every: int, more: int, seed: int, only: str) -> Iterator[Case]:
    single = itertools.chain.from_iterable(cases(name) for name in ENTRIES)
    chosen = itertools.chain(itertools.islice(single, 0, None, every), itertools.islice(several(seed), more))
    return (case for case in chosen if only in str(case))


def _child(first: int, progress: Path, **selection: Any) -> None:
    """Runs the cases from number `first` on: the number of the present one stands in `progress`, findings are printed
    as lines of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MOST_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    np.seterr(all="ignore")
    with open(progress, "r+b") as file, mmap.mmap(file.fileno(), 8) as number:
        for i, case in enumerate(_selected(**selection)):
            number[:] = i.to_bytes(8, "little")
            if i >= first and (problem := case.problem()) is not None:
                print(json.dumps([str(case), problem]), flush=True)
    print(json.dumps(i + 1))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


# ---- the parent -------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """How many calls were made, and of which of them something is wrong."""

    calls: int
    findings: dict[str, str]


def campaign(every: int = 1, more: int = 0, seed: int = 0, only: str = "", crashes: int = 20) -> Report:
    """Every so many-th case with one argument spoiled, and `more` with several, until so many crashes."""
    findings: dict[str, str] = {}
    selection = {"every": every, "more": more, "seed": seed, "only": only}
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder, "progress")
        progress.write_bytes(bytes(8))
        first = 0
        while len(findings) < 1000 and crashes > 0:
            options = json.dumps({"first": first, "progress": str(progress), **selection})
            end, lines = watched([sys.executable, "-P", "-m", "faults.arguments", "--child", options], progress)
            *found, total = (*map(json.loads, lines), *([] if end is None else [None]))
            findings |= dict(found)
            if end is None:
                return Report(total, findings)
            at = int.from_bytes(progress.read_bytes(), "little")
            findings[str(next(itertools.islice(_selected(**selection), at, None)))] = end
            first, crashes = at + 1, crashes - 1
    return Report(first, findings)


def watched(command: Sequence[str], progress: Path, seconds: float = SECONDS) -> tuple[str | None, list[str]]:
    """How the process of `command` ended, None for well, and what it printed; it has hung when `progress` stands still
    for so many seconds."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment())
        status, at, before = None, progress.read_bytes(), b""
        while status is None and at != before:
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                at, before = progress.read_bytes(), at
        if status is None:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        last = " ".join(errors.read().strip().splitlines()[-3:])
        end = f"hung for {seconds} seconds" if status is None else f"ended with {status}: {last}" if status else None
        return end, output.read().splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.arguments", description=__doc__.splitlines()[0])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every so many-th case of one argument")
    parser.add_argument("--more", type=int, default=100_000, metavar="N", help="cases of several arguments")
    parser.add_argument("--seed", type=int, default=0, help="of the cases of several arguments")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose description holds this")
    options = vars(parser.parse_args())
    child = options.pop("child")
    if child is not None:
        _child(**json.loads(child))
        return 0
    report = campaign(**options)
    for case, problem in report.findings.items():
        print(f"{case}\n    {problem}")
    print(f"{report.calls} calls of {len(ENTRIES)} entry points, {len(report.findings)} findings")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
