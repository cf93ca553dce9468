"""What Flower reads of meters, without the store, is what admission itself says of them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis
import redis.asyncio

from config.connections import EffectiveConnection
from tasks.contract import FailureCode, ProviderKind, TokenUsage
from tests.support import effective
from workers.admission import BucketState, Demand, Health, MeterState, Observation, Reason, RedisAdmission, Refusal
from workers.admission.control import Meters
from workers.alerts import MemoryAlerts
from workers.monitoring.pool.meters import Limit, MeterReading
from workers.monitoring.pool.redis_meters import RedisMeters

DEMAND = Demand(input_tokens=1_000, max_output_tokens=500)


@pytest.fixture
async def admission(valkey_client: redis.Redis) -> AsyncIterator[RedisAdmission]:
    port = valkey_client.connection_pool.connection_kwargs["port"]
    async with redis.asyncio.Redis(port=port) as client:
        yield RedisAdmission(client, alerts=MemoryAlerts(), lease_seconds=100)


def limited(name: str, **changes: object) -> EffectiveConnection:
    """A connection on a credential of its own name."""
    found = effective(name, provider=ProviderKind.OPENAI)
    connection = found.connection.model_copy(update=changes)
    return EffectiveConnection(
        connection=connection,
        project=found.project,
        account="acme-inc",
        credential_scope=found.credential_scope,
        origins={},
    )


def state_of(client: redis.Redis, connection: EffectiveConnection) -> MeterState:
    [state] = Meters(client).read([connection])
    return state


def as_admission_says(state: MeterState, tenant: str) -> MeterReading:
    buckets: tuple[tuple[str, BucketState | None], ...] = (
        ("tokens", state.tokens),
        ("output tokens", state.output_tokens),
        ("requests", state.requests),
    )
    return MeterReading(
        tenant=tenant,
        meter=state.meter,
        limits=[
            Limit(
                name=name,
                capacity=bucket.capacity,
                per_minute=bucket.per_minute,
                learned_capacity=bucket.learned_capacity,
                learned_per_minute=bucket.learned_per_minute,
                level=bucket.level,
            )
            for name, bucket in buckets
            if bucket is not None
        ],
        in_flight=state.in_flight,
        max_concurrency=state.max_concurrency,
        breaker=state.breaker.value,
        breaker_since=state.breaker_since,
        breaker_code=state.breaker_code.value if state.breaker_code else None,
        blocked_until=state.blocked_until,
        blocked_by=state.blocked_by.value if state.blocked_by else None,
    )


def settled(reading: MeterReading) -> MeterReading:
    return replace(reading, limits=[replace(limit, level=0.0) for limit in reading.limits])


async def test_a_reading_is_what_admission_says(admission: RedisAdmission, valkey_client: redis.Redis) -> None:
    plain = limited("plain", max_concurrency=7)
    metered = limited("metered", rpm_capacity=500, output_tpm_capacity=9_000, output_tpm_refill_per_second=150)
    broken, held = limited("broken"), limited("held")
    for connection in (plain, plain, metered, broken, held):
        lease = await admission.admit(connection, DEMAND)
        assert not isinstance(lease, Refusal)
        if connection is metered:
            await lease.settle(Observation(usage=TokenUsage(input=900, output=100)))
        if connection is broken:
            await lease.settle(Observation(counted=False, health=Health.FATAL, code=FailureCode.MODEL_NOT_FOUND))
    await admission.hold_back(held, reason=Reason.CREDENTIAL, seconds=60, code=FailureCode.CREDENTIAL_REJECTED)

    readings = {reading.meter: reading for reading in RedisMeters(valkey_client).readings()}

    assert set(readings) == {connection.key for connection in (plain, metered, broken, held)}
    for connection in (plain, metered, broken, held):
        said = as_admission_says(state_of(valkey_client, connection), connection.tenant)
        # Levels rise while time passes between the two readings.
        assert settled(readings[connection.key]) == settled(said)
        levels = zip(readings[connection.key].limits, said.limits, strict=True)
        assert all(before.level <= after.level <= before.level + 3_000 for before, after in levels)
    assert (readings[plain.key].in_flight, readings[plain.key].max_concurrency) == (2, 7)
    assert [limit.name for limit in readings[metered.key].limits] == ["tokens", "output tokens", "requests"]
    assert readings[broken.key].breaker == "open"
    assert readings[held.key].blocked_by == "credential"


async def test_what_a_vendor_refused_shows_as_a_limit_that_was_learned(
    admission: RedisAdmission, valkey_client: redis.Redis
) -> None:
    refused = limited("refused")
    lease = await admission.admit(refused, DEMAND)
    assert not isinstance(lease, Refusal)
    await lease.settle(Observation(usage=TokenUsage(), rate_limited=True, retry_after=0))

    (reading,) = RedisMeters(valkey_client).readings()
    said = state_of(valkey_client, refused).tokens

    (limit,) = reading.limits
    assert said is not None
    assert limit.is_learned
    assert limit.learned_per_minute < 0.8 * limit.per_minute
    # It grows back while time passes between the two readings.
    assert limit.learned_per_minute == pytest.approx(said.learned_per_minute, rel=0.05)


async def test_meters_are_found_anew_after_a_while_and_nothing_else_is_taken_for_one(
    admission: RedisAdmission, valkey_client: redis.Redis
) -> None:
    seconds = [0.0]
    meters = RedisMeters(valkey_client, monotonic=lambda: seconds[0])
    valkey_client.hset("byom:meter:other", "a", "b")
    valkey_client.set("byom:{p/acme}:meter:text", "x")
    assert list(meters.readings()) == []

    await admission.admit(limited("one"), DEMAND)
    assert list(meters.readings()) == []
    seconds[0] += 1.1

    assert [reading.tenant for reading in meters.readings()] == ["a/acme-inc"]


async def test_more_meters_than_fit_into_one_round_trip_are_all_read(
    admission: RedisAdmission, valkey_client: redis.Redis
) -> None:
    for number in range(205):
        await admission.admit(limited(f"c{number}"), DEMAND)

    assert len(RedisMeters(valkey_client).readings()) == 205


async def test_where_looking_for_meters_takes_long_it_is_done_more_seldom(
    admission: RedisAdmission, valkey_client: redis.Redis
) -> None:
    times = iter([0.0, 0.5, 20.0, 25.4, 25.6, 25.7])
    meters = RedisMeters(valkey_client, monotonic=lambda: next(times))
    assert list(meters.readings()) == []
    await admission.admit(limited("one"), DEMAND)

    # It took half a second, and holds for 25.
    assert [len(meters.readings()) for _ in range(3)] == [0, 0, 1]
