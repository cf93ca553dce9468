"""The typed enqueue API, for code that may import this package."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import redis
from celery import Celery
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from config.connections import EffectiveConnection, effective_chain
from config.settings import Settings
from config.store import ParameterStore, open_store
from tasks.contract import ContractError, ExtractionJob, FailureCode, JobRefused, parse_job
from tasks.contract.fields import is_identifier
from workers.app import create_app
from workers.clock import Clock, SystemClock
from workers.engine.address import patience_of
from workers.enqueue.backlog import Backlog, backlog_of
from workers.enqueue.intake import Intake
from workers.enqueue.publishing import Batch, Publisher
from workers.handles import JobHandle, Results
from workers.notify.callbacks import CallbackCheck
from workers.signing import open_signer
from workers.task.messages import AttemptMessages
from workers.tracing import NO_TRACING, Tracing, open_tracing

__all__ = ["JobHandle", "Payload", "Producer", "WithId"]

#: Seconds that the configuration of a project is trusted while one stream of jobs goes out.
_TRUSTED = 1.0

#: As long as Celery's own publishing goes on trying, a restart of the broker passes unnoticed.
_RETRIES = 20
_LONGEST_BACKOFF = 2.0
_FIRST_BACKOFF = 0.2

#: A job, or what can be parsed as one.
Payload = ExtractionJob | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithId:
    """A job whose id is given: enqueueing it once more is harmless.

    The id is remembered as long as an idempotency key is. A job that has both is known by its key.
    """

    job_id: str
    job: Payload


class Producer:
    """Enqueues jobs. Safe for threads."""

    def __init__(
        self,
        *,
        app: Celery,
        store: ParameterStore,
        client: redis.Redis,
        settings: Settings,
        result_client: redis.Redis | None = None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """Take what the producer works with.

        Args:
            app: whose tasks the jobs become.
            store: the configuration.
            client: of the broker.
            settings: of this process.
            result_client: of the result store, where that is another server than the broker.
            tracing: traces jobs from here on.
        """
        self._app = app
        self._tracing = tracing
        self._client = client
        self._result_client = result_client or client
        self._results = Results(app, self._result_client)
        self._chains = _Chains(store, SystemClock())
        self._intake = Intake(
            chain=self._chains.of,
            client=client,
            key_ttl=settings.idempotency_ttl,
            patience=patience_of(settings),
            callback_problem=CallbackCheck(
                store,
                clock=SystemClock(),
                ttl=settings.config_cache_ttl,
                allow_private=settings.allow_private_endpoints,
            ).problem,
        )
        self._publisher = Publisher(
            client,
            messages=AttemptMessages(app, signer=open_signer(settings, store)),
            key_ttl=settings.idempotency_ttl,
            tracing=tracing,
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """A producer with clients of its own; close it."""
        shared = settings.backend_url == settings.redis_url
        return cls(
            app=create_app(settings),
            store=open_store(settings.store_url, key=settings.store_key),
            client=_patient_client(settings.redis_url),
            settings=settings,
            result_client=None if shared else _patient_client(settings.backend_url),
            tracing=open_tracing(settings, service="byom-producer"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._result_client.close()
        self._app.close()
        self._tracing.close()

    def enqueue(self, job: Payload, *, job_id: str | None = None) -> JobHandle:
        """Publish one job and return at once.

        Args:
            job: the job.
            job_id: its id; absent: a new one. A job whose id is known is not published again, see `WithId`.

        Raises:
            JobRefused: the payload or its project is not acceptable, or too many of the project's jobs wait; nothing
                was published.
            BrokerFull: the broker takes no more messages; nothing was published.
            redis.RedisError: the broker does not answer.
        """
        [handle] = self.enqueue_many([job if job_id is None else WithId(job_id=job_id, job=job)])
        return handle

    def enqueue_many(self, jobs: Iterable[Payload | WithId]) -> Iterator[JobHandle]:
        """Publish many jobs, in batches; yields a handle per job, in order, once its batch is with the broker.

        A batch goes out in one step, and all of it or nothing is with the broker whatever breaks.

        Raises:
            JobRefused: a payload or its project is not acceptable, or too many jobs of its project wait
                (`ProjectProfile.max_waiting`); the jobs before it are published, and none after it.
            BrokerFull: the broker takes no more messages; jobs without a handle are not published.
            redis.RedisError: the broker does not answer; jobs without a handle may be published or not.
        """
        self._chains.forget()
        batch = Batch()
        try:
            for item in jobs:
                self._add(batch, item)
                if batch.is_full:
                    full, batch = batch, Batch()
                    yield from self._publish(full)
        except ContractError:
            yield from self._publish(batch)
            raise
        yield from self._publish(batch)

    def backlog(self, project: str) -> Backlog:
        """How many jobs of a project wait, and for how long at its limits.

        Raises:
            redis.RedisError: the broker cannot be asked.
        """
        return backlog_of(self._client, project)

    def handle(self, job_id: str) -> JobHandle:
        """The handle of a job that was enqueued earlier, by anybody."""
        return JobHandle(job_id, self._results)

    def _add(self, batch: Batch, item: Payload | WithId) -> None:
        """Examine a job and add it to a batch.

        Raises:
            JobRefused: it is not acceptable.
        """
        given = item.job_id if isinstance(item, WithId) else None
        if given is not None and not is_identifier(given):
            problem = "job_id: must be letters, digits, '.', '_' and '-', begin with one of the first two, at most 128"
            raise JobRefused(
                f"The job was refused: {problem}.", {"code": FailureCode.INVALID_JOB.value, "problems": [problem]}
            )
        offer = self._intake.examine(parse_job(item.job if isinstance(item, WithId) else item))
        batch.add(self._publisher.entry(offer, job_id=given or str(uuid.uuid4()), given=given is not None))

    def _publish(self, batch: Batch) -> Iterator[JobHandle]:
        """Publish a batch up to the first job that is refused.

        Raises:
            JobRefused: one was refused; the handles of those before it come first.
        """
        published = self._publisher.publish(batch)
        for entry, known in zip(batch.entries, published.known, strict=False):
            yield JobHandle(known or entry.job_id, self._results, duplicate=known is not None)
        if published.refused is not None:
            raise published.refused


class _Chains:
    """The connections of projects, so that the store is not read for each job. One instance serves many threads."""

    def __init__(self, store: ParameterStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[float, list[EffectiveConnection]]] = {}

    def of(self, project: str) -> list[EffectiveConnection]:
        """The connections of a project.

        Raises:
            ConfigError: there is no such project, it has none, or the store cannot be read.
        """
        now = self._clock.monotonic()
        read_at, chain = self._known.get(project, (float("-inf"), []))
        if now - read_at > _TRUSTED:
            chain = effective_chain(self._store, project)
            self._known[project] = (now, chain)
        return chain

    def forget(self) -> None:
        """Read everything anew."""
        self._known.clear()


def _patient_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=15,
        socket_connect_timeout=5,
        retry=Retry(ExponentialWithJitterBackoff(base=_FIRST_BACKOFF, cap=_LONGEST_BACKOFF), _RETRIES),
        # A failover shows as an error of its own.
        retry_on_error=[redis.ReadOnlyError],
    )
