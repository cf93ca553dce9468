"""What an operator has to know of: one value per happening, and where it goes."""

from enum import StrEnum
from typing import Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tasks.contract import AttemptRecord, FailureCode, ProviderKind


class AlertKind(StrEnum):
    """What happened; each is an event of the same name."""

    BREAKER_OPENED = "byom.breaker_opened"
    BREAKER_CLOSED = "byom.breaker_closed"
    BUDGET_WARNING = "byom.budget_warning"
    BUDGET_PAUSED = "byom.budget_paused"
    CREDENTIAL_REFUSED = "byom.credential_refused"
    WEBHOOK_DISABLED = "byom.webhook_disabled"
    JOB_QUARANTINED = "byom.job_quarantined"
    DEAD_LETTERS_DROPPED = "byom.dead_letters_dropped"
    SIGNATURE_REFUSED = "byom.signature_refused"


class Alert(BaseModel):
    """One happening. Never holds a secret or what a customer said."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: AlertKind
    at: AwareDatetime
    #: What happened and what to do.
    message: str
    account: str | None = None
    project: str | None = None
    connection: str | None = None
    provider: ProviderKind | None = None
    model: str | None = None
    code: FailureCode | None = None
    credential_version: int | None = None
    webhook: str | None = None


class Alerts(Protocol):
    """Where alerts go; `workers.notify.Events` is the one of workers."""

    async def raise_alert(self, alert: Alert) -> None:
        """Record an alert; never fails, for no job may fail over it."""

    async def attempt_made(self, record: AttemptRecord) -> None:
        """Note what came of an attempt: failed ones are folded into events. Never fails either."""


class MemoryAlerts:
    """Keeps alerts and attempts in lists; for tests."""

    def __init__(self) -> None:
        self.raised: list[Alert] = []
        self.attempts: list[AttemptRecord] = []

    async def raise_alert(self, alert: Alert) -> None:
        """Record an alert."""
        self.raised.append(alert)

    async def attempt_made(self, record: AttemptRecord) -> None:
        """Note what came of an attempt."""
        self.attempts.append(record)
