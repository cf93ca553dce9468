"""What is kept of a job that failed: what anybody may see of it, and what only a replay needs."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tasks.contract import AttemptRecord, ExtractionJob, Failure, FailureCode
from tasks.contract.result import ReportedCode, ReportedPriority, ReportedProvider
from workers.engine.outcome import TABLE, Scope
from workers.jobs import Ending, Kept

_FAILED, _PARTIAL = "failed", "partial"

#: What speaks of an episode alone: no other day brings another answer.
_OF_EPISODES = frozenset(row.code for row in TABLE.values() if row.scope is Scope.EPISODE)


class _Record(BaseModel):
    """Newer workers may write more."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class FailedEpisode(_Record):
    """An episode of a job that was done in part."""

    id: str
    code: ReportedCode


class UsedCredential(_Record):
    """The credential of the connection on which a job ended."""

    name: str
    #: The one of the last call; where the job made none, the one that was in force when it ended.
    version: int | None = None


class About(_Record):
    """Who failed where and why. Holds nothing of what customers said."""

    job_id: str
    project: str
    account: str | None = None
    #: `failed`, or `partial` where only some of its episodes did.
    status: str = _FAILED
    code: ReportedCode
    #: What happened, to which project and connection, and what to do.
    message: str
    #: The connection on which it ended, if it came as far as that.
    provider: ReportedProvider | None = None
    connection: str | None = None
    model: str | None = None
    credential: UsedCredential | None = None
    ended_at: AwareDatetime
    episodes: int
    #: Of a job that was done in part.
    failed_episodes: list[FailedEpisode] = []
    #: Calls that were made for it.
    attempts: int = 0
    labels: dict[str, str] = {}
    priority: ReportedPriority


class Contents(_Record):
    """What a replay needs. Holds what customers said."""

    #: The job as it was enqueued.
    job: dict[str, Any]
    #: Index of a part → what was extracted from it.
    units: dict[int, str] = {}
    #: All calls that were made for it, oldest first.
    attempts: list[AttemptRecord] = []

    def kept(self, replays: int) -> Kept:
        """The same for the job store."""
        return Kept(units=self.units, attempts=tuple(self.attempts), replays=replays)


class Letter(_Record):
    """A dead letter as everybody may see it."""

    about: About
    #: How often the job had been replayed when it ended so.
    replays: Annotated[int, Field(ge=0)] = 0
    #: When it was sent on its way again; None while it is dead.
    replayed_at: AwareDatetime | None = None
    #: Names the key that its contents are encrypted with; None where they are in the clear.
    key: str | None = None

    @property
    def id(self) -> str:
        """The job's id."""
        return self.about.job_id

    @classmethod
    def of(cls, fields: dict[bytes, bytes]) -> Self:
        """From the fields of its hash."""
        replayed_at, key = fields.get(b"replayed_at"), fields.get(b"key")
        return cls(
            about=About.model_validate_json(fields[b"about"]),
            replays=int(fields[b"replays"]),
            replayed_at=None if replayed_at is None else _instant(replayed_at),
            key=None if key is None else key.decode(),
        )


def about(
    job: ExtractionJob,
    job_id: str,
    ending: Ending,
    kept: Kept,
    *,
    ended_at: datetime,
    credential: UsedCredential | None,
) -> About:
    """What is to be said of a job that failed, or of one of which some episodes did."""
    failures = failures_of(ending)
    first = failures[0]
    last = kept.attempts[-1] if kept.attempts else None
    return About(
        job_id=job_id,
        project=job.project,
        account=last.account if last else None,
        status=_FAILED if ending.result is None else _PARTIAL,
        code=first.code,
        message=first.message,
        provider=first.provider,
        connection=first.connection,
        model=first.model,
        credential=credential,
        ended_at=ended_at,
        episodes=len(job.episodes),
        failed_episodes=[
            FailedEpisode(id=failure.episode_id, code=failure.code)
            for failure in failures
            if ending.result is not None and failure.episode_id is not None
        ],
        attempts=len(kept.attempts),
        labels=job.labels,
        priority=job.priority,
    )


def failures_of(ending: Ending) -> list[Failure]:
    """Why a job failed, or each of its episodes that did; never empty for an ending that is not whole."""
    if ending.failure is not None:
        return [ending.failure]
    episodes = ending.result.episodes if ending.result is not None else []
    return [episode.failure for episode in episodes if episode.failure is not None]


def is_cancelled(ending: Ending) -> bool:
    """Whether an operator ended a job."""
    return ending.failure is not None and ending.failure.code == FailureCode.CANCELLED


def is_dead(ending: Ending) -> bool:
    """Whether a job that ended so is kept; one that an operator ended is not.

    One that was done in part is kept if a replay has something to do: not where episodes failed by their own doing.
    """
    if ending.failure is not None:
        return not is_cancelled(ending)
    return any(failure.code not in _OF_EPISODES for failure in failures_of(ending))


def _instant(text: bytes) -> datetime:
    return datetime.fromtimestamp(float(text), UTC)
