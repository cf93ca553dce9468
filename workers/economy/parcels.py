"""What a keeper reads of the messages in its pool. Pure."""

import base64
import json
from dataclasses import dataclass

from tasks.contract import ContractError, ExtractionJob, parse_job
from workers.economy.base import Waiting
from workers.engine.routing import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A job on its way through one connection."""

    job_id: str
    job: ExtractionJob
    route: Route
    #: Since when it waits, in seconds of the pool's clock.
    since: float


def read_parcel(waiting: Waiting) -> Parcel | None:
    """The job of a message; None if it cannot be read: then a worker is to say what is wrong with it."""
    body = waiting.message.get("body")
    try:
        if waiting.message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body or "")
        _args, kwargs, _embedded = json.loads(body or "")
        job = parse_job(kwargs["job"])
        return Parcel(job_id=waiting.job_id, job=job, route=Route.model_validate(kwargs["route"]), since=waiting.since)
    except (ContractError, AttributeError, KeyError, TypeError, ValueError):
        return None
