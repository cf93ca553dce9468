"""The messages between workers: one attempt of one job on one connection."""

import base64
import itertools
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from celery import Celery
from celery.canvas import Signature
from celery.utils.nodenames import anon_nodename

from tasks.contract import ExtractionJob, provider_queue, provider_task
from workers.broker.crashes import CRASHES
from workers.broker.describe import describe
from workers.engine.routing import Route
from workers.lanes.entering import Entry
from workers.lanes.header import LaneHeader
from workers.signing import Signer
from workers.tracing import TraceContext

#: What Celery is to do after a job that nobody chained anything to.
_NOTHING_AFTER = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

#: Messages outlive a restart of the broker, where that can tell them apart.
_PERSISTENT = 2


def attempt_headers(
    address: LaneHeader | None,
    *,
    trace: TraceContext | None = None,
    crashes: int = 0,
    signed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the message of an attempt says beside what Celery does; the one place where that is made."""
    headers = address.as_headers() if address else {}
    if signed:
        headers |= signed
    if trace:
        headers |= trace.as_headers()
    if crashes:
        headers[CRASHES] = crashes
    return headers


def attempt_signature(
    app: Celery,
    job: dict[str, Any],
    route: Route,
    address: LaneHeader | None,
    *,
    job_id: str,
    trace: TraceContext | None = None,
    crashes: int = 0,
    signed: Mapping[str, Any] | None = None,
) -> "Signature[Any]":
    """The message that puts a job into its lane on the queue of its route's provider.

    Without an address it goes to the queue itself, past all lanes. `crashes` is how many workers vanished with the job
    in hand so far; `signed` is the header with the signature of its producer.

    Both reprs are given, so that Celery never makes its own of the payload: they are what Flower shows, and the
    payload holds what customers said.
    """
    name = provider_task(route.provider)
    kwargs = {"job": job, "route": route.model_dump(mode="json")}
    return app.signature(
        name,
        kwargs=kwargs,
        queue=provider_queue(route.provider),
        argsrepr="()",
        kwargsrepr=describe(name, job_id, (), kwargs),
        headers=attempt_headers(address, trace=trace, crashes=crashes, signed=signed) or None,
    )


class AttemptMessages:
    """Makes the very messages that `attempt_signature(…).apply_async()` sends, at a small part of what that costs.

    A job that is published from within a Celery task is no child of that task.
    """

    def __init__(self, app: Celery, *, signer: Signer | None = None) -> None:
        """Take the app for which results come in, and what signs jobs, if they are signed."""
        self._app = app
        self._signer = signer
        self._message = _Template(_MESSAGE)
        self._headers = _Template(_headers(origin=anon_nodename()))
        self._last: _Way | None = None
        # Unlike a random one for each, and as good: these are told apart by a count.
        self._tags, self._count = uuid.uuid4(), itertools.count()
        self._body = _Template([[], {"job": _Blank.JOB, "route": _Blank.ROUTE}, _NOTHING_AFTER])

    def entry(
        self,
        job: ExtractionJob,
        route: Route,
        address: LaneHeader,
        *,
        job_id: str,
        key: str = "",
        most: int | None = None,
        trace: TraceContext | None = None,
    ) -> Entry:
        """The message of an attempt, on its way to its lane.

        Args:
            job: the job.
            route: where it goes.
            address: the lane in which it waits there.
            job_id: its id.
            key: see `Entry`.
            most: see `Entry`.
            trace: what enqueued it.

        Raises:
            JobRefused: it is to be signed and cannot be.
            StoreError: the key that signs it cannot be read.
        """
        way, tag = self._way_of(route), address.tag(f"{self._tags}.{next(self._count)}")
        shown = {"job": {"project": job.project, "episodes": job.episodes}, "route": way.document}
        payload = job.model_dump_json(exclude_unset=True)
        signed = None if self._signer is None else self._signer.header(json.loads(payload), job_id=job_id)
        body = self._body.filled({_Blank.JOB: payload, _Blank.ROUTE: way.json})
        values = {
            _Blank.TASK: way.quoted_task,
            _Blank.ID: _quoted(job_id),
            _Blank.KWARGS_REPR: _quoted(describe(way.task, job_id, (), shown)),
        }
        message = self._message.filled(
            {
                **values,
                _Blank.BODY: f'"{base64.b64encode(body.encode()).decode()}"',
                _Blank.HEADERS: _joined(
                    self._headers.filled(values), json.dumps(attempt_headers(address, trace=trace, signed=signed))
                ),
                _Blank.REPLY_TO: _quoted(self._app.thread_oid),
                _Blank.QUEUE: _quoted(way.queue),
                _Blank.TAG: _quoted(tag),
            }
        )
        return Entry(header=address, queue=way.queue, tag=tag, message=message, job_id=job_id, key=key, most=most)

    def _way_of(self, route: Route) -> "_Way":
        """What is the same for all jobs of a route; most go the way of the one before."""
        way = self._last
        if way is None or way.route is not route:
            document, task = route.model_dump(mode="json"), provider_task(route.provider)
            way = self._last = _Way(
                route=route,
                document=document,
                json=json.dumps(document),
                task=task,
                quoted_task=_quoted(task),
                queue=provider_queue(route.provider),
            )
        return way


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A route, as the messages name it."""

    route: Route
    document: dict[str, Any]
    json: str
    task: str
    quoted_task: str
    queue: str


class _Blank:
    """What differs from message to message. Plain text: members of an enumeration are slow as keys."""

    BODY = "(body)"
    TASK = "(task)"
    ID = "(id)"
    KWARGS_REPR = "(kwargsrepr)"
    HEADERS = "(headers)"
    REPLY_TO = "(reply to)"
    QUEUE = "(queue)"
    TAG = "(tag)"
    JOB = "(job)"
    ROUTE = "(route)"


class _Template:
    """JSON with blanks. What is the same in all messages is encoded once."""

    def __init__(self, document: Any) -> None:
        # Every other part is a blank.
        self._parts = re.split(r'"(\([a-z ]+\))"', json.dumps(document))

    def filled(self, values: Mapping[str, str]) -> str:
        """The JSON; the values are JSON themselves."""
        parts = self._parts.copy()
        parts[1::2] = [values[blank] for blank in parts[1::2]]
        return "".join(parts)


def _joined(first: str, second: str) -> str:
    """One JSON object of two that are not empty."""
    return f"{first[:-1]}, {second[1:]}"


#: A message as Celery and kombu make it: protocol 2, in the form of kombu's virtual transports.
_MESSAGE = {
    "body": _Blank.BODY,
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": _Blank.HEADERS,
    "properties": {
        "correlation_id": _Blank.ID,
        "reply_to": _Blank.REPLY_TO,
        "argsrepr": "()",
        "kwargsrepr": _Blank.KWARGS_REPR,
        "delivery_mode": _PERSISTENT,
        "delivery_info": {"exchange": "", "routing_key": _Blank.QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": _Blank.TAG,
    },
}


def _headers(*, origin: str) -> dict[str, Any]:
    """Celery's own headers."""
    return {
        "lang": "py",
        "task": _Blank.TASK,
        "id": _Blank.ID,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": _Blank.ID,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": _Blank.KWARGS_REPR,
        "origin": origin,
        "ignore_result": None,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
