from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.extraction.answers import ACME, ANA, MESSAGE, REFERENCE, SAID, WORKS, answer, codes, fact
from workers.extraction import Extracted, WarningCode

Check = Callable[..., Extracted]


@pytest.mark.parametrize(
    ("dates", "code"),
    [
        ({"valid_at": "last May"}, WarningCode.DATE_UNREADABLE),
        ({"valid_at": "2026-02-30"}, WarningCode.DATE_UNREADABLE),
        ({"valid_at": "1066-10-14"}, WarningCode.DATE_IMPLAUSIBLE),
        ({"valid_at": "2025-05", "invalid_at": "2024"}, WarningCode.DATES_REVERSED),
    ],
)
def test_a_date_that_cannot_be_is_left_out_and_its_fact_kept(
    dates: dict[str, str], code: WarningCode, run_check: Check
) -> None:
    checked = run_check(SAID, answer([ANA, ACME], [{**WORKS, **dates}]), **MESSAGE)

    assert (checked.facts[0].valid_at, checked.facts[0].invalid_at) == (None, None)
    assert codes(checked) == [code]
    assert checked.warnings[0].detail.endswith(": Ana Lima WORKS_AT")


def test_a_year_that_the_episode_names_needs_no_reference_time(run_check: Check) -> None:
    checked = run_check(
        SAID,
        answer([ANA, ACME], [{**WORKS, "valid_at": "2019", "invalid_at": "2023-05-01"}]),
        speaker="Ana Lima",
    )

    assert str(checked.facts[0].valid_at) == "2019-01-01 00:00:00+00:00"
    assert checked.facts[0].invalid_at is None, "the year that it was trained in, most likely"
    assert codes(checked) == [WarningCode.DATE_IMPLAUSIBLE]


def three_facts(*dates: str) -> dict[str, Any]:
    evidence = "worked at Acme with Rui Costa"
    facts = [
        fact("Ana Lima", predicate, "Acme", evidence, valid_at=date)
        for predicate, date in zip(["LIKES", "KNOWS", "SERVES", "LEADS"], dates, strict=False)
    ]
    return answer([ANA, ACME], facts)


@pytest.mark.parametrize("stamp", [REFERENCE, "2026-03-04", "2026-03-04T11:30:00Z"])
def test_the_reference_time_on_every_fact_is_a_habit_and_not_a_date(stamp: str, run_check: Check) -> None:
    checked = run_check(SAID, three_facts(stamp, stamp, "2026-03-04"), **MESSAGE)

    assert [one.valid_at for one in checked.facts] == [None] * 3
    assert codes(checked) == [WarningCode.DATES_STAMPED]


@pytest.mark.parametrize(
    "dates",
    [("2026-03-04", "2026-03-04"), ("2026-03-04", "2026-03-04", ""), ("2026-03-04", "2026-03-04", "2026-03-03")],
)
def test_some_facts_may_begin_on_the_day(dates: tuple[str, ...], run_check: Check) -> None:
    checked = run_check(SAID, three_facts(*dates), **MESSAGE)

    assert sum(one.valid_at is not None for one in checked.facts) >= 2
    assert checked.warnings == []
