"""Admission on Redis or Valkey: one script call admits through everything or takes nothing, on the server's clock."""

import uuid
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from config.connections import EffectiveConnection
from tasks.contract import FailureCode
from workers.admission.base import Demand, Observation, Reason, Refusal
from workers.admission.budget import day_of
from workers.admission.declared import Ceilings
from workers.admission.health import sets_cap_aside
from workers.admission.keys import aside_key, keys_of
from workers.admission.notices import Notices
from workers.admission.state import failure_code
from workers.admission.terms import Terms, TermsBook
from workers.alerts import Alerts
from workers.clock import Clock, SystemClock
from workers.providers.rate_limits import Allowance
from workers.redis.lua import lua
from workers.redis.pipelining import Pipelining, Script

_PACKAGE = "workers.admission"

#: Seconds that it is remembered what was set aside for a batch; longer than any takes.
ASIDE_KEPT = 7 * 86_400


def script(name: str, *uses: str) -> str:
    """The source of a script of this package, with the functions of `bucket.lua` and of other files before it."""
    return lua(_PACKAGE, name, uses=tuple((_PACKAGE, used) for used in ("bucket", *uses)))


class RedisLease:
    """Leave to make one call."""

    def __init__(self, admission: "RedisAdmission", effective: EffectiveConnection, name: str, terms: Terms) -> None:
        self._admission = admission
        self._effective = effective
        self._name = name
        self._terms = terms

    async def settle(self, observation: Observation) -> None:
        """Say what the call came to. Only the first of settling and refunding counts."""
        await self._admission.close(self._effective, self._name, self._terms, observation)

    async def refund(self) -> None:
        """Give everything back: the call was not made."""
        await self._admission.close(self._effective, self._name, self._terms, None)


class RedisAdmission:
    """Decides who may call now, for all workers on one Redis."""

    def __init__(
        self,
        client: Redis,
        *,
        alerts: Alerts,
        lease_seconds: float,
        clock: Clock | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            client: of the Redis that all workers share.
            alerts: where changes of breakers and budgets go.
            lease_seconds: after which a lease counts as lost with its worker; longer than any call may take.
            clock: dates alerts, and guesses the day that the server's clock shows.
            now: replaces the server's clock, in seconds since 1970; for tests alone, in which time is the test's.
        """
        self._lease_seconds = lease_seconds
        self._clock = clock or SystemClock()
        self._now = now
        #: Seconds that the server's clock is ahead of this machine's, once they were found to show different days.
        self._ahead = 0.0
        self._notices = Notices(alerts, clock=self._clock)
        self._terms = TermsBook()
        pipelining = Pipelining.of(client)
        self._admit = Script(pipelining, script("admit", "declared", "spend"))
        self._settle = Script(pipelining, script("settle", "spend", "learn", "breaker"))
        self._earmark = Script(pipelining, script("earmark", "spend"))
        self._hold = Script(pipelining, script("hold", "declared"))

    async def admit(
        self, effective: EffectiveConnection, demand: Demand, *, reservation: str | None = None
    ) -> RedisLease | Refusal:
        """Leave to make one call, or how long to wait for it."""
        name = uuid.uuid4().hex
        terms = self._terms_for(effective, demand)
        word, *values = await self._ask(effective, demand, name, reservation, terms)
        if word == b"clock":
            self._ahead = float(values[0]) - self._local()
            terms = self._terms_for(effective, demand)
            word, *values = await self._ask(effective, demand, name, reservation, terms)
        if word == b"ok":
            return RedisLease(self, effective, name, terms)
        reason, wait, code, final, told = (value.decode() for value in values)
        for position in told.split():
            await self._notices.spent(effective, terms.spends[int(position)], percent=100)
        return Refusal(reason=Reason(reason), wait=float(wait), final=bool(final), code=failure_code(code))

    async def close(
        self,
        effective: EffectiveConnection,
        name: str,
        terms: Terms,
        observation: Observation | None,
    ) -> None:
        """Settle a lease with what its call came to, or without that give it back; for leases alone."""
        seen = observation or Observation(counted=False)
        usage = seen.usage
        given = None if usage is None else usage.total - usage.output
        ceilings = Ceilings.of(seen.limits, apart=effective.connection.output_tpm_capacity is not None)
        _, *events = await self._settle(
            keys=terms.keys,
            args=[
                self._given_now(),
                name,
                "refund" if observation is None else "settle",
                _flag(seen.counted),
                _text(given if seen.metered_input is None else seen.metered_input),
                _text(None if usage is None else usage.output),
                _text(seen.cost),
                seen.health.value,
                seen.code.value if seen.code else "-",
                _flag(seen.rate_limited),
                _text(seen.retry_after),
                *_allowance(ceilings.requests),
                *_allowance(ceilings.tokens),
                *_allowance(ceilings.output_tokens),
                terms.caps,
            ],
        )
        for kind, *details in events:
            match kind:
                case b"breaker_opened":
                    code, seconds = (detail.decode() for detail in details)
                    await self._notices.breaker_opened(effective, code=failure_code(code), seconds=float(seconds))
                case b"breaker_closed":
                    await self._notices.breaker_closed(effective)
                case b"spent":
                    position, percent = map(int, details)
                    await self._notices.spent(effective, terms.spends[position], percent=percent)

    async def hold_back(
        self, effective: EffectiveConnection, *, reason: Reason, seconds: float, code: FailureCode
    ) -> None:
        """Let nobody call on a connection for a while."""
        await self._say(effective, "hold", reason.value, seconds, code.value)

    async def let_go(self, effective: EffectiveConnection, *, reason: Reason) -> None:
        """Take back what `hold_back` said for a reason."""
        await self._say(effective, "let_go", reason.value)

    async def release(self, effective: EffectiveConnection, *, reservation: str) -> None:
        """Give back what was set aside when a job was fetched."""
        await self._say(effective, "release", reservation)

    async def earmark(self, effective: EffectiveConnection, *, name: str, cost: int) -> Refusal | int:
        """Set aside what a batch of calls is expected to cost."""
        while True:
            terms = self._terms_of(effective)
            word, *values = await self._budgets(effective, "aside", name, cost, terms)
            if word != b"clock":
                break
            self._ahead = float(values[0]) - self._local()
        if word == b"ok":
            day, *spent = values
            await self._tell(effective, terms, spent)
            return int(day)
        wait, final, told = (value.decode() for value in values)
        for position in told.split():
            await self._notices.spent(effective, terms.spends[int(position)], percent=100)
        return Refusal(reason=Reason.BUDGET, wait=float(wait), final=bool(final))

    async def put_right(self, effective: EffectiveConnection, *, name: str, cost: int, day: int) -> None:
        """Replace what was set aside by what the calls cost."""
        terms = Terms.of(effective, day)
        _, _, *spent = await self._budgets(effective, "settle", name, cost, terms)
        await self._tell(effective, terms, spent)

    async def _budgets(self, effective: EffectiveConnection, what: str, name: str, cost: int, terms: Terms) -> Any:
        counters = terms.keys[len(keys_of(effective)) :]
        return await self._earmark(
            keys=[aside_key(effective.tenant, name), *counters],
            args=[self._given_now(), what, cost, terms.day, terms.caps, ASIDE_KEPT],
        )

    async def _tell(self, effective: EffectiveConnection, terms: Terms, spent: Any) -> None:
        for position, percent in spent:
            await self._notices.spent(effective, terms.spends[int(position)], percent=int(percent))

    async def _ask(
        self,
        effective: EffectiveConnection,
        demand: Demand,
        name: str,
        reservation: str | None,
        terms: Terms,
    ) -> Any:
        return await self._admit(
            keys=terms.keys,
            args=[
                self._given_now(),
                name,
                self._lease_seconds + demand.longer,
                reservation or "",
                terms.declared,
                demand.input_tokens,
                demand.max_output_tokens,
                _flag(sets_cap_aside(effective.connection.provider)),
                demand.input_price or 0,
                demand.output_price or 0,
                terms.day,
                terms.caps,
            ],
        )

    async def _say(self, effective: EffectiveConnection, *words: str | float) -> None:
        await self._hold(keys=keys_of(effective), args=[self._given_now(), *words])

    def _terms_of(self, effective: EffectiveConnection) -> Terms:
        return self._terms.of(effective, day_of(self._local() + self._ahead))

    def _terms_for(self, effective: EffectiveConnection, demand: Demand) -> Terms:
        """The terms of one call; what has no price and is not capped is not counted."""
        terms = self._terms_of(effective)
        priced = demand.input_price is not None or demand.output_price is not None
        return terms if priced or terms.capped else terms.uncounted()

    def _local(self) -> float:
        return self._clock.now().timestamp()

    def _given_now(self) -> str:
        return "" if self._now is None else format(self._now(), ".17g")


def _flag(value: bool) -> str:  # noqa: FBT001 - one word for one word
    return "1" if value else ""


def _text(value: float | None) -> str:
    return "" if value is None else format(value, ".17g") if isinstance(value, float) else str(value)


def _allowance(said: Allowance | None) -> tuple[str, str]:
    return (_text(said.limit), _text(said.remaining)) if said else ("", "")
