"""What a job says of itself to the broker: where it waits, and what it will take."""

import json

import pytest
from pydantic import ValidationError

from config.settings import Settings
from tasks.contract import parse_job
from tests.support import START, effective
from tests.unit.engine.conftest import make_job
from workers import extraction
from workers.engine.address import Patience, address_of, patience_of
from workers.engine.delivery import Delivery, Reservation
from workers.engine.routing import Route, first_route

PATIENCE = Patience(before_fallback=30, at_most=600)
CHAIN = [effective("primary"), effective("backup")]


def test_a_job_waits_where_its_route_leads() -> None:
    address = address_of(make_job(priority="backfill"), CHAIN, Route.to(CHAIN[1]), PATIENCE)

    assert address is not None
    header = address.as_headers()["byom"]
    assert header == json.loads(json.dumps(header))
    assert {name: header[name] for name in ("tenant", "project", "connection", "priority", "weight", "calls")} == {
        "tenant": "p/acme",
        "project": "acme",
        "connection": "backup",
        "priority": "backfill",
        "weight": 1.0,
        "calls": 1,
    }


def test_patience_is_shorter_where_there_is_another_connection() -> None:
    first = address_of(make_job(), CHAIN, first_route(CHAIN), PATIENCE)
    only = address_of(make_job(), CHAIN[:1], first_route(CHAIN), PATIENCE)

    assert first is not None
    assert only is not None
    assert (first.patience, first.fallback) == (30, True)
    assert (only.patience, only.fallback) == (600, False)


@pytest.mark.parametrize("setting", ["max_wait", "fallback_patience", "backfill_max_wait"])
def test_no_setting_lets_a_job_wait_for_longer_than_its_lane_takes(setting: str) -> None:
    longest = 31_536_000
    settings = Settings.model_validate(dict.fromkeys(["max_wait", "fallback_patience", "backfill_max_wait"], longest))

    for chain in (CHAIN, CHAIN[:1]):
        for job in (make_job(), make_job(priority="backfill")):
            address = address_of(job, chain, first_route(chain), patience_of(settings))
            assert address is not None
            assert address.patience == longest
    with pytest.raises(ValidationError, match=setting):
        Settings.model_validate({setting: longest + 1})


def test_a_job_that_can_wait_is_as_patient_on_any_connection() -> None:
    patience = Patience(before_fallback=30, at_most=600, backfill=9_000)
    links = [address_of(make_job(priority="backfill"), CHAIN, Route.to(link), patience) for link in CHAIN]

    assert [link.patience for link in links if link] == [9_000, 9_000]


def test_a_connection_that_is_gone_has_no_lane() -> None:
    assert address_of(make_job(), CHAIN[1:], first_route(CHAIN), PATIENCE) is None


@pytest.mark.parametrize(
    "job",
    [
        make_job(),
        make_job("Ada. " * 400, "Bob likes tea.", instructions="Only what concerns tea. " * 20),
        make_job("One sentence with some words in it. " * 4_000),
        parse_job(
            {
                "project": "acme",
                "episodes": [{"id": "e", "content": "Yes."}],
                "context": [{"id": f"c{number}", "content": "What was said before. " * 100} for number in range(20)],
                "entity_types": [{"name": "Pet", "description": "An animal that lives with a person."}],
            }
        ),
    ],
    ids=["short", "two", "long", "context"],
)
def test_rough_needs_come_close_to_the_plan(job: object) -> None:
    parsed = parse_job(job)
    units = extraction.plan(parsed, context_tokens=10**9, max_output=10**9)
    planned = sum(extraction.prompt_tokens(unit.prompt) for unit in units)

    needs = extraction.rough_needs(parsed)

    assert abs(needs.calls - len(units)) <= max(1, len(units) // 8) * (len(units) > 1)
    assert needs.input_tokens == pytest.approx(planned, rel=0.15)


def test_what_the_broker_told_becomes_a_delivery() -> None:
    told = {"since": START.timestamp() - 7, "impatient": False, "reservation": "fetch:1"}

    assert Delivery.of(told, now=START) == Delivery(waited=7, reservation="fetch:1")


def test_a_message_past_all_lanes_has_not_waited() -> None:
    assert Delivery.of(None, now=START) == Delivery()


def test_clocks_that_differ_make_no_negative_wait() -> None:
    told = {"since": START.timestamp() + 3, "impatient": True, "reservation": ""}

    assert Delivery.of(told, now=START) == Delivery(impatient=True)


def test_a_reservation_is_taken_once() -> None:
    reservation = Reservation("r1")

    assert [reservation.take(), reservation.take()] == ["r1", None]
