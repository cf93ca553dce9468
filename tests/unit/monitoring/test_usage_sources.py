"""What is read of the ledger is what workers wrote there."""

from dataclasses import fields
from datetime import timedelta

import redis
import redis.asyncio

from config.prices import PICO
from tasks.contract import AttemptRecord, Priority, ProviderKind, Role, TokenUsage
from tests.monitoring import combination, hour
from tests.support import START, ManualClock
from workers.embedded.valkey import EmbeddedValkey
from workers.jobs import RedisJobs
from workers.ledger.amounts import Amounts
from workers.ledger.sums import hour_key
from workers.monitoring.usage.book import DAY, HOUR, Slice, Span, UsageBook
from workers.monitoring.usage.causes import causes_of
from workers.monitoring.usage.hours import RedisFailures, RedisHours
from workers.monitoring.usage.query import UsageQuery
from workers.monitoring.usage.sums import FailedKind, Sums, added_up


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


async def settle(server: EmbeddedValkey, *records: AttemptRecord) -> None:
    async with redis.asyncio.Redis.from_url(server.url) as client:
        jobs = RedisJobs(client, state_ttl=60, records_kept=1_000, sums_ttl=86_400)
        for one in records:
            await jobs.settle(one)


async def test_hours_hold_what_was_settled_in_them(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    await settle(
        valkey,
        record("a"),
        record("b", served_model="gpt-6-luna-2026-09-01"),
        record("c", started_at=START - timedelta(hours=1), status="rate_limited", usage=TokenUsage(), cost_usd=None),
        record("d", account=None, credential_version=None, cost_usd=None),
    )

    now, before, long_ago = RedisHours(valkey_client).read([hour(0), hour(1), hour(50)])

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


async def test_many_hours_come_in_their_order(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    records = [record(str(back), started_at=START - timedelta(hours=back)) for back in (0, 30, 60)]
    await settle(valkey, *records)

    tables = RedisHours(valkey_client).read([hour(back) for back in range(61)])

    assert [back for back, table in enumerate(tables) if table] == [0, 30, 60]


async def test_many_hours_together_are_what_they_are_one_by_one(
    valkey: EmbeddedValkey, valkey_client: redis.Redis
) -> None:
    await settle(
        valkey,
        *(record(f"a{back}", started_at=START - timedelta(hours=back)) for back in range(30)),
        *(record(f"b{back}", served_model="another", cost_usd="0.999999999999", started_at=START) for back in range(3)),
        record("c", project="globex", status="timeout", cost_usd=None, usage=TokenUsage()),
    )
    # Newer workers sum more, and older ones summed less.
    field = next(iter(valkey_client.hgetall(hour_key(hour(3)))))
    valkey_client.hset(hour_key(hour(3)), field, b"1 5 2 1 0 7 0 0 1 0 9 9 77 88")
    valkey_client.hset(hour_key(hour(4)), field, b"1 5 2")
    hours = [hour(back) for back in range(40)]

    total = RedisHours(valkey_client).total(hours)

    assert total == added_up(RedisHours(valkey_client).read(hours))
    assert total[combination()].attempts == 28 + 2 + 2 + 3
    assert RedisHours(valkey_client).total([]) == {}


async def test_causes_are_counted_with_what_was_done_and_what_mends_them(
    valkey: EmbeddedValkey, valkey_client: redis.Redis
) -> None:
    unavailable = {"status": "provider_unavailable", "usage": TokenUsage(), "cost_usd": None}
    await settle(
        valkey,
        record("good"),
        record("a", action="retry", **unavailable),
        record("b", action="fall_back", **unavailable),
        record("c", action="fall_back", started_at=START - timedelta(hours=5), **unavailable),
        record("d", status="credential_rejected", action="fail", project="globex"),
        record("old", started_at=START - timedelta(days=3), action="fail", **unavailable),
    )
    clock = ManualClock()
    book = UsageBook(RedisFailures(valkey_client), clock=clock, monotonic=clock.monotonic)

    found = causes_of(book.span(DAY), UsageQuery(), failed={})
    of_acme = causes_of(book.span(DAY), UsageQuery(filters={"project": "acme"}), failed={})
    of_a_week = causes_of(book.span(7 * DAY), UsageQuery(), failed={})

    assert [(cause.code, cause.attempts, dict(cause.actions)) for cause in found.causes] == [
        ("provider_unavailable", 3, {"fall_back": 2, "retry": 1}),
        ("credential_rejected", 1, {"fail": 1}),
    ]
    assert found.causes[0].mend is not None
    assert "status page" in found.causes[0].mend
    assert [(cause.code, cause.attempts) for cause in of_acme.causes] == [("provider_unavailable", 3)]
    assert of_a_week.causes[0].attempts == 4


def of_one_hour(*kinds: FailedKind, attempts: int = 1) -> Span[FailedKind]:
    sums = Sums(attempts=attempts, failed=attempts)
    return Span(slices=[Slice(start=hour(5), length=HOUR, table=dict.fromkeys(kinds, sums))], missing=2)


def test_failures_without_a_cause_are_counted_as_such_in_hours_that_are_over() -> None:
    kinds = [FailedKind("timeout", "retry", combination()), FailedKind("timeout", "fail", combination(project="x"))]
    of_acme = UsageQuery(filters={"project": "acme"})

    found = causes_of(of_one_hour(*kinds, attempts=2), of_acme, failed={hour(5): 7, hour(4): 3})

    assert ([cause.attempts for cause in found.causes], found.unknown, found.missing) == ([2], 5, 2)
    # The present hour, in which both may be read at different moments, is not among those that are given.
    assert causes_of(of_one_hour(*kinds), of_acme, failed={}).unknown == 0
    assert causes_of(of_one_hour(*kinds), of_acme, failed={hour(5): 0}).unknown == 0


def test_a_cause_that_newer_workers_know_has_no_mend_here() -> None:
    found = causes_of(of_one_hour(FailedKind("moon_phase", "wait", combination())), UsageQuery(), failed={})

    assert [(cause.code, cause.mend) for cause in found.causes] == [("moon_phase", None)]


def test_sums_stand_in_the_order_in_which_the_ledger_stores_them() -> None:
    names = ["cost" if field.name == "cost_pico" else field.name for field in fields(Amounts)]

    assert names == [field.name for field in fields(Sums)]


def test_what_newer_or_older_workers_stored_is_read_as_far_as_it_is_known(valkey_client: redis.Redis) -> None:
    newer = '["acme-inc","acme","openai","gpt-6-luna","primary","2","primary","live",null,"something new"]'
    older = '["acme-inc","acme","openai","gpt-6-luna","primary","2"]'
    valkey_client.hset(
        hour_key(START), mapping={newer: "1 5 2 0 0 7 0 0 1 0 9 9 77 88", older: "0 0 1 0 0 3 0 0 1 0 9 9"}
    )

    (table,) = RedisHours(valkey_client).read([hour(0)])

    known = {kind: (sums.cost, sums.attempts, sums.input) for kind, sums in table.items()}
    assert known == {
        combination(): (1_000_005, 2, 7),
        combination(connection="-", priority="-"): (0, 1, 3),
    }
