"""The engine: takes one delivery of one job through one connection, and says what follows. Knows nothing of Celery.

claim ─► resolve ─► plan ─► pack ─► each part: admit ─► call ─► check ─► settle ─► keep  ─► end | hand over
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from sys import maxsize
from typing import Final

import structlog
from redis import RedisError

from config.catalogue import Catalogue
from config.connections import EffectiveConnection
from config.errors import ConfigError, StoreError
from tasks.contract import AttemptRecord, ExtractionJob, FailureCode, Tier
from workers import extraction
from workers.admission import Reason
from workers.configuration.directory import Directory
from workers.engine.address import Patience, address_of
from workers.engine.attempts import Attempts
from workers.engine.delivery import Delivery, Reservation
from workers.engine.endings import ending_of, quarantined
from workers.engine.kept import Kept
from workers.engine.leases import LeaseLost, Leases
from workers.engine.outcome import Scope, decide
from workers.engine.progress import Progress
from workers.engine.routing import Route, connection_of, next_route
from workers.engine.trouble import Subject, Trouble
from workers.engine.writing_off import WritingOff
from workers.jobs import Claimed, Dropped, Ended, Ending, HandedOver, JobStore
from workers.lanes.header import LaneHeader
from workers.providers.base import Fault

_log = structlog.get_logger(__name__)

#: A plan for no model in particular: units are the same for all, only their room for the answer differs.
_ANY: Final = maxsize

#: The shortest time that a job goes back to its lane for, in seconds: no busy loop between lane and worker.
_LEAST_PARKED: Final = 0.1

#: A delivery of which nothing more is known.
FIRST_DELIVERY: Final = Delivery()

#: Calls of one job in hand at once: a long job must not take a process for itself.
_CALLS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """The job goes on to another connection, under the same id."""

    route: Route
    #: The lane in which it waits there; None when that connection is no longer configured.
    address: LaneHeader | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The job goes back to its lane; what is done of it is kept."""

    reason: Reason
    #: Until another try is worth it.
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """The job can wait, and the vendor answers many calls together at a lower price: it waits for the others."""

    connection: str


#: What follows from a delivery.
Outcome = Ending | HandOff | Park | Collect


class Engine:
    """Runs deliveries. One per process; everything it needs is given to it."""

    def __init__(
        self,
        *,
        directory: Directory,
        catalogue: Catalogue,
        jobs: JobStore,
        attempts: Attempts,
        leases: Leases,
        patience: Patience,
        ended: Callable[[ExtractionJob, str, Ending], Awaitable[None]] | None = None,
    ) -> None:
        """Take everything that deliveries need; `ended` is told of each end, also of one that came before."""
        self._directory = directory
        self._catalogue = catalogue
        self._jobs = jobs
        self._attempts = attempts
        self._lost = WritingOff(jobs=jobs, tell=attempts.lost, at_once=_CALLS_AT_ONCE)
        self._leases = leases
        self._patience = patience
        self._ended = ended

    async def run(
        self, job: ExtractionJob, *, job_id: str, route: Route, delivery: Delivery = FIRST_DELIVERY
    ) -> Outcome:
        """Take a job through the connection of its route.

        A job that is over returns its ending without a call; one that another delivery has in hand is waited for.

        Raises:
            StoreError: the configuration cannot be read; the job is as it was and may be delivered again.
            redis.RedisError: the working state cannot be read or written; likewise.
        """
        reservation = Reservation(delivery.reservation)
        try:
            outcome = None
            while outcome is None:
                outcome = await self._claim(job, job_id=job_id, route=route, delivery=delivery, reservation=reservation)
        finally:
            if unused := reservation.take():
                await self._give_back(job, route, unused)
        await self._tell(job, job_id, outcome)
        return outcome

    async def quarantine(self, job: ExtractionJob, *, job_id: str, route: Route, crashes: int) -> Outcome:
        """End a job that workers die of, without running it; one that has ended or gone on already is let be.

        Raises:
            StoreError: the configuration cannot be read; the job is as it was and may be delivered again.
            redis.RedisError: the working state cannot be read or written; likewise.
        """
        owner = uuid.uuid4().hex
        # Waits until the lease of whoever died has run out.
        async with self._leases.hold(job_id, hop=route.hop, owner=owner) as claim:
            match claim:
                case Ended(ending=ending):
                    outcome: Outcome = ending
                case HandedOver(route=onward):
                    return await self._hand_off(job, onward)
                case Claimed():
                    known = replace(claim, attempts=await self._known(job, job_id, route, claim))
                    ending = quarantined(job, job_id=job_id, route=route, crashes=crashes, claimed=known)
                    outcome = (await self._jobs.end(job_id, owner=owner, ending=ending)).ending
                    self._leases.gone(job_id, owner=owner)
        await self._tell(job, job_id, outcome)
        return outcome

    async def _known(
        self, job: ExtractionJob, job_id: str, route: Route, claimed: Claimed
    ) -> tuple[AttemptRecord, ...]:
        """All attempts of a job that is not run again, with those that were lost, as far as its connection is known."""
        progress = Progress.of(claimed)
        try:
            chain = await self._directory.chain(job.project)
            subject = self._subject(job, job_id, route, chain, FIRST_DELIVERY)
            units = extraction.plan(job, context_tokens=subject.model.context, max_output=subject.model.max_output)
            parts = [pack.index for pack in progress.packs(subject, units)]
            await self._lost.write_off(subject, claimed.dropped, parts=parts, records=progress.records)
        except StoreError:
            raise
        except (ConfigError, extraction.PromptTooLong) as error:
            _log.warning("lost_attempts_not_known", job_id=job_id, project=job.project, error=type(error).__name__)
        return tuple(progress.records)

    async def _tell(self, job: ExtractionJob, job_id: str, outcome: Outcome) -> None:
        if self._ended is not None and isinstance(outcome, Ending):
            # Of each delivery that finds the end: whoever wrote it may have died before it could tell.
            await self._ended(job, job_id, outcome)

    async def _claim(
        self, job: ExtractionJob, *, job_id: str, route: Route, delivery: Delivery, reservation: Reservation
    ) -> Outcome | None:
        """None when the job slipped from its hands: then it waits for whoever took it, or goes on with what is done."""
        owner = uuid.uuid4().hex
        try:
            async with self._leases.hold(job_id, hop=route.hop, owner=owner) as claim:
                match claim:
                    case Ended(ending=ending):
                        return ending
                    case HandedOver(route=onward):
                        return await self._hand_off(job, onward)
                    case Claimed():
                        return await self._run(
                            job,
                            job_id=job_id,
                            route=route,
                            delivery=delivery,
                            reservation=reservation,
                            owner=owner,
                            claimed=claim,
                        )
        except LeaseLost:
            _log.warning("lease_lost", job_id=job_id, project=job.project, why="this process stood still")
            return None

    async def _give_back(self, job: ExtractionJob, route: Route, reservation: str) -> None:
        """The job made no call; others need not wait until what was set aside for it runs out."""
        try:
            effective = connection_of(await self._directory.chain(job.project), route)
            await self._attempts.give_back(effective, reservation)
        except (ConfigError, RedisError) as error:
            _log.warning("reservation_not_given_back", project=job.project, error=type(error).__name__)

    async def _hand_off(self, job: ExtractionJob, route: Route) -> HandOff:
        """Send a job on to the lane of its route; what does not fit any more of the configuration shows there."""
        try:
            chain = await self._directory.chain(job.project)
        except StoreError:
            raise
        except ConfigError:
            return HandOff(route=route, address=None)
        return HandOff(route=route, address=address_of(job, chain, route, self._patience))

    async def _run(
        self,
        job: ExtractionJob,
        *,
        job_id: str,
        route: Route,
        delivery: Delivery,
        reservation: Reservation,
        owner: str,
        claimed: Claimed,
    ) -> Outcome:
        progress = Progress.of(claimed)
        units: Sequence[extraction.Unit] = ()
        chain: Sequence[EffectiveConnection] = ()
        subject: Subject | None = None
        trouble: Trouble | None
        try:
            chain = await self._directory.chain(job.project)
            in_hand = partial(self._leases.holds, job_id, owner=owner)
            subject = replace(self._subject(job, job_id, route, chain, delivery), in_hand=in_hand)
            units = extraction.plan(job, context_tokens=subject.model.context, max_output=subject.model.max_output)
            if _waits_for_a_batch(subject, claimed) and len(progress.extracted) < len(units):
                return Collect(connection=subject.route.connection)
            trouble = await self._work(subject, units, progress, reservation, claimed.dropped)
        except StoreError:
            raise
        except ConfigError as error:
            trouble = Trouble.of_configuration(error)
        except extraction.PromptTooLong as error:
            assert subject is not None  # noqa: S101 - the plan comes after it
            fault = Fault(kind=error.kind, message=str(error))
            trouble = Trouble.of_fault(fault, decide(fault), subject)
        if trouble is not None and subject is not None and trouble.parks(subject):
            await self._keep(job_id, progress)
            park = self._park(trouble, subject, delivery)
            await self._jobs.outlast(job_id, wait=park.seconds)
            return park
        onward = next_route(chain, route, trouble.code) if trouble is not None else None
        if onward is not None:
            await self._keep(job_id, progress)
            others = await self._jobs.hand_over(job_id, owner=owner, route=onward)
            self._leases.gone(job_id, owner=owner)
            await self._account_for(others, subject, units, progress.records[len(claimed.attempts) :])
            await self._jobs.outlast(job_id, wait=self._patience.on(last=True, priority=job.priority))
            return HandOff(route=onward, address=address_of(job, chain, onward, self._patience))
        units = units or extraction.plan(job, context_tokens=_ANY, max_output=_ANY)
        failures = {
            unit.index: why.as_failure(job, route)
            for unit in units
            if unit.index not in progress.extracted and (why := progress.troubles.get(unit.index, trouble)) is not None
        }
        ending = ending_of(
            job,
            job_id=job_id,
            units=units,
            extracted=progress.extracted,
            failures=failures,
            records=progress.records,
        ).model_copy(update={"replays": max(claimed.replays, route.replays)})
        if not ending.whole:
            # A replay is not to pay for them again.
            await self._keep(job_id, progress)
        stands = await self._jobs.end(job_id, owner=owner, ending=ending)
        self._leases.gone(job_id, owner=owner)
        await self._account_for(stands.dropped, subject, units, progress.records[len(claimed.attempts) :])
        return stands.ending

    async def _account_for(
        self,
        dropped: Sequence[Dropped],
        subject: Subject | None,
        units: Sequence[extraction.Unit],
        own: Sequence[AttemptRecord],
    ) -> None:
        if dropped and subject is not None:
            await self._lost.account_for(subject, dropped, units=units, own=own)

    def _park(self, trouble: Trouble, subject: Subject, delivery: Delivery) -> Park:
        """Back to the lane, for as long as it takes or the job's patience lasts."""
        assert trouble.reason is not None  # noqa: S101 - all that waits says for what
        seconds = max(trouble.seconds, _LEAST_PARKED)
        if not trouble.waits_for_budget:
            left = self._patience.on(last=subject.last, priority=subject.job.priority) - delivery.waited
            seconds = min(seconds, max(left, _LEAST_PARKED))
        return Park(reason=trouble.reason, seconds=seconds)

    def _subject(
        self,
        job: ExtractionJob,
        job_id: str,
        route: Route,
        chain: Sequence[EffectiveConnection],
        delivery: Delivery,
    ) -> Subject:
        effective = connection_of(chain, route)
        connection = effective.connection
        model = self._catalogue.find(connection.provider, connection.model, unverified=connection.unverified)
        last = next_route(chain, route, FailureCode.INTERNAL) is None
        return Subject(
            job=job,
            job_id=job_id,
            route=route,
            effective=effective,
            model=model,
            last=last,
            impatient=delivery.impatient or delivery.waited >= self._patience.on(last=last, priority=job.priority),
            waited=delivery.waited,
        )

    async def _work(
        self,
        subject: Subject,
        units: Sequence[extraction.Unit],
        progress: Progress,
        reservation: Reservation,
        dropped: Sequence[Dropped],
    ) -> Trouble | None:
        """Work on what is not done yet, several units at once.

        Trouble of the connection keeps units that have not begun from beginning. What is done stays done.

        Returns:
            Why units are left for another connection, or None when none is.
        """
        packs, places = progress.packs(subject, units), asyncio.Semaphore(_CALLS_AT_ONCE)
        await self._lost.write_off(subject, dropped, parts=[pack.index for pack in packs], records=progress.records)
        await _all(self._make(pack, subject, progress, reservation, places, of=len(units)) for pack in packs)
        return min(progress.troubles.values(), key=lambda trouble: trouble.scope is not Scope.CONNECTION, default=None)

    async def _make(
        self,
        pack: extraction.Pack,
        subject: Subject,
        progress: Progress,
        reservation: Reservation,
        places: asyncio.Semaphore,
        *,
        of: int,
    ) -> None:
        # No function within `_work`: one that calls itself keeps itself and all of its job, until a collection.
        async with places:
            if any(trouble.scope is Scope.CONNECTION for trouble in progress.troubles.values()):
                return
            made = await self._attempts.make(subject, pack, progress.records, reservation=reservation)
        if isinstance(made, Trouble):
            progress.troubles.update((unit.index, made) for unit in pack.units)
            return
        progress.extracted.update(made)
        # The last to come is in the ending a moment later.
        if len(progress.extracted) + len(progress.troubles) < of:
            await self._keep(subject.job_id, progress)
        left = [extraction.Pack.alone(unit) for unit in pack.units if unit.index not in made]
        await _all(self._make(one, subject, progress, reservation, places, of=of) for one in left)

    async def _keep(self, job_id: str, progress: Progress) -> None:
        """Store what is done, for deliveries to come."""
        for index in progress.extracted.keys() - progress.kept:
            progress.kept.add(index)
            await self._jobs.keep(job_id, unit=index, outcome=Kept.of(progress.extracted[index]).text())


def _waits_for_a_batch(subject: Subject, claimed: Claimed) -> bool:
    """Once in a job's life: what a batch did not yield is worked live.

    Jobs of a session go one after another, and each would wait up to a day for its own batch: they are worked live.
    """
    fits = subject.job.economy and subject.job.session is None and Tier.BATCH in subject.model.economy
    return fits and not claimed.batched


async def _all(todo: Iterable[Awaitable[None]]) -> None:
    """Errors are raised only when all have come to rest, so that no call goes on behind a job that has ended."""
    several = list(todo)
    if len(several) == 1:
        await several[0]
        return
    for done in await asyncio.gather(*several, return_exceptions=True):
        if isinstance(done, BaseException):
            raise done
