"""What waits behind earlier jobs of its session: ending it, and sending it elsewhere, where it stands."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import redis
from kombu.utils.json import dumps

from workers.lanes.control import Which
from workers.lanes.emptying import Taken
from workers.lanes.entering import Entry
from workers.lanes.keys import SESSIONS, LaneName, behind
from workers.lanes.scripts import LANES
from workers.lanes.scripts import SESSIONS as FUNCTIONS
from workers.redis.lua import lua

#: Lane, connection, label and id stand before the message of an entry.
_BEFORE = 4


def empty_behind(client: redis.Redis, which: Which, handle: Callable[[Taken], None]) -> int:
    """Hand every job that waits behind another one, and will go to these lanes, to `handle`; how many.

    A job is forgotten only after `handle` has returned, so that it may meet a job twice. One that goes to its lane
    meanwhile is forgotten by whoever takes it from there.

    Args:
        client: of the broker.
        which: the lanes.
        handle: ends a job.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    change = client.register_script(lua("workers.lanes", "behind", uses=(LANES, FUNCTIONS)))
    count = 0
    for session, entry, taken in _behind(client, which):
        handle(taken)
        change(args=[session, entry, ""])
        count += 1
    return count


def rewrite_behind(client: redis.Redis, which: Which, rewrite: Callable[[Taken], tuple[str, dict[str, Any]]]) -> int:
    """Put other messages in the place of those that wait behind others and will go to these lanes; how many.

    They keep their place in their sessions.

    Args:
        client: of the broker.
        which: the lanes.
        rewrite: answers with the queue and the message, of the same job.

    Raises:
        ValueError: a message belongs in no lane.
        redis.RedisError: the server cannot be asked.
    """
    change = client.register_script(lua("workers.lanes", "behind", uses=(LANES, FUNCTIONS)))
    count = 0
    for session, entry, taken in _behind(client, which):
        queue, message = rewrite(taken)
        made = Entry.of(message, queue=queue)
        if made is None:
            raise ValueError("its message belongs in no lane")
        header, job_id = made.header, entry.split(b"\n", _BEFORE)[_BEFORE - 1].decode()
        lines = (str(header.lane(queue)), header.connection, header.label(made.tag), job_id, dumps(message))
        count += int(change(args=[session, entry, "\n".join(lines)]))
    return count


def _behind(client: redis.Redis, which: Which) -> Iterator[tuple[str, bytes, Taken]]:
    """Session, entry and job of all that wait behind others and will go to these lanes, in order."""
    seconds, micros = client.time()
    names: Any = client.smembers(SESSIONS)
    for name in sorted(names):
        session: str = name.decode()
        if which.project not in {None, session.partition("\t")[0]}:
            continue
        entries: Any = client.lrange(behind(session), 0, -1)
        for entry in reversed(entries):
            lane_name, _, label, _, message = entry.split(b"\n", _BEFORE)
            lane = LaneName.parse(lane_name.decode())
            if which.fits(lane):
                tag = label.rpartition(b" ")[2].decode()
                yield (
                    session,
                    entry,
                    Taken(lane=lane, tag=tag, since=seconds + micros / 1e6, message=json.loads(message)),
                )
