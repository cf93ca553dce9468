"""A worker process that does nothing but deliver: `python -m` this module, with `BYOM_*` in its environment."""

import asyncio

import redis.asyncio

from config.settings import load_settings
from config.store import open_store
from workers.clock import SystemClock
from workers.notify import Deliverer, Events, Outbox, Subscriptions, build_poster


async def main() -> None:
    """Deliver until it is killed."""
    settings, clock = load_settings(), SystemClock()
    client = redis.asyncio.Redis.from_url(settings.redis_url)
    outbox = Outbox(client)
    store = open_store(settings.store_url, key=settings.store_key)
    subscriptions = Subscriptions(store, clock=clock, ttl=settings.config_cache_ttl)
    deliverer = Deliverer(
        events=Events(client, outbox=outbox, subscriptions=subscriptions, clock=clock),
        outbox=outbox,
        subscriptions=subscriptions,
        poster=build_poster(settings),
        clock=clock,
        backoff=settings.webhook_backoff,
        places=settings.webhook_concurrency,
        seconds=settings.webhook_timeout,
    )
    await deliverer.run_forever()


if __name__ == "__main__":
    asyncio.run(main())
