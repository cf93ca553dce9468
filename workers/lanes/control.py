"""Putting jobs into lanes, counting them, and pausing, waking and clearing lanes. Knows Redis, not kombu."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from config.connections.profiles import check_weight
from workers.lanes.entering import Entrance, Entry, Put
from workers.lanes.keys import ALL, PAUSED, WAITING, WAKE_KEY, WEIGHTS, LaneName, pause_field, pauses_of, queue_state
from workers.lanes.scripts import LANES, SESSIONS
from workers.redis.lua import lua

#: Lanes that one script looks at, and jobs that one throws away: the server does nothing else meanwhile.
_LANES_AT_ONCE = 200
_JOBS_AT_ONCE = 1_000

#: What scripts take for "by your own clock".
SERVER_CLOCK: Callable[[], str] = str

CLASSES = ("live", "backfill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Some lanes: those that fit all that is given."""

    queue: str | None = None
    priority: str | None = None
    project: str | None = None
    meter: str | None = None

    def fits(self, lane: LaneName) -> bool:
        """Whether a lane is among them."""
        return (
            self.queue in {None, lane.queue}
            and self.priority in {None, lane.priority}
            and self.project in {None, lane.project}
            and self.meter in {None, lane.meter}
        )


#: No restriction.
EVERY = Which()


class Lanes:
    """The lanes of one broker. Safe for threads, as its client is.

    All methods raise `redis.RedisError` when the server cannot be asked.
    """

    def __init__(
        self, client: redis.Redis, *, wake_key: str = WAKE_KEY, clock: Callable[[], str] = SERVER_CLOCK
    ) -> None:
        """Take the client.

        Args:
            client: of the broker.
            wake_key: the list that wakes a worker.
            clock: seconds as text, where a test sets the time.
        """
        self._client = client
        self._clock = clock
        self._wake_key = wake_key
        self._entrance = Entrance(client, wake_key=wake_key, clock=clock)
        self._hold = client.register_script(lua("workers.lanes", "hold", uses=(LANES,)))
        self._clear = client.register_script(lua("workers.lanes", "clear", uses=(LANES, SESSIONS)))

    def put(self, entry: Entry, *, batch: Any | None = None) -> None:
        """Put a job into its lane.

        Args:
            entry: the job.
            batch: kombu's batch of publications, which sends it with others.
        """
        self._entrance.put(entry, batch=batch)

    def put_all(self, entries: Sequence[Entry], *, key_ttl: int) -> Put:
        """Put jobs into their lanes in one step, up to the first that is refused: see `Entrance.put_all`."""
        return self._entrance.put_all(entries, key_ttl=key_ttl)

    def names(self, which: Which = EVERY) -> list[LaneName]:
        """The lanes in which jobs wait, in order of their names."""
        return sorted(lane for name in self._client.smembers(ALL) if which.fits(lane := LaneName.parse(_text(name))))

    def waiting(self, project: str) -> int:
        """Jobs of a project that wait, in all its lanes; one command."""
        return int(self._client.hget(WAITING, project) or 0)

    def jobs_in(self, queue: str) -> int:
        """Jobs that wait in all lanes of a queue; one command."""
        return sum(int(count or 0) for count in self._client.hmget(queue_state(queue), "jobs_live", "jobs_backfill"))

    def pause(self, *, project: str, priority: str | None = None, queue: str | None = None) -> int:
        """Hand out no job of these lanes, present and future, until they are resumed; how many lanes there are now.

        While a lane is paused the patience of its jobs stands still.
        """
        seconds, microseconds = self._client.time()
        # By the clock that its jobs wait by.
        at = f"{seconds}.{microseconds:06d}"
        for word in _classes(priority):
            self._client.hset(PAUSED, pause_field(project, word, queue), at)
        return self._look(Which(project=project, priority=priority, queue=queue), "look")[0]

    def resume(self, *, project: str, priority: str | None = None, queue: str | None = None) -> int:
        """Let these lanes go again; how many lanes there are now.

        Without a queue also what was paused on single queues.
        """
        paused = [_text(field) for field in self._client.hkeys(PAUSED)]
        fields = {pause_field(project, word, queue) for word in _classes(priority)}
        if queue is None:
            whole = tuple(fields)
            fields |= {field for field in paused if field.startswith(whole)}
        self._client.hdel(PAUSED, *fields)
        return self._look(Which(project=project, priority=priority, queue=queue), "look")[0]

    def wake(self, which: Which = EVERY, *, reason: str | None = None) -> int:
        """End the waits of lanes and of their meters at once, such as when a key was changed; how many ended.

        Args:
            which: the lanes.
            reason: end only those that wait for this: a `workers.admission.Reason`.
        """
        return self._look(which, "wake", reason)[1]

    def weight(self, project: str, weight: float) -> None:
        """Give a project its share from now on, also of what waits already; its next job that comes in says it anew.

        Raises:
            ValueError: out of bounds.
        """
        check_weight(weight)
        if weight == 1:
            self._client.hdel(WEIGHTS, project)
        else:
            self._client.hset(WEIGHTS, project, str(weight))

    def forget(self, project: str) -> int:
        """Forget what was set for the lanes of a project that is gone: its share and its pauses; how many of these."""
        self._client.hdel(WEIGHTS, project)
        fields = [field for field in map(_text, self._client.hkeys(PAUSED)) if field.startswith(pauses_of(project))]
        if fields:
            self._client.hdel(PAUSED, *fields)
            self._look(Which(project=project), "look")
        return len(fields)

    def clear(self, queue: str) -> int:
        """Throw away all that waits in the lanes of a queue, and what comes into them from behind; how many jobs."""
        gone = 0
        while lanes := self.names(Which(queue=queue)):
            before = gone
            for lane in lanes:
                while found := int(self._clear(args=[str(lane), _JOBS_AT_ONCE, self._clock()])):
                    gone += found
            if gone == before:
                break
        return gone

    def _look(self, which: Which, what: str, reason: str | None = None) -> tuple[int, int]:
        lanes = self.names(which)
        ended = 0
        for some in _batches(lanes, _LANES_AT_ONCE):
            ended += int(self._hold(keys=[self._wake_key], args=[what, reason or "", self._clock(), *map(str, some)]))
        return len(lanes), ended


def _text(value: bytes | str) -> str:
    """Clients answer with bytes, and with text only if they were told to."""
    return value.decode() if isinstance(value, bytes) else value


def _classes(priority: str | None) -> Sequence[str]:
    return CLASSES if priority is None else (priority,)


def _batches(lanes: Sequence[LaneName], size: int) -> Iterator[Sequence[LaneName]]:
    for start in range(0, len(lanes), size):
        yield lanes[start : start + size]
