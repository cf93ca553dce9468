"""Accepting a job: see that there is room for it, hold its idempotency key, choose its first connection.

Used by the enqueue API before a job is published and by the entry task for jobs that foreign producers published.
Synchronous: both callers may block.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import redis

from config.connections import EffectiveConnection
from config.errors import ConfigError, StoreError, UnknownProject
from tasks.contract import ExtractionJob, FailureCode, JobRefused
from workers.address import Patience, address_of
from workers.backlog import Room
from workers.lanes.header import LaneHeader
from workers.routing import Route, first_route

_PUBLISHED = "published"
_RESERVED = "reserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The job is to be run under `job_id`."""

    job_id: str
    route: Route
    #: The lane in which it waits.
    address: LaneHeader | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Another job holds the idempotency key; nothing is to be run."""

    job_id: str


class Intake:
    """Accepts jobs."""

    def __init__(
        self,
        *,
        chain: Callable[[str], list[EffectiveConnection]],
        client: redis.Redis,
        key_ttl: int,
        patience: Patience,
        callback_problem: Callable[[ExtractionJob], str | None] = lambda _: None,
    ) -> None:
        """Take what intake needs.

        Args:
            chain: answers with a project's connections.
            client: Redis.
            key_ttl: how long keys are remembered, in seconds.
            patience: how long jobs wait.
            callback_problem: why a job's callback could not be delivered, or None.
        """
        self._chain = chain
        self._client = client
        self._key_ttl = key_ttl
        self._patience = patience
        self._callback_problem = callback_problem

    def accept(self, job: ExtractionJob, *, job_id: str, room: Room | None = None) -> Accepted | Duplicate:
        """Decide what becomes of a job that wants to run under `job_id`.

        An idempotency key that is reserved but was never published (its producer died in between) is taken up again
        under the first id: running the same id twice is harmless.

        Args:
            job: the job.
            job_id: the id that it is to have.
            room: of the batch that the job belongs to; a job alone has its own.

        Raises:
            JobRefused: the project is unknown or has no usable primary connection, too many of its jobs wait, or the
                job's callback could not be delivered.
            StoreError: the store cannot be read.
        """
        chain = self.chain(job.project)
        self._check_callback(job)
        most, room = chain[0].profile.max_waiting, room or Room(self._client)
        if most is not None and not room.left(job.project, most) and not self._is_known(job, job_id):
            raise room.refusal(job.project, most)
        accepted = self._hold_key(job, chain, job_id)
        if isinstance(accepted, Accepted):
            room.take(job.project)
        return accepted

    def _hold_key(self, job: ExtractionJob, chain: list[EffectiveConnection], job_id: str) -> Accepted | Duplicate:
        route = first_route(chain)
        address = address_of(job, chain, route, self._patience)
        if job.idempotency_key is None:
            return Accepted(job_id=job_id, route=route, address=address)
        key = _key(job.project, job.idempotency_key)
        known = self._client.set(key, f"{job_id} {_RESERVED}", nx=True, get=True, ex=self._key_ttl)
        if known is None:
            return Accepted(job_id=job_id, route=route, address=address)
        owner, _, state = _text(known).partition(" ")
        if owner == job_id or state == _RESERVED:
            return Accepted(job_id=owner, route=route, address=address)
        return Duplicate(job_id=owner)

    def _is_known(self, job: ExtractionJob, job_id: str) -> bool:
        """Whether a job adds nothing to what waits: its key was published before, or is its own."""
        if job.idempotency_key is None:
            return False
        known = self._client.get(_key(job.project, job.idempotency_key))
        owner, _, state = _text(known or "").partition(" ")
        return state == _PUBLISHED or owner == job_id

    def published(self, job: ExtractionJob, *, job_id: str) -> None:
        """Note that the job's message reached the broker."""
        if job.idempotency_key is not None:
            key = _key(job.project, job.idempotency_key)
            self._client.set(key, f"{job_id} {_PUBLISHED}", xx=True, ex=self._key_ttl)

    def _check_callback(self, job: ExtractionJob) -> None:
        try:
            problem = self._callback_problem(job)
        except StoreError:
            raise
        except ConfigError as error:
            problem = str(error)
        if problem is not None:
            problems = [f"callback_url: {problem}"]
            raise JobRefused(
                f"The job was refused: {problems[0]}. Mend it and send the job again.",
                {"code": FailureCode.INVALID_JOB.value, "project": job.project, "problems": problems},
            )

    def chain(self, project: str) -> list[EffectiveConnection]:
        """The connections of a project.

        Raises:
            JobRefused: the project is unknown or has no usable primary connection.
        """
        try:
            return self._chain(project)
        except ConfigError as error:
            code = FailureCode.UNKNOWN_PROJECT if isinstance(error, UnknownProject) else FailureCode.NO_CONNECTION
            raise JobRefused(str(error), {"code": code.value, "project": project}) from None


def _key(project: str, idempotency_key: str) -> str:
    """Redis key; the caller's key is hashed, since it may hold anything."""
    return f"byom:key:{project}:{hashlib.sha256(idempotency_key.encode()).hexdigest()}"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
