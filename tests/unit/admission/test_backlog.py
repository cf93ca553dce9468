"""Ten minutes of backlog against the vendor's own meter, in virtual time: the quota is used, and never exceeded."""

from typing import Any

import pytest

from tests.support import ManualClock
from tests.unit.admission.conftest import Subject, limited
from tests.unit.admission.traffic import Backlog, account
from workers.admission import MemoryAdmission

SECONDS = 600


async def test_two_workers_use_the_whole_quota_and_no_window_exceeds_it(subject: Subject) -> None:
    backlog = Backlog(subject.admission, limited(), subject.clock, account(tpm=90_000), seed=7)

    report = await backlog.run(SECONDS)

    assert backlog.traffic.tokens / (90_000 + 1_500 * SECONDS) >= 0.97
    assert backlog.traffic.refused == 0
    assert (report.offered_tokens.excess, report.offered_requests.excess) == (0, 0)
    state = await subject.read(limited())
    assert (state.in_flight, state.reserved_tokens, state.reserved_requests) == (0, 0, 0)


CASES: dict[str, dict[str, Any]] = {
    "six workers": {"workers": 6},
    "long answers": {"output": (900, 0.8)},
    "answers of all lengths": {"output": (350, 1.0)},
    "a large quota": {"tpm": 200_000},
    "a small quota": {"tpm": 30_000},
    "requests are short": {"rpm": 30},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_so_it_is_with_other_traffic(case: dict[str, Any]) -> None:
    tpm, rpm = case.get("tpm", 90_000), case.get("rpm")
    traffic = {name: value for name, value in case.items() if name not in {"tpm", "rpm"}}
    clock = ManualClock()
    effective = limited(tpm=tpm, refill=tpm / 60, rpm_capacity=rpm)
    vendor = account(tpm=tpm) if rpm is None else account(tpm=tpm, rpm=rpm)
    backlog = Backlog(MemoryAdmission(clock), effective, clock, vendor, seed=1, **traffic)

    report = await backlog.run(SECONDS)

    done, quota = (backlog.traffic.tokens, tpm) if rpm is None else (backlog.traffic.calls, rpm)
    assert done / (quota + quota / 60 * SECONDS) >= 0.97
    assert backlog.traffic.refused == 0
    assert (report.offered_tokens.excess, report.offered_requests.excess) == (0, 0)


async def test_a_vendor_that_grants_less_than_declared_is_learned_of(subject: Subject) -> None:
    # Declared 90,000 a minute, granted 30,000, and no header says so.
    backlog = Backlog(subject.admission, limited(), subject.clock, account(tpm=30_000), seed=3)

    await backlog.run(SECONDS)

    assert backlog.traffic.tokens / (30_000 + 500 * SECONDS) >= 0.95
    # All that was under way at once is refused at first; after that one in so many.
    assert backlog.traffic.refused / backlog.traffic.calls < 0.2
