"""What the scripts promise the server: declared keys only, one slot, its own clock, and keys that go away."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.crc import key_slot

from config.connections import EffectiveConnection, ProjectProfile
from config.prices import PICO
from tasks.contract import FailureCode, TokenUsage
from tests.support import ManualClock
from tests.unit.admission.conftest import FETCH, demand, limited, used
from workers.admission import Health, MeterState, Observation, Reason, RedisAdmission, Refusal, learning, memory, meter
from workers.admission.control import Meters
from workers.admission.keys import keys_of, meter_keys
from workers.alerts import MemoryAlerts
from workers.embedded.valkey import EmbeddedValkey

EFFECTIVE = limited(
    tpm=90_000,
    model="a{model}#of/braces",
    max_concurrency=50,
    rpm_capacity=100,
    spend_cap_day_usd=Decimal(5),
    profile=ProjectProfile(spend_cap_month_usd=Decimal(9)),
)
LUA = {path.name: path.read_text() for path in files("workers.admission").iterdir() if path.name.endswith(".lua")}


@pytest.fixture
async def client(valkey: EmbeddedValkey) -> AsyncIterator["redis.asyncio.Redis"]:
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
def admission(client: "redis.asyncio.Redis") -> RedisAdmission:
    """On the server's own clock."""
    return RedisAdmission(client, alerts=MemoryAlerts(), lease_seconds=60)


Read = Callable[[EffectiveConnection], MeterState]


@pytest.fixture
def read(valkey_client: redis.Redis) -> Read:
    """How a meter stands, on the server's own clock."""
    return lambda effective: Meters(valkey_client).read([effective])[0]


async def exercise(admission: RedisAdmission, client: "redis.asyncio.Redis", commands: redis.Redis) -> None:
    """Everything once."""
    meters = Meters(commands)
    meters.declare(EFFECTIVE)
    fetch = await client.script_load(FETCH)
    await client.evalsha(fetch, 3, *keys_of(EFFECTIVE), time.time(), 10, 10, 1, "job", 30)
    await client.evalsha(fetch, 3, *keys_of(EFFECTIVE), time.time(), 10, 10, 1, "late", 0)
    lease = await admission.admit(EFFECTIVE, demand(10, price=PICO // 100), reservation="job")
    assert not isinstance(lease, Refusal)
    await lease.settle(Observation(usage=TokenUsage(input=1, output=1), cost=5 * PICO, rate_limited=True))
    assert isinstance(await admission.admit(EFFECTIVE, demand(10, price=PICO)), Refusal)
    for reason in (Reason.CREDENTIAL, Reason.BREAKER):
        await admission.hold_back(EFFECTIVE, reason=reason, seconds=1, code=FailureCode.CREDENTIAL_REJECTED)
        await admission.let_go(EFFECTIVE, reason=reason)
    await admission.release(EFFECTIVE, reservation="another")
    meters.declare(limited(tpm=5, refill=1, model=EFFECTIVE.connection.model))
    meters.read([EFFECTIVE])
    meters.trust(EFFECTIVE)
    meters.reset(EFFECTIVE)


async def test_scripts_touch_declared_keys_only_and_these_lie_in_one_slot(
    valkey: EmbeddedValkey, client: "redis.asyncio.Redis", admission: RedisAdmission, valkey_client: redis.Redis
) -> None:
    # The server knows the scripts by now: what the monitor shows is the digest, keys and arguments.
    await exercise(admission, client, valkey_client)
    await client.delete(*[key async for key in client.scan_iter("byom:*")])
    seen: list[tuple[bool, list[str]]] = []
    with valkey_client.monitor() as monitor:  # type: ignore[no-untyped-call]  # it has no annotations
        await exercise(admission, client, valkey_client)
        await client.echo("the end")
        for command in monitor.listen():
            if "the end" in command["command"]:
                break
            seen.append((command["client_type"] == "lua", command["command"].split(" ")))

    declared: set[str] = set()
    touched: set[str] = set()
    for inside, (verb, *words) in seen:
        if verb == "EVALSHA":
            declared = set(words[2 : 2 + int(words[1])])
            assert len({key_slot(key.encode()) for key in declared}) == 1, declared
        elif inside and verb != "TIME":
            assert words[0] in declared, (verb, words)
            touched.add(verb)
    assert touched > {"HMGET", "HSET", "ZADD", "ZREM", "ZRANGEBYSCORE", "HINCRBY", "EXPIRE"}


async def test_every_key_goes_away_some_time(
    admission: RedisAdmission, client: "redis.asyncio.Redis", valkey_client: redis.Redis
) -> None:
    await exercise(admission, client, valkey_client)
    await admission.admit(limited(project="initech"), demand(5, price=1))

    keys = [key async for key in client.scan_iter("byom:*")]
    assert len(keys) >= 11
    assert [key for key in keys if await client.ttl(key) < 0] == []


async def test_leases_get_a_lifetime_when_the_first_one_comes_and_hourly_from_then_on(
    admission: RedisAdmission, client: "redis.asyncio.Redis"
) -> None:
    fetch, now = await client.script_load(FETCH), time.time() // 3_600 * 3_600
    keys = keys_of(EFFECTIVE)[1:]

    async def lifetimes(after: int, lease: str) -> list[int]:
        """Seconds of both keys, each set to one before a lease is taken."""
        for key in keys:
            await client.expire(key, 1_000)
        await client.evalsha(fetch, 3, *keys_of(EFFECTIVE), now + after, 10, 10, 1, lease, 86_400)
        return [await client.ttl(key) for key in keys]

    assert min(await lifetimes(0, "first")) > 1_000
    assert max(await lifetimes(60, "second")) <= 1_000
    assert min(await lifetimes(3_600, "third")) > 1_000
    for lease in ("first", "second", "third"):
        await admission.release(EFFECTIVE, reservation=lease)
    assert min(await lifetimes(3_660, "fourth")) > 1_000
    # The only one there is makes place for another.
    assert not isinstance(await admission.admit(EFFECTIVE, demand(10), reservation="fourth"), Refusal)
    assert min([await client.ttl(key) for key in keys]) > 1_000


async def test_a_code_that_only_newer_workers_know_stops_nobody_from_reading_the_meter(
    admission: RedisAdmission, client: "redis.asyncio.Redis", read: Read
) -> None:
    await client.hset(keys_of(EFFECTIVE).state, "holds", f"credential {time.time() + 60} moon_in_the_way\n")

    refusal = await admission.admit(EFFECTIVE, demand(1))
    state = read(EFFECTIVE)

    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.code) == (Reason.CREDENTIAL, None)
    assert (state.blocked_by, state.blocked_code) == (Reason.CREDENTIAL, None)


async def test_time_is_the_servers(admission: RedisAdmission, read: Read) -> None:
    effective = limited(tpm=1_000, refill=0.001)
    await admission.admit(effective, demand(989))

    refusal = await admission.admit(effective, demand(0))

    state = read(effective)
    assert isinstance(refusal, Refusal)
    assert abs(state.at.timestamp() - time.time()) < 60
    assert refusal.wait == pytest.approx(1_000, rel=0.01)


async def test_a_worker_whose_clock_shows_another_day_counts_on_the_servers_day(
    client: "redis.asyncio.Redis", read: Read
) -> None:
    slow = ManualClock()
    slow.seconds = -400 * 86_400
    admission = RedisAdmission(client, alerts=MemoryAlerts(), lease_seconds=60, clock=slow)
    for _ in range(2):
        lease = await admission.admit(limited(), demand(9, price=PICO))
        assert not isinstance(lease, Refusal)
        await lease.settle(used(0, cost=7))

    assert {row.spent for row in read(limited()).spends} == {14}


async def test_an_admission_whose_answer_was_lost_takes_nothing_when_it_is_sent_again(
    client: "redis.asyncio.Redis", admission: RedisAdmission, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    effective = limited(tpm=1_000, refill=0.001, spend_cap_day_usd=Decimal(5))
    ask = admission._admit.__call__

    async def twice(**call: Any) -> Any:
        first = await ask(**call)
        assert await ask(**call) == first
        return first

    monkeypatch.setattr(admission, "_admit", twice)
    await admission.admit(effective, demand(99, price=PICO // 1_000))

    state = read(effective)
    assert (state.in_flight, state.reserved_tokens, state.spends[0].spent) == (1, 100, PICO // 10)


async def test_many_at_once_get_no_more_than_there_is(admission: RedisAdmission, read: Read) -> None:
    effective = limited(tpm=1_000, refill=0.001, rpm_capacity=1_000, spend_cap_day_usd=Decimal(5))

    answers = await asyncio.gather(*(admission.admit(effective, demand(99)) for _ in range(50)))

    granted = [answer for answer in answers if not isinstance(answer, Refusal)]
    assert len(granted) == 9
    await asyncio.gather(*(lease.settle(used(99, 1)) for lease in granted))
    assert read(effective).in_flight == 0


async def test_a_server_that_lost_the_scripts_gets_them_again(
    client: "redis.asyncio.Redis", admission: RedisAdmission
) -> None:
    await admission.admit(limited(), demand(1))
    await client.script_flush()

    assert not isinstance(await admission.admit(limited(), demand(1)), Refusal)


async def test_a_full_server_still_lets_workers_go_on(
    client: "redis.asyncio.Redis", admission: RedisAdmission, read: Read
) -> None:
    await client.config_set("maxmemory", "1")
    try:
        lease = await admission.admit(limited(), demand(1, price=1))
        assert not isinstance(lease, Refusal)
        await lease.settle(used(1, health=Health.OK))
    finally:
        await client.config_set("maxmemory", "0")

    assert read(limited()).answers == 0


def number(pattern: str) -> float:
    """A number in the scripts."""
    [found] = [match for text in LUA.values() for match in re.findall(pattern, text)]
    return float(found)


def test_scripts_and_twin_are_made_of_the_same_numbers() -> None:
    twin = {
        r"BUCKET_MARGIN = \{share = ([\d.]+)": meter.MARGIN_SHARE,
        r"BUCKET_MARGIN = .*seconds = ([\d.]+)": meter.MARGIN_SECONDS,
        r"BUCKET_ROUNDING = (\S+)\n": meter.ROUNDING,
        r"BUCKET_TRUSTED = (\S+)\n": meter.TRUSTED,
        r"BUCKET_UNKNOWN = (\S+)\n": meter.UNKNOWN,
        r"BUCKET_SAFETY = (\S+)\n": meter.SAFETY,
        r"BUCKET_CUSHION = \{deviations = ([\d.]+)": meter.CUSHION_DEVIATIONS,
        r"BUCKET_CUSHION = .*share = ([\d.]+)": meter.CUSHION_SHARE,
        r"BUCKET_ASK_AGAIN = (\S+)\n": meter.ASK_AGAIN,
        r"BUCKET_SWEEP = (\S+)\n": meter.SWEEP,
        r"DECLARED_STALE = (\S+)\n": memory.STALE,
        r"LEARN_WEIGHT = (\S+)\n": learning.WEIGHT,
        r"LEARN_CUT = \{factor = ([\d.]+)": learning.CUT_FACTOR,
        r"LEARN_CUT = .*seconds = ([\d.]+)": learning.CUT_SECONDS,
        r"LEARN_CUT = .*least = ([\d.]+)": learning.CUT_LEAST,
        r"LEARN_CUT = .*rate = ([\d.]+)": learning.CUT_RATE,
        r"LEARN_WAIT = (\S+)\n": learning.WAIT,
        r"BREAKER_SLOT = (\S+)\n": learning.SLOT,
        r"BREAKER_LEAST = (\S+)\n": learning.LEAST,
        r"BREAKER_SHARE = (\S+)\n": learning.SHARE,
        r"BREAKER_OPEN = \{failing = ([\d.]+)": learning.OPEN_FAILING,
        r"BREAKER_OPEN = .*fatal = ([\d.]+)": learning.OPEN_FATAL,
        r"BREAKER_LONGEST = (\S+)\n": learning.LONGEST,
        r"BREAKER_FORGET = (\S+)\n": learning.FORGET,
        r"BREAKER_RAMP = \{share = ([\d.]+)": learning.RAMP_SHARE,
        r"BREAKER_RAMP = .*rate = ([\d.]+)": learning.RAMP_RATE,
    }

    assert twin == {pattern: number(pattern) for pattern in twin}


def test_keys_of_a_tenant_share_their_slot_and_names_cannot_break_out() -> None:
    keys = meter_keys("p/acme", "/byom/x#{other}model")

    assert {key_slot(key.encode()) for key in keys} == {key_slot(b"p/acme")}
