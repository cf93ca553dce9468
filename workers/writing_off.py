"""Writing off deliveries that were broken off: what they may have called goes into the ledger as lost."""

from collections.abc import Iterable, Sequence
from itertools import islice

import structlog

from tasks.contract import AttemptRecord
from workers.extraction import Unit
from workers.jobs import Dropped, JobStore
from workers.progress import Progress
from workers.records import LOST, lost_of
from workers.trouble import Subject

_log = structlog.get_logger(__name__)


async def write_off(
    jobs: JobStore,
    subject: Subject,
    dropped: Sequence[Dropped],
    *,
    parts: Iterable[int],
    at_once: int,
    records: list[AttemptRecord],
) -> None:
    """Write down as lost what deliveries may have called and did not live to settle.

    Args:
        jobs: keeps what is settled.
        subject: the job and its connection.
        dropped: the deliveries.
        parts: indexes of the parts of the job that are not done, in the order in which they are begun.
        at_once: parts that one delivery has in hand at most.
        records: attempts of the job so far; each lost one is appended.

    Raises:
        redis.RedisError: it cannot be written; whoever comes next does.
    """
    todo = list(parts)
    for delivery in dropped:
        for record in islice(lost_of(subject, delivery, parts=todo, records=tuple(records)), at_once):
            await jobs.settle(record)
            records.append(record)
            _log.warning("attempt_lost", job_id=record.job_id, attempt=record.attempt, project=record.project)
        await jobs.release(subject.job_id, owner=delivery.owner)


async def account_for(
    jobs: JobStore,
    subject: Subject,
    dropped: Sequence[Dropped],
    *,
    units: Sequence[Unit],
    own: Sequence[AttemptRecord],
    at_once: int,
) -> None:
    """Write off deliveries that took this one for lost, and have the job in hand that it has ended.

    If their workers die now, nobody asks for their calls: whoever gets their messages finds the ending.

    Args:
        jobs: keeps what is settled.
        subject: the job and its connection.
        dropped: the deliveries.
        units: of the job.
        own: attempts of this delivery, of which the others know nothing.
        at_once: parts that one delivery has in hand at most.

    Raises:
        redis.RedisError: the working state cannot be read or written.
    """
    kept = await jobs.kept(subject.job_id)
    mine = {record.id for record in own if record.status != LOST}
    theirs = [record for record in kept.attempts if record.id not in mine]
    packs = Progress(extracted={}, records=theirs, kept=set()).packs(subject, units)
    parts = [pack.index for pack in packs]
    await write_off(jobs, subject, dropped, parts=parts, at_once=at_once, records=theirs)
