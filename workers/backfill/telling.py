"""The event that a backfill is through, told once however often it is said."""

import redis.asyncio

from config.settings import Settings
from config.store import ParameterStore
from tasks.contract.events import BackfillCompleted, Event, EventKind
from workers.backfill.lines import usage_of
from workers.backfill.state.base import Snapshot
from workers.clock import Clock
from workers.notify import Events, Limits, Outbox, Subscriptions

#: Seconds that it is remembered that it was told: for as long as a driver may take to come back after a crash.
_REMEMBERED = 30 * 86_400


def completed_event(snapshot: Snapshot, clock: Clock) -> Event:
    """The event; its id is the same whenever it is made of the same backfill."""
    definition, sums = snapshot.definition, snapshot.sums
    words = ("succeeded", "partial", "failed", "cancelled", "known")
    return Event(
        id=f"evt_backfill_{definition.name}_{definition.created_at:%Y%m%d%H%M%S%f}",
        type=EventKind.BACKFILL_COMPLETED,
        timestamp=clock.now(),
        data=BackfillCompleted(
            backfill=definition.name,
            project=definition.project,
            jobs=sum(sums.get(word, 0) for word in words),
            succeeded=sums.get("succeeded", 0) + sums.get("known", 0),
            partial=sums.get("partial", 0),
            failed=sums.get("failed", 0) + sums.get("cancelled", 0),
            started_at=definition.created_at,
            ended_at=clock.now(),
            usage=usage_of(sums),
        ),
    )


async def tell(snapshot: Snapshot, *, settings: Settings, store: ParameterStore, clock: Clock) -> None:
    """Tell from a process that has no events of its own. Workers deliver it.

    Raises:
        redis.RedisError: it could not be kept.
    """
    limits = Limits(failed=settings.webhook_failed_kept)
    async with redis.asyncio.Redis.from_url(settings.redis_url) as client:
        events = Events(
            client,
            outbox=Outbox(client, limits=limits, remembered=_REMEMBERED),
            subscriptions=Subscriptions(store, clock=clock, ttl=settings.config_cache_ttl),
            clock=clock,
            kept=settings.events_kept,
            limits=limits,
            remembered=_REMEMBERED,
        )
        await events.emit(completed_event(snapshot, clock), once=True)
