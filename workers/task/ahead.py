"""Works on jobs ahead of their tasks: on the event loop, where thousands need no thread.

Celery runs a task in a thread that would do nothing but wait. Here the work is done first. If it comes to a plain
success, its result is stored from the loop as well, and Celery is told that the task is over. All else (a job that
waits, goes on to another connection or fails, or has something to be called back) gets a thread then, in which Celery
runs the task as ever; the task finds what was done in its request.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any, Final, Protocol

from celery import signals
from celery.states import STARTED, SUCCESS

from tasks.contract import ExtractionJob, parse_job
from workers.broker.pool import Done, Succeeded
from workers.broker.results import Results
from workers.clock import Clock
from workers.engine.delivery import Delivery
from workers.engine.engine import Outcome
from workers.engine.routing import Route
from workers.jobs import Ending
from workers.lanes.header import HEADER
from workers.task.extraction_body import handling
from workers.task.receipt import Receipt
from workers.tracing import TraceContext, Tracing

#: Where the request of a task holds what came of its delivery.
HANDLED: Final = "byom_handled"

#: What Celery does after a task that succeeded.
_AFTER = ("callbacks", "chain", "chord")

#: Signals that Celery sends from the thread in which a task runs.
_HEARD = (signals.task_prerun, signals.task_postrun, signals.task_success)


class Work(Protocol):
    """Takes a job through the connection of its route, as `Engine.run` does."""

    async def __call__(self, job: ExtractionJob, *, job_id: str, route: Route, delivery: Delivery) -> Outcome:
        """What follows."""


class Ahead:
    """The jobs of one process that are worked on ahead of their tasks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        work: Work,
        results: Results,
        tracing: Tracing,
        clock: Clock,
        is_for_a_thread: Callable[[Delivery], bool],
    ) -> None:
        """Take what there is to work with.

        Args:
            loop: on which all happens.
            work: does the work.
            results: stores results.
            tracing: traces deliveries.
            clock: tells how long a job has waited.
            is_for_a_thread: whether a delivery is to be left to the thread of its task.
        """
        self._loop = loop
        self._work = work
        self._results = results
        self._tracing = tracing
        self._clock = clock
        self._is_for_a_thread = is_for_a_thread
        self._in_hand: set[asyncio.Task[Succeeded | None]] = set()

    def begin(self, task: Any, request: dict[str, Any], body: Any, done: Done) -> bool:
        """As `Begin`, for a task that takes `job` and `route`; called from any thread.

        A redelivered job is left to its task, since Celery asks first whether it is over; so are all while somebody
        listens to signals of tasks, which come from the thread in which a task runs.
        """
        arguments, named, _ = body
        if (
            arguments
            or named.keys() != {"job", "route"}
            or request["delivery_info"].get("redelivered")
            or any(signal.receivers for signal in _HEARD)
        ):
            return False
        delivery = self.delivery_of(request)
        if self._is_for_a_thread(delivery):
            return False
        self._loop.call_soon_threadsafe(self._start, task, request, body, delivery, done)
        return True

    def delivery_of(self, request: Mapping[str, Any]) -> Delivery:
        """What is known of a delivery beside its message."""
        return Delivery.of(request.get(HEADER), now=self._clock.now())

    def abandon(self) -> None:
        """Give up all that is in hand; it goes back to its queues. Called on the loop."""
        for task in list(self._in_hand):
            task.cancel()

    def _start(self, task: Any, request: dict[str, Any], body: Any, delivery: Delivery, done: Done) -> None:
        def tell(doing: asyncio.Task[Succeeded | None]) -> None:
            self._in_hand.discard(doing)
            if doing.cancelled():
                done(CancelledError())
                return
            error = doing.exception()
            done(error if isinstance(error, Exception) else doing.result())

        doing = self._loop.create_task(self._do(task, request, body, delivery))
        self._in_hand.add(doing)
        doing.add_done_callback(tell)

    async def _do(self, task: Any, request: dict[str, Any], body: Any, delivery: Delivery) -> Succeeded | None:
        """Take one delivery as far as it goes without a thread; None when its task has to conclude it.

        Raises:
            redis.RedisError: that it began, or its result, could not be stored.
        """
        began = time.monotonic()
        told = SimpleNamespace(**request)
        _, named, after = body
        whereabouts = json.dumps({"pid": os.getpid(), "hostname": told.hostname})
        await self._results.store(task.backend, told.id, whereabouts, STARTED, told)
        with handling(task.name, told.id, TraceContext.of(told), self._tracing) as handled:
            handled.parsed = parse_job(named["job"])
            route = Route.model_validate(named["route"])
            handled.outcome = await self._work(handled.parsed, job_id=told.id, route=route, delivery=delivery)
        if not isinstance(handled.outcome, Ending) or handled.outcome.result is None or _has_more_to_do(request, after):
            request[HANDLED] = handled
            return None
        receipt = Receipt(handled.outcome.result)
        await self._results.store(task.backend, told.id, receipt.text(), SUCCESS, told)
        return Succeeded(shown=repr(receipt), seconds=time.monotonic() - began)


def _has_more_to_do(request: Mapping[str, Any], after: Mapping[str, Any] | None) -> bool:
    """Whether a task that succeeded is to do more than store its result, or less."""
    return bool(request.get("ignore_result")) or any((after or {}).get(name) for name in _AFTER)
