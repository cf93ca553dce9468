"""Lanes as a page shows and steers them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from config.connections.profiles import check_weight
from workers.lanes.views import LaneView, Pause

#: The classes that lanes come in.
PRIORITIES = ("live", "backfill")


class LaneBoard(Protocol):
    """What is known of lanes, and their controls. All of it raises `redis.RedisError` when nobody can be asked."""

    def lanes(self) -> Sequence[LaneView]:
        """All lanes in which jobs wait."""

    def pauses(self) -> Sequence[Pause]:
        """All that is paused."""

    def pause(self, *, project: str, priority: str | None = None, queue: str | None = None) -> None:
        """Hand out no job of these lanes, present and future, until they are resumed."""

    def resume(self, *, project: str, priority: str | None = None, queue: str | None = None) -> None:
        """Let these lanes go again; without a queue also what was paused on single queues."""

    def wake(self, *, project: str) -> int:
        """End the waits of a project's lanes and of their meters at once; how many ended."""

    def weight(self, project: str, weight: float) -> None:
        """Give a project its share from now on.

        Raises:
            ValueError: out of bounds.
        """


class MemoryLanes:
    """Lanes in a list; for tests."""

    def __init__(self, lanes: Iterable[LaneView] = ()) -> None:
        self._lanes = list(lanes)
        self._pauses: list[Pause] = []

    def lanes(self) -> Sequence[LaneView]:
        """All lanes, with what is paused of them."""
        return [replace(lane, paused=True, why="paused") if self._is_paused(lane) else lane for lane in self._lanes]

    def pauses(self) -> Sequence[Pause]:
        """All that is paused."""
        return list(self._pauses)

    def pause(self, *, project: str, priority: str | None = None, queue: str | None = None) -> None:
        """Hand out no job of these lanes."""
        named = PRIORITIES if priority is None else (priority,)
        new = [Pause(project=project, priority=word, queue=queue) for word in named]
        self._pauses += [pause for pause in new if pause not in self._pauses]

    def resume(self, *, project: str, priority: str | None = None, queue: str | None = None) -> None:
        """Let these lanes go again."""
        self._pauses = [
            pause
            for pause in self._pauses
            if pause.project != project or priority not in {None, pause.priority} or queue not in {None, pause.queue}
        ]

    def wake(self, *, project: str) -> int:
        """End the waits of a project's lanes."""
        woken = [lane for lane in self._lanes if lane.project == project and lane.why is not None]
        self._lanes = [replace(lane, why=None, next_release=0) if lane in woken else lane for lane in self._lanes]
        return len(woken)

    def weight(self, project: str, weight: float) -> None:
        """Give a project its share."""
        check_weight(weight)
        self._lanes = [replace(lane, weight=weight) if lane.project == project else lane for lane in self._lanes]

    def _is_paused(self, lane: LaneView) -> bool:
        return any(
            (pause.project, pause.priority) == (lane.project, lane.priority) and pause.queue in {None, lane.queue}
            for pause in self._pauses
        )
