"""The messages between workers: one attempt of one job on one connection."""

import base64
import json
import uuid
from typing import Any

from celery import Celery
from celery.canvas import Signature
from celery.utils.nodenames import anon_nodename

from tasks.contract import ExtractionJob, provider_queue, provider_task
from workers.broker.describe import describe
from workers.lanes.entering import Entry
from workers.lanes.header import LaneHeader
from workers.routing import Route

#: What Celery is to do after a job that nobody chained anything to.
_NOTHING_AFTER = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

#: Messages outlive a restart of the broker, where that can tell them apart.
_PERSISTENT = 2


def attempt_headers(address: LaneHeader | None) -> dict[str, Any]:
    """What the message of an attempt says beside what Celery does; the one place where that is made."""
    return address.as_headers() if address else {}


def attempt_signature(
    app: Celery, job: dict[str, Any], route: Route, address: LaneHeader | None, *, job_id: str
) -> "Signature[Any]":
    """The message that puts a job into its lane on the queue of its route's provider.

    Without an address it goes to the queue itself, past all lanes.

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
        headers=attempt_headers(address) or None,
    )


class AttemptMessages:
    """Makes the very messages that `attempt_signature(…).apply_async()` sends, at a fraction of what that costs.

    A job that is published from within a Celery task is no child of that task.
    """

    def __init__(self, app: Celery) -> None:
        """Take the app for which results come in."""
        self._app = app
        self._origin = anon_nodename()

    def entry(
        self,
        job: ExtractionJob,
        route: Route,
        address: LaneHeader,
        *,
        job_id: str,
        key: str = "",
        most: int | None = None,
    ) -> Entry:
        """The message of an attempt, on its way to its lane.

        Args:
            job: the job.
            route: where it goes.
            address: the lane in which it waits there.
            job_id: its id.
            key: see `Entry`.
            most: see `Entry`.
        """
        name, queue, tag = provider_task(route.provider), provider_queue(route.provider), str(uuid.uuid4())
        kwargs = {"job": job.model_dump(mode="json", exclude_unset=True), "route": route.model_dump(mode="json")}
        reprs = {"argsrepr": "()", "kwargsrepr": describe(name, job_id, (), kwargs)}
        message = {
            "body": base64.b64encode(json.dumps([[], kwargs, _NOTHING_AFTER]).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": name,
                "id": job_id,
                "shadow": None,
                "eta": None,
                "expires": None,
                "group": None,
                "group_index": None,
                "retries": 0,
                "timelimit": [None, None],
                "root_id": job_id,
                "parent_id": None,
                **reprs,
                "origin": self._origin,
                "ignore_result": None,
                "replaced_task_nesting": 0,
                "stamped_headers": None,
                "stamps": {},
                **attempt_headers(address),
            },
            "properties": {
                "correlation_id": job_id,
                "reply_to": self._app.thread_oid,
                **reprs,
                "delivery_mode": _PERSISTENT,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": tag,
            },
        }
        return Entry(
            header=address, queue=queue, tag=tag, message=json.dumps(message), job_id=job_id, key=key, most=most
        )
