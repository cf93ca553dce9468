"""A keeper on stand-ins: a pool and jobs in memory, time that a test moves, and the simulator without a network."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr

from config.catalogue import load_catalogue
from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import MemoryStore
from tasks.contract import AttemptRecord, ExtractionJob, ProviderKind, parse_job
from tests.support import ManualClock
from workers.admission import MemoryAdmission
from workers.alerts import MemoryAlerts
from workers.configuration.directory import Directory
from workers.economy.keeper import Keeper
from workers.economy.keys import Line
from workers.economy.memory import MemoryPool
from workers.economy.opening import build_keeper
from workers.economy.planning import Terms
from workers.embedded.simulator import Account, Options, Simulator
from workers.embedded.simulator.batches import Result
from workers.embedded.simulator.core import Broken, Core
from workers.embedded.simulator.exchange import Incoming
from workers.embedded.simulator.server import Router
from workers.embedded.simulator.wire import MOUNTS
from workers.engine.kept import read_kept
from workers.engine.routing import Route
from workers.jobs import Claimed, MemoryJobs
from workers.providers.base import Fault, FaultKind, WireRequest, WireResponse
from workers.providers.registry import build_batches

KEY = "sk-economy-0123456789"
TERMS = Terms(gather=60, look=30, patience=600, timeout=120)
MODELS = {ProviderKind.ANTHROPIC: "claude-haiku-5-5", ProviderKind.GEMINI: "gemini-3.5-flash-lite"}
TEXT = "Ada moved to Lisbon in May 2026."


class Wire:
    """Carries requests to the simulator's core without a network."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._router = Router(MOUNTS)
        #: Method and path of every request.
        self.asked: list[tuple[str, str]] = []
        #: Answers to come in place of the simulator's.
        self.faults: list[Fault] = []

    async def ask(
        self,
        request: WireRequest,
        *,
        name: str,  # noqa: ARG002 - the interface's
        timeout: float,  # noqa: ARG002, ASYNC109 - as above
        most: int | None = None,  # noqa: ARG002 - as above
    ) -> WireResponse | Fault:
        url = urlsplit(request.url)
        self.asked.append((request.method, url.path))
        if self.faults:
            return self.faults.pop(0)
        found = self._router.find(request.method, url.path)
        assert found is not None, url.path
        mount, route, params = found
        incoming = Incoming(
            method=request.method,
            path=url.path,
            params=params,
            query=url.query,
            headers=CIMultiDict(request.headers),
            body=request.content,
        )
        try:
            outgoing, entry = await self._core.serve(mount, route, incoming)
        except Broken:
            return Fault(kind=FaultKind.READ, message="It broke.")
        self._core.books.deliver(entry)
        headers = {header.lower(): value for header, value in outgoing.headers.items()}
        return WireResponse(status=outgoing.status, headers=headers, content=outgoing.body)

    def count(self, method: str, ending: str) -> int:
        return sum(one == method and path.endswith(ending) for one, path in self.asked)


@dataclass
class Bench:
    """A keeper with everything around it."""

    kind: ProviderKind
    clock: ManualClock
    store: MemoryStore
    pool: MemoryPool
    jobs: MemoryJobs
    budgets: MemoryAdmission
    alerts: MemoryAlerts
    core: Core
    wire: Wire
    directory: Directory
    #: Wraps what the keeper is given; a test puts faults there.
    wrap: Callable[[Any], Any] = field(default=lambda given: given)

    def __post_init__(self) -> None:
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Keeper:
        """As another process would build it."""
        return build_keeper(
            pool=self.wrap(self.pool),
            directory=self.directory,
            catalogue=load_catalogue(),
            providers=build_batches(clock=self.clock),
            transport=self.wrap(self.wire),
            jobs=self.wrap(self.jobs),
            budgets=self.wrap(self.budgets),
            alerts=self.alerts,
            clock=self.clock,
            terms=TERMS,
        )

    @property
    def line(self) -> Line:
        return Line("acme", "primary")

    def connect(self, **changes: Any) -> None:
        """The connection, anew."""
        save_connection(
            self.store,
            project_path("acme"),
            {
                "name": "primary",
                "provider": self.kind.value,
                "model": MODELS[self.kind],
                "credential": "main",
                "base_url": f"http://127.0.0.1:1/{self.kind.value}",
                **changes,
            },
        )
        self.directory.drop_everything()

    def collect(self, *texts: str, job_id: str | None = None, **changes: Any) -> str:
        """A worker has collected a job."""
        job_id = job_id or uuid.uuid4().hex
        self.pool.collect(self.line, job_id, message_of(job_of(*texts, **changes), job_id, self.kind))
        return job_id

    async def pass_time(self, seconds: float) -> None:
        """Time passes, and the keeper comes round."""
        self.clock.seconds += seconds
        await self.keeper.round()

    async def send(self) -> None:
        """What waits has waited long enough."""
        await self.pass_time(TERMS.gather)

    async def read(self) -> None:
        """All batches have ended, and are looked at."""
        self.core.batches.end(done=None, rest=Result.EXPIRED)
        await self.pass_time(300)

    async def kept(self, job_id: str) -> set[int]:
        """Units of a job whose memories are there."""
        claim = await self.jobs.claim(job_id, hop=1, owner="test", lease=1)
        assert isinstance(claim, Claimed)
        await self.jobs.release(job_id, owner="test")
        return set(read_kept(claim.units))

    def back(self) -> dict[str, bool]:
        """Jobs that went back to their lanes, and whether no call is left to make of them."""
        return {given.job_id: given.done for given in self.pool.given_back}

    @property
    def records(self) -> list[AttemptRecord]:
        return self.jobs.records

    def spent(self) -> Decimal:
        """Pico-USD in the project's budget of the day."""
        return Decimal(round(max(spend.spent for spend in self.budgets._spends.values())))


def job_of(*texts: str, **changes: Any) -> ExtractionJob:
    episodes = [{"id": f"e{number}", "content": text} for number, text in enumerate(texts or (TEXT,), start=1)]
    return parse_job({"project": "acme", "episodes": episodes, "economy": True} | changes)


def message_of(job: ExtractionJob, job_id: str, kind: ProviderKind) -> dict[str, Any]:
    """kombu's message of an attempt."""
    route = Route.model_validate({"connection": "primary", "provider": kind, "model": MODELS[kind], "role": "primary"})
    kwargs = {"job": job.model_dump(mode="json"), "route": route.model_dump(mode="json")}
    return {
        "body": json.dumps([[], kwargs, {}]),
        "headers": {"id": job_id, "task": f"extract.{kind.value}"},
        "properties": {"delivery_tag": job_id},
    }


def bench_of(kind: ProviderKind, *, batch_seconds: float = 1e9) -> Bench:
    """A bench on one provider, whose batches end when a test says so."""
    clock = ManualClock()

    async def sleep(_: float) -> None:
        """Models take no time here."""

    options = Options(accounts=(Account(key=SecretStr(KEY)),), permissive=False, batch_seconds=batch_seconds, seed=1)
    core = Simulator(options, clock=lambda: clock.now().timestamp(), sleep=sleep).core
    store, alerts = MemoryStore(), MemoryAlerts()
    save_project(store, "acme", account="acme-inc")
    save_credential(store, project_path("acme"), "main", SecretStr(KEY))
    bench = Bench(
        kind=kind,
        clock=clock,
        store=store,
        pool=MemoryPool(clock=clock),
        jobs=MemoryJobs(clock=clock),
        budgets=MemoryAdmission(clock, alerts=alerts),
        alerts=alerts,
        core=core,
        wire=Wire(core),
        directory=Directory(store, clock=clock, ttl=1_000_000),
    )
    bench.connect()
    return bench


@pytest.fixture(params=list(MODELS), ids=lambda kind: kind.value)
def bench(request: pytest.FixtureRequest) -> Bench:
    """A bench on each provider that has batches."""
    return bench_of(request.param)
