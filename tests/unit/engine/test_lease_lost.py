"""A process that was stopped for longer than its lease, and goes on: it makes no call that nobody would know of."""

import asyncio

from tests.unit.engine.conftest import FRESH, Bench, fault
from workers.jobs import Ending
from workers.providers.base import Call, Fault, FaultKind, Provider
from workers.providers.transport import Sent


class Standstill:
    """A model in front of whose first answer time goes by; others run meanwhile."""

    def __init__(self, bench: Bench, *, others: bool) -> None:
        self._bench = bench
        self._others = others
        self._answer = bench.model.send
        bench.model.then("primary", fault(FaultKind.TIMEOUT))
        bench.engine._attempts._transport = self

    async def send(self, provider: Provider, call: Call, *, timeout: float) -> Sent:  # noqa: ASYNC109 - as the real one
        sent = await self._answer(provider, call, timeout=timeout)
        if isinstance(sent.answer, Fault):
            self._bench.clock.seconds += 70
            for _ in range(500 if self._others else 0):
                await asyncio.sleep(0)
        return sent


def attempts(bench: Bench) -> list[str]:
    """What the vendor was asked."""
    return [call.tags["attempt"] for call in bench.model.calls]


async def test_it_tries_nothing_again_while_another_delivery_has_the_job_and_ends_as_that_one_does(
    bench: Bench,
) -> None:
    Standstill(bench, others=True)

    first, second = await asyncio.gather(bench.run(delivery=FRESH), bench.run(delivery=FRESH))

    assert isinstance(first, Ending)
    assert first.whole
    assert first == second
    assert attempts(bench) == ["1.1.1", "1.1.2"]
    # It was taken for lost, and was settled after all.
    assert [(record.attempt, record.status) for record in bench.records] == [
        ("1.1.1", "lost"),
        ("1.1.2", "ok"),
        ("1.1.1", "provider_timeout"),
    ]


async def test_it_takes_the_job_anew_where_nobody_else_has(bench: Bench) -> None:
    Standstill(bench, others=False)
    owners: list[str] = []
    claim = bench.jobs.claim

    async def counted(job_id: str, *, hop: int, owner: str, lease: float) -> object:
        owners.append(owner)
        return await claim(job_id, hop=hop, owner=owner, lease=lease)

    bench.jobs.claim = counted  # type: ignore[method-assign, assignment]
    outcome = await bench.run(delivery=FRESH)

    assert isinstance(outcome, Ending)
    assert outcome.whole
    assert len(set(owners)) == 2
    assert attempts(bench) == ["1.1.1", "1.1.2"]
    # It knows its own call, and takes it for nobody's that died.
    assert [(record.attempt, record.status) for record in bench.records] == [
        ("1.1.1", "provider_timeout"),
        ("1.1.2", "ok"),
    ]


async def test_leave_that_came_too_late_is_given_back(bench: Bench) -> None:
    admit, late = bench.gate.admit, [True]

    async def slow(*args: object, **options: object) -> object:
        if late and late.pop():
            bench.clock.seconds += 70
        return await admit(*args, **options)  # type: ignore[arg-type]

    bench.gate.admit = slow  # type: ignore[method-assign, assignment]
    outcome = await bench.run(delivery=FRESH)

    assert isinstance(outcome, Ending)
    assert (len(bench.model.calls), bench.gate.refunded) == (1, 1)
