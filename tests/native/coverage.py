"""Tells which branches of the native code the tests take: `nox -s coverage` runs them, and this on what gcovr has read.

python tests/native/coverage.py build/coverage.json

A branch has been taken where any instance of its template and any instruction set has taken it. What no test takes
stands in `uncovered.toml`, line by line, with the reason: a line that is missing there fails, and so does one that is
there and need not be.
"""

import json
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REASONS = Path(__file__).with_name("uncovered.toml")
# Where a line decides nothing, its branches are those of exceptions that leave a call.
DECISION = re.compile(r"\b(if|for|while|switch)\b|&&|\|\||\?")
Lines = dict[tuple[str, str], tuple[int, int]]
"""By file and text: how many branches, and how many of them have been taken."""


def merged(report: dict[str, Any], root: Path = ROOT) -> Lines:
    """What a report of gcovr tells of every line that decides something."""
    lines: Lines = {}
    for file in report["files"]:
        source = (root / file["file"]).read_text().splitlines()
        instances = defaultdict(list)
        for line in file["lines"]:
            branches = [(branch["count"] > 0, branch["throw"]) for branch in line["branches"]]
            instances[line["line_number"]].append((line["count"] > 0, branches))
        for number, found in instances.items():
            text = source[number - 1].strip()
            if DECISION.search(text.split("//")[0]):
                branches, taken = lines.get((file["file"], text), (0, 0))
                more, more_taken = _branches(found)
                lines[file["file"], text] = branches + more, taken + more_taken
    return lines


def _branches(instances: list[tuple[bool, list[tuple[bool, bool]]]]) -> tuple[int, int]:
    """Those of a line and those taken. Its instances have been run or not, and may differ in what they decide when
    compiled; gcov tells that an exception takes a branch only where the call before it has been made."""
    run = [branches for was_run, branches in instances if was_run] or [max((b for _, b in instances), key=len)]
    kinds = defaultdict(list)
    for branches in run:
        kinds[len(branches)].append(branches)
    taken = [
        any(was_taken for was_taken, _ in branch)
        for kind in kinds.values()
        for branch in zip(*kind, strict=True)
        if not any(is_throw for _, is_throw in branch)
    ]
    return len(taken), sum(taken)


def explained() -> dict[tuple[str, str], str]:
    """The reason for each line that has branches which no test takes."""
    reasons = tomllib.loads(REASONS.read_text())
    return {
        (file, line): reason
        for reason, files in reasons.items()
        for file, lines in files.items()
        if file != "why"
        for line in lines
    }


def compare(lines: Lines, reasons: dict[tuple[str, str], str]) -> list[str]:
    """Prints how many branches each file has, how many are taken, and how many are not for which reason; gives what is
    wrong with the reasons."""
    files: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    missed: dict[str, int] = defaultdict(int)
    for (file, text), (branches, taken) in lines.items():
        files[file][0] += branches
        files[file][1] += taken
        if branches > taken:
            missed[reasons.get((file, text), "no reason")] += branches - taken
    for file, (branches, taken) in sorted(files.items()):
        print(f"{file:<40} {taken:>5} of {branches:>5} {taken / max(1, branches):>8.1%}")
    branches, taken = (sum(numbers) for numbers in zip(*files.values(), strict=True))
    print(f"{'all':<40} {taken:>5} of {branches:>5} {taken / branches:>8.1%}")
    for reason, count in sorted(missed.items()):
        print(f"    not taken, {reason}: {count}")
    open_lines = {line for line, (branches, taken) in lines.items() if branches > taken}
    return [
        *(
            f"no test takes every branch, without a reason: {': '.join(line)}"
            for line in sorted(open_lines - {*reasons})
        ),
        *(f"a reason, but no branch that no test takes: {': '.join(line)}" for line in sorted({*reasons} - open_lines)),
    ]


def main(report: str) -> int:
    wrong = compare(merged(json.loads(Path(report).read_text())), explained())
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
