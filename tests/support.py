"""What many tests share."""

from datetime import UTC, datetime, timedelta

from config.connections import Connection, EffectiveConnection
from tasks.contract import ProviderKind, Role

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class ManualClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def effective(
    name: str = "primary",
    *,
    provider: ProviderKind = ProviderKind.OPENAI,
    role: Role = Role.PRIMARY,
    max_concurrency: int | None = None,
) -> EffectiveConnection:
    """A connection of project `acme`."""
    return EffectiveConnection(
        connection=Connection(
            name=name,
            provider=provider,
            model="gpt-6-luna",
            credential=f"{name}-key",
            role=role,
            base_url="http://127.0.0.1:1/v1" if provider is ProviderKind.OPENAI_COMPATIBLE else None,
            max_concurrency=max_concurrency,
        ),
        project="acme",
        account=None,
        credential_scope="/byom/projects/acme/credentials",
        origins={},
    )
