from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

import fakeredis
import pytest

from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from workers.jobs import RedisJobs
from workers.ledger import RECORDS_KEY, UsageReader

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


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
        "status": "ok",
        "action": "done",
        "usage": TokenUsage(input=1_000, cached_input=200, output=300, reasoning=10),
        "cost_usd": "0.000252",
        "latency_ms": 800,
        "started_at": NOW,
    }
    return AttemptRecord.model_validate(fields | changes)


async def settled(server: fakeredis.FakeServer, *records: AttemptRecord, records_kept: int = 100) -> UsageReader:
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        jobs = RedisJobs(client, state_ttl=60, records_kept=records_kept)
        for one in records:
            await jobs.settle(one)
    return UsageReader(fakeredis.FakeRedis(server=server), now=NOW)


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


async def test_usage_is_summed_by_what_is_asked_for(server: fakeredis.FakeServer) -> None:
    reader = await settled(
        server,
        record("a"),
        record("b"),
        record("c", project="globex", status="provider_unavailable", usage=TokenUsage(), cost_usd=None),
    )

    acme, globex = reader.totals(by=("project", "provider"))

    assert acme.keys == {"project": "acme", "provider": "openai"}
    assert (acme.attempts, acme.failed, acme.unpriced) == (2, 0, 0)
    assert acme.tokens == TokenUsage(input=2_000, cached_input=400, output=600, reasoning=20)
    assert acme.cost_usd == Decimal("0.000504")
    assert (globex.attempts, globex.failed, globex.cost_usd) == (1, 1, Decimal(0))


async def test_a_repeated_settlement_changes_no_sum(server: fakeredis.FakeServer) -> None:
    reader = await settled(server, record("a"), record("a"), record("a"))

    (row,) = reader.totals()

    assert (row.attempts, row.tokens.input, row.cost_usd) == (1, 1_000, Decimal("0.000252"))


async def test_an_unknown_price_is_counted_as_unknown_and_not_as_zero(server: fakeredis.FakeServer) -> None:
    reader = await settled(server, record("a"), record("b", cost_usd=None))

    (row,) = reader.totals()

    assert (row.unpriced, row.cost_usd) == (1, Decimal("0.000252"))


async def test_only_the_hours_asked_for_count(server: fakeredis.FakeServer) -> None:
    reader = await settled(
        server, record("old", started_at=NOW - timedelta(hours=5)), record("new", started_at=NOW - timedelta(hours=1))
    )

    assert reader.totals(since=NOW - timedelta(hours=2))[0].attempts == 1
    assert reader.totals(since=NOW - timedelta(hours=6))[0].attempts == 2


async def test_every_dimension_can_be_asked_for_and_others_are_refused(server: fakeredis.FakeServer) -> None:
    reader = await settled(server, record("a", account=None))

    (row,) = reader.totals(by=("account", "model", "role", "credential_version"))
    assert row.keys == {"account": "-", "model": "gpt-6-luna", "role": "primary", "credential_version": "2"}
    with pytest.raises(ValueError, match="cannot be summed by colour"):
        reader.totals(by=("colour",))


async def test_names_with_brackets_do_not_confuse_the_reader(server: fakeredis.FakeServer) -> None:
    reader = await settled(server, record("a", model='odd]"model['))

    assert reader.totals(by=("model",))[0].keys == {"model": 'odd]"model['}


async def test_the_records_themselves_are_kept_in_a_bounded_stream(server: fakeredis.FakeServer) -> None:
    await settled(server, *(record(f"c{number}") for number in range(500)), records_kept=100)
    client = fakeredis.FakeRedis(server=server)

    kept = client.xlen(RECORDS_KEY)

    assert 100 <= kept < 500
    (newest,) = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrevrange(RECORDS_KEY, count=1))
    assert AttemptRecord.model_validate_json(newest[1][b"record"]) == record("c499")
