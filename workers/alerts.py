"""What an operator has to know of: one value per happening, and where it goes."""

from enum import StrEnum
from typing import Any, Protocol

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis.asyncio import Redis

from tasks.contract import FailureCode, ProviderKind

#: Stream of alerts as JSON, newest last, and how many are kept.
EVENTS_KEY = "byom:events"
_KEPT = 10_000

_log = structlog.get_logger(__name__)


class AlertKind(StrEnum):
    """What happened."""

    BREAKER_OPENED = "byom.breaker_opened"
    BREAKER_CLOSED = "byom.breaker_closed"
    BUDGET_WARNING = "byom.budget_warning"
    BUDGET_PAUSED = "byom.budget_paused"
    CREDENTIAL_REFUSED = "byom.credential_refused"


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


class Alerts(Protocol):
    """Where alerts go."""

    async def raise_alert(self, alert: Alert) -> None:
        """Record an alert; never fails, for no job may fail over it."""


class MemoryAlerts:
    """Keeps alerts in a list; for tests."""

    def __init__(self) -> None:
        self.raised: list[Alert] = []

    async def raise_alert(self, alert: Alert) -> None:
        """Record an alert."""
        self.raised.append(alert)


class RedisAlerts:
    """Keeps the last alerts in a stream, and logs each."""

    def __init__(self, client: "Redis") -> None:
        self._client = client

    async def raise_alert(self, alert: Alert) -> None:
        """Record an alert; where Redis is away the log line must do."""
        fields: dict[str, Any] = alert.model_dump(mode="json", exclude_none=True)
        _log.warning("alert", **fields)
        try:
            await self._client.xadd(
                EVENTS_KEY, {"event": alert.model_dump_json(exclude_none=True)}, maxlen=_KEPT, approximate=True
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, it must not reach the job
            _log.warning("alert_not_kept", kind=alert.kind.value, error=type(error).__name__)
