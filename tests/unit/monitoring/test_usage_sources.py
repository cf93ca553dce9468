"""What is read of the ledger is what workers wrote there."""

import json
from dataclasses import fields
from datetime import timedelta

import fakeredis
import pytest

from config.prices import PICO
from tasks.contract import AttemptRecord, Priority, ProviderKind, Role, TokenUsage
from tests.monitoring import combination, hour
from tests.support import START
from workers.jobs import RedisJobs
from workers.ledger.amounts import Amounts
from workers.ledger.sums import hour_key
from workers.monitoring.usage.causes import RedisFailures, causes_of
from workers.monitoring.usage.hours import RedisHours
from workers.monitoring.usage.query import UsageQuery
from workers.monitoring.usage.sums import Sums


def record(call: str, **changes: object) -> AttemptRecord:
    fields: dict[str, object] = {
        "id": call,
        "attempt": "1.1.1",
        "job_id": f"job-{call}",
        "account": "acme-inc",
        "project": "acme",
        "provider": ProviderKind.OPENAI,
        "connection": "primary",
        "role": Role.PRIMARY,
        "model": "gpt-6-luna",
        "credential_version": 2,
        "priority": Priority.LIVE,
        "status": "ok",
        "action": "done",
        "usage": TokenUsage(input=1_000, cached_input=200, output=300, reasoning=10),
        "cost_usd": "0.000252",
        "latency_ms": 800,
        "queue_wait_ms": 50,
        "started_at": START,
    }
    return AttemptRecord.model_validate(fields | changes)


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


async def settle(server: fakeredis.FakeServer, *records: AttemptRecord) -> fakeredis.FakeRedis:
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        jobs = RedisJobs(client, state_ttl=60, records_kept=1_000, sums_ttl=86_400)
        for one in records:
            await jobs.settle(one)
    return fakeredis.FakeRedis(server=server)


async def test_hours_hold_what_was_settled_in_them(server: fakeredis.FakeServer) -> None:
    client = await settle(
        server,
        record("a"),
        record("b", served_model="gpt-6-luna-2026-09-01"),
        record("c", started_at=START - timedelta(hours=1), status="rate_limited", usage=TokenUsage(), cost_usd=None),
        record("d", account=None, credential_version=None, cost_usd=None),
    )

    now, before, long_ago = RedisHours(client).read([hour(0), hour(1), hour(50)])

    assert now == {
        # Pages do not tell apart which snapshot of the model served.
        combination(): Sums(
            attempts=2, cost=504 * PICO // 10**6, input=2_000, cached_input=400, output=600, reasoning=20,
            latency_ms=1_600, queue_wait_ms=100,
        ),
        combination(account="-", credential_version="-"): Sums(
            attempts=1, unpriced=1, input=1_000, cached_input=200, output=300, reasoning=10, latency_ms=800,
            queue_wait_ms=50,
        ),
    }  # fmt: skip
    assert before == {combination(): Sums(attempts=1, failed=1, latency_ms=800, queue_wait_ms=50)}
    assert long_ago == {}


async def test_many_hours_come_in_their_order(server: fakeredis.FakeServer) -> None:
    records = [record(str(back), started_at=START - timedelta(hours=back)) for back in (0, 30, 60)]
    client = await settle(server, *records)

    tables = RedisHours(client).read([hour(back) for back in range(61)])

    assert [back for back, table in enumerate(tables) if table] == [0, 30, 60]


async def test_causes_are_counted_with_what_was_done_and_what_mends_them(server: fakeredis.FakeServer) -> None:
    unavailable = {"status": "provider_unavailable", "usage": TokenUsage(), "cost_usd": None}
    client = await settle(
        server,
        record("good"),
        record("a", action="retry", **unavailable),
        record("b", action="fall_back", **unavailable),
        record("c", action="fall_back", **unavailable),
        record("d", status="credential_rejected", action="fail", project="globex"),
        record("old", started_at=START - timedelta(days=3), action="fail", **unavailable),
    )

    found = RedisFailures(client).recent(UsageQuery(), since=START - timedelta(days=1))
    of_acme = RedisFailures(client).recent(UsageQuery(filters={"project": "acme"}), since=START - timedelta(days=1))

    assert [(cause.code, cause.attempts, dict(cause.actions)) for cause in found.causes] == [
        ("provider_unavailable", 3, {"fall_back": 2, "retry": 1}),
        ("credential_rejected", 1, {"fail": 1}),
    ]
    assert (found.attempts, found.since) == (5, START)
    assert found.causes[0].mend is not None
    assert "status page" in found.causes[0].mend
    assert [cause.code for cause in of_acme.causes] == ["provider_unavailable"]
    assert of_acme.attempts == 4


async def test_only_the_newest_records_are_looked_at(server: fakeredis.FakeServer) -> None:
    client = await settle(server, *(record(str(number), status="timeout", action="fail") for number in range(5)))

    found = RedisFailures(client, looked_at=2).recent(UsageQuery(), since=START - timedelta(days=1))

    assert found.attempts == 2


def test_a_cause_that_newer_workers_know_has_no_mend_here() -> None:
    text = json.dumps({"started_at": START.isoformat(), "status": "moon_phase", "action": "wait", "project": "acme"})

    found = causes_of([text.encode()], UsageQuery(), since=START - timedelta(days=1))

    assert [(cause.code, cause.mend) for cause in found.causes] == [("moon_phase", None)]


def test_sums_stand_in_the_order_in_which_the_ledger_stores_them() -> None:
    names = ["cost" if field.name == "cost_pico" else field.name for field in fields(Amounts)]

    assert names == [field.name for field in fields(Sums)]


def test_what_newer_or_older_workers_stored_is_read_as_far_as_it_is_known(server: fakeredis.FakeServer) -> None:
    client = fakeredis.FakeRedis(server=server)
    newer = '["acme-inc","acme","openai","gpt-6-luna","primary","2","primary","live",null,"something new"]'
    older = '["acme-inc","acme","openai","gpt-6-luna","primary","2"]'
    client.hset(hour_key(START), mapping={newer: "1 5 2 0 0 7 0 0 1 0 9 9 77 88", older: "0 0 1 0 0 3 0 0 1 0 9 9"})

    (table,) = RedisHours(client).read([hour(0)])

    known = {kind: (sums.cost, sums.attempts, sums.input) for kind, sums in table.items()}
    assert known == {
        combination(): (1_000_005, 2, 7),
        combination(connection="-", priority="-"): (0, 1, 3),
    }
