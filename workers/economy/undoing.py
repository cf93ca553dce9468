"""A batch that comes to nothing: its jobs go back to their lanes, and what was set aside for it back to the budgets."""

import structlog

from config.errors import ConfigError
from workers.admission import Budgets
from workers.configuration.directory import Directory
from workers.economy.base import Batch, Held, Pool, State
from workers.economy.keys import STATE_KEPT
from workers.jobs import JobStore

_log = structlog.get_logger(__name__)


class Undoer:
    """Undoes batches."""

    def __init__(self, *, pool: Pool, jobs: JobStore, budgets: Budgets, directory: Directory) -> None:
        self._pool = pool
        self._jobs = jobs
        self._budgets = budgets
        self._directory = directory

    async def undo(self, held: Held, *, again: bool, why: str) -> None:
        """Give all jobs of a batch back.

        Args:
            held: the batch.
            again: whether they may be gathered into another one; else they are worked live.
            why: for the operator.

        Raises:
            Moved: somebody else has turned to it; the jobs are back in any case.
            redis.RedisError: the pool or the job store cannot be reached.
        """
        batch = held.batch
        _log.warning("batch_undone", batch=batch.id, project=batch.project, jobs=batch.jobs, why=why)
        # The last first: each goes to the head of its lane.
        for job_id in reversed(dict.fromkeys(item.job_id for item in await self._pool.items(batch.id))):
            await self.give_back(batch, job_id, again=again, done=False)
        await self.put_right(batch, cost=0)
        over = {"state": State.CLOSED, "trouble": why, "ended_at": await self._pool.now()}
        await self._pool.update(held, batch.model_copy(update=over))

    async def give_back(self, batch: Batch, job_id: str, *, again: bool, done: bool) -> None:
        """Give one job of a batch back; `done` says that no call is left to make of it."""
        if not again:
            await self._jobs.mark_batched(job_id, kept=STATE_KEPT)
        await self._pool.give_back(job_id, batch_id=batch.id, done=done)

    async def put_right(self, batch: Batch, *, cost: int) -> None:
        """Replace what was set aside for a batch by what it cost, in pico-USD; once."""
        if batch.sent_at is None:
            return
        try:
            chain = await self._directory.chain(batch.project)
        except ConfigError as error:
            _log.warning("budget_not_put_right", batch=batch.id, project=batch.project, error=type(error).__name__)
            return
        for effective in chain:
            if effective.connection.name == batch.connection:
                await self._budgets.put_right(effective, name=batch.id, cost=cost, day=batch.day)
