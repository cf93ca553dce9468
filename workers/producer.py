"""The typed enqueue API, for code that may import this package."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import redis
from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult

from config.connections import EffectiveConnection, effective_chain
from config.settings import Settings
from config.store import ParameterStore, open_store
from tasks.contract import (
    ContractError,
    ExtractionFailed,
    ExtractionJob,
    ExtractionResult,
    FailureCode,
    JobRefused,
    parse_job,
    provider_queue,
)
from workers.address import patience_of
from workers.app import create_app
from workers.backlog import Backlog, Room, backlog_of
from workers.clock import SystemClock
from workers.intake import Accepted, Intake
from workers.messages import attempt_signature
from workers.notify.callbacks import CallbackCheck
from workers.task_body import BUDGET_PAUSED, WAITING
from workers.tracing import NO_TRACING, Tracing, open_tracing

#: Messages sent to the broker in one go.
_BATCH = 200

_STATES = {
    "PENDING": "pending",
    "RECEIVED": "queued",
    "STARTED": "running",
    "RETRY": "running",
    "IGNORED": "running",
    WAITING: "waiting",
    BUDGET_PAUSED: "budget_paused",
    "FAILURE": "failed",
    "REVOKED": "failed",
}


class JobHandle:
    """A job by its id."""

    def __init__(self, result: "AsyncResult[Any]", *, duplicate: bool = False) -> None:
        self._result = result
        #: Whether the idempotency key was known: the id is then that of the first job.
        self.duplicate = duplicate

    @property
    def id(self) -> str:
        """The job's id; the same from enqueue to result, across fallbacks."""
        return str(self._result.id)

    def state(self) -> str:
        """Where the job is.

        `pending` (queued, or not known), `running`, `waiting` (for a limit or for a connection to be well again),
        `budget_paused`, `succeeded`, `partial`, `duplicate` or `failed`.
        """
        state = self._result.state
        if state == "SUCCESS":
            return ExtractionResult.model_validate(self._result.result).status.value
        return _STATES.get(state, state.lower())

    def result(self, timeout: float | None = None) -> ExtractionResult:
        """Wait for the job to end.

        Args:
            timeout: seconds to wait; None waits for ever.

        Raises:
            ExtractionFailed: the job ended `failed`; `code` and `details` say why.
            JobRefused: a worker found the job unacceptable.
            TimeoutError: it has not ended yet.
        """
        try:
            return ExtractionResult.model_validate(self._result.get(timeout=timeout))
        except CeleryTimeoutError:
            raise TimeoutError(
                f"job {self.id} has not ended after {timeout:g} s; it goes on: ask again with `byom result {self.id}`"
            ) from None
        except ContractError:
            raise
        except Exception as error:
            details = {"code": FailureCode.INTERNAL.value, "error": type(error).__name__}
            raise ExtractionFailed(
                f"job {self.id} ended with {type(error).__name__}; the worker's log has the traceback", details
            ) from error


class Producer:
    """Enqueues jobs."""

    def __init__(
        self,
        *,
        app: Celery,
        store: ParameterStore,
        client: redis.Redis,
        settings: Settings,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._app = app
        self._tracing = tracing
        self._client = client
        self._store = store
        #: The connections of the projects of one batch, so that the store is not read for each job.
        self._chains: dict[str, list[EffectiveConnection]] = {}
        self._intake = Intake(
            chain=self._chain,
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

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """A producer with clients of its own; close it."""
        return cls(
            app=create_app(settings),
            store=open_store(settings.store_url, key=settings.store_key),
            client=redis.Redis.from_url(settings.redis_url),
            settings=settings,
            tracing=open_tracing(settings, service="byom-producer"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._app.close()
        self._tracing.close()

    def enqueue(self, job: ExtractionJob | Mapping[str, Any]) -> JobHandle:
        """Publish one job and return at once.

        Raises:
            JobRefused: the payload or its project is not acceptable, or too many of the project's jobs wait; nothing
                was published.
        """
        return next(self.enqueue_many([job]))

    def enqueue_many(self, jobs: Iterable[ExtractionJob | Mapping[str, Any]]) -> Iterator[JobHandle]:
        """Publish many jobs, in batches; yields a handle per job, in order, once its batch is with the broker.

        Raises:
            JobRefused: a payload or its project is not acceptable, or too many jobs of its project wait
                (`ProjectProfile.max_waiting`); the jobs before it are published, and none after it.
        """
        batch: list[ExtractionJob] = []
        try:
            for payload in jobs:
                batch.append(parse_job(payload))
                if len(batch) == _BATCH:
                    full, batch = batch, []
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
        return JobHandle(self._app.AsyncResult(job_id))

    def _chain(self, project: str) -> list[EffectiveConnection]:
        if project not in self._chains:
            self._chains[project] = effective_chain(self._store, project)
        return self._chains[project]

    def _publish(self, jobs: list[ExtractionJob]) -> Iterator[JobHandle]:
        """Publish jobs up to the first that is refused.

        Raises:
            JobRefused: one was refused; the handles of those before it come first.
        """
        self._chains.clear()
        room = Room(self._client)
        refused: JobRefused | None = None
        handles: list[JobHandle] = []
        published: list[tuple[ExtractionJob, str]] = []
        with self._app.producer_pool.acquire(block=True) as producer, producer.batch(_BATCH):  # type: ignore[attr-defined]  # new in kombu 5.7
            for job in jobs:
                try:
                    accepted = self._intake.accept(job, job_id=str(uuid.uuid4()), room=room)
                except JobRefused as error:
                    refused = error
                    break
                if isinstance(accepted, Accepted):
                    payload = job.model_dump(mode="json", exclude_unset=True)
                    signature = attempt_signature(
                        self._app,
                        payload,
                        accepted.route,
                        accepted.address,
                        job_id=accepted.job_id,
                        trace=self._tracing.created(
                            job_id=accepted.job_id,
                            project=job.project,
                            queue=provider_queue(accepted.route.provider),
                        ),
                    )
                    signature.apply_async(producer=producer, task_id=accepted.job_id)
                    published.append((job, accepted.job_id))
                handles.append(
                    JobHandle(self._app.AsyncResult(accepted.job_id), duplicate=not isinstance(accepted, Accepted))
                )
        for job, job_id in published:
            self._intake.published(job, job_id=job_id)
        yield from handles
        if refused is not None:
            raise refused
