"""Where pages and metrics get what they show."""

from dataclasses import dataclass
from typing import Self

import redis

from workers.clock import Clock, SystemClock
from workers.dead.shelf import Shelf
from workers.monitoring.pool.batches import BatchBoard, RedisBatches
from workers.monitoring.pool.lanes import LaneBoard
from workers.monitoring.pool.letters import LetterBoard
from workers.monitoring.pool.meters import MeterBoard
from workers.monitoring.pool.redis_lanes import RedisLanes
from workers.monitoring.pool.redis_meters import RedisMeters
from workers.monitoring.pool.webhooks import WebhookBoard
from workers.monitoring.usage.book import UsageBook
from workers.monitoring.usage.hours import RedisFailures, RedisHours
from workers.monitoring.usage.sums import Combination, FailedKind, HourlyUsage
from workers.notify.outbox import OutboxReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Boards:
    """All sources. They block, so they are asked in threads."""

    hours: HourlyUsage
    book: UsageBook[Combination]
    failures: UsageBook[FailedKind]
    meters: MeterBoard
    lanes: LaneBoard
    batches: BatchBoard
    webhooks: WebhookBoard
    letters: LetterBoard
    clock: Clock

    @classmethod
    def of(cls, client: redis.Redis) -> Self:
        """All of one broker; asks nothing yet."""
        clock, hours = SystemClock(), RedisHours(client)
        return cls(
            hours=hours,
            book=UsageBook(hours, clock=clock),
            failures=UsageBook(RedisFailures(client), clock=clock),
            meters=RedisMeters(client),
            lanes=RedisLanes(client),
            batches=RedisBatches(client),
            webhooks=OutboxReader(client),
            letters=Shelf(client),
            clock=clock,
        )
