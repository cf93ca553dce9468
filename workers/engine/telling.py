"""Tells of the ends of jobs: dead letters keep what failed, then events, webhooks and backfills hear of it."""

import asyncio
from dataclasses import dataclass

from tasks.contract import ExtractionJob, Failure
from workers.backfill.inbox import Inbox
from workers.dead.writer import Writer
from workers.jobs import Ending, JobStore
from workers.notify import Events


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Those who are told."""

    jobs: JobStore
    letters: Writer
    events: Events
    inbox: Inbox

    async def ended(self, job: ExtractionJob, job_id: str, ending: Ending) -> None:
        """Keep what failed, then tell of it: whoever hears of a failure finds it kept."""
        await self.letters.job_ended(job, job_id, ending)
        await asyncio.gather(self.events.job_ended(job, job_id, ending), self.inbox.job_ended(job, job_id, ending))

    async def failed(
        self, job: ExtractionJob, job_id: str, failure: Failure, *, heard: ExtractionJob | None = None
    ) -> None:
        """Tell of a job that failed outside of the engine.

        Args:
            job: the job.
            job_id: its id.
            failure: why.
            heard: the job as events and webhooks are to hear of it, if that differs.
        """
        ending = Ending(failure=failure, replays=(await self.jobs.kept(job_id)).replays)
        await self.letters.job_ended(job, job_id, ending)
        await self.events.job_ended(heard or job, job_id, ending)
        await self.inbox.job_ended(job, job_id, ending)
