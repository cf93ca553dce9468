"""Puts the jobs of a backfill into their lanes, under ids that are given."""

from collections.abc import Callable, Sequence
from typing import Self

import redis
from celery import Celery

from config.connections import EffectiveConnection, effective_chain
from config.settings import Settings
from config.store import ParameterStore
from tasks.contract import ExtractionJob, Failure, FailureCode, JobRefused
from workers.address import patience_of
from workers.backfill.driver import Answer, Known, NoRoom, ProjectRefused, Published, Refused
from workers.backlog import Room
from workers.clock import SystemClock
from workers.intake import Accepted, Intake
from workers.jobs import Ending, end_now
from workers.messages import attempt_signature
from workers.notify.callbacks import CallbackCheck

#: Seconds that the ending of a cancelled job is remembered, for as long as its message may wait in its lane.
_REMEMBERED = 7 * 86_400


class CeleryPublisher:
    """Publishes through Celery, many jobs in one go."""

    def __init__(self, *, app: Celery, client: redis.Redis, intake: Intake, refresh: Callable[[], None]) -> None:
        """Take what publishing needs.

        Args:
            app: publishes.
            client: of the broker.
            intake: accepts jobs.
            refresh: called before each batch: what is known of the configuration is to be read anew.
        """
        self._app = app
        self._client = client
        self._intake = intake
        self._refresh = refresh

    @classmethod
    def of(cls, settings: Settings, *, app: Celery, store: ParameterStore, client: redis.Redis) -> Self:
        """A publisher on clients that are the caller's."""
        chains: dict[str, list[EffectiveConnection]] = {}

        def chain(project: str) -> list[EffectiveConnection]:
            if project not in chains:
                chains[project] = effective_chain(store, project)
            return chains[project]

        intake = Intake(
            chain=chain,
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
        return cls(app=app, client=client, intake=intake, refresh=chains.clear)

    def publish(self, jobs: Sequence[tuple[str, ExtractionJob]]) -> Sequence[Answer]:
        """Publish jobs under given ids; what became of each.

        Raises:
            redis.RedisError, kombu.exceptions.OperationalError: the broker is away; some may be published.
            StoreError: the configuration cannot be read.
        """
        self._refresh()
        room = Room(self._client)
        answers: list[Answer] = []
        published: list[tuple[ExtractionJob, str]] = []
        with self._app.producer_pool.acquire(block=True) as producer, producer.batch(len(jobs)):  # type: ignore[attr-defined]  # new in kombu 5.7
            for job_id, job in jobs:
                try:
                    accepted = self._intake.accept(job, job_id=job_id, room=room)
                except JobRefused as error:
                    answers.append(_refusal(error))
                    continue
                if accepted.job_id != job_id or not isinstance(accepted, Accepted):
                    answers.append(Known(accepted.job_id))
                    continue
                payload = job.model_dump(mode="json", exclude_unset=True)
                signature = attempt_signature(self._app, payload, accepted.route, accepted.address, job_id=job_id)
                signature.apply_async(producer=producer, task_id=job_id)
                published.append((job, job_id))
                answers.append(Published())
        for job, job_id in published:
            self._intake.published(job, job_id=job_id)
        return answers

    def end(self, job_ids: Sequence[str], failure: Failure) -> Sequence[str]:
        """End jobs that have not ended; for each, as JSON, the ending that stands."""
        ending = Ending(failure=failure)
        return [
            end_now(self._client, job_id, ending, state_ttl=_REMEMBERED).model_dump_json(exclude_none=True)
            for job_id in job_ids
        ]


def _refusal(error: JobRefused) -> Answer:
    """What follows from a refusal: it may be of the moment, of the project, or of this one job."""
    if error.code == FailureCode.BACKLOG_FULL:
        return NoRoom()
    if error.code in {FailureCode.UNKNOWN_PROJECT, FailureCode.NO_CONNECTION}:
        return ProjectRefused(error.message)
    return Refused(Failure.model_validate({"message": error.message, **error.details}))
