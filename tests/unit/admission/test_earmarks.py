"""What batches take from budgets: set aside before they are sent, put right by what they cost, each once."""

from decimal import Decimal
from typing import Any

import pytest

from config.connections import EffectiveConnection, ProjectProfile
from config.prices import PICO
from tests.support import START
from tests.unit.admission.conftest import Subject, about, demand, limited
from workers.admission import Reason, Refusal
from workers.admission.budget import day_of
from workers.alerts import AlertKind

TODAY = day_of(START.timestamp())
NOON = 12 * 3_600.0
CENT = PICO // 100


def capped(**caps: Any) -> EffectiveConnection:
    fields: dict[str, Any] = {name: cap if name == "on_spend_cap" else Decimal(cap) for name, cap in caps.items()}
    return limited(**fields)


async def spent(subject: Subject, effective: EffectiveConnection) -> dict[tuple[str | None, str], int]:
    return {(row.connection, row.period): row.spent for row in (await subject.read(effective)).spends}


async def test_it_counts_in_all_budgets_of_the_connection(subject: Subject) -> None:
    effective = limited()

    assert await subject.admission.earmark(effective, name="b", cost=CENT) == TODAY

    assert set((await spent(subject, effective)).values()) == {CENT}
    # It takes nothing of the meter: vendors meter batches apart.
    state = await subject.read(effective)
    assert (state.in_flight, state.reserved_tokens, state.reserved_requests) == (0, 0, 0)


async def test_a_name_takes_once(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.015")
    for _ in range(3):
        assert await subject.admission.earmark(effective, name="b", cost=CENT) == TODAY
    subject.clock.seconds += 86_400

    # A day later it is still in the budget of the day on which it was set aside.
    assert await subject.admission.earmark(effective, name="b", cost=CENT) == TODAY
    assert (await spent(subject, effective))["primary", "day"] == 0


async def test_it_is_put_right_once_in_the_day_in_which_it_was_set_aside(subject: Subject) -> None:
    effective = limited()
    await subject.admission.earmark(effective, name="b", cost=5 * CENT)
    subject.clock.seconds += 86_400
    await subject.admission.earmark(effective, name="c", cost=CENT)

    for _ in range(2):
        await subject.admission.put_right(effective, name="b", cost=2 * CENT, day=TODAY)

    assert await spent(subject, effective) == {
        ("primary", "day"): CENT,
        ("primary", "month"): 3 * CENT,
        (None, "day"): CENT,
        (None, "month"): 3 * CENT,
    }


async def test_what_was_never_set_aside_is_not_put_right(subject: Subject) -> None:
    effective = limited()

    await subject.admission.put_right(effective, name="b", cost=CENT, day=TODAY)

    assert set((await spent(subject, effective)).values()) == {0}


@pytest.mark.parametrize(
    ("effective", "wait"),
    [
        (capped(spend_cap_day_usd="0.005"), NOON),
        (capped(spend_cap_month_usd="0.005"), NOON + 7 * 86_400),
        (limited(profile=ProjectProfile(spend_cap_day_usd=Decimal("0.005"))), NOON),
    ],
    ids=["day", "month", "project"],
)
async def test_a_cap_refuses_what_has_no_room_in_it(
    subject: Subject, effective: EffectiveConnection, wait: float
) -> None:
    refusal = await subject.admission.earmark(effective, name="b", cost=CENT)

    assert refusal == Refusal(reason=Reason.BUDGET, wait=about(wait))
    assert set((await spent(subject, effective)).values()) == {0}
    assert subject.told() == [AlertKind.BUDGET_PAUSED]


async def test_a_project_that_wants_its_jobs_to_fail_at_a_cap_is_not_to_wait(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.005", on_spend_cap="fail")

    refusal = await subject.admission.earmark(effective, name="b", cost=CENT)

    assert isinstance(refusal, Refusal)
    assert refusal.final


async def test_batches_and_calls_share_a_cap(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.02")
    await subject.admission.earmark(effective, name="b", cost=2 * CENT)

    refusal = await subject.refusal(effective, demand(1, price=1))

    assert refusal.reason is Reason.BUDGET
    await subject.admission.put_right(effective, name="b", cost=CENT, day=TODAY)
    await subject.lease(effective, demand(1, price=1))


async def test_a_budget_that_runs_out_is_told_of(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.1")

    await subject.admission.earmark(effective, name="b", cost=9 * CENT)
    await subject.admission.put_right(effective, name="b", cost=10 * CENT, day=TODAY)

    assert subject.told() == [AlertKind.BUDGET_WARNING, AlertKind.BUDGET_PAUSED]
