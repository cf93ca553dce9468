"""Leases: one delivery at a time has a job in hand, for as long as it lives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from config.errors import StoreError
from workers.clock import Clock
from workers.jobs import Busy, Claimed, Ended, HandedOver, JobStore

_log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """A process stood still for longer than its lease: another may have the job in hand by now."""


class Leases:
    """Claims jobs for one process and renews what it holds."""

    def __init__(
        self,
        jobs: JobStore,
        *,
        seconds: float,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`seconds` is how long a job stays claimed after its process stops renewing."""
        self._jobs = jobs
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        #: Job and owner → until when the lease surely holds, by this process's clock.
        self._held: dict[tuple[str, str], float] = {}

    @asynccontextmanager
    async def hold(self, job_id: str, *, hop: int, owner: str) -> AsyncIterator[Claimed | HandedOver | Ended]:
        """Claim a job, waiting while another delivery has it in hand, and give it back when the block ends.

        A second delivery waits rather than leaves: were it dropped and the first one's worker died, nobody would be
        left to do the job.
        """
        asked = self._clock.monotonic()
        claim = await self._jobs.claim(job_id, hop=hop, owner=owner, lease=self._seconds)
        while isinstance(claim, Busy):
            await self._sleep(min(max(claim.seconds, 0.05), 1.0))
            asked = self._clock.monotonic()
            claim = await self._jobs.claim(job_id, hop=hop, owner=owner, lease=self._seconds)
        if not isinstance(claim, Claimed):
            yield claim
            return
        self._held[job_id, owner] = asked + self._seconds
        # Unless the block says otherwise: whatever breaks it off may have broken off a call.
        dropped = True
        try:
            yield claim
            dropped = False
        except (StoreError, LeaseLost):
            # The configuration could not be read, or there was to be no other call; all calls had come to rest.
            dropped = False
            raise
        finally:
            if self._held.pop((job_id, owner), None) is not None:
                await self._jobs.release(job_id, owner=owner, dropped=dropped)

    def holds(self, job_id: str, *, owner: str) -> bool:
        """Whether a lease surely holds. Known without asking anybody: also when this process was stopped until now."""
        return self._clock.monotonic() < self._held.get((job_id, owner), 0.0)

    def gone(self, job_id: str, *, owner: str) -> None:
        """Note that a held lease went with the job's ending or hand-over, and need not be given back."""
        self._held.pop((job_id, owner), None)

    async def renew_forever(self) -> None:
        """Renew all held leases three times per lease; run it beside the engine and cancel it at the end."""
        while True:
            await self._sleep(self._seconds / 3)
            if not self._held:
                continue
            asked = self._clock.monotonic()
            try:
                still = await self._jobs.renew(sorted(self._held), lease=self._seconds)
                self._held.update(dict.fromkeys(self._held.keys() & still, asked + self._seconds))
            except Exception as error:  # noqa: BLE001 - whatever it was, the next round must still come
                _log.warning("leases_not_renewed", held=len(self._held), error=type(error).__name__)
