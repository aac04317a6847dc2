"""What this process computes for the whole case table, as JSON: a hash of each case's results, and what is wrong.

FASTNN_ISA=avx2 python -m kernels.report
"""

import hashlib
import json

from fastnn import _core, kernels
from kernels.cases import CASES, Case
from kernels.comparing import bits, check


def report(case: Case) -> dict[str, str | None]:
    sha = hashlib.sha256()
    problem = None
    for call in [*(case.seeded(salt) for salt in range(4)), case.seeded(large=True)]:
        for result in case.run(kernels, call):
            sha.update(repr(bits(result)).encode())
        try:
            check(case, call)
        except AssertionError as error:
            problem = str(error)
    return {"digest": sha.hexdigest(), "problem": problem}


if __name__ == "__main__":
    print(json.dumps({"isa": _core.config()["isa"], **{str(case): report(case) for case in CASES}}))
