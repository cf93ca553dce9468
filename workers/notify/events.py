"""Events: what happens is kept in streams, and handed on to those who subscribe.

What happens often is folded: any worker adds to a window in Redis, and whoever comes first after its end turns it into
one event, in the same step that puts the event into the outbox. So no window is told twice, and none is lost with a
worker. Events of jobs have a stream of their own, so that many of them do not push out what an operator must see.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Sequence
from math import floor
from typing import Final
from urllib.parse import urlsplit

import structlog
from redis.asyncio import Redis

from config.errors import ConfigError
from tasks.contract import AttemptRecord, ExtractionJob, UsageTotals
from tasks.contract.events import Event, EventKind, Happening, JobEnded
from workers.alerts import Alert
from workers.clock import Clock
from workers.engine.endings import totals
from workers.jobs import Ending
from workers.notify.folding import Occurrence, occurrence_of
from workers.notify.outbox import Limits, Outbox, Time
from workers.notify.subscriptions import Subscriptions
from workers.redis.lua import lua
from workers.redis.pipelining import Pipelining, Script

#: Streams of events as JSON, newest last.
EVENTS_KEY: Final = "byom:events"
JOB_EVENTS_KEY: Final = "byom:events:jobs"

#: Seconds over which occurrences are folded.
WINDOW: Final = 60

_OUTBOX: Final = (("workers.notify", "time"), ("workers.notify", "outbox"), ("workers.notify", "window"))

_log = structlog.get_logger(__name__)


class Events:
    """Takes what happens. One per process; for code on the event loop."""

    def __init__(
        self,
        client: Redis,
        *,
        outbox: Outbox,
        subscriptions: Subscriptions,
        clock: Clock,
        kept: int = 10_000,
        window: float = WINDOW,
        limits: Limits | None = None,
        remembered: int = 86_400,
        callback_max_bytes: int = 1_048_576,
        now: Time | None = None,
    ) -> None:
        """Prepare.

        Args:
            client: Redis.
            outbox: takes the callbacks of jobs.
            subscriptions: says who wants to know of the ends of jobs.
            clock: dates events.
            kept: events that each stream keeps.
            window: seconds over which occurrences are folded.
            limits: of the outbox.
            remembered: seconds that the event of a job is remembered, so that it is not told twice.
            callback_max_bytes: the largest callback; what is larger goes without the result.
            now: milliseconds, for windows; without it, by the server's clock.
        """
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._clock = clock
        self._kept = kept
        self._window = round(window * 1000)
        self._limits = limits or Limits()
        self._remembered = remembered
        self._callback_max_bytes = callback_max_bytes
        self._now = now
        pipelining = Pipelining.of(client)
        self._emit = Script(pipelining, lua("workers.notify", "emit", uses=_OUTBOX))
        self._count = Script(pipelining, lua("workers.notify", "count", uses=_OUTBOX))
        self._close = Script(pipelining, lua("workers.notify", "close", uses=_OUTBOX))

    async def emit(self, event: Event, *, hand_on: bool = True, once: bool = False) -> bool:
        """Keep an event in its stream, and hand it on to those who subscribe.

        Args:
            event: what happened.
            hand_on: whether anybody may subscribe to it.
            once: whether the same id again is to change nothing.

        Returns:
            False when it was told before.

        Raises:
            redis.RedisError: it could not be kept.
        """
        # An account's event has no project; the account is then in the event itself.
        args: list[str | int] = [self._time(), event.id, event.model_dump_json(exclude_none=True), event.project or ""]
        args += [str(event.type), self._kept, int(hand_on), self._remembered if once else 0, *self._limits]
        keys = [_stream(str(event.type)), f"byom:events:told:{event.id}"]
        return bool(await self._emit(keys=keys, args=args))

    async def count(self, occurrence: Occurrence) -> None:
        """Add to the window of what happened: one command, sent together with those of others.

        Raises:
            redis.RedisError: it could not be counted.
        """
        about = {
            "type": occurrence.kind.value,
            "account": occurrence.account,
            "project": occurrence.project,
            "provider": occurrence.provider,
            "model": occurrence.model,
            "error_code": occurrence.error_code,
            "window_seconds": self._window // 1000,
        }
        text = json.dumps({name: value for name, value in about.items() if value is not None})
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        args: list[str | int] = [self._time(), text, occurrence.cause, self._window, self._kept, *self._limits, name]
        if ended := await self._count(keys=[EVENTS_KEY], args=args):
            _tell([ended])

    async def close_windows(self) -> int:
        """End the windows that are over; the number of events that they became.

        Raises:
            redis.RedisError: Redis cannot be reached.
        """
        args: list[str | int] = [self._time(), self._kept, *self._limits]
        ended: list[bytes] = await self._close(keys=[EVENTS_KEY], args=args)
        _tell(ended)
        return len(ended)

    async def raise_alert(self, alert: Alert) -> None:
        """Tell of an alert; where Redis is away the log line must do."""
        _log.warning("alert", **alert.model_dump(mode="json", exclude_none=True))
        event = Event(id=new_id(), type=EventKind(alert.kind.value), timestamp=alert.at, data=_happening(alert))
        try:
            await self.emit(event)
        except Exception as error:  # noqa: BLE001 - whatever it was, it must not reach the job
            _log.warning("alert_not_kept", kind=alert.kind.value, error=type(error).__name__)

    async def raise_once(self, alert: Alert, *, about: str) -> None:
        """Tell of an alert at most once a window, however often and by whomever it is raised; never fails either.

        Args:
            alert: what happened.
            about: tells alerts of one kind apart.
        """
        window = floor(alert.at.timestamp() * 1000 / self._window)
        name = hashlib.sha256(f"{alert.kind.value} {window} {about}".encode()).hexdigest()[:32]
        event = Event(id=f"evt_{name}", type=EventKind(alert.kind.value), timestamp=alert.at, data=_happening(alert))
        try:
            if await self.emit(event, once=True):
                _log.warning("alert", **alert.model_dump(mode="json", exclude_none=True))
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("alert_not_kept", kind=alert.kind.value, error=type(error).__name__)

    async def attempt_made(self, record: AttemptRecord) -> None:
        """Count an attempt that failed by the provider's doing; no job may fail over it."""
        occurrence = occurrence_of(record)
        if occurrence is None:
            return
        try:
            await self.count(occurrence)
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("occurrence_not_counted", kind=occurrence.kind.value, error=type(error).__name__)

    async def job_ended(self, job: ExtractionJob, job_id: str, ending: Ending) -> None:
        """Tell of the end of a job: its callback, and an event where anybody subscribes to it or it failed.

        However often a job ends, both are told once; a replay is told anew. Without a callback and without
        subscribers, a job that went well costs nothing here.

        Raises:
            redis.RedisError: it could not be kept; nothing is lost when this is called again.
        """
        kind = EventKind.JOB_FAILED if ending.result is None else EventKind.JOB_COMPLETED
        wanted = await self._wanted(job.project, kind)
        steps = []
        if job.callback_url is not None:
            steps.append(self._call_back(job, job_id, ending))
        if wanted or kind is EventKind.JOB_FAILED:
            event = self._event(f"evt_{_told_as(job_id, ending)}", kind, job_ended(job, job_id, ending))
            steps.append(self.emit(event, hand_on=wanted, once=True))
        await asyncio.gather(*steps)

    async def _wanted(self, project: str, kind: EventKind) -> bool:
        """Whether anybody subscribes to a kind of event; if that cannot be read now, whoever hands it on finds out."""
        try:
            return bool(await self._subscriptions.takers(project=project, account=None, kind=kind.value))
        except ConfigError as error:
            _log.warning("webhooks_not_read", project=project, error=type(error).__name__)
            return True

    async def _call_back(self, job: ExtractionJob, job_id: str, ending: Ending) -> bool:
        assert job.callback_url is not None  # noqa: S101 - asked for above
        kind = EventKind.JOB_FAILED if ending.result is None else EventKind.JOB_COMPLETED
        data, told_as = job_ended(job, job_id, ending), _told_as(job_id, ending)
        whole = data.model_copy(update={"result": ending.result, "failure": ending.failure})
        body = self._event(told_as, kind, whole).model_dump_json(exclude_none=True)
        if (size := len(body.encode())) > self._callback_max_bytes:
            omitted = f"this callback would have {size} bytes, more than the {self._callback_max_bytes} that are sent; "
            less = data.model_copy(update={"omitted": f"{omitted}fetch the result by the job's id"})
            body = self._event(told_as, kind, less).model_dump_json(exclude_none=True)
        fields = {"project": job.project, "kind": kind.value, "message": told_as, "url": job.callback_url, "body": body}
        target = f"callback {job.project} {origin_of(job.callback_url)}"
        return await self._outbox.put(f"{told_as}@callback", target=target, fields=fields)

    def _event(self, event_id: str, kind: EventKind, data: JobEnded) -> Event:
        return Event(id=event_id, type=kind, timestamp=self._clock.now(), data=data)

    def _time(self) -> str:
        return "" if self._now is None else str(self._now())


def job_ended(job: ExtractionJob, job_id: str, ending: Ending) -> JobEnded:
    """How a job ended, without its memories. Pure."""
    result, failure = ending.result, ending.failure
    attempts = result.attempts if result is not None else failure.attempts if failure is not None else []
    last = attempts[-1] if attempts else None
    return JobEnded(
        job_id=job_id,
        account=_account(ending),
        project=job.project,
        status="failed" if result is None else result.status.value,
        code=failure.code if failure else None,
        message=failure.message if failure else None,
        provider=last.provider if last else failure.provider if failure else None,
        connection=last.connection if last else failure.connection if failure else None,
        model=last.model if last else failure.model if failure else None,
        usage=totals(attempts) if attempts else UsageTotals(),
        labels=job.labels,
    )


def _happening(alert: Alert) -> Happening:
    return Happening.model_validate(alert.model_dump(exclude={"kind", "at"}))


def new_id() -> str:
    """An id for an event that happens once."""
    return f"evt_{uuid.uuid4().hex}"


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL: all of it that may be shown, since the rest may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _told_as(job_id: str, ending: Ending) -> str:
    """What names the end of a job; that of a replay must not pass for the one before it."""
    return f"{job_id}.{ending.replays}" if ending.replays else job_id


def _account(ending: Ending) -> str | None:
    attempts = ending.result.attempts if ending.result else ending.failure.attempts if ending.failure else []
    return attempts[-1].account if attempts else None


def _stream(kind: str) -> str:
    return JOB_EVENTS_KEY if kind.startswith("job.") else EVENTS_KEY


def _tell(events: Sequence[bytes]) -> None:
    for text in events:
        event = Event.model_validate_json(text)
        _log.warning("event", type=event.type, **event.data.model_dump(mode="json", exclude_none=True))
