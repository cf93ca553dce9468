"""Random histories, on which the scripts and their twin in Python must agree step by step."""

import itertools
import uuid
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contract import FailureCode, TokenUsage
from tests.support import ManualClock
from tests.unit.admission.conftest import Subject, in_memory, limited, on_redis
from workers.admission import Demand, Health, Observation, Reason, Refusal
from workers.admission.meter import Wish
from workers.alerts import MemoryAlerts
from workers.embedded.valkey import EmbeddedValkey
from workers.providers.rate_limits import Allowance, RateLimits

#: Of one meter: what is declared for it may change at any time.
LIMITS: tuple[dict[str, Any], ...] = (
    {"tpm": 5_000, "refill": 83.3},
    {"tpm": 5_000, "refill": 83.3, "rpm_capacity": 6, "max_concurrency": 5},
    {"tpm": 900, "refill": 1_000.0, "output_tpm_capacity": 2_000, "output_tpm_refill_per_second": 7.7},
    {"tpm": 40_000, "refill": 600.0, "spend_cap_day_usd": Decimal("0.00002"), "on_spend_cap": "fail"},
)
_tenants = itertools.count()

amounts = st.integers(0, 3_000)
allowances = st.none() | st.builds(Allowance, limit=st.none() | st.integers(1, 9_000), remaining=st.none() | amounts)
observations = st.builds(
    Observation,
    usage=st.none() | st.builds(TokenUsage, input=amounts, cached_input=st.just(0), output=amounts),
    counted=st.sampled_from([True, True, True, False]),
    cost=st.none() | st.integers(0, 10**7),
    limits=st.none()
    | st.builds(RateLimits, requests=allowances, tokens=allowances, input_tokens=allowances, output_tokens=allowances),
    rate_limited=st.sampled_from([False, False, False, True]),
    retry_after=st.none() | st.floats(0, 20),
    health=st.sampled_from([Health.OK, Health.FAILING, Health.FAILING, Health.NONE, Health.FATAL]),
    code=st.sampled_from([FailureCode.PROVIDER_UNAVAILABLE, FailureCode.QUOTA_EXHAUSTED]),
)
steps = st.one_of(
    st.tuples(st.just("pass"), st.floats(-20, 90)),
    st.tuples(st.just("pass"), st.floats(0, 3)),
    st.tuples(st.just("admit"), amounts, amounts, st.integers(0, 3)),
    st.tuples(st.just("admit"), amounts, amounts, st.integers(0, 3)),
    st.tuples(st.just("fetch"), amounts, st.integers(1, 4)),
    st.tuples(st.just("settle"), st.integers(0, 50), observations),
    st.tuples(st.just("settle"), st.integers(0, 50), observations),
    st.tuples(st.just("refund"), st.integers(0, 50)),
    st.tuples(st.just("release"), st.integers(0, 50)),
    st.tuples(st.just("hold"), st.sampled_from([Reason.CREDENTIAL, Reason.BREAKER]), st.floats(0, 60)),
    st.tuples(st.just("let_go"), st.sampled_from([Reason.CREDENTIAL, Reason.BREAKER])),
    st.tuples(st.just("declare"), st.sampled_from(range(len(LIMITS)))),
    st.tuples(st.just("name"), st.sampled_from(range(len(LIMITS)))),
    st.tuples(st.just("trust")),
    st.tuples(st.just("reset")),
)


class History:
    """One of the two forms on its way through a history."""

    def __init__(self, subject: Subject, tenant: str) -> None:
        self._subject = subject
        self._connections = [limited(account=tenant, **limits) for limits in LIMITS]
        self._effective = self._connections[0]
        self._reservations: list[str] = []

    async def take(self, step: tuple[Any, ...], *, name: str) -> Any:
        """Take a step; what it came to, and the state after it."""
        came = await self._take(step, name)
        state = asdict(await self._subject.read(self._effective))
        return came, state, [(alert.kind, alert.message) for alert in self._subject.alerts.raised]

    async def _take(self, step: tuple[Any, ...], name: str) -> Any:
        match step:
            case ("admit", given, output, which):
                demand = Demand(input_tokens=given, max_output_tokens=output, input_price=1_000, output_price=3_000)
                reservation = self._reservations[-which] if 0 < which <= len(self._reservations) else None
                answer = await self._subject.admission.admit(self._effective, demand, reservation=reservation)
                if isinstance(answer, Refusal):
                    return asdict(answer)
                self._subject.leases.append(answer)
            case ("fetch", given, calls):
                self._reservations.append(name)
                return await self._subject.fetch(self._effective, Wish(input=given, output=0, calls=calls), name, 30)
            case (("settle" | "refund"), which, *rest) if self._subject.leases:
                lease = self._subject.leases[which % len(self._subject.leases)]
                await (lease.settle(*rest) if rest else lease.refund())
            case ("release", which) if self._reservations:
                name = self._reservations[which % len(self._reservations)]
                await self._subject.admission.release(self._effective, reservation=name)
            case ("name", which):
                self._effective = self._connections[which]
            case _:
                await self._say(step)
        return None

    async def _say(self, step: tuple[Any, ...]) -> None:
        """What is said of a meter from outside."""
        admission, meters = self._subject.admission, self._subject.meters
        match step:
            case ("hold", reason, seconds):
                code = FailureCode.CREDENTIAL_REJECTED
                await admission.hold_back(self._effective, reason=reason, seconds=seconds, code=code)
            case ("let_go", reason):
                await admission.let_go(self._effective, reason=reason)
            case ("declare", which):
                self._effective = self._connections[which]
                meters.declare(self._effective)
            case ("trust",):
                meters.trust(self._effective)
            case ("reset",):
                meters.reset(self._effective)


def alike(one: Any, other: Any) -> bool:
    """Equal, but for a millionth in numbers and a millisecond in time."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
        case ((list() | tuple()), (list() | tuple())):
            return len(one) == len(other) and all(itertools.starmap(alike, zip(one, other, strict=True)))
        case datetime(), datetime():
            return abs((one - other).total_seconds()) < 1e-3
        case float() | int(), float() | int():
            return bool(one == pytest.approx(other, rel=1e-9, abs=1e-6))
    return bool(one == other)


@given(history=st.lists(steps, max_size=60))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_both_forms_agree_on_any_history(
    valkey: EmbeddedValkey, valkey_client: redis.Redis, history: list[tuple[Any, ...]]
) -> None:
    tenant, clock = f"t{next(_tenants)}", ManualClock()
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        twin = History(in_memory(clock, MemoryAlerts()), tenant)
        scripts = History(on_redis(client, valkey_client, clock, MemoryAlerts()), tenant)
        for step in history:
            if step[0] == "pass":
                clock.seconds += step[1]
            name = uuid.uuid4().hex
            expected, actual = await twin.take(step, name=name), await scripts.take(step, name=name)
            assert alike(expected, actual), f"{step}:\n{expected}\n{actual}"
