"""Lanes on Redis or Valkey."""

from collections.abc import Sequence

import redis

from workers.lanes.control import Lanes, Which
from workers.lanes.views import LaneView, Pause, list_lanes, list_pauses


class RedisLanes:
    """The lanes of one broker. A lane board."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._lanes = Lanes(client)

    def lanes(self) -> Sequence[LaneView]:
        """All lanes in which jobs wait."""
        return list_lanes(self._client)

    def pauses(self) -> Sequence[Pause]:
        """All that is paused."""
        return list_pauses(self._client)

    def pause(self, *, project: str, priority: str | None = None, queue: str | None = None) -> None:
        """Hand out no job of these lanes, present and future, until they are resumed."""
        self._lanes.pause(project=project, priority=priority, queue=queue)

    def resume(self, *, project: str, priority: str | None = None, queue: str | None = None) -> None:
        """Let these lanes go again."""
        self._lanes.resume(project=project, priority=priority, queue=queue)

    def wake(self, *, project: str) -> int:
        """End the waits of a project's lanes and of their meters at once."""
        return self._lanes.wake(Which(project=project))

    def weight(self, project: str, weight: float) -> None:
        """Give a project its share from now on."""
        self._lanes.weight(project, weight)
