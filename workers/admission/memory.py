"""Admission in one process's memory: the clearest statement of the rules, and the twin that the scripts are held to."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from config.connections import EffectiveConnection
from tasks.contract import FailureCode
from workers.admission.base import Demand, Observation, Reason, Refusal
from workers.admission.budget import Counter, counters, day_of
from workers.admission.declared import Ceilings, Declared
from workers.admission.health import sets_cap_aside
from workers.admission.keys import keys_of
from workers.admission.learning import Event, learn, learn_usage
from workers.admission.meter import Amounts, Books, Breaker, Hold, Meter, Plan, Taken, Wish
from workers.admission.notices import Notices
from workers.admission.state import Figures, MeterState, failure_code, meter_state
from workers.alerts import Alerts, MemoryAlerts
from workers.clock import Clock

#: Seconds in which workers may still believe in limits that were replaced by a push.
STALE = 60
#: Percentages of a cap that are told of.
_WARNING, _ALL = 80, 100


@dataclass(slots=True)
class _Spend:
    spent: float = 0
    #: The cap and the percentage of it that was last told of.
    told: tuple[int, int] = (0, 0)

    def lacks(self, cap: int, amount: float) -> bool:
        """Whether a cap has no room for an amount."""
        return self.spent + amount > cap or self.spent >= cap

    def tell(self, cap: int, percent: int) -> bool:
        """Whether to tell of a percentage of a cap: once in each period, and anew for another cap."""
        if self.told[0] == cap and self.told[1] >= percent:
            return False
        self.told = (cap, percent)
        return True


@dataclass(slots=True)
class _Aside:
    """What is set aside for a batch."""

    cost: int
    day: int
    settled: bool = False


class _Tenant:
    """One meter with what was pushed to it."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.declared: Declared | None = None
        self.superseded: set[Declared] = set()
        self.superseded_until = 0.0

    def adopt(self, declared: Declared, *, now: float) -> None:
        """Believe what a caller says of the limits, unless it has not heard yet of limits that were pushed."""
        if declared != self.declared and not (now < self.superseded_until and declared in self.superseded):
            self._write(declared, now=now)

    def push(self, declared: Declared, *, now: float) -> None:
        """Take new limits from whoever has just stored them."""
        if declared == self.declared:
            return
        if self.declared is not None:
            earlier = self.superseded if now < self.superseded_until else set()
            self.superseded, self.superseded_until = earlier | {self.declared}, now + STALE
        self._write(declared, now=now)

    def _write(self, declared: Declared, *, now: float) -> None:
        books = self.meter.load(now)  # until now the old limits held
        books.declared = self.declared = declared
        # A bucket that is new starts full, but for what was taken while it was not there.
        known, books.levels = books.levels, {}
        for bucket in books.buckets():
            taken = sum(books.amount(bucket.level, lease.amounts) for lease in books.leases.values())
            books.levels[bucket.level] = min(bucket.size, known.get(bucket.level, bucket.size - taken))
        self.meter.books = books


class MemoryLease:
    """Leave to make one call."""

    def __init__(
        self, admission: "MemoryAdmission", effective: EffectiveConnection, name: str, spends: Sequence[Counter]
    ) -> None:
        self._admission = admission
        self._effective = effective
        self._name = name
        self._spends = spends

    async def settle(self, observation: Observation) -> None:
        """Say what the call came to. Only the first of settling and refunding counts."""
        await self._admission.close(self._effective, self._name, self._spends, observation)

    async def refund(self) -> None:
        """Give everything back: the call was not made."""
        await self._admission.close(self._effective, self._name, self._spends, None)


class MemoryAdmission:
    """Decides who may call now, for one process; for tests, and to read."""

    def __init__(self, clock: Clock, *, alerts: Alerts | None = None, lease_seconds: float = 120) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._notices = Notices(alerts or MemoryAlerts(), clock=clock)
        self._tenants: defaultdict[str, _Tenant] = defaultdict(_Tenant)
        self._spends: defaultdict[str, _Spend] = defaultdict(_Spend)
        #: (tenant, batch) → what is set aside for it.
        self._asides: dict[tuple[str, str], _Aside] = {}

    async def admit(
        self, effective: EffectiveConnection, demand: Demand, *, reservation: str | None = None
    ) -> MemoryLease | Refusal:
        """Leave to make one call, or how long to wait for it."""
        now, tenant = self._now(), self._tenant(effective)
        tenant.adopt(Declared.of(effective.connection), now=now)
        wish = Wish(
            input=demand.input_tokens,
            output=demand.max_output_tokens,
            whole=sets_cap_aside(effective.connection.provider),
        )
        name = uuid.uuid4().hex
        plan = tenant.meter.plan(wish, name=name, replaces=reservation, now=now)
        cost = plan.taken.input * (demand.input_price or 0) + plan.taken.output * (demand.output_price or 0)
        spends = counters(effective, day_of(now))
        refusal, told = self._refusal(plan, cost, spends, now=now)
        for counter in told:
            await self._notices.spent(effective, counter, percent=_ALL)
        if refusal is not None:
            return refusal
        for counter in spends:
            self._spends[counter.key].spent += cost
        at = plan.books.now
        expires = at + self._lease_seconds + demand.longer
        taken = Taken(kind="call", at=at, amounts=plan.taken, estimate=demand.input_tokens, spend=cost, expires=expires)
        tenant.meter.commit(plan, taken, name=name)
        return MemoryLease(self, effective, name, spends)

    async def earmark(self, effective: EffectiveConnection, *, name: str, cost: int) -> Refusal | int:
        """Set aside in the budgets what a batch of calls is expected to cost."""
        now = self._now()
        day = day_of(now)
        if aside := self._asides.get((effective.tenant, name)):
            return aside.day
        spends = counters(effective, day)
        full = [one for one in spends if one.cap is not None and self._spends[one.key].lacks(one.cap, cost)]
        if full:
            for counter in full:
                if counter.cap is not None and self._spends[counter.key].tell(counter.cap, _ALL):
                    await self._notices.spent(effective, counter, percent=_ALL)
            wait = max(counter.ends - now for counter in full)
            return Refusal(reason=Reason.BUDGET, wait=wait, final=any(counter.fails for counter in full))
        self._asides[effective.tenant, name] = _Aside(cost, day)
        await self._add(effective, spends, cost)
        return day

    async def put_right(self, effective: EffectiveConnection, *, name: str, cost: int, day: int) -> None:
        """Replace what was set aside by what the calls cost."""
        aside = self._asides.get((effective.tenant, name))
        if aside is not None and not aside.settled:
            aside.settled = True
            await self._add(effective, counters(effective, day), cost - aside.cost)

    async def _add(self, effective: EffectiveConnection, spends: Sequence[Counter], cost: float) -> None:
        for counter in spends:
            spend = self._spends[counter.key]
            spend.spent += cost
            for percent in (_ALL, _WARNING):
                if counter.cap is not None and spend.spent >= counter.cap * percent / 100:
                    if spend.tell(counter.cap, percent):
                        await self._notices.spent(effective, counter, percent=percent)
                    break

    def _refusal(
        self, plan: Plan, cost: float, spends: Sequence[Counter], *, now: float
    ) -> tuple[Refusal | None, list[Counter]]:
        """What is short, budgets last, and the counters whose cap is to be told of."""
        final, told = False, []
        for counter in spends:
            if counter.cap is None or not self._spends[counter.key].lacks(counter.cap, cost):
                continue
            plan.short.append((counter.ends - now, Reason.BUDGET, "-"))
            if plan.short[0][1] is Reason.BUDGET:
                final |= counter.fails
                if self._spends[counter.key].tell(counter.cap, _ALL):
                    told.append(counter)
        if not plan.short:
            return None, told
        _, reason, code = plan.short[0]
        return Refusal(reason=reason, wait=plan.wait, final=final, code=failure_code(code)), told

    async def close(
        self,
        effective: EffectiveConnection,
        name: str,
        spends: Sequence[Counter],
        observation: Observation | None,
    ) -> None:
        """Settle a lease with what its call came to, or without that give it back; for leases alone."""
        meter = self._tenant(effective).meter
        closed = meter.close(name, now=self._now())
        if closed is None:
            return
        books, taken = closed
        cost = self._settle(books, taken, observation)
        event: Event | None = None
        if observation is not None:
            apart = effective.connection.output_tpm_capacity is not None
            event = learn(books, taken, observation, Ceilings.of(observation.limits, apart=apart), name=name)
        meter.books = books
        await self._tell(effective, event)
        await self._add(effective, spends, cost - taken.spend)

    @staticmethod
    def _settle(books: Books, taken: Taken, observation: Observation | None) -> float:
        """Put in the books what the call really took; returns what it cost."""
        if observation is None or not observation.counted:
            books.add(taken.amounts)
            return 0
        if (usage := observation.usage) is not None:
            given = usage.total - usage.output if observation.metered_input is None else observation.metered_input
            amounts = taken.amounts
            books.add(Amounts(requests=0, input=amounts.input - given, output=amounts.output - usage.output))
            learn_usage(books, taken, given=given, output=usage.output)
        return taken.spend if observation.cost is None else observation.cost

    async def _tell(self, effective: EffectiveConnection, event: Event | None) -> None:
        match event:
            case ("opened", code, seconds):
                await self._notices.breaker_opened(effective, code=failure_code(code), seconds=seconds)
            case ("closed",):
                await self._notices.breaker_closed(effective)

    async def hold_back(
        self, effective: EffectiveConnection, *, reason: Reason, seconds: float, code: FailureCode
    ) -> None:
        """Let nobody call on a connection for a while."""
        meter = self._tenant(effective).meter
        books = meter.load(self._now())
        books.holds.pop(reason, None)
        books.holds[reason] = Hold(until=books.now + seconds, code=code.value)
        meter.books = books

    async def let_go(self, effective: EffectiveConnection, *, reason: Reason) -> None:
        """Take back what `hold_back` said for a reason."""
        meter = self._tenant(effective).meter
        books = meter.load(self._now())
        books.holds.pop(reason, None)
        meter.books = books

    async def release(self, effective: EffectiveConnection, *, reservation: str) -> None:
        """Give back what was set aside when a job was fetched."""
        self._tenant(effective).meter.refund(reservation, now=self._now())

    def declare(self, effective: EffectiveConnection) -> None:
        """Put limits that were just stored into force; for a minute those that they replaced are not believed."""
        self._tenant(effective).push(Declared.of(effective.connection), now=self._now())

    def trust(self, effective: EffectiveConnection) -> None:
        """What kept calls away may be mended: nothing is held back any more, and the breaker closes."""
        meter = self._tenant(effective).meter
        books = meter.load(self._now())
        books.holds.clear()
        books.blocked_until = 0
        books.breaker = Breaker(closed_at=books.breaker.closed_at)
        meter.books = books

    def reset(self, effective: EffectiveConnection) -> None:
        """Forget what was learned of a meter, its breaker and what was held back; limits and levels stay."""
        meter = self._tenant(effective).meter
        books = meter.load(self._now())
        meter.books = Books(declared=books.declared, at=self._now(), levels=books.levels, leases=books.leases)

    async def set_aside(self, effective: EffectiveConnection, wish: Wish, *, name: str, seconds: float) -> Plan:
        """Take a lease as a fetch of a job does, by the meter's own limits; for tests."""
        meter = self._tenant(effective).meter
        return meter.take(wish, name=name, seconds=seconds, kind="fetch", replaces=None, now=self._now())

    def read(self, links: Sequence[EffectiveConnection]) -> list[MeterState]:
        """How the meters of connections stand, in their order."""
        return [self._state_of(link) for link in links]

    def _state_of(self, effective: EffectiveConnection) -> MeterState:
        now = self._now()
        books = self._tenant(effective).meter.load(now)
        fields, texts = _fields(books)
        taken = [lease.amounts for lease in books.leases.values()]
        figures = Figures(
            now=books.now,
            fields=fields,
            texts=texts,
            buckets={
                bucket.level: (books.levels[bucket.level], bucket.size, bucket.refill) for bucket in books.buckets()
            },
            share=books.share_of_refill(books.now),
            in_flight=len(books.leases),
            reserved_requests=sum(amounts.requests for amounts in taken),
            reserved_tokens=sum(amounts.input + amounts.output for amounts in taken),
        )
        spends = [(counter, round(self._spends[counter.key].spent)) for counter in counters(effective, day_of(now))]
        return meter_state(effective.key, figures, spends=spends)

    def _tenant(self, effective: EffectiveConnection) -> _Tenant:
        return self._tenants[keys_of(effective).state]

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _fields(books: Books) -> tuple[dict[str, float], dict[str, str]]:
    """The state by the names that the scripts give it."""
    declared, breaker, learned = books.declared, books.breaker, books.learned
    known: dict[str, float | None] = {name: getattr(declared, name) for name in declared.__dataclass_fields__}
    known |= {"blocked_until": books.blocked_until, "breaker_until": breaker.until, "breaker_since": breaker.since}
    if learned.answers:
        known |= {name: getattr(learned, name) for name in ("answers", "average", "deviation", "ratio", "error")}
    holds = "".join(f"{reason.value} {hold.until!r} {hold.code}\n" for reason, hold in books.holds.items())
    texts = {"holds": holds, "breaker": breaker.state, "breaker_code": breaker.code}
    return {name: value for name, value in known.items() if value is not None}, texts
