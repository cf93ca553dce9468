"""Spend caps: what may be spent is set aside before the call, and put right after it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from config.connections import EffectiveConnection, ProjectProfile
from config.prices import PICO
from tests.support import START
from tests.unit.admission.conftest import Subject, about, demand, limited, used
from workers.admission import Reason, Refusal
from workers.admission.budget import counters, day_of, pico_usd, usd
from workers.alerts import AlertKind

#: A tenth of a dollar per call of a hundred tokens.
PRICE = PICO // 1_000
CALL = demand(99, price=PRICE)
COST = PICO // 10
#: 12:00 UTC on 23 November 2026 is where the clock starts.
NOON = 12 * 3_600.0


def capped(**caps: Any) -> EffectiveConnection:
    """A connection with caps of its own."""
    fields: dict[str, Any] = {name: cap if name == "on_spend_cap" else Decimal(cap) for name, cap in caps.items()}
    return limited(**fields)


def project_capped(**caps: Any) -> EffectiveConnection:
    """A connection of a project with caps."""
    return limited(profile=ProjectProfile(**caps))


async def spend(subject: Subject, effective: EffectiveConnection, *costs: int) -> None:
    for cost in costs:
        await (await subject.lease(effective, CALL)).settle(used(0, cost=cost))


async def spent(subject: Subject, effective: EffectiveConnection) -> dict[tuple[str | None, str], int]:
    return {(row.connection, row.period): row.spent for row in (await subject.read(effective)).spends}


async def test_a_cap_is_reserved_before_the_call_so_that_calls_at_once_do_not_overshoot(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.25")
    for _ in range(2):
        await subject.lease(effective, CALL)

    assert await subject.refusal(effective, CALL) == Refusal(reason=Reason.BUDGET, wait=about(NOON))


async def test_what_was_not_spent_may_be_spent_by_the_next(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.25")
    await spend(subject, effective, 0, COST // 2, COST // 2, 0)
    lease = await subject.lease(effective, CALL)
    await lease.refund()

    await subject.lease(effective, CALL)

    assert (await spent(subject, effective))["primary", "day"] == COST * 2


async def test_a_cap_that_is_used_up_to_the_last_stops_calls_that_cost_nothing_too(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.1")
    await spend(subject, effective, COST)

    assert (await subject.refusal(effective, demand(1))).reason is Reason.BUDGET


@pytest.mark.parametrize(
    ("caps", "wait"),
    [
        ({"spend_cap_day_usd": "0.01"}, NOON),
        ({"spend_cap_month_usd": "0.01"}, NOON + 7 * 86_400),
        ({"spend_cap_day_usd": "0.01", "spend_cap_month_usd": "0.01"}, NOON + 7 * 86_400),
    ],
    ids=["day", "month", "both"],
)
@pytest.mark.parametrize("make", [capped, project_capped])
async def test_the_wait_is_until_the_period_ends(
    subject: Subject, make: Any, caps: dict[str, str], wait: float
) -> None:
    assert (await subject.refusal(make(**caps), CALL)).wait == pytest.approx(wait)


async def test_a_new_day_has_a_new_budget_and_the_month_goes_on(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="0.1", spend_cap_month_usd="0.25")
    await spend(subject, effective, COST)
    assert isinstance(await subject.admission.admit(effective, CALL), Refusal)

    subject.clock.seconds += NOON
    await spend(subject, effective, COST)

    assert await spent(subject, effective) == {
        ("primary", "day"): COST,
        ("primary", "month"): COST * 2,
        (None, "day"): COST,
        (None, "month"): COST * 2,
    }
    subject.clock.seconds += NOON * 2
    assert (await subject.refusal(effective, CALL)).wait == pytest.approx(6 * 86_400)


async def test_a_call_over_midnight_is_settled_on_the_day_that_it_began(subject: Subject) -> None:
    effective = limited()
    subject.clock.seconds = NOON - 1
    lease = await subject.lease(effective, CALL)
    subject.clock.seconds = NOON + 1
    await lease.settle(used(0, cost=COST * 3))

    assert (await spent(subject, effective))["primary", "day"] == 0
    assert (await spent(subject, effective))["primary", "month"] == COST * 3
    subject.clock.seconds = NOON - 1
    assert (await spent(subject, effective))["primary", "day"] == COST * 3


async def test_a_projects_cap_counts_all_its_connections_and_no_other_project(subject: Subject) -> None:
    profile = ProjectProfile(spend_cap_day_usd=Decimal("0.25"))
    first, second = limited(profile=profile), limited(profile=profile, name="backup")
    other = limited(profile=profile, project="initech")
    await spend(subject, first, COST)
    await spend(subject, second, COST)

    assert (await subject.refusal(first, CALL)).reason is Reason.BUDGET
    await subject.lease(other, CALL)


async def test_a_cap_that_is_set_at_noon_knows_the_morning(subject: Subject) -> None:
    await spend(subject, limited(), COST, COST)

    assert (await subject.refusal(capped(spend_cap_day_usd="0.2"), CALL)).reason is Reason.BUDGET


async def test_raising_a_cap_lets_calls_through_again(subject: Subject) -> None:
    await spend(subject, capped(spend_cap_day_usd="0.1"), COST)

    await subject.lease(capped(spend_cap_day_usd="0.3"), CALL)


async def test_a_project_may_want_its_jobs_to_fail_at_the_cap(subject: Subject) -> None:
    for effective in (
        capped(spend_cap_day_usd="0.01", on_spend_cap="fail"),
        project_capped(spend_cap_day_usd=Decimal("0.01"), on_spend_cap="fail"),
    ):
        assert (await subject.refusal(effective, CALL)).final is True
    assert (await subject.refusal(capped(spend_cap_day_usd="0.01"), CALL)).final is False


async def test_a_rate_limit_is_never_final_however_full_the_budget(subject: Subject) -> None:
    effective = limited(tpm=100, refill=1, spend_cap_day_usd=Decimal("0.1"), on_spend_cap="fail")
    await spend(subject, effective, COST)
    await subject.set_aside(effective, tokens=98)

    refusal = await subject.refusal(effective, CALL)

    assert (refusal.reason, refusal.final) == (Reason.TOKENS, False)
    assert refusal.wait == pytest.approx(NOON)


async def test_a_refused_budget_takes_no_tokens_and_a_refused_limit_no_money(subject: Subject) -> None:
    broke = capped(spend_cap_day_usd="0.01")
    await subject.refusal(broke, CALL)
    assert await subject.level(broke) == 89_100

    full = limited(tpm=100, refill=1, spend_cap_day_usd=Decimal(1))
    await subject.lease(full, CALL)
    await subject.refusal(full, CALL)

    assert (await spent(subject, full))["primary", "day"] == COST


async def test_a_price_that_is_not_known_leaves_the_estimate(subject: Subject) -> None:
    await (await subject.lease(limited(), CALL)).settle(used(10, cost=None))

    assert (await spent(subject, limited()))["primary", "day"] == COST


async def test_without_prices_and_caps_nothing_is_spent(subject: Subject) -> None:
    await (await subject.lease(limited(), demand(5))).settle(used(10))

    assert set((await spent(subject, limited())).values()) == {0}


async def test_operators_are_warned_once_at_eighty_percent_and_told_once_at_the_end(subject: Subject) -> None:
    effective = capped(spend_cap_day_usd="1")
    await spend(subject, effective, *[COST] * 7)
    assert subject.told() == []
    await spend(subject, effective, COST, COST)
    assert subject.told() == [AlertKind.BUDGET_WARNING]
    assert "80 %" in subject.alerts.raised[0].message
    await spend(subject, effective, COST)
    for _ in range(3):
        await subject.refusal(effective, CALL)

    assert subject.told() == [AlertKind.BUDGET_WARNING, AlertKind.BUDGET_PAUSED]
    assert "connection 'primary' of project 'acme'" in subject.alerts.raised[1].message
    assert "1 USD for this day" in subject.alerts.raised[1].message


async def test_a_cap_too_small_for_a_single_call_is_told_of_once(subject: Subject) -> None:
    effective = project_capped(spend_cap_day_usd=Decimal("0.01"), spend_cap_month_usd=Decimal("0.01"))
    for _ in range(3):
        await subject.refusal(effective, CALL)

    assert subject.told() == [AlertKind.BUDGET_PAUSED] * 2


async def test_a_new_cap_is_warned_of_anew(subject: Subject) -> None:
    await spend(subject, capped(spend_cap_day_usd="0.1"), COST)
    await spend(subject, capped(spend_cap_day_usd="0.2"), COST)

    assert subject.told() == [AlertKind.BUDGET_PAUSED, AlertKind.BUDGET_PAUSED]


def test_periods_are_calendar_days_and_months_in_utc() -> None:
    february = int(datetime(2028, 2, 29, 23, 59, tzinfo=UTC).timestamp())
    day, month, *_ = counters(limited(), day_of(february))

    assert day.key == "byom:{p/acme}:spend:acme:primary:d20280229".replace("p/acme", limited().tenant)
    assert month.key.endswith(":spend:acme:primary:m202802")
    assert day.ends == month.ends == int(datetime(2028, 3, 1, tzinfo=UTC).timestamp())
    assert [counter.key.split(":spend:")[1] for counter in counters(limited(), day_of(START.timestamp()))] == [
        "acme:primary:d20261123",
        "acme:primary:m202611",
        "acme:d20261123",
        "acme:m202611",
    ]


def test_the_month_after_december_is_january() -> None:
    december = int(datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp())

    assert counters(limited(), day_of(december))[1].ends == int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())


def test_money_is_whole_pico_dollars() -> None:
    assert pico_usd(Decimal("0.000000000001")) == 1
    assert usd(pico_usd(Decimal("12.34"))) == Decimal("12.34")
