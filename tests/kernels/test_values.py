"""Every kernel computes what the reference does: to the bit where results are rounded once, else within its bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.cases import CASES, Case
from kernels.comparing import check
from kernels.sampling import Sampler

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
@given(data=st.data())
def test_result_is_within_its_bound(case: Case, data: st.DataObject) -> None:
    sampler = Sampler(lambda low, high: data.draw(st.integers(low, high)))
    check(case, case.make(sampler, case.dtype))


@every_case
@pytest.mark.parametrize("salt", range(2))
def test_large_result_is_within_its_bound(case: Case, salt: int) -> None:
    check(case, case.seeded(salt, large=True))
