"""The engine on stand-ins: memory store, memory jobs, time that passes only in sleeps, and a scripted model."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from config.catalogue import load_catalogue
from config.connections import EffectiveConnection, project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import MemoryStore
from tasks.contract import AttemptRecord, ExtractionJob, Failure, FailureCode, TokenUsage, parse_job
from tests.support import ManualClock
from workers.admission import Demand, Observation, Reason, Refusal
from workers.alerts import MemoryAlerts
from workers.configuration.directory import Directory
from workers.engine.address import Patience
from workers.engine.attempts import Attempts
from workers.engine.delivery import Delivery
from workers.engine.engine import Engine, HandOff, Outcome
from workers.engine.leases import Leases
from workers.engine.routing import Route, first_route
from workers.jobs import Ending, MemoryJobs
from workers.providers.base import Call, Fault, FaultKind, Provider, Reply
from workers.providers.registry import build_providers
from workers.providers.transport import Sent

USAGE = TokenUsage(input=700, output=80)
TEXT = "Ada moved to Lisbon in May 2026."


def memories(**changes: Any) -> str:
    """What a good model says about `TEXT`."""
    fact = {
        "evidence": TEXT,
        "subject": "Ada",
        "predicate": "LIVES_IN",
        "object": "Lisbon",
        "fact": "Ada moved to Lisbon in May 2026.",
        "valid_at": "2026-05",
        "invalid_at": "",
    }
    entities = [
        {"name": "Ada", "type": "person", "summary": "Moved to Lisbon."},
        {"name": "Lisbon", "type": "place", "summary": "Where Ada lives."},
    ]
    return json.dumps({"entities": entities, "facts": [fact | changes]})


def reply(text: str | None = None, **changes: Any) -> Reply:
    return Reply(text=memories() if text is None else text, usage=USAGE, **changes)


def fault(kind: FaultKind, **changes: Any) -> Fault:
    return Fault(kind=kind, message=f"It said {kind.value}.", **changes)


#: A job that has waited long enough: what follows from a fault follows at once.
IMPATIENT = Delivery(waited=1_000_000, impatient=True)
#: A job that has only just come.
FRESH = Delivery()

Answer = Reply | Fault | Callable[[Call], Reply | Fault]


@dataclass
class Model:
    """Answers calls as scripted, per connection; what is not scripted is answered well."""

    clock: ManualClock
    script: dict[str, deque[Answer]] = field(default_factory=dict)
    always: dict[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    async def send(self, provider: Provider, call: Call, *, timeout: float) -> Sent:  # noqa: ASYNC109 - as the real one
        assert provider.kind is call.connection.provider
        assert timeout == (90 if call.tier is None else 900)
        self.calls.append(call)
        self.clock.seconds += 1
        name = call.connection.name
        answer: Answer = self.always.get(name, reply())
        if self.script.get(name):
            answer = self.script[name].popleft()
        return Sent(answer=answer(call) if callable(answer) else answer, latency=1.0)

    def then(self, name: str, *answers: Answer) -> None:
        self.script.setdefault(name, deque()).extend(answers)


class Leave:
    """Leave to call; keeps what it was settled with."""

    def __init__(self, gate: "Gate") -> None:
        self._gate = gate

    async def settle(self, observation: Observation) -> None:
        self._gate.observed.append(observation)

    async def refund(self) -> None:
        self._gate.refunded += 1


@dataclass
class Gate:
    """Admission as scripted; what is not scripted is let in."""

    script: deque[Refusal | None] = field(default_factory=deque)
    asked: list[tuple[Demand, str | None]] = field(default_factory=list)
    observed: list[Observation] = field(default_factory=list)
    refunded: int = 0
    released: list[str] = field(default_factory=list)
    held_back: list[tuple[str, Reason, float, FailureCode]] = field(default_factory=list)

    async def admit(
        self, _effective: EffectiveConnection, demand: Demand, *, reservation: str | None = None
    ) -> Leave | Refusal:
        self.asked.append((demand, reservation))
        refusal = self.script.popleft() if self.script else None
        return refusal or Leave(self)

    async def release(self, _effective: EffectiveConnection, *, reservation: str) -> None:
        self.released.append(reservation)

    async def hold_back(
        self, effective: EffectiveConnection, *, reason: Reason, seconds: float, code: FailureCode
    ) -> None:
        self.held_back.append((effective.connection.name, reason, seconds, code))

    async def let_go(self, effective: EffectiveConnection, *, reason: Reason) -> None:
        raise AssertionError(f"the engine never lets go: {effective} {reason}")


@dataclass
class Bench:
    """An engine with everything around it."""

    engine: Engine
    model: Model
    jobs: MemoryJobs
    store: MemoryStore
    clock: ManualClock
    slept: list[float]
    directory: Directory
    gate: Gate
    alerts: MemoryAlerts

    async def run(
        self,
        job: ExtractionJob | None = None,
        *,
        job_id: str = "j",
        route: Route | None = None,
        delivery: Delivery = IMPATIENT,
    ) -> Outcome:
        """One delivery."""
        chosen = job or make_job()
        if route is None:
            route = first_route(await self.directory.chain(chosen.project))
        return await self.engine.run(chosen, job_id=job_id, route=route, delivery=delivery)

    async def run_to_the_end(self, job: ExtractionJob | None = None) -> Ending:
        """All hops."""
        outcome = await self.run(job)
        while isinstance(outcome, HandOff):
            outcome = await self.run(job, route=outcome.route)
        assert isinstance(outcome, Ending)
        return outcome

    @property
    def called(self) -> list[str]:
        """Connections in the order in which they were called."""
        return [call.connection.name for call in self.model.calls]

    @property
    def records(self) -> list[AttemptRecord]:
        return self.jobs.records


def make_job(*texts: str, **changes: Any) -> ExtractionJob:
    episodes = [{"id": f"e{number}", "content": text} for number, text in enumerate(texts or (TEXT,), start=1)]
    return parse_job({"project": "acme", "episodes": episodes} | changes)


def failure_of(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Ending)
    assert outcome.failure is not None
    return outcome.failure


@pytest.fixture
def bench() -> Bench:
    return build_bench()


@pytest.fixture
def make_bench() -> Callable[[], Bench]:
    """For tests that need many."""
    return build_bench


def build_bench() -> Bench:
    clock = ManualClock()
    store = MemoryStore()
    save_project(store, "acme", account="acme-inc")
    scope = project_path("acme")
    save_credential(store, scope, "main", SecretStr("key-one"))
    save_connection(
        store,
        scope,
        {
            "name": "primary",
            "provider": "openai",
            "model": "gpt-6-luna",
            "credential": "main",
            "labels": {"team": "search"},
        },
    )
    save_connection(
        store,
        scope,
        {
            "name": "backup",
            "provider": "openai_compatible",
            "model": "local",
            "base_url": "http://127.0.0.1:1/v1",
            "role": "fallback",
        },
    )
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.seconds += seconds

    async def yield_only(_: float) -> None:
        await asyncio.sleep(0)

    model = Model(clock)
    gate = Gate()
    alerts = MemoryAlerts()
    jobs = MemoryJobs(clock=clock)
    directory = Directory(store, clock=clock, ttl=1_000_000)
    attempts = Attempts(
        directory=directory,
        providers=build_providers(),
        transport=model,
        admission=gate,
        jobs=jobs,
        alerts=alerts,
        clock=clock,
        max_calls=100,
        call_timeout=90,
        flex_timeout=900,
        patience=5,
        sleep=sleep,
        jitter=lambda: 1.0,
    )
    engine = Engine(
        directory=directory,
        catalogue=load_catalogue(),
        jobs=jobs,
        attempts=attempts,
        leases=Leases(jobs, seconds=60, clock=clock, sleep=yield_only),
        patience=Patience(before_fallback=30, at_most=600),
    )
    return Bench(
        engine=engine,
        model=model,
        jobs=jobs,
        store=store,
        clock=clock,
        slept=slept,
        directory=directory,
        gate=gate,
        alerts=alerts,
    )
