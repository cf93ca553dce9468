"""Whether calls ask for the vendor's flex tier: where there was no room for it, nobody asks again for a while."""

from typing import Final

from tasks.contract import Tier
from workers.clock import Clock
from workers.engine.trouble import Subject
from workers.providers.base import FaultKind

#: Faults of a call at a cheaper tier after which the standard one is asked.
AT_STANDARD: Final = frozenset({FaultKind.TIER_UNAVAILABLE, FaultKind.TIMEOUT})
#: Seconds that no flex is asked for where there was no room for it.
_REST: Final = 60.0


class Flex:
    """What this process knows of the room at flex tiers."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        #: Meter → until when it is not asked.
        self._rests: dict[str, float] = {}

    def tier(self, subject: Subject) -> Tier | None:
        """The cheaper tier that a job's calls are asked for at."""
        if not subject.job.economy or Tier.FLEX not in subject.model.economy:
            return None
        return None if self._rests.get(subject.effective.key, 0.0) > self._clock.monotonic() else Tier.FLEX

    def failed(self, subject: Subject, kind: FaultKind) -> None:
        """A call at the tier met a fault of `AT_STANDARD`."""
        if kind is FaultKind.TIER_UNAVAILABLE:
            self._rests[subject.effective.key] = self._clock.monotonic() + _REST
