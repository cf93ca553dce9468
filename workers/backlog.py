"""How many jobs of a project wait, and how many may: producers are to hear of a backlog before it grows without end."""

from dataclasses import dataclass

import redis

from tasks.contract import FailureCode, JobRefused
from workers.lanes.control import Lanes
from workers.lanes.views import expected_wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What of a project waits."""

    #: Jobs in its lanes.
    waiting: int
    #: Seconds until the last of them can be paid for at the declared limits, were nothing else to come in; None when
    #: no meter of theirs has a declared limit.
    expected_wait: float | None


def backlog_of(client: redis.Redis, project: str) -> Backlog:
    """What of a project waits now.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    return Backlog(waiting=Lanes(client).waiting(project), expected_wait=expected_wait(client, project))


class Room:
    """The room that is left for the jobs of one batch. What waits already is asked once for each project.

    Several producers that fill up the last room at the same moment may go beyond it, by a batch each at most.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        #: Project → jobs that wait, those of the batch included.
        self._waiting: dict[str, int] = {}

    def left(self, project: str, most: int) -> bool:
        """Whether one more job may wait where at most `most` may.

        Raises:
            redis.RedisError: the broker cannot be asked.
        """
        if project not in self._waiting:
            self._waiting[project] = Lanes(self._client).waiting(project)
        return self._waiting[project] < most

    def take(self, project: str) -> None:
        """Count a job that is to wait."""
        if project in self._waiting:
            self._waiting[project] += 1

    def refusal(self, project: str, most: int) -> JobRefused:
        """The error for a job for which there is no room."""
        waiting, wait = self._waiting[project], expected_wait(self._client, project)
        expected = f" The last of them can be paid for in about {wait_words(wait)}." if wait else ""
        return JobRefused(
            f"project '{project}' has {waiting:,} jobs waiting and may have {most:,} (max_waiting).{expected} Send the "
            f"job again later, raise what its connections may take (byom limits set), or let more of its jobs wait: "
            f"byom project set --project {project} --max-waiting N",
            {
                "code": FailureCode.BACKLOG_FULL.value,
                "project": project,
                "waiting": waiting,
                "max_waiting": most,
                "expected_wait": wait,
            },
        )


def wait_words(seconds: float) -> str:
    """A span for people, in the largest unit of which there are two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
