"""For `celery worker --include`: a worker that dies at a point of an attempt, as `CHAOS_DIES=point:n` says.

`kill -9` from outside mostly meets a worker that waits for an answer. What matters are the moments around that: here it
kills itself in them, as suddenly, when it comes past one for the n-th time.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from workers.broker.qos import QoS
from workers.jobs import RedisJobs
from workers.providers.transport import Transport

# Processes in which it tries a job alone do not die with it: their death would speak against the job.
_point, _, _number = os.environ.pop("CHAOS_DIES", ":0").partition(":")
_left = int(_number)

#: Seconds after which a call is under way.
_UNDER_WAY = 0.05


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _passes(point: str) -> bool:
    """Whether it is time to die."""
    global _left  # noqa: PLW0603 - one death per process
    if point != _point:
        return False
    _left -= 1
    return _left == 0


def _come_past(point: str) -> None:
    if _passes(point):
        _die()


def _around(
    method: Callable[..., Awaitable[Any]], *, before: str | None = None, after: str | None = None
) -> Callable[..., Awaitable[Any]]:
    async def step(*args: Any, **kwargs: Any) -> Any:
        if before:
            _come_past(before)
        result = await method(*args, **kwargs)
        if after:
            _come_past(after)
        return result

    return step


def _during(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def step(*args: Any, **kwargs: Any) -> Any:
        if _passes("during"):
            asyncio.get_running_loop().call_later(_UNDER_WAY, _die)
        return await method(*args, **kwargs)

    return step


def _acknowledge(method: Callable[..., Any]) -> Callable[..., Any]:
    def step(*args: Any, **kwargs: Any) -> Any:
        _come_past("acknowledging")
        return method(*args, **kwargs)

    return step


_PATCHES: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (RedisJobs, "claim", lambda method: _around(method, after="claimed")),
    (Transport, "send", lambda method: _around(_during(method), before="calling", after="answered")),
    (RedisJobs, "settle", lambda method: _around(method, after="settled")),
    (RedisJobs, "hand_over", lambda method: _around(method, after="handed_over")),
    (RedisJobs, "end", lambda method: _around(method, before="ending", after="ended")),
    (QoS, "ack", _acknowledge),
)
if _left:
    for _owner, _name, _wrap in _PATCHES:
        setattr(_owner, _name, _wrap(getattr(_owner, _name)))
