"""How long work takes is the longest of what each limit takes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from workers.backfill.pace import Cap, Limit, Pace, pace

#: 18 hours before the day is over, 4 days and 18 hours before the month is.
NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
HOUR, DAY = 3_600, 86_400


def limit(**changes: Any) -> Limit:
    return Limit(**{"name": "tokens per minute", "per_minute": 6_000, "needed": 60_000, **changes})


def cap(amount: str, *, spent: str = "0", monthly: bool = False) -> Cap:
    name = "the project's spend cap"
    return Cap(name=name, monthly=monthly, amount=Decimal(amount), spent=Decimal(spent))


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 600),
        # What is there now is taken at once; a debt is no less than nothing.
        ({"level": 6_000}, 540),
        ({"level": 90_000}, 0),
        ({"level": -6_000}, 600),
        # What waits goes first.
        ({"before": 30_000}, 900),
        # Live jobs go first, but leave the floor.
        ({"live": 3_000}, 1_200),
        ({"live": 6_000}, 6_000),
    ],
)
def test_a_limit_takes_what_it_takes_to_refill(changes: dict[str, Any], seconds: float) -> None:
    found = pace([limit(**changes)], floor=0.1, now=NOW)

    assert found.bound_by == "tokens per minute"
    assert found.seconds == pytest.approx(seconds)


def test_the_longest_of_several_limits_counts() -> None:
    requests = limit(name="requests per minute", per_minute=60, needed=1_200)

    assert pace([limit(), requests], floor=0, now=NOW) == Pace(seconds=1_200, bound_by="requests per minute")


def test_calls_in_flight_bound_it_where_their_length_is_known() -> None:
    found = pace([limit()], floor=0, call_seconds=4_000, at_once=2, now=NOW)

    assert found == Pace(seconds=2_000, bound_by="calls in flight")
    assert pace([limit()], floor=0, call_seconds=None, at_once=2, now=NOW).seconds == 600


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (cap("10"), 600),
        (cap("5"), 600),
        # The rest waits for the next day, or as many days as it takes.
        (cap("5", spent="1"), 18 * HOUR),
        (cap("2"), 18 * HOUR + DAY),
        (cap("1", spent="7"), 18 * HOUR + 4 * DAY),
        (cap("5", spent="1", monthly=True), 4 * DAY + 18 * HOUR),
        # December and January.
        (cap("2", spent="1", monthly=True), 4 * DAY + 18 * HOUR + 31 * DAY),
        (cap("0.4", spent="0.4", monthly=True), 4 * DAY + 18 * HOUR + 365 * DAY),
    ],
)
def test_a_spend_cap_lets_through_so_much_a_day_or_month(given: Cap, seconds: float) -> None:
    assert pace([limit()], floor=0, caps=[given], cost=Decimal(5), now=NOW).seconds == seconds


def test_an_unknown_cost_is_not_capped_and_nothing_known_is_nothing_said() -> None:
    assert pace([limit()], floor=0, caps=[cap("0.01")], cost=None, now=NOW).seconds == 600
    assert pace([], floor=0, now=NOW) == Pace(seconds=None, bound_by=None)
