"""The messages between workers: one attempt of one job on one connection."""

from typing import Any

from celery import Celery
from celery.canvas import Signature

from tasks.contract import provider_queue, provider_task
from workers.broker.crashes import CRASHES
from workers.broker.describe import describe
from workers.lanes.header import LaneHeader
from workers.routing import Route


def attempt_signature(
    app: Celery, job: dict[str, Any], route: Route, address: LaneHeader | None, *, job_id: str, crashes: int = 0
) -> "Signature[Any]":
    """The message that puts a job into its lane on the queue of its route's provider.

    Without an address it goes to the queue itself, past all lanes. `crashes` is how many workers vanished with the job
    in hand so far.

    Both reprs are given, so that Celery never makes its own of the payload: they are what Flower shows, and the
    payload holds what customers said.
    """
    name = provider_task(route.provider)
    kwargs = {"job": job, "route": route.model_dump(mode="json")}
    headers: dict[str, Any] = address.as_headers() if address else {}
    if crashes:
        headers[CRASHES] = crashes
    return app.signature(
        name,
        kwargs=kwargs,
        queue=provider_queue(route.provider),
        argsrepr="()",
        kwargsrepr=describe(name, job_id, (), kwargs),
        headers=headers or None,
    )
