"""Keeps jobs that end without success; for code on the event loop."""

from collections.abc import Sequence

import structlog
from redis.asyncio import Redis

from config.connections import EffectiveConnection
from config.errors import ConfigError, CredentialRefused
from tasks.contract import AttemptRecord, ExtractionJob
from workers.alerts import Alert, AlertKind, Alerts
from workers.clock import Clock
from workers.configuration.directory import Directory
from workers.dead.letter import Contents, UsedCredential, about, failures_of, is_cancelled, is_dead
from workers.dead.sealing import Sealing
from workers.dead.shelf import Limits
from workers.jobs import Ending, JobStore
from workers.jobs.redis import job_key
from workers.redis.lua import lua
from workers.redis.pipelining import Pipelining, Script

_log = structlog.get_logger(__name__)

_SHARED = (("workers.dead", "dead"),)


class Writer:
    """Is told of each end of a job, as often as it is told, and keeps what failed."""

    def __init__(
        self,
        client: Redis,
        *,
        jobs: JobStore,
        directory: Directory,
        sealing: Sealing,
        limits: Limits,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        """Take what keeping letters needs.

        Args:
            client: of the broker.
            jobs: says what a job has paid for.
            directory: says which credential a connection uses.
            sealing: encrypts what customers said.
            limits: how much is kept.
            alerts: hears of letters that had to give way.
            clock: dates letters.
        """
        self._jobs = jobs
        self._directory = directory
        self._sealing = sealing
        self._limits = limits
        self._alerts = alerts
        self._clock = clock
        pipelining = Pipelining.of(client)
        self._put = Script(pipelining, lua("workers.dead", "put", uses=_SHARED))
        self._remove = Script(pipelining, lua("workers.dead", "remove", uses=_SHARED))

    async def job_ended(self, job: ExtractionJob, job_id: str, ending: Ending) -> None:
        """Keep a job that failed, or let go of one that a replay has brought to a good end.

        The same again changes nothing. A job that went well at once costs nothing here.

        Raises:
            redis.RedisError: it could not be kept; nothing is lost when this is called again.
        """
        if not is_dead(ending):
            if ending.replays and not is_cancelled(ending):
                await self._remove(keys=[], args=[job_id])
            return
        kept = await self._jobs.kept(job_id)
        first = failures_of(ending)[0]
        told = about(
            job,
            job_id,
            ending,
            kept,
            ended_at=self._clock.now(),
            credential=await self._credential(job.project, first.connection, kept.attempts),
        )
        contents = Contents(
            job=job.model_dump(mode="json", exclude_unset=True), units=dict(kept.units), attempts=list(kept.attempts)
        )
        sealed, key = self._sealing.seal(contents.model_dump_json(exclude_none=True), job_id=job_id)
        word, untold = await self._put(
            keys=[job_key(job_id)],
            args=[
                *(job_id, ending.replays, f"{told.ended_at.timestamp():.6f}"),
                *(told.model_dump_json(exclude_none=True), sealed, key),
                *(str(told.code), job.project, *self._limits),
            ],
        )
        if word == b"dropped":
            _log.error("dead_letter_not_kept", job=job_id, project=job.project, bytes=len(sealed))
        if untold:
            await self._tell_dropped(untold)

    async def _credential(
        self, project: str, connection: str | None, attempts: Sequence[AttemptRecord]
    ) -> UsedCredential | None:
        """The credential with which a job ended, if it came as far as that."""
        try:
            chain = await self._directory.chain(project)
        except ConfigError:
            return None
        effective = next((link for link in chain if link.connection.name == connection), None)
        if effective is None or effective.connection.credential is None:
            return None
        used = [one.credential_version for one in attempts if one.connection == connection]
        version = used[-1] if used else await self._in_force(effective)
        return UsedCredential(name=effective.connection.credential, version=version)

    async def _in_force(self, effective: EffectiveConnection) -> int | None:
        try:
            credential = await self._directory.credential(effective)
        except CredentialRefused as error:
            return error.version
        except ConfigError:
            return None
        return None if credential is None else credential.version

    async def _tell_dropped(self, count: int) -> None:
        await self._alerts.raise_alert(
            Alert(
                kind=AlertKind.DEAD_LETTERS_DROPPED,
                at=self._clock.now(),
                message=f"{count} failed jobs were dropped because more failed than are kept "
                f"(BYOM_DEAD_LETTERS_KEPT={self._limits.letters}, BYOM_DEAD_LETTERS_BYTES={self._limits.size}); the "
                "oldest went first. Replay or discard what is there (byom dead list), or raise the limits.",
            )
        )
