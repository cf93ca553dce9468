"""Accepting a job: see whether its project can run it, that there is room for it, and that it is new.

Used by the enqueue API before a job is published and by the entry task for jobs that foreign producers published.
Synchronous: both callers may block.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import redis

from config.connections import EffectiveConnection
from config.errors import ConfigError, StoreError, UnknownProject
from tasks.contract import ExtractionJob, FailureCode, JobRefused
from workers.engine.address import Patience, address_of, addressed
from workers.engine.routing import Route, first_route
from workers.enqueue.backlog import no_room
from workers.lanes.control import Lanes
from workers.lanes.header import LaneHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A job that its project can run."""

    job: ExtractionJob
    route: Route
    #: The lane in which it is to wait.
    address: LaneHeader
    #: Jobs of its project that may wait; None for any number.
    most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The job is to be run under the id that it has."""

    route: Route
    #: The lane in which it waits.
    address: LaneHeader | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Another job holds the idempotency key; nothing is to be run."""

    job_id: str


class _Examined(NamedTuple):
    """What holds for all jobs of one project and class, for as long as its connections are the same."""

    chain: list[EffectiveConnection]
    route: Route
    #: Of one of them.
    header: LaneHeader


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
        self._lanes = Lanes(client)
        self._key_ttl = key_ttl
        self._patience = patience
        self._callback_problem = callback_problem
        #: Project and class → what was found out of them last.
        self._examined: dict[tuple[str, str], _Examined] = {}

    def examine(self, job: ExtractionJob) -> Offer:
        """See whether a job's project can run it, and where it goes first; asks the store and nobody else.

        Raises:
            JobRefused: the project is unknown or has no usable primary connection, or the job's callback could not be
                delivered.
            StoreError: the store cannot be read.
        """
        chain = self.chain(job.project)
        self._check_callback(job)
        like = job.project, job.priority.value
        found = self._examined.get(like)
        if found is None or found.chain is not chain:
            route = first_route(chain)
            header = address_of(job, chain, route, self._patience)
            assert header is not None  # noqa: S101 - the route leads onto the chain
            found = self._examined[like] = _Examined(chain, route, header)
        return Offer(
            job=job, route=found.route, address=addressed(found.header, job), most=chain[0].profile.max_waiting
        )

    def accept(self, job: ExtractionJob, *, job_id: str) -> Accepted | Duplicate:
        """Decide what becomes of a job whose message is in hand and stays with the broker until this is settled.

        Its key is taken before it is published again: the message that is in hand is delivered until it was.

        Args:
            job: the job.
            job_id: the id that it has.

        Raises:
            JobRefused: as `examine`, or too many jobs of its project wait.
            StoreError: the store cannot be read.
            redis.RedisError: Redis does not answer.
        """
        offer = self.examine(job)
        key = job_key(job)
        if offer.most is not None:
            waiting = self._lanes.waiting(job.project)
            if waiting >= offer.most and not (key and self._client.exists(key)):
                raise no_room(self._client, job.project, waiting=waiting, most=offer.most)
        if key:
            known = self._client.set(key, job_id, nx=True, get=True, ex=self._key_ttl)
            if known is not None and (owner := _text(known).partition(" ")[0]) != job_id:
                return Duplicate(job_id=owner)
        return Accepted(route=offer.route, address=offer.address)

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
            StoreError: the store cannot be read; nothing is wrong with the job.
        """
        try:
            return self._chain(project)
        except StoreError:
            raise
        except ConfigError as error:
            code = FailureCode.UNKNOWN_PROJECT if isinstance(error, UnknownProject) else FailureCode.NO_CONNECTION
            raise JobRefused(str(error), {"code": code.value, "project": project}) from None


def job_key(job: ExtractionJob) -> str:
    """Redis key that holds the job's idempotency key; empty if it has none. Hashed, since it may hold anything."""
    if job.idempotency_key is None:
        return ""
    return f"{key_prefix(job.project)}{hashlib.sha256(job.idempotency_key.encode()).hexdigest()}"


def key_prefix(project: str) -> str:
    """What all Redis keys begin with that hold idempotency keys of a project; its name has no character of patterns."""
    return f"byom:key:{project}:"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
