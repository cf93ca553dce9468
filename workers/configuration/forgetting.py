"""What the broker keeps under the name of a project, and what of it goes with the project.

What would meet a later project of that name goes: a pause, a share, idempotency keys, receivers that wanted no more,
what was learned of its own keys and held back for them. What happened stays: usage and what counts towards caps,
events, dead letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import redis

from config.connections import EffectiveConnection, project_path
from workers.admission.control import Meters
from workers.enqueue.intake import key_prefix
from workers.lanes.control import Lanes
from workers.notify.outbox import OutboxReader

#: Keys that the server looks through in one step, in which it does nothing else.
_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How many of each there were."""

    #: Of all its lanes, or of some.
    pauses: int
    idempotency_keys: int
    #: Webhooks and callbacks to which nothing was sent any more.
    receivers: int


def forget(client: redis.Redis, project: str, *, own: Sequence[EffectiveConnection]) -> Forgotten:
    """Forget what would meet a later project of the same name; its jobs that are paused go on, and fail.

    Args:
        client: of the broker.
        project: which is not configured any more.
        own: connections that it had.

    Raises:
        redis.RedisError: the broker does not answer; the same again forgets the rest.
    """
    meters = Meters(client)
    for effective in own:
        if effective.credential_is_of(project_path(project)):
            meters.reset(effective)
    return Forgotten(
        pauses=Lanes(client).forget(project),
        idempotency_keys=_forget_keys(client, project),
        receivers=OutboxReader(client).forget(project),
    )


def _forget_keys(client: redis.Redis, project: str) -> int:
    found, cursor = 0, 0
    while True:
        cursor, keys = client.scan(cursor, match=f"{key_prefix(project)}*", count=_AT_ONCE)
        if keys:
            found += int(client.unlink(*keys))
        if cursor == 0:
            return found
