"""Admission in both forms, in time that passes only when a test says so."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis
import redis.asyncio

from config.connections import EffectiveConnection, ProjectProfile
from tasks.contract import ProviderKind, TokenUsage
from tests.support import ManualClock, effective
from workers.admission import Demand, Health, Lease, MemoryAdmission, MeterState, Observation, RedisAdmission, Refusal
from workers.admission.control import Meters
from workers.admission.keys import keys_of
from workers.admission.meter import Wish
from workers.alerts import AlertKind, MemoryAlerts
from workers.embedded.valkey import EmbeddedValkey
from workers.redis.lua import lua

LEASE = 120.0

#: What the fetch of a job does: it takes a lease by the meter's own limits.
FETCH = (
    lua("workers.admission", "bucket")
    + """
local keys = {state = KEYS[1], leases = KEYS[2], held = KEYS[3]}
local demand = {input = tonumber(ARGV[2]), output = tonumber(ARGV[3]), calls = tonumber(ARGV[4])}
local lease = {name = ARGV[5], seconds = tonumber(ARGV[6]), kind = 'fetch'}
local ok, wait, reason, code = bucket_take(keys, tonumber(ARGV[1]), demand, lease)
return {ok and 1 or 0, string.format('%.17g', wait), reason, code}
"""
)


def limited(
    *,
    tpm: int = 90_000,
    refill: float = 1_500.0,
    project: str = "acme",
    account: str | None = None,
    provider: ProviderKind = ProviderKind.OPENAI,
    profile: ProjectProfile | None = None,
    **limits: Any,
) -> EffectiveConnection:
    """A connection with limits."""
    base = effective(provider=provider)
    document = {**base.connection.model_dump(), "tpm_capacity": tpm, "tpm_refill_per_second": refill, **limits}
    return replace(
        base,
        connection=type(base.connection).model_validate(document),
        project=project,
        account=account,
        profile=profile or ProjectProfile(),
    )


#: 1,000 tokens at once and 10 more a second; a hundredth is never used.
SMALL = limited(tpm=1_000, refill=10)
SIZE = 990
#: Five calls at once, and one more a second.
FIVE = limited(rpm_capacity=5, rpm_refill_per_second=1)


def demand(tokens: int, *, output: int = 0, price: int | None = None) -> Demand:
    """A call that takes so many tokens and one of output, on a meter that has learned nothing."""
    return Demand(input_tokens=tokens, max_output_tokens=output or 1, input_price=price, output_price=price)


def about(seconds: float) -> Any:
    """Seconds, with room for rounding; `Any`, since it stands for a number."""
    return pytest.approx(seconds)


def used(given: int, output: int = 0, **more: Any) -> Observation:
    """A good answer that took so many tokens."""
    return Observation(usage=TokenUsage(input=given, output=output), **{"health": Health.OK, **more})


@dataclass
class Subject:
    """One of the two forms."""

    admission: MemoryAdmission | RedisAdmission
    clock: ManualClock
    alerts: MemoryAlerts
    fetch: Callable[[EffectiveConnection, Wish, str, float], Awaitable[tuple[bool, float, str]]]
    meters: MemoryAdmission | Meters
    leases: list[Lease] = field(default_factory=list)

    async def lease(self, effective: EffectiveConnection, wanted: Demand, *, reservation: str | None = None) -> Lease:
        """A lease that must be granted."""
        answer = await self.admission.admit(effective, wanted, reservation=reservation)
        assert not isinstance(answer, Refusal), answer
        self.leases.append(answer)
        return answer

    async def refusal(
        self, effective: EffectiveConnection, wanted: Demand, *, reservation: str | None = None
    ) -> Refusal:
        """A refusal that must come."""
        answer = await self.admission.admit(effective, wanted, reservation=reservation)
        assert isinstance(answer, Refusal)
        return answer

    async def level(self, effective: EffectiveConnection) -> float:
        """What is in the bucket of tokens."""
        bucket = (await self.read(effective)).tokens
        assert bucket is not None
        return bucket.level

    async def read(self, effective: EffectiveConnection) -> MeterState:
        [state] = self.meters.read([effective])
        return state

    async def set_aside(
        self, effective: EffectiveConnection, *, tokens: int, calls: int = 1, seconds: float = 30
    ) -> str:
        """A reservation as the fetch of a job makes it; it must be granted."""
        name = uuid.uuid4().hex
        ok, _, reason = await self.fetch(effective, Wish(input=tokens, output=1, calls=calls), name, seconds)
        assert ok, reason
        return name

    def told(self) -> list[AlertKind]:
        """The alerts so far."""
        return [alert.kind for alert in self.alerts.raised]


def in_memory(clock: ManualClock, alerts: MemoryAlerts) -> Subject:
    admission = MemoryAdmission(clock, alerts=alerts, lease_seconds=LEASE)

    async def fetch(effective: EffectiveConnection, wish: Wish, name: str, seconds: float) -> tuple[bool, float, str]:
        plan = await admission.set_aside(effective, wish, name=name, seconds=seconds)
        return not plan.short, plan.wait, plan.short[0][1].value if plan.short else ""

    return Subject(admission, clock, alerts, fetch, admission)


def on_redis(client: "redis.asyncio.Redis", commands: redis.Redis, clock: ManualClock, alerts: MemoryAlerts) -> Subject:
    """Admission on one client, and what operators say on another."""

    def now() -> float:
        return clock.now().timestamp()

    admission = RedisAdmission(client, alerts=alerts, lease_seconds=LEASE, clock=clock, now=now)

    async def fetch(effective: EffectiveConnection, wish: Wish, name: str, seconds: float) -> tuple[bool, float, str]:
        args: list[str | float] = [format(now(), ".17g"), wish.input, wish.output, wish.calls, name, seconds]
        ok, wait, reason, _ = await client.eval(FETCH, 3, *keys_of(effective), *args)
        return bool(ok), float(wait), reason.decode()

    return Subject(admission, clock, alerts, fetch, Meters(commands, now=now))


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    clock, alerts = ManualClock(), MemoryAlerts()
    if request.param == "memory":
        yield in_memory(clock, alerts)
        return
    valkey: EmbeddedValkey = request.getfixturevalue("valkey")
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        yield on_redis(client, request.getfixturevalue("valkey_client"), clock, alerts)
