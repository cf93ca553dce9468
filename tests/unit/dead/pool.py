"""An engine on a real broker, whose jobs fail, and an operator who replays them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import redis
import redis.asyncio
from celery import Celery
from celery.states import FAILURE
from pydantic import SecretStr

from config.settings import Settings
from tasks.contract import ExtractionJob, parse_job
from tests.integration.support.inbox import connected
from tests.unit.engine.conftest import IMPATIENT, Model, fault, make_job
from tests.unit.engine.conftest import Bench as EngineBench
from workers.app import create_app
from workers.clock import SystemClock
from workers.dead.letter import Letter
from workers.dead.replay import Replayer
from workers.dead.sealing import Sealing
from workers.dead.shelf import Limits, Shelf
from workers.dead.writer import Writer
from workers.embedded.valkey import EmbeddedValkey
from workers.engine.engine import HandOff
from workers.engine.routing import Route, first_route
from workers.enqueue.intake import Intake
from workers.jobs import Ending, RedisJobs
from workers.lanes.control import Lanes
from workers.lanes.keys import LaneName
from workers.providers.base import FaultKind


class Later(SystemClock):
    """The machine's time, and more where a test says so."""

    seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(super().now().timestamp() + self.seconds, UTC)


class Pool:
    """An engine on a real broker, whose deliveries a test makes, and an operator who replays."""

    def __init__(self, valkey: EmbeddedValkey, client: redis.asyncio.Redis, bench: EngineBench) -> None:
        self.settings = Settings(broker_url=SecretStr(valkey.url))
        self.app: Celery = create_app(self.settings)
        self.sync = redis.Redis.from_url(valkey.url)
        self.jobs = RedisJobs(client, state_ttl=3_600, records_kept=1_000)
        self.bench, self.valkey, self.clock = bench, valkey, Later()
        self.shelf = Shelf(self.sync)
        engine: Any = bench.engine
        engine._jobs = engine._attempts._jobs = engine._leases._jobs = self.jobs
        self.writer = Writer(
            client,
            jobs=self.jobs,
            directory=bench.directory,
            sealing=Sealing(),
            limits=Limits(),
            alerts=bench.alerts,
            clock=self.clock,
        )
        engine._ended = self.writer.job_ended

    @property
    def model(self) -> Model:
        return self.bench.model

    def replayer(self, app: Celery | None = None) -> Replayer:
        return Replayer(
            app=app or self.app, client=self.sync, store=self.bench.store, settings=self.settings, clock=self.clock
        )

    def intake(self) -> Intake:
        return self.replayer()._intake

    def letters(self) -> list[Letter]:
        return [letter for page in self.shelf.pages() for letter in page]

    async def fail(self, *job_ids: str, texts: Sequence[str] = (), **changes: Any) -> None:
        """Have jobs fail as in an outage, on all their connections."""
        for name in ("primary", "backup"):
            self.model.always[name] = fault(FaultKind.PERMISSION_DENIED)
        for job_id in job_ids:
            job = make_job(*texts, idempotency_key=f"key-{job_id}", **changes)
            self.intake().accept(job, job_id=job_id)
            await self.run(job, job_id, first_route(await self.bench.directory.chain("acme")))
        self.model.always.clear()

    async def run(self, job: ExtractionJob, job_id: str, route: Route) -> Ending:
        """All hops of a job; its result is stored as Celery does."""
        outcome = await self.bench.engine.run(job, job_id=job_id, route=route, delivery=IMPATIENT)
        while isinstance(outcome, HandOff):
            outcome = await self.bench.engine.run(job, job_id=job_id, route=outcome.route, delivery=IMPATIENT)
        assert isinstance(outcome, Ending)
        if outcome.result is not None:
            self.app.backend.store_result(job_id, outcome.result.model_dump(mode="json"), "SUCCESS")
        elif outcome.failure is not None:
            self.app.backend.store_result(job_id, outcome.failure.as_error(), FAILURE)
        return outcome

    async def deliver(self) -> list[str]:
        """Deliver all that was published, as often as it was; the jobs in that order."""
        delivered = []
        with connected(self.valkey) as connection:
            channel = cast("Any", connection.channel())
            for queue in ("extract.openai", "extract.openai_compatible"):
                while (message := channel.basic_get(queue)) is not None:
                    _, kwargs, _ = message.payload
                    job_id = message.headers["id"]
                    await self.run(parse_job(kwargs["job"]), job_id, Route.model_validate(kwargs["route"]))
                    message.ack()
                    delivered.append(job_id)
        return delivered

    def results(self, *job_ids: str) -> list[Any]:
        return [self.app.AsyncResult(job_id).state for job_id in job_ids]

    def lanes(self) -> list[LaneName]:
        return Lanes(self.sync).names()

    def close(self) -> None:
        cast("Any", self.app.backend).client.connection_pool.disconnect()
        self.app.close()
        self.sync.close()
