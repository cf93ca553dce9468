"""Builds what tells of events in a worker process, from its settings."""

from redis.asyncio import Redis

from config.settings import Settings
from workers.clock import Clock
from workers.notify.deliverer import Deliverer
from workers.notify.events import Events
from workers.notify.outbox import Limits, Outbox
from workers.notify.posting import Posting
from workers.notify.subscriptions import Subscriptions


def open_events(
    settings: Settings, client: Redis, *, subscriptions: Subscriptions, poster: Posting, clock: Clock
) -> tuple[Events, Deliverer]:
    """Events, and what delivers them once it runs."""
    limits = Limits(failed=settings.webhook_failed_kept)
    # Later than that a job that is delivered again runs again, and is told again.
    outbox = Outbox(client, limits=limits, remembered=settings.job_state_ttl)
    events = Events(
        client,
        outbox=outbox,
        subscriptions=subscriptions,
        clock=clock,
        kept=settings.events_kept,
        limits=limits,
        remembered=settings.job_state_ttl,
        callback_max_bytes=settings.callback_max_bytes,
    )
    deliverer = Deliverer(
        events=events,
        outbox=outbox,
        subscriptions=subscriptions,
        poster=poster,
        clock=clock,
        backoff=settings.webhook_backoff,
        places=settings.webhook_concurrency,
        seconds=settings.webhook_timeout,
    )
    return events, deliverer
