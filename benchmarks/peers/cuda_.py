"""fastnn on a GPU: a kernel, or a whole training step, as a graph that is launched again and again."""

import os
from typing import Any

import numpy as np

from fastnn import _core, devices, kernels, set_float32_matmul_precision

from ..train import Problem
from . import Array, Kernel, Unsupported
from .fastnn_ import Fastnn, ReplayedTraining


class Cuda(Fastnn):
    """A call of a kernel is `REPEATS` of it: one alone would be the time of launching and of waiting."""

    REPEATS = 50
    PRECISION = "float32"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        devices.resolve("benchmarks", "cuda")
        set_float32_matmul_precision(self.PRECISION)

    def kernel(self, name: str, arrays: tuple[Array, ...], scalars: dict[str, Any]) -> Kernel:
        """A call launches a graph of the kernel, `REPEATS` times."""
        if name not in vars(kernels):
            raise Unsupported(f"no kernel {name}")
        if name in ("matmul", "linear"):
            scalars = scalars | {"precision": self.PRECISION}
        kernel, operands = getattr(_core, name), [_core.transfer(array, device="cuda") for array in arrays]
        results = kernel(*operands, **scalars)
        out = {} if results is None else {"out": results}
        if results is None:  # in place: of param and velocity
            results = operands[0], operands[2]
        _core.synchronize()
        results = tuple(np.array(result) for result in (results if isinstance(results, tuple) else (results,)))
        program = _core.Program([])
        program.record(lambda: kernel(*operands, **scalars, **out))

        def call() -> tuple[Array, ...]:
            program.run(self.REPEATS)
            return results  # of the first call: those that follow change what is updated in place

        return call

    def training(self, problem: Problem) -> ReplayedTraining:
        return ReplayedTraining(problem, "cuda")


class Launched(Cuda):
    """Kernels of small models are launched one by one too."""

    def __init__(self, threads: int) -> None:
        os.environ["FASTNN_CUDA_RESIDENT"] = "0"  # of this process
        super().__init__(threads)


class Tf32(Cuda):
    """Products by cuBLASLt, of factors rounded to TF32."""

    PRECISION = "tf32"


class Bf16(Cuda):
    """Products by cuBLASLt, of factors rounded to bfloat16."""

    PRECISION = "bf16"
