"""Where a job waits, for how long, and what it will take from there. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.connections import EffectiveConnection
from config.settings import Settings
from tasks.contract import ExtractionJob, Priority
from workers import extraction
from workers.engine.routing import Route, is_last
from workers.lanes.header import LaneHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a job waits on one connection, in seconds."""

    #: Where there is another connection to go on to.
    before_fallback: float
    #: Where there is none.
    at_most: float
    #: Of jobs that can wait, on any connection: a rate limit is what paces them, not a reason to go elsewhere.
    backfill: float = 86_400

    def on(self, *, last: bool, priority: Priority) -> float:
        """Seconds on a connection that is the last, or is not."""
        if priority is Priority.BACKFILL:
            return self.backfill
        return self.at_most if last else self.before_fallback


def patience_of(settings: Settings) -> Patience:
    """How long jobs wait, by the settings of this process."""
    return Patience(
        before_fallback=settings.fallback_patience, at_most=settings.max_wait, backfill=settings.backfill_max_wait
    )


def address_of(
    job: ExtractionJob, chain: Sequence[EffectiveConnection], route: Route, patience: Patience
) -> LaneHeader | None:
    """The lane of a job on the connection of its route; None when that connection is no longer configured."""
    effective = next((link for link in chain if link.connection.name == route.connection), None)
    if effective is None:
        return None
    last = is_last(chain, route)
    header = LaneHeader(
        meter=effective.key,
        tenant=effective.tenant,
        project=job.project,
        connection=route.connection,
        priority=job.priority.value,
        weight=effective.profile.weight,
        input=0,
        calls=1,
        patience=patience.on(last=last, priority=job.priority),
        fallback=not last,
    )
    return addressed(header, job)


def addressed(header: LaneHeader, job: ExtractionJob) -> LaneHeader:
    """The header of a job like another one: of its project and class, and with its route."""
    needs = extraction.rough_needs(job)
    return header.model_copy(update={"input": needs.input_tokens, "calls": needs.calls, "session": job.session})
