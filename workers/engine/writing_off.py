"""Writing off deliveries that were broken off: what they may have called goes into the ledger as lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from tasks.contract import AttemptRecord
from workers.engine.progress import Progress
from workers.engine.records import LOST, lost_of
from workers.engine.trouble import Subject
from workers.extraction import Unit
from workers.jobs import Dropped, JobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingOff:
    """Writes lost calls down, and tells of them."""

    jobs: JobStore
    #: Hears of each call that was written down.
    tell: Callable[[AttemptRecord], None]
    #: Parts that one delivery has in hand at most.
    at_once: int

    async def write_off(
        self, subject: Subject, dropped: Sequence[Dropped], *, parts: Sequence[int], records: list[AttemptRecord]
    ) -> None:
        """Write down as lost what deliveries may have called and did not live to settle.

        Args:
            subject: the job and its connection.
            dropped: the deliveries.
            parts: indexes of the parts of the job that are not done, in the order in which they are begun.
            records: attempts of the job so far; each lost one is appended.

        Raises:
            redis.RedisError: it cannot be written; whoever comes next does.
        """
        for delivery in dropped:
            lost = lost_of(subject, delivery, parts=parts, records=tuple(records))
            for record in islice(lost, self.at_once):
                await self.jobs.settle(record)
                records.append(record)
                self.tell(record)
            await self.jobs.release(subject.job_id, owner=delivery.owner)

    async def account_for(
        self,
        subject: Subject,
        dropped: Sequence[Dropped],
        *,
        units: Sequence[Unit],
        own: Sequence[AttemptRecord],
    ) -> None:
        """Write off deliveries that took this one for lost, and have the job in hand that it has ended.

        If their workers die now, nobody asks for their calls: whoever gets their messages finds the ending.

        Args:
            subject: the job and its connection.
            dropped: the deliveries.
            units: of the job.
            own: attempts of this delivery, of which the others know nothing.

        Raises:
            redis.RedisError: the working state cannot be read or written.
        """
        kept = await self.jobs.kept(subject.job_id)
        mine = {record.id for record in own if record.status != LOST}
        theirs = [record for record in kept.attempts if record.id not in mine]
        packs = Progress(extracted={}, records=theirs, kept=set()).packs(subject, units)
        await self.write_off(subject, dropped, parts=[pack.index for pack in packs], records=theirs)
