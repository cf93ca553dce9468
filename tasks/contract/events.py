"""What the pool tells of its own accord: events, as they are posted to webhooks and read by `byom events`.

Every event is `{"id", "type", "timestamp", "data"}`; the type says what `data` holds. Readers ignore types and fields
that they do not know. No event holds a secret, or what a customer said; the callback of a job alone, which its producer
asked for, holds the memories.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, Field, SerializeAsAny, ValidationInfo, field_validator

from .result import ExtractionResult, Failure, Record, ReportedCode, ReportedProvider, UsageTotals


class EventKind(StrEnum):
    """What happened."""

    # Folded over a window: never one per request.
    #: The provider refused calls for their rate; one per project, provider and model every 60 seconds.
    RATE_LIMITED = "byom.rate_limited"
    #: Calls failed by the provider's doing, or for the credential; one per project, provider, model and `error_code`
    #: every 60 seconds.
    REQUEST_FAILED = "byom.request_failed"
    # At once.
    #: A connection kept failing and is left alone for a while.
    BREAKER_OPENED = "byom.breaker_opened"
    #: It is well again.
    BREAKER_CLOSED = "byom.breaker_closed"
    #: A spend cap is nearly reached.
    BUDGET_WARNING = "byom.budget_warning"
    #: A spend cap is reached, and jobs wait or fail.
    BUDGET_PAUSED = "byom.budget_paused"
    #: The vendor refuses a version of a credential.
    CREDENTIAL_REFUSED = "byom.credential_refused"
    #: A receiver answered 410 Gone and gets no more events.
    WEBHOOK_DISABLED = "byom.webhook_disabled"
    #: Workers died of a job; it is not run any more.
    JOB_QUARANTINED = "byom.job_quarantined"
    #: More jobs failed than are kept, and the oldest were dropped; at most one an hour.
    DEAD_LETTERS_DROPPED = "byom.dead_letters_dropped"
    #: Jobs were refused for their signature; one per producer every 60 seconds.
    SIGNATURE_REFUSED = "byom.signature_refused"
    #: A job has its memories, or some of them; one per job and one per replay, where a webhook subscribes to it.
    JOB_COMPLETED = "job.completed"
    #: A job has none, or was refused by a worker; one per job and one per replay, where a webhook subscribes to it.
    JOB_FAILED = "job.failed"
    #: All jobs of a backfill have ended; one per backfill.
    BACKFILL_COMPLETED = "backfill.completed"
    #: Somebody ran `byom webhook test`; sent on request only.
    WEBHOOK_TEST = "webhook.test"


class RequestCode(StrEnum):
    """Why requests to a provider failed."""

    CREDENTIALS_INVALID = "BYOM_CREDENTIALS_INVALID"
    CREDENTIALS_EXPIRED = "BYOM_CREDENTIALS_EXPIRED"
    PROVIDER_UNAVAILABLE = "BYOM_PROVIDER_UNAVAILABLE"
    MODEL_NOT_SUPPORTED = "BYOM_MODEL_NOT_SUPPORTED"


class Folded(Record):
    """How often something happened within one window, to one project with one model of one provider."""

    #: The account of the project, where it has one.
    account: str | None = None
    #: To which project it happened.
    project: str
    #: With which kind of API.
    provider: ReportedProvider
    #: With which model.
    model: str
    #: Of `byom.request_failed`.
    error_code: RequestCode | str | None = Field(default=None, union_mode="left_to_right")
    #: How often.
    count: Annotated[int, Field(ge=1)]
    #: When it happened first within the window.
    first_occurrence: AwareDatetime
    #: When it happened last within the window.
    last_occurrence: AwareDatetime
    #: Length of the window.
    window_seconds: int
    #: Failure code, as the results of jobs give it → how many of `count` had it.
    causes: dict[str, int] = Field(default_factory=dict)


class Happening(Record):
    """Something that happened once."""

    #: What happened and what to do.
    message: str
    #: The account that it concerns.
    account: str | None = None
    #: The project that it concerns.
    project: str | None = None
    #: The connection that it concerns.
    connection: str | None = None
    #: Its kind of API.
    provider: ReportedProvider | None = None
    #: Its model.
    model: str | None = None
    #: The failure code that goes with it.
    code: ReportedCode | None = None
    #: The version of the credential that was refused.
    credential_version: int | None = None
    #: Name of the webhook that was disabled.
    webhook: str | None = None


class JobEnded(Record):
    """How a job ended."""

    #: The job.
    job_id: str
    #: The account of its project, where it has one.
    account: str | None = None
    #: Whose job it was.
    project: str
    #: `succeeded`, `partial` or `failed`.
    status: str
    #: Of a job that failed.
    code: ReportedCode | None = None
    #: Of a job that failed: what happened and what to do.
    message: str | None = None
    #: The kind of API that was called last.
    provider: ReportedProvider | None = None
    #: The connection that was called last.
    connection: str | None = None
    #: Its model.
    model: str | None = None
    #: Sums over all its calls.
    usage: UsageTotals = UsageTotals()
    #: Of the job.
    labels: dict[str, str] = Field(default_factory=dict)
    #: Only in the callback of the job: its result.
    result: ExtractionResult | None = None
    #: Only in the callback of a job that failed: why.
    failure: Failure | None = None
    #: Why the callback holds neither.
    omitted: str | None = None


class BackfillCompleted(Record):
    """A backfill is through: all its jobs have ended."""

    #: Its name.
    backfill: str
    #: Whose episodes they were.
    project: str
    #: How many jobs it had.
    jobs: int
    #: How many of them have all their memories.
    succeeded: int
    #: How many have some of them.
    partial: int = 0
    #: How many have none.
    failed: int = 0
    #: When it was created.
    started_at: AwareDatetime
    #: When the last job had ended.
    ended_at: AwareDatetime
    #: Sums over all calls of all jobs.
    usage: UsageTotals = UsageTotals()


class Trial(Record):
    """Sent to try an endpoint out."""

    #: For whoever reads it.
    message: str


class UnknownData(Record):
    """Data of a type that this reader does not know; kept as it came."""

    model_config = ConfigDict(extra="allow", frozen=True)


#: What `data` is, by type.
DATA: dict[EventKind, type[Record]] = {
    EventKind.RATE_LIMITED: Folded,
    EventKind.REQUEST_FAILED: Folded,
    EventKind.BREAKER_OPENED: Happening,
    EventKind.BREAKER_CLOSED: Happening,
    EventKind.BUDGET_WARNING: Happening,
    EventKind.BUDGET_PAUSED: Happening,
    EventKind.CREDENTIAL_REFUSED: Happening,
    EventKind.WEBHOOK_DISABLED: Happening,
    EventKind.JOB_QUARANTINED: Happening,
    EventKind.DEAD_LETTERS_DROPPED: Happening,
    EventKind.SIGNATURE_REFUSED: Happening,
    EventKind.JOB_COMPLETED: JobEnded,
    EventKind.JOB_FAILED: JobEnded,
    EventKind.BACKFILL_COMPLETED: BackfillCompleted,
    EventKind.WEBHOOK_TEST: Trial,
}


class Event(Record):
    """One event."""

    #: The same however often it is delivered, and the `webhook-id` of its deliveries.
    id: str
    #: What happened, and so what `data` holds.
    type: Annotated[EventKind | str, Field(union_mode="left_to_right")]
    #: When it happened; of what was folded, the end of the window.
    timestamp: AwareDatetime
    #: By `type`, as the table above has it.
    data: SerializeAsAny[Record]

    @field_validator("data", mode="before")
    @classmethod
    def _typed(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Record):
            return value
        kind = info.data.get("type")
        return (DATA[kind] if isinstance(kind, EventKind) else UnknownData).model_validate(value)

    @property
    def project(self) -> str | None:
        """The project that it speaks of, if it is one."""
        return getattr(self.data, "project", None)

    @property
    def account(self) -> str | None:
        """The account that it speaks of, if it says so."""
        return getattr(self.data, "account", None)
