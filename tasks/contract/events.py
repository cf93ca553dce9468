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

    #: Folded over a window, per project, provider and model: never one per request.
    RATE_LIMITED = "byom.rate_limited"
    REQUEST_FAILED = "byom.request_failed"
    #: At once.
    BREAKER_OPENED = "byom.breaker_opened"
    BREAKER_CLOSED = "byom.breaker_closed"
    BUDGET_WARNING = "byom.budget_warning"
    BUDGET_PAUSED = "byom.budget_paused"
    CREDENTIAL_REFUSED = "byom.credential_refused"
    WEBHOOK_DISABLED = "byom.webhook_disabled"
    JOB_QUARANTINED = "byom.job_quarantined"
    DEAD_LETTERS_DROPPED = "byom.dead_letters_dropped"
    #: At most one a minute of a producer.
    SIGNATURE_REFUSED = "byom.signature_refused"
    #: Per job.
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    BACKFILL_COMPLETED = "backfill.completed"
    #: Sent on request only, to try an endpoint out.
    WEBHOOK_TEST = "webhook.test"


class RequestCode(StrEnum):
    """Why requests to a provider failed."""

    CREDENTIALS_INVALID = "BYOM_CREDENTIALS_INVALID"
    CREDENTIALS_EXPIRED = "BYOM_CREDENTIALS_EXPIRED"
    PROVIDER_UNAVAILABLE = "BYOM_PROVIDER_UNAVAILABLE"
    MODEL_NOT_SUPPORTED = "BYOM_MODEL_NOT_SUPPORTED"


class Folded(Record):
    """How often something happened within one window, to one project with one model of one provider."""

    account: str | None = None
    project: str
    provider: ReportedProvider
    model: str
    #: Of `byom.request_failed`.
    error_code: RequestCode | str | None = Field(default=None, union_mode="left_to_right")
    count: Annotated[int, Field(ge=1)]
    first_occurrence: AwareDatetime
    last_occurrence: AwareDatetime
    window_seconds: int
    #: Failure code, as the results of jobs give it → how many of `count` had it.
    causes: dict[str, int] = Field(default_factory=dict)


class Happening(Record):
    """Something that happened once."""

    #: What happened and what to do.
    message: str
    account: str | None = None
    project: str | None = None
    connection: str | None = None
    provider: ReportedProvider | None = None
    model: str | None = None
    code: ReportedCode | None = None
    credential_version: int | None = None
    #: Name of the webhook that was disabled.
    webhook: str | None = None


class JobEnded(Record):
    """How a job ended."""

    job_id: str
    account: str | None = None
    project: str
    #: `succeeded`, `partial` or `failed`.
    status: str
    #: Of a job that failed.
    code: ReportedCode | None = None
    message: str | None = None
    #: The connection that was called last.
    provider: ReportedProvider | None = None
    connection: str | None = None
    model: str | None = None
    usage: UsageTotals = UsageTotals()
    labels: dict[str, str] = Field(default_factory=dict)
    #: Only in the callback of the job: its result, or its failure.
    result: ExtractionResult | None = None
    failure: Failure | None = None
    #: Why the callback holds neither.
    omitted: str | None = None


class BackfillCompleted(Record):
    """A backfill is through: all its jobs have ended."""

    backfill: str
    project: str
    jobs: int
    succeeded: int
    partial: int = 0
    failed: int = 0
    started_at: AwareDatetime
    ended_at: AwareDatetime
    usage: UsageTotals = UsageTotals()


class Trial(Record):
    """Sent to try an endpoint out."""

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
    type: Annotated[EventKind | str, Field(union_mode="left_to_right")]
    timestamp: AwareDatetime
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
