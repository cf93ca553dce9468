"""Puts the jobs of a backfill into their lanes, under ids that are given."""

from collections.abc import Callable, Iterator, Sequence
from typing import Self

import redis
from celery import Celery

from config.connections import EffectiveConnection, effective_chain
from config.settings import Settings
from config.store import ParameterStore
from tasks.contract import ExtractionJob, Failure, FailureCode, JobRefused
from workers.backfill.ports import Answer, Known, NoRoom, ProjectRefused, Published, Refused
from workers.clock import Clock
from workers.engine.address import patience_of
from workers.enqueue.intake import Intake
from workers.enqueue.publishing import Batch, Publisher
from workers.jobs import Ending, end_now
from workers.notify.callbacks import CallbackCheck
from workers.signing import open_signer
from workers.task.messages import AttemptMessages

#: Seconds that the ending of a cancelled job is remembered, for as long as its message may wait in its lane.
_REMEMBERED = 7 * 86_400


class LanePublisher:
    """Publishes a batch in one step: all of it is with the broker, or nothing.

    That an id was published is not kept in the broker, where it would take memory for each line of the file: the
    driver knows it, and workers call for an id once.
    """

    def __init__(
        self, *, client: redis.Redis, intake: Intake, publisher: Publisher, refresh: Callable[[], None]
    ) -> None:
        """Take what publishing needs.

        Args:
            client: of the broker.
            intake: examines jobs.
            publisher: publishes them.
            refresh: called before each batch: what is known of the configuration is to be read anew.
        """
        self._client = client
        self._intake = intake
        self._publisher = publisher
        self._refresh = refresh

    @classmethod
    def of(cls, settings: Settings, *, app: Celery, store: ParameterStore, client: redis.Redis, clock: Clock) -> Self:
        """A publisher on clients that are the caller's; `clock` dates its signatures."""
        chains: dict[str, list[EffectiveConnection]] = {}

        def chain(project: str) -> list[EffectiveConnection]:
            if project not in chains:
                chains[project] = effective_chain(store, project)
            return chains[project]

        check = CallbackCheck(
            store, clock=clock, ttl=settings.config_cache_ttl, allow_private=settings.allow_private_endpoints
        )
        intake = Intake(
            chain=chain,
            client=client,
            key_ttl=settings.idempotency_ttl,
            patience=patience_of(settings),
            callback_problem=check.problem,
        )
        publisher = Publisher(
            client,
            messages=AttemptMessages(app, signer=open_signer(settings, store, clock=clock)),
            key_ttl=settings.idempotency_ttl,
        )
        return cls(client=client, intake=intake, publisher=publisher, refresh=chains.clear)

    def publish(self, jobs: Sequence[tuple[str, ExtractionJob]]) -> Sequence[Answer]:
        """Publish jobs under given ids; what became of each.

        Raises:
            redis.RedisError: the broker is away; some may be published.
            StoreError: the configuration cannot be read.
        """
        self._refresh()
        refused: dict[str, Answer] = {}
        answers: dict[str, Answer] = {}
        batch = Batch()
        for job_id, job in jobs:
            try:
                batch.add(self._publisher.entry(self._intake.examine(job), job_id=job_id))
            except JobRefused as error:
                refused[job_id] = _refusal(error)
            if batch.is_full:
                answers.update(self._sent(batch))
                batch = Batch()
        answers.update(self._sent(batch))
        return [refused.get(job_id) or answers.get(job_id, NoRoom()) for job_id, _ in jobs]

    def _sent(self, batch: Batch) -> Iterator[tuple[str, Answer]]:
        """What became of the jobs of a batch; those after one that was refused may be sent again."""
        published = self._publisher.publish(batch)
        for entry, known in zip(batch.entries, published.known, strict=False):
            yield entry.job_id, Published() if known in {None, entry.job_id} else Known(str(known))
        if published.refused is not None:
            yield batch.entries[len(published.known)].job_id, _refusal(published.refused)

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
