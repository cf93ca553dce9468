"""Workers with an endless backlog, against the meter that a simulated vendor keeps; in virtual time."""

import heapq
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from pydantic import SecretStr

from config.connections import EffectiveConnection
from tasks.contract import FailureCode, TokenUsage
from tests.support import ManualClock
from workers.admission import Demand, Health, Lease, MemoryAdmission, Observation, RedisAdmission, Refusal
from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Rejection
from workers.embedded.simulator.meter import Meter, MeterReport

MODEL = "m"
#: Seconds between admission and arrival at the vendor, at most.
JITTER = 0.1


@dataclass
class Traffic:
    """What came of it."""

    calls: int = 0
    refused: int = 0
    tokens: int = 0
    #: Questions to admission.
    asked: int = 0


@dataclass
class Backlog:
    """Workers that call whenever they are let."""

    admission: MemoryAdmission | RedisAdmission
    effective: EffectiveConnection
    clock: ManualClock
    account: Account
    seed: int
    workers: int = 2
    #: Median and spread of the tokens of an answer.
    output: tuple[float, float] = (350, 0.6)
    cap: int = 3_000
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - traffic, not secrets
        self._meter = Meter(self.clock.monotonic)
        self._events: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []
        self._order = count()

    async def run(self, seconds: float) -> MeterReport:
        """Let time pass; the vendor's own report."""
        self._end = self.clock.seconds + seconds
        for _ in range(self.workers):
            self._later(0, self._work)
        while self._events:
            self.clock.seconds, _, event = heapq.heappop(self._events)
            await event()
        [report] = self._meter.reports()
        return report

    def _later(self, seconds: float, event: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._events, (self.clock.seconds + seconds, next(self._order), event))

    async def _work(self) -> None:
        if self.clock.seconds >= self._end:
            return
        given = max(50, round(self._random.lognormvariate(7, 0.4)))
        estimate = round(given * self._random.uniform(1, 1.5))
        self.traffic.asked += 1
        lease = await self.admission.admit(self.effective, Demand(input_tokens=estimate, max_output_tokens=self.cap))
        if isinstance(lease, Refusal):
            self._later(max(lease.wait, 1e-6), self._work)
            return
        self._later(self._random.uniform(0, JITTER), lambda: self._arrive(lease, given))
        self._later(0, self._work)

    async def _arrive(self, lease: Lease, given: int) -> None:
        median, spread = self.output
        output = min(self.cap, round(median * self._random.lognormvariate(0, spread)))
        self.traffic.calls += 1
        try:
            self._meter.admit(self.account, MODEL, given + output)
        except Rejection as rejection:
            self.traffic.refused += 1
            refusal = Observation(
                usage=TokenUsage(),
                rate_limited=True,
                retry_after=rejection.retry_after,
                health=Health.NONE,
                code=FailureCode.RATE_LIMITED,
            )
            self._later(0.01, lambda: lease.settle(refusal))
            return
        if self.clock.seconds <= self._end:
            self.traffic.tokens += given + output
        answer = Observation(usage=TokenUsage(input=given, output=output), health=Health.OK)
        self._later(self._random.uniform(1, 3), lambda: lease.settle(answer))


def account(*, tpm: int, rpm: int = 10_000_000, enforce: bool = True) -> Account:
    """A customer of the vendor."""
    return Account(key=SecretStr("k"), tpm=tpm, rpm=rpm, enforce=enforce)
