"""From jobs that wait to a batch: what is left to do of them, written down before any of it is sent."""

import asyncio
import uuid
from dataclasses import dataclass

import structlog

from config.errors import ConfigError, StoreError
from tasks.contract import Tier
from workers import extraction
from workers.economy.access import Access, NoBatches, Reached
from workers.economy.base import Batch, Item, Pool, Waiting
from workers.economy.keys import STATE_KEPT, Line
from workers.economy.parcels import Parcel, read_parcel
from workers.economy.planning import Room, Terms, is_due
from workers.engine.kept import read_kept
from workers.engine.records import SPLIT, tags_of
from workers.engine.trouble import Subject
from workers.jobs import JobStore, Kept
from workers.providers.base import Call

_log = structlog.get_logger(__name__)

#: Jobs after which others on the loop have their turn.
_PAUSE_EVERY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """What is left to do of a job."""

    items: list[Item]
    #: Bytes of each call.
    sizes: list[int]


class Gatherer:
    """Makes batches."""

    def __init__(self, *, pool: Pool, access: Access, jobs: JobStore, terms: Terms) -> None:
        self._pool = pool
        self._access = access
        self._jobs = jobs
        self._terms = terms

    async def gather(self, line: Line) -> None:
        """Make batches of what waits in a line, if it has waited long enough or is enough for one.

        Raises:
            redis.RedisError: the pool or the job store cannot be reached.
        """
        number, since = await self._pool.count(line)
        if since is None:
            return
        try:
            reached = await self._access.to(line)
        except StoreError:
            raise
        except (ConfigError, NoBatches) as error:
            # The worker that gets them says what is wrong, or goes on to another connection.
            _log.warning("economy_line_dissolved", line=str(line), jobs=number, error=type(error).__name__)
            await self._give_back_all(line)
            return
        waited = await self._pool.now() - since
        most = reached.provider.most_items
        while is_due(number, waited=waited, gather=self._terms.gather, most=most):
            taken = await self._make(line, reached)
            if not taken:
                return
            number, since = await self._pool.count(line)
            waited = await self._pool.now() - since if since is not None else 0

    async def _make(self, line: Line, reached: Reached) -> bool:
        """Make one batch; False when nothing was left to make one of."""
        left: list[_Left] = []
        first = 0
        room = Room(most_items=reached.provider.most_items, most_bytes=reached.provider.most_bytes)
        batch_id = uuid.uuid4().hex
        for place, waiting in enumerate(await self._pool.waiting(line, most=reached.provider.most_items)):
            if place % _PAUSE_EVERY == 0:
                await asyncio.sleep(0)
            one = await self._left(waiting, reached, batch_id, first)
            if one is None:
                continue
            if not room.take(one.sizes):
                break
            left.append(one)
            first += len(one.items)
        if not left:
            return False
        items = [item for job in left for item in job.items]
        connection = reached.effective.connection
        batch = Batch(
            id=batch_id,
            project=line.project,
            connection=line.connection,
            provider=connection.provider,
            model=connection.model,
            prompt_version=extraction.PROMPT_VERSION,
            jobs=len(left),
            items=len(items),
            created_at=await self._pool.now(),
        )
        begun = await self._pool.begin(batch, items)
        _log.info("batch_gathered", batch=batch_id, project=line.project, jobs=len(left), items=len(items))
        return begun is not None

    async def _left(self, waiting: Waiting, reached: Reached, batch_id: str, first: int) -> _Left | None:
        """What is left to do of a job; None if that is nothing, or nothing for a batch: then it goes back."""
        parcel = read_parcel(waiting)
        if parcel is None:
            await self._give_back(waiting.job_id)
            return None
        # It need not be taken in hand: while it is here no worker has it.
        kept = await self._jobs.kept(parcel.job_id)
        try:
            packs = packs_of(parcel, kept, reached)
        except extraction.PromptTooLong:
            packs = []
        if not packs:
            await self._give_back(parcel.job_id)
            return None
        items: list[Item] = []
        sizes: list[int] = []
        for pack in packs:
            prefix = f"{parcel.route.hop}.{pack.index}."
            tries = sum(record.attempt.startswith(prefix) for record in kept.attempts)
            item = Item(
                id=f"{batch_id}-{first + len(items)}",
                job_id=parcel.job_id,
                units=tuple(unit.index for unit in pack.units),
                attempt=f"{prefix}{tries + 1}",
            )
            items.append(item)
            sizes.append(reached.provider.item_size(call_of(parcel, reached, pack, item.attempt)))
        return _Left(items=items, sizes=sizes)

    async def _give_back(self, job_id: str) -> None:
        # A worker that collected it once more would only do so again and again.
        await self._jobs.mark_batched(job_id, kept=STATE_KEPT)
        await self._pool.give_back(job_id, batch_id=None, done=False)

    async def _give_back_all(self, line: Line) -> None:
        while jobs := await self._pool.waiting(line, most=100):
            for waiting in jobs:
                await self._pool.give_back(waiting.job_id, batch_id=None, done=False)


def subject_of(parcel: Parcel, reached: Reached, *, now: float) -> Subject:
    """A job on its way through the connection of its line."""
    return Subject(
        job=parcel.job,
        job_id=parcel.job_id,
        route=parcel.route,
        effective=reached.effective,
        model=reached.model,
        last=False,
        waited=max(0.0, now - parcel.since),
    )


def call_of(parcel: Parcel, reached: Reached, pack: extraction.Pack, attempt: str) -> Call:
    """One call of a batch."""
    return Call(
        prompt=pack.prompt,
        connection=reached.effective.connection,
        credential=reached.credential,
        model=reached.model,
        tags=tags_of(subject_of(parcel, reached, now=parcel.since), attempt),
        tier=Tier.BATCH,
    )


def units_of(parcel: Parcel, reached: Reached) -> list[extraction.Unit]:
    """All units of a job.

    Raises:
        PromptTooLong: the model has no room for one of them.
    """
    model = reached.model
    return extraction.plan(parcel.job, context_tokens=model.context, max_output=model.max_output)


def packs_of(parcel: Parcel, kept: Kept, reached: Reached) -> list[extraction.Pack]:
    """The calls that are left to make of a job.

    Raises:
        PromptTooLong: the model has no room for one of them.
    """
    return extraction.pack(
        parcel.job,
        units_of(parcel, reached),
        done=read_kept(kept.units),
        split={int(record.attempt.split(".")[1]) for record in kept.attempts if record.action == SPLIT},
        context_tokens=reached.model.context,
        max_output=reached.model.max_output,
    )


def pack_of(parcel: Parcel, item: Item, reached: Reached) -> extraction.Pack:
    """The pack that an item is about, whatever has come of other parts of its job meanwhile.

    Raises:
        PromptTooLong: the model has no room for it any more.
        LookupError: the job is not cut like that any more.
    """
    units = {unit.index: unit for unit in units_of(parcel, reached)}
    wanted = [units[index] for index in item.units]
    if len(wanted) == 1:
        return extraction.Pack.alone(wanted[0])
    for pack in extraction.pack(
        parcel.job,
        list(units.values()),
        done=(),
        split=(),
        context_tokens=reached.model.context,
        max_output=reached.model.max_output,
    ):
        if tuple(unit.index for unit in pack.units) == item.units:
            return pack
    raise LookupError(item.id)
