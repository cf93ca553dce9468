"""One suite for all sources of usage tables: the hourly sums and the database must say the same."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import fakeredis
import pytest
from pydantic import SecretStr

from tasks.contract import AttemptRecord, Role, TokenUsage
from tests.ledger import NOW, settle, usage_record
from workers.ledger import DIMENSIONS, UnknownDimension, UsageReader, UsageSource
from workers.ledger.sql.database import Database
from workers.ledger.sql.reader import SqlReader
from workers.ledger.sql.sync import sync
from workers.ledger.stream import RecordStream
from workers.ledger.sums import CAUSE


@dataclass
class Subject:
    #: Writes records as workers do.
    settle: Callable[..., Awaitable[None]]
    source: UsageSource


@pytest.fixture(params=["sums", "sqlite", "postgresql"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    server = fakeredis.FakeServer()
    client = fakeredis.FakeRedis(server=server)
    if request.param == "sums":

        async def write(*records: AttemptRecord) -> None:
            async with fakeredis.FakeAsyncRedis(server=server) as asynchronous:
                await settle(asynchronous, records)

        yield Subject(settle=write, source=UsageReader(client, now=NOW))
        return
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/usage.db"
    else:
        url = request.getfixturevalue("postgres_url")
    with Database.open(SecretStr(url)) as database:

        async def write_on(*records: AttemptRecord) -> None:
            async with fakeredis.FakeAsyncRedis(server=server) as asynchronous:
                await settle(asynchronous, records)
            list(sync(RecordStream(client), database))

        yield Subject(settle=write_on, source=SqlReader(database, now=NOW))


async def test_usage_is_summed_by_what_is_asked_for(subject: Subject) -> None:
    await subject.settle(
        usage_record("a"),
        usage_record("b"),
        usage_record("c", project="globex", status="provider_unavailable", usage=TokenUsage(), cost_usd=None),
    )

    acme, globex = subject.source.totals(by=("project", "provider"))

    assert acme.keys == {"project": "acme", "provider": "openai"}
    assert (acme.attempts, acme.failed, acme.unpriced) == (2, 0, 0)
    assert acme.tokens == TokenUsage(input=2_000, cached_input=400, output=600, reasoning=20)
    assert acme.cost_usd == Decimal("0.000504")
    assert (acme.latency_ms, acme.queue_wait_ms) == (1_600, 100)
    assert (globex.attempts, globex.failed, globex.cost_usd) == (1, 1, Decimal(0))


async def test_a_repeated_settlement_changes_no_sum(subject: Subject) -> None:
    await subject.settle(usage_record("a"), usage_record("a"), usage_record("a"))

    (row,) = subject.source.totals()

    assert (row.attempts, row.tokens.input, row.cost_usd) == (1, 1_000, Decimal("0.000252"))


async def test_an_unknown_price_is_counted_as_unknown_and_not_as_zero(subject: Subject) -> None:
    await subject.settle(
        usage_record("a"),
        usage_record("b", cost_usd=None),
        usage_record("c", cost_usd=None, usage=TokenUsage()),
        usage_record("d", cost_usd="0", usage=TokenUsage()),
    )

    (row,) = subject.source.totals()

    assert (row.attempts, row.unpriced, row.cost_usd) == (4, 1, Decimal("0.000252"))


async def test_pico_dollars_and_millions_add_up_exactly(subject: Subject) -> None:
    costs = ["0.000000000001", "0.999999999999", "1234567.000000000001", "0.000000999999", "0.000000000001"]
    await subject.settle(*(usage_record(f"c{place}", cost_usd=cost) for place, cost in enumerate(costs)))

    (row,) = subject.source.totals()

    assert row.cost_usd == sum(map(Decimal, costs)) == Decimal("1234568.000001000001")


async def test_failed_and_fallback_attempts_are_told_as_shares(subject: Subject) -> None:
    await subject.settle(
        usage_record("a", status="rate_limited"),
        usage_record("b", role=Role.FALLBACK, connection="backup"),
        usage_record("c", role=Role.FALLBACK, connection="backup", status="output_unusable"),
        usage_record("d"),
    )

    (row,) = subject.source.totals(by=("project",))

    assert (row.failed, row.failed_share, row.fallback, row.fallback_share) == (2, 0.5, 2, 0.5)


async def test_only_the_hours_asked_for_count_and_hours_are_whole(subject: Subject) -> None:
    await subject.settle(
        usage_record("a", started_at=NOW - timedelta(hours=5)),
        usage_record("b", started_at=NOW - timedelta(hours=1)),
        usage_record("c", started_at=NOW.replace(minute=0, second=0)),
    )

    def attempts(since: float, until: float | None = None) -> int:
        end = None if until is None else NOW - timedelta(hours=until)
        return sum(row.attempts for row in subject.source.totals(since=NOW - timedelta(hours=since), until=end))

    assert attempts(since=2) == 2
    assert attempts(since=6) == 3
    assert attempts(since=6, until=4) == 1
    assert attempts(since=6, until=0.5) == 2, "an hour that is over when the span ends has begun before"
    assert attempts(since=6, until=0.4) == 3, "an hour that has begun counts as a whole"
    assert subject.source.totals(since=NOW - timedelta(days=30), until=NOW - timedelta(days=29)) == []


async def test_without_a_span_the_last_day_counts_and_the_present_hour(subject: Subject) -> None:
    await subject.settle(usage_record("a", started_at=NOW - timedelta(hours=24)), usage_record("b"))

    assert subject.source.totals()[0].attempts == 2


async def test_every_dimension_can_be_asked_for_together(subject: Subject) -> None:
    await subject.settle(usage_record("a", account=None, status="rate_limited", action="retry"))

    (row,) = subject.source.totals(by=DIMENSIONS)

    assert row.keys == {
        "account": "-",
        "project": "acme",
        "provider": "openai",
        "model": "gpt-6-luna",
        "role": "primary",
        "credential_version": "2",
        "connection": "primary",
        "priority": "live",
        "served_model": "gpt-6-luna-2026-07-09",
        "tier": "flex",
        "status": "rate_limited",
        "action": "retry",
        "day": "2026-11-23",
        "hour": "2026-11-23T12:00Z",
    }


async def test_a_label_can_be_asked_for_with_all_that_is_no_cause(subject: Subject) -> None:
    await subject.settle(usage_record("a", account=None, labels={"team": "search"}))

    (row,) = subject.source.totals(by=(*(name for name in DIMENSIONS if name not in CAUSE), "label:team"))

    assert (row.keys["label:team"], row.keys["account"], row.keys["hour"]) == ("search", "-", "2026-11-23T12:00Z")


async def test_causes_of_failures_are_told_apart_with_their_tokens_and_what_was_good_is_the_rest(
    subject: Subject,
) -> None:
    down = {"status": "provider_unavailable", "usage": TokenUsage(), "cost_usd": None}
    await subject.settle(
        usage_record("a"),
        usage_record("b"),
        usage_record("c", status="output_unusable", action="retry_reminded"),
        usage_record("d", action="retry", **down),
        usage_record("e", action="fall_back", **down),
        usage_record("f", action="fall_back", project="globex", **down),
    )

    rows = subject.source.totals(by=("status",))
    of_acme = subject.source.totals(by=("status", "action"), where={"project": "acme"})
    only = subject.source.totals(by=("project",), where={"status": "provider_unavailable"})

    assert [(row.keys["status"], row.attempts, row.failed, row.tokens.output) for row in rows] == [
        ("ok", 2, 0, 600),
        ("output_unusable", 1, 1, 300),
        ("provider_unavailable", 3, 3, 0),
    ]
    assert [(*row.keys.values(), row.attempts) for row in of_acme] == [
        ("ok", "done", 2),
        ("output_unusable", "retry_reminded", 1),
        ("provider_unavailable", "fall_back", 1),
        ("provider_unavailable", "retry", 1),
    ]
    assert [(row.keys["project"], row.attempts) for row in only] == [("acme", 2), ("globex", 1)]


@pytest.mark.parametrize("by", [("colour",), ("project", "label:"), ("team",)])
async def test_what_usage_is_not_summed_by_is_refused_with_the_list(subject: Subject, by: tuple[str, ...]) -> None:
    with pytest.raises(
        UnknownDimension, match=f"cannot be summed by {by[-1]}; choose from account, project, .* label:NAME"
    ):
        subject.source.totals(by=by)


async def test_the_same_dimension_twice_is_refused(subject: Subject) -> None:
    with pytest.raises(UnknownDimension, match="once only"):
        subject.source.totals(by=("project", "project"))


async def test_attempts_can_be_chosen(subject: Subject) -> None:
    await subject.settle(
        usage_record("a"),
        usage_record("b", project="globex", credential_version=3),
        usage_record("c", project="globex", account=None, credential_version=3),
    )

    assert [row.keys["project"] for row in subject.source.totals(where={"project": "globex"})] == ["globex"]
    assert subject.source.totals(where={"credential_version": "3", "account": "acme-inc"})[0].attempts == 1
    assert subject.source.totals(where={"account": "-"})[0].attempts == 1


async def test_a_label_splits_sums_and_what_is_without_it_has_a_line_too(subject: Subject) -> None:
    await subject.settle(
        usage_record("a", labels={"team": "search", "env": "prod"}),
        usage_record("b", labels={"team": "search"}),
        usage_record("c", labels={"team": "ads"}, project="globex"),
        usage_record("d", labels={"env": "prod"}, cost_usd=None),
    )

    rows = subject.source.totals(by=("label:team",))

    assert [(row.keys["label:team"], row.attempts, row.cost_usd, row.unpriced) for row in rows] == [
        ("-", 1, Decimal(0), 1),
        ("ads", 1, Decimal("0.000252"), 0),
        ("search", 2, Decimal("0.000504"), 0),
    ]
    by_project = subject.source.totals(by=("project", "label:env"), where={"project": "acme"})
    assert [(*row.keys.values(), row.attempts) for row in by_project] == [("acme", "-", 1), ("acme", "prod", 2)]


async def test_odd_names_do_not_confuse_the_reader(subject: Subject) -> None:
    odd = 'odd"]\\model[ 7 ü %$.*\'"'
    await subject.settle(usage_record("a", model=odd, labels={"a.b-c_d": odd}), usage_record("b", model=odd))

    rows = subject.source.totals(by=("model", "label:a.b-c_d"))

    assert [row.keys for row in rows] == [{"model": odd, "label:a.b-c_d": value} for value in ("-", odd)]


async def test_records_of_older_workers_count_too(subject: Subject) -> None:
    await subject.settle(usage_record("a", queue_wait_ms=None, priority=None, served_model=None))

    (row,) = subject.source.totals(by=("priority", "served_model"))

    assert (row.keys, row.queue_wait_ms) == ({"priority": "-", "served_model": "-"}, 0)
