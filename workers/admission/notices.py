"""What operators are told of: a breaker that changed, a budget that runs out."""

from config.connections import EffectiveConnection
from tasks.contract import FailureCode
from workers.admission.budget import Counter, usd
from workers.alerts import Alert, AlertKind, Alerts
from workers.clock import Clock

_ALL_SPENT = 100


class Notices:
    """Turns what scripts report into alerts."""

    def __init__(self, alerts: Alerts, *, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock

    async def breaker_opened(self, effective: EffectiveConnection, *, code: FailureCode | None, seconds: float) -> None:
        """A connection is left alone for a while."""
        why = code.value if code else "unknown"
        await self._raise(
            AlertKind.BREAKER_OPENED,
            effective,
            f"{_name(effective)} keeps failing ({why}) and is left alone for {seconds:.0f} s; then one call tries it "
            "again. What the failure means and its mend: docs/errors.md",
            code=code,
        )

    async def breaker_closed(self, effective: EffectiveConnection) -> None:
        """A connection works again."""
        await self._raise(
            AlertKind.BREAKER_CLOSED,
            effective,
            f"{_name(effective)} works again; its share of calls grows back over some seconds",
        )

    async def spent(self, effective: EffectiveConnection, counter: Counter, *, percent: int) -> None:
        """A budget is nearly or wholly used up."""
        whose = f"project '{effective.project}'" if counter.connection is None else _name(effective)
        cap = f"cap of {usd(counter.cap or 0).normalize():f} USD for this {counter.period} (UTC)"
        if percent < _ALL_SPENT:
            kind, said = AlertKind.BUDGET_WARNING, f"{whose} has spent {percent} % of its {cap}"
        else:
            then = "fail" if counter.fails else f"wait until the {counter.period} is over"
            kind, said = (
                AlertKind.BUDGET_PAUSED,
                f"{whose} has reached its {cap}; its jobs {then}, or until it is raised",
            )
        await self._raise(kind, effective, said, code=FailureCode.BUDGET_EXCEEDED)

    async def _raise(
        self, kind: AlertKind, effective: EffectiveConnection, message: str, *, code: FailureCode | None = None
    ) -> None:
        connection = effective.connection
        await self._alerts.raise_alert(
            Alert(
                kind=kind,
                at=self._clock.now(),
                message=message,
                account=effective.account,
                project=effective.project,
                connection=connection.name,
                provider=connection.provider,
                model=connection.model,
                code=code,
            )
        )


def _name(effective: EffectiveConnection) -> str:
    connection = effective.connection
    return (
        f"connection '{connection.name}' of project '{effective.project}' "
        f"({connection.provider.value} {connection.model})"
    )
