"""Writing off deliveries that were broken off: what they may have called goes into the ledger as lost."""

from collections.abc import Iterable, Sequence
from itertools import islice

import structlog

from tasks.contract import AttemptRecord
from workers.jobs import Dropped, JobStore
from workers.records import lost_of
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
