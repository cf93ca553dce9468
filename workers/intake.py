"""Accepting a job: validate it, hold its idempotency key, choose its first connection.

Used by the enqueue API before a job is published and by the entry task for jobs that foreign producers published.
Synchronous: both callers may block.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import redis

from config.connections import EffectiveConnection
from config.errors import ConfigError, UnknownProject
from tasks.contract import ExtractionJob, FailureCode, JobRefused
from workers.address import Patience, address_of
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
    ) -> None:
        """`chain` answers with a project's connections; `key_ttl` is how long keys are remembered, in seconds."""
        self._chain = chain
        self._client = client
        self._key_ttl = key_ttl
        self._patience = patience

    def accept(self, job: ExtractionJob, *, job_id: str) -> Accepted | Duplicate:
        """Decide what becomes of a job that wants to run under `job_id`.

        An idempotency key that is reserved but was never published (its producer died in between) is taken up again
        under the first id: running the same id twice is harmless.

        Raises:
            JobRefused: the project is unknown or has no usable primary connection.
        """
        chain = self.chain(job.project)
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

    def published(self, job: ExtractionJob, *, job_id: str) -> None:
        """Note that the job's message reached the broker."""
        if job.idempotency_key is not None:
            key = _key(job.project, job.idempotency_key)
            self._client.set(key, f"{job_id} {_PUBLISHED}", xx=True, ex=self._key_ttl)

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
