"""For `celery worker --include`: a worker that sends itself a signal at a point of an attempt.

`CHAOS_DIES=point:n:signal` says which, and where. `kill -9` from outside mostly meets a worker that waits for an
answer. What matters are the moments around that: here it kills itself in them, as suddenly, when it comes past one for
the n-th time; or stops, or asks itself to end.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from workers.broker.qos import QoS
from workers.jobs import RedisJobs
from workers.providers.aws_auth import AwsAuth
from workers.providers.bedrock import BedrockProvider
from workers.providers.google_tokens import GoogleTokens
from workers.providers.transport import Transport
from workers.providers.vertex import VertexProvider

# Processes in which it tries a job alone have nothing before them: their death would speak against the job.
_point, _number, _signal = os.environ.pop("CHAOS_DIES", ":0:9").split(":")
_left = int(_number)

#: Seconds after which a call is under way.
_UNDER_WAY = 0.05


def _die() -> None:
    os.kill(os.getpid(), signal.Signals(int(_signal)))


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


def _in_a_thread(method: Callable[..., Any]) -> Callable[..., Any]:
    """Around what blocks: how a session is asked for."""

    def step(*args: Any, **kwargs: Any) -> Any:
        _come_past("minting")
        result = method(*args, **kwargs)
        _come_past("minted")
        return result

    return step


def _acknowledge(method: Callable[..., Any]) -> Callable[..., Any]:
    def step(*args: Any, **kwargs: Any) -> Any:
        _come_past("acknowledging")
        return method(*args, **kwargs)

    return step


_PATCHES: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (RedisJobs, "claim", lambda method: _around(method, after="claimed")),
    (GoogleTokens, "_ask", lambda method: _around(method, before="minting", after="minted")),
    (AwsAuth, "_assume", _in_a_thread),
    (BedrockProvider, "prepare", lambda method: _around(method, after="signed")),
    (VertexProvider, "prepare", lambda method: _around(method, after="signed")),
    (Transport, "send", lambda method: _around(_during(method), before="calling", after="answered")),
    (RedisJobs, "settle", lambda method: _around(method, after="settled")),
    (RedisJobs, "hand_over", lambda method: _around(method, after="handed_over")),
    (RedisJobs, "end", lambda method: _around(method, before="ending", after="ended")),
    (QoS, "ack", _acknowledge),
)
if _left:
    for _owner, _name, _wrap in _PATCHES:
        setattr(_owner, _name, _wrap(getattr(_owner, _name)))
