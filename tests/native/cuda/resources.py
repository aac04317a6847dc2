"""What kernels take of a device, from what `nvcc -Xptxas=-v` has said while it compiled them.

    python tests/native/cuda/resources.py build/cuda/ptxas.log [--all]

prints registers and shared memory of the largest kernels (or of all), and fails where one keeps registers or arrays in
local memory, which is the device's slow memory.
"""

import contextlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


@dataclass
class Kernel:
    name: str
    architecture: str
    local: int = 0  # bytes in local memory
    registers: int = 0
    shared: int = 0  # bytes


def parse(log: str) -> list[Kernel]:
    """The kernels of a log, in its order."""
    kernels: list[Kernel] = []
    for line in log.splitlines():
        if entry := ENTRY.search(line):
            kernels.append(Kernel(*entry.groups()))
        elif not kernels:
            continue
        elif stack := STACK.search(line):
            kernels[-1].local = max(kernels[-1].local, *map(int, stack.groups()))
        elif used := USED.search(line):
            kernels[-1].registers = int(used[1])
            kernels[-1].shared = int(shared[1]) if (shared := SHARED.search(line)) else 0
    return kernels


def readable(kernels: list[Kernel]) -> list[str]:
    """Their names without namespaces and parameters, as far as c++filt is there to say them."""
    names = "\n".join(kernel.name for kernel in kernels)
    with contextlib.suppress(FileNotFoundError):
        names = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout
    hidden = r"fastnn::cuda::|fastnn::|\(anonymous namespace\)::|^void |\(\(?(?!anonymous).*\)$"
    return [re.sub(hidden, "", name) for name in names.splitlines()]


def main(path: str, *options: str) -> int:
    kernels = parse(Path(path).read_text())
    if not kernels:
        print(f"{path} tells of no kernel")
        return 1
    shown = sorted(kernels, key=lambda kernel: -kernel.registers)
    shown = shown if "--all" in options else shown[:20]
    for kernel, name in zip(shown, readable(shown), strict=True):
        print(f"{kernel.architecture:8}{kernel.registers:4} registers{kernel.shared:7} bytes shared  {name[:90]}")
    bad = [kernel for kernel in kernels if kernel.local > 0]
    for kernel, name in zip(bad, readable(bad), strict=True):
        print(f"{kernel.architecture}: {kernel.local} bytes of local memory in {name}")
    architectures = sorted({kernel.architecture for kernel in kernels})
    print(f"{len(kernels)} kernels for {', '.join(architectures)}; {len(bad)} with local memory")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
