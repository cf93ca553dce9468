"""How many jobs of a project wait, and how many may: producers are to hear of a backlog before it grows without end."""

from dataclasses import dataclass

import redis

from tasks.contract import FailureCode, JobRefused
from workers.lanes.control import Lanes
from workers.lanes.views import Pause, expected_wait, list_pauses


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What of a project waits."""

    #: Jobs in its lanes, and behind others of their sessions.
    waiting: int
    #: Seconds until the last of them can be paid for at the declared limits, were nothing else to come in; None when
    #: no meter of theirs has a declared limit.
    expected_wait: float | None
    #: What of it was paused, whether anything waits there or not.
    pauses: tuple[Pause, ...] = ()


def backlog_of(client: redis.Redis, project: str) -> Backlog:
    """What of a project waits now.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    return Backlog(
        waiting=Lanes(client).waiting(project),
        expected_wait=expected_wait(client, project),
        pauses=tuple(list_pauses(client, project)),
    )


def no_room(client: redis.Redis, project: str, *, waiting: int, most: int) -> JobRefused:
    """The error for a job for which there is no room.

    Args:
        client: of the broker.
        project: whose job it is.
        waiting: jobs of the project that wait.
        most: how many of them may.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    wait = expected_wait(client, project)
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
