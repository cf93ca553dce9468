"""Taking all waiting jobs out of lanes, to end them or to send them elsewhere."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from workers.broker.unacked import KEYS, Place, Unacked
from workers.lanes.control import Lanes, Which
from workers.lanes.keys import LaneName
from workers.lanes.scripts import HAND_OUT, LANES
from workers.redis.lua import lua


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A job that was taken out of its lane and is held by whoever took it."""

    lane: LaneName
    tag: str
    #: Since when it waits, in seconds of the server's clock; pauses do not count.
    since: float
    #: kombu's message.
    message: dict[str, Any]

    @property
    def headers(self) -> dict[str, Any]:
        """Celery's headers: `id`, `task`, `root_id` and so on."""
        headers = self.message.get("headers")
        return headers if isinstance(headers, dict) else {}

    @property
    def job_id(self) -> str:
        """The id of its task."""
        return str(self.headers.get("id"))

    def arguments(self) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
        """Positional and keyword arguments of its task, and what Celery wants to do after it.

        Raises:
            ValueError: the body is not that of a Celery task.
        """
        body: Any = self.message.get("body")
        properties: Any = self.message.get("properties")
        try:
            raw = base64.b64decode(body) if properties.get("body_encoding") == "base64" else body
            args, kwargs, embedded = json.loads(raw)
        except (AttributeError, TypeError, ValueError):
            args = kwargs = embedded = None
        if isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embedded, dict):
            return args, kwargs, embedded
        raise ValueError("not a Celery task")


def empty_lanes(client: redis.Redis, which: Which, handle: Callable[[Taken], None], *, now: str = "") -> int:
    """Hand every job that waits in these lanes to `handle`; how many.

    A job is forgotten only after `handle` has returned. One that `handle` fails on goes back to its lane, and the error
    is raised; one whose taker dies comes back when its delivery expires, so `handle` may meet a job twice. Jobs that
    come in meanwhile stay. Paused lanes are emptied too.

    Args:
        client: of the broker.
        which: the lanes.
        handle: ends a job, or sends it elsewhere.
        now: seconds of the clock, for tests; empty for the server's.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    take = client.register_script(lua("workers.broker", "take", uses=(LANES, HAND_OUT)))
    unacked = Unacked(client, KEYS)
    count = 0
    for lane in Lanes(client).names(which):
        for _ in range(int(client.llen(lane.jobs))):
            found = take(keys=[KEYS.unacked, KEYS.index, KEYS.malformed], args=[str(lane), now])
            if found is None:
                break
            if not found:
                continue
            raw, tag, since = found
            try:
                message = json.loads(raw)
            except ValueError:
                unacked.quarantine(tag.decode(), raw)
                continue
            taken = Taken(lane=lane, tag=tag.decode(), since=float(since), message=message)
            try:
                handle(taken)
            except BaseException:
                _put_back(unacked, taken, raw.decode(), now)
                raise
            unacked.settle([taken.tag])
            count += 1
    return count


def _put_back(unacked: Unacked, taken: Taken, raw: str, now: str) -> None:
    queue = taken.lane.queue
    place = Place.of(taken.message, queue=queue, since=taken.since)
    unacked.restore(taken.tag, raw, [queue], end="head", place=place, now=now)
