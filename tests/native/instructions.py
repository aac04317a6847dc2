"""Counts the instructions of hot paths with callgrind and compares them with `instructions.json`.

python instructions.py build/release/tests/native/instructions          fails where one takes more than it may
python instructions.py build/release/tests/native/instructions --fix    writes the counts anew

Unlike times, instructions are the same on every machine; but every compiler makes its own, so that only the one that
the counts are of is held to them. Valgrind knows no AVX-512: the kernels are those of AVX2.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BUDGETS = Path(__file__).with_suffix(".json")
TOLERANCE = 0.03
"""How much more than its committed count a path may take: a change that is looked at, not the noise of any run."""


def count(program: str) -> tuple[str, dict[str, int]]:
    """The compiler that `program` tells, and the instructions of each path: a dump of callgrind, in order."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--collect-atstart=no", "--toggle-collect=measured", "--dump-after=measured"]
        output = subprocess.run(
            ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/dump", *options, program],
            env=os.environ | {"FASTNN_ISA": "avx2", "LD_BIND_NOW": "1"},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        compiler, *names = output.splitlines()
        dumps = [Path(folder, f"dump.{i}").read_text() for i in range(1, len(names) + 1)]
    totals = [re.findall(r"^summary: (\d+)$", dump, re.MULTILINE) for dump in dumps]
    return compiler, {name: int(total) for name, (total,) in zip(names, totals, strict=True)}


def compare(found: dict[str, int], budgets: dict[str, int]) -> list[str]:
    """Prints a line for each path; gives the names of those that take too many instructions or have no budget."""
    failed = []
    for name, instructions in found.items():
        more = instructions / budgets[name] - 1 if name in budgets else float("inf")
        print(f"{name:<50} {instructions:>12,} {more:>+8.1%}")
        if more > TOLERANCE:
            failed.append(name)
        elif more < -TOLERANCE:
            print("    less than it may: write the counts anew with --fix, to keep it so")
    return failed + [name for name in budgets if name not in found]


def main(program: str, *options: str) -> int:
    compiler, found = count(program)
    if "--fix" in options:
        BUDGETS.write_text(json.dumps({"compiler": compiler, "instructions": found}, indent=2) + "\n")
        return 0
    committed = json.loads(BUDGETS.read_text())
    failed = compare(found, committed["instructions"])
    if compiler != committed["compiler"]:
        print(f"not held to the counts, which are those of {committed['compiler']}: this is {compiler}")
        return 0
    if failed:
        print(f"over the budget by more than {TOLERANCE:.0%}, or not in it: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
