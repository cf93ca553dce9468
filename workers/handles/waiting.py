"""Waiting for jobs in the manner of `concurrent.futures`: one command for hundreds of them, nothing for each."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from workers.handles.handle import JobHandle
from workers.handles.watch import Watch


class Waited(NamedTuple):
    """Jobs that have ended, in the order in which they were found to have, and those that have not."""

    done: list[JobHandle]
    not_done: list[JobHandle]


def wait(handles: Iterable[JobHandle], timeout: float | None = None) -> Waited:
    """Wait until all these jobs have ended, well or not.

    Args:
        handles: of jobs that anybody enqueued.
        timeout: seconds to wait; None waits for ever, 0 only looks.

    Raises:
        redis.RedisError: the result store was away for too long.
    """
    watch = Watch(handles)
    done: list[JobHandle] = []
    for some in _looks(watch, timeout):
        done += some
    return Waited(done, watch.waiting())


def as_completed(handles: Iterable[JobHandle], timeout: float | None = None) -> Iterator[JobHandle]:
    """The handles of these jobs as they end, well or not.

    Args:
        handles: of jobs that anybody enqueued.
        timeout: seconds to wait for all of them, from the first that is asked for; None waits for ever.

    Raises:
        TimeoutError: some have not ended; they go on.
        redis.RedisError: the result store was away for too long.
    """
    watch = Watch(handles)
    for some in _looks(watch, timeout):
        yield from some
    if left := len(watch.waiting()):
        raise TimeoutError(not_ended(left, timeout))


def not_ended(left: int, timeout: float | None) -> str:
    """What a `TimeoutError` says."""
    return f"{left:,} jobs have not ended after {timeout or 0:g} s; they go on, and can be waited for again"


def _looks(watch: Watch, timeout: float | None) -> Iterator[list[JobHandle]]:
    """What each look finds, until there is nothing to wait for or the time is over."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while watch.waits:
        yield watch.look()
        left = watch.pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        if watch.waits:
            time.sleep(min(watch.pause, left))
