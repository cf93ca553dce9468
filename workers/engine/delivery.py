"""What is known of a delivery beside its message: how long the job has waited, and what was set aside for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self


class Reservation:
    """What was set aside at the meter when a job was fetched; the first call of the job takes it."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def take(self) -> str | None:
        """Its name, once; None when there is none or it is taken."""
        name, self._name = self._name, None
        return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of one job."""

    #: Seconds since the job joined the lane of its present connection.
    waited: float = 0.0
    #: Whether that is longer than it is meant to wait there, by the broker's clock.
    impatient: bool = False
    #: What was set aside at the meter for the job's first call, by name.
    reservation: str | None = None
    #: Workers that vanished with the job in hand.
    crashes: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any] | None, *, now: datetime) -> Self:
        """What the broker told of a delivery; None when the message came past all lanes.

        Args:
            told: `since` (seconds of the broker's clock), `impatient` and `reservation`, of one from a lane; `crashes`,
                where there were any.
            now: by the clock of the pool.
        """
        if not told:
            return cls()
        crashes = told.get("crashes", 0)
        if "since" not in told:
            return cls(crashes=crashes)
        return cls(
            waited=max(0.0, now.timestamp() - float(told["since"])),
            impatient=bool(told["impatient"]),
            reservation=told["reservation"] or None,
            crashes=crashes,
        )
