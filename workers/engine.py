"""The engine: takes one delivery of one job through one connection, and says what follows. Knows nothing of Celery.

claim ─► resolve ─► plan ─► each unit: admit ─► call ─► check ─► settle ─► keep  ─► end | hand over
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from config.connections import EffectiveConnection
from config.errors import ConfigError, InvalidConnection
from tasks.contract import AttemptRecord, ExtractionJob
from workers import extraction
from workers.attempts import Attempts
from workers.directory import Directory
from workers.endings import UnitOutcome, ending_of
from workers.jobs import Claimed, Ended, Ending, HandedOver, JobStore
from workers.leases import Leases
from workers.outcome import Scope
from workers.routing import Route, next_route
from workers.trouble import Subject, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """The job goes on to another connection, under the same id."""

    route: Route


#: What follows from a delivery.
Outcome = Ending | HandOff


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What is done of a job, by this delivery and those before it."""

    outcomes: dict[int, UnitOutcome]
    records: list[AttemptRecord]


class Engine:
    """Runs deliveries. One per process; everything it needs is given to it."""

    def __init__(self, *, directory: Directory, jobs: JobStore, attempts: Attempts, leases: Leases) -> None:
        self._directory = directory
        self._jobs = jobs
        self._attempts = attempts
        self._leases = leases

    async def run(self, job: ExtractionJob, *, job_id: str, route: Route) -> Outcome:
        """Take a job through the connection of its route.

        A job that is over returns its ending without a call; one that another delivery has in hand is waited for.
        """
        owner = uuid.uuid4().hex
        async with self._leases.hold(job_id, hop=route.hop, owner=owner) as claim:
            match claim:
                case Ended(ending=ending):
                    return ending
                case HandedOver(route=onward):
                    return HandOff(route=onward)
                case Claimed():
                    return await self._run(job, job_id=job_id, route=route, owner=owner, claimed=claim)

    async def _run(self, job: ExtractionJob, *, job_id: str, route: Route, owner: str, claimed: Claimed) -> Outcome:
        progress = _Progress(
            outcomes={index: UnitOutcome.model_validate_json(text) for index, text in claimed.units.items()},
            records=list(claimed.attempts),
        )
        units = extraction.plan(job)
        chain: Sequence[EffectiveConnection] = ()
        trouble: Trouble | None
        try:
            chain = await self._directory.chain(job.project)
            subject = Subject(job=job, job_id=job_id, route=route, effective=_on(chain, route))
            trouble = await self._work(subject, units, progress)
        except ConfigError as error:
            trouble = Trouble.of_configuration(error)
        onward = next_route(chain, route, trouble.code) if trouble is not None else None
        if onward is not None:
            await self._jobs.hand_over(job_id, owner=owner, route=onward)
            return HandOff(route=onward)
        ending = ending_of(
            job,
            job_id=job_id,
            units=units,
            outcomes=progress.outcomes,
            undone=trouble.as_failure(job, route) if trouble is not None else None,
            records=progress.records,
        )
        return await self._jobs.end(job_id, owner=owner, ending=ending)

    async def _work(self, subject: Subject, units: Sequence[extraction.Unit], progress: _Progress) -> Trouble | None:
        """Work on what is not done yet, all units at once.

        Trouble of the connection keeps units that have not begun from beginning. Trouble that another model may be
        spared leaves its unit undone; what is done stays done.

        Returns:
            Why units are left for another connection, or None when none is.
        """
        left: list[Trouble] = []

        async def work(unit: extraction.Unit) -> None:
            if any(trouble.scope is Scope.CONNECTION for trouble in left):
                return
            made = await self._attempts.make(subject, unit, progress.records)
            if not isinstance(made, Trouble):
                outcome = UnitOutcome(extracted=made)
            elif made.falls_back:
                left.append(made)
                return
            else:
                outcome = UnitOutcome(failure=made.as_failure(subject.job, subject.route, episode_id=unit.episode.id))
            progress.outcomes[unit.index] = outcome
            await self._jobs.keep(subject.job_id, unit=unit.index, outcome=outcome.model_dump_json(exclude_none=True))

        todo = [work(unit) for unit in units if unit.index not in progress.outcomes]
        # Errors are raised only when all have come to rest, so that no call goes on behind a job that has ended.
        for done in await asyncio.gather(*todo, return_exceptions=True):
            if isinstance(done, BaseException):
                raise done
        return min(left, key=lambda trouble: trouble.scope is not Scope.CONNECTION, default=None)


def _on(chain: Sequence[EffectiveConnection], route: Route) -> EffectiveConnection:
    """The connection of a route, as it is configured now; its model may have changed since the job was enqueued."""
    for effective in chain:
        if effective.connection.name == route.connection:
            if effective.connection.provider is not route.provider:
                break
            return effective
    raise InvalidConnection(
        f"connection '{route.connection}' ({route.provider.value}) is no longer configured for the project; "
        "the job goes on to the connections that are"
    )
