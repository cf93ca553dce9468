"""Ending jobs that wait, and sending them to another lane: what `empty_lanes` hands them to."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from celery import Celery
from celery.app.task import Context

from config.connections import EffectiveConnection
from tasks.contract import Failure, FailureCode, provider_queue, provider_task
from workers.broker.describe import describe
from workers.dead.shelf import Shelf
from workers.engine.routing import Route, next_route
from workers.jobs import Ending, end_now
from workers.lanes.emptying import Taken
from workers.lanes.header import HEADER
from workers.task.receipt import Receipt


def cancel(app: Celery, taken: Taken, *, client: redis.Redis, state_ttl: int) -> None:
    """End a job that waits as failed, with all that Celery does when a task fails: result, chord, errbacks.

    Args:
        app: keeps results.
        taken: the job. Should it be delivered once more, a worker finds that it has ended; one that had ended before
            keeps its ending.
        client: of the Redis where the working state of jobs is.
        state_ttl: seconds that this is kept.

    Raises:
        redis.RedisError: the result store cannot be reached.
    """
    project = taken.lane.project
    failure = Failure(
        code=FailureCode.CANCELLED,
        message=f"project '{project}': job {taken.job_id} was taken out of its lane and ended by an operator; "
        "it can be enqueued again.",
        project=project,
    )
    try:
        args, kwargs, embedded = taken.arguments()
    except ValueError:
        # Nobody could have run it; whoever waits for it is told all the same.
        args, kwargs, embedded = [], {}, {}
    told = Ending(failure=failure, replays=_replays(kwargs))
    ending = end_now(client, taken.job_id, told, state_ttl=state_ttl)
    if replays := _replays(kwargs):
        Shelf(client).recall(taken.job_id, replays=replays)
    request = Context({**embedded, **taken.headers, "args": args, "kwargs": kwargs, "delivery_info": {}})
    if ending.result is not None:
        app.backend.mark_as_done(taken.job_id, Receipt(ending.result), request=request)
    else:
        app.backend.mark_as_failure(taken.job_id, (ending.failure or failure).as_error(), request=request)


def moved_message(
    taken: Taken, effective: EffectiveConnection, chain: Sequence[EffectiveConnection]
) -> tuple[str, dict[str, Any]]:
    """The queue and the message of a job that waits, as they are in the lane of another connection.

    Its id, callbacks and chord go with it.

    Args:
        taken: the job.
        effective: the connection that it is to wait for from now on.
        chain: all connections of its project.

    Raises:
        ValueError: it is no attempt of an extraction job.
    """
    args, kwargs, embedded = taken.arguments()
    try:
        before = Route.model_validate(kwargs["route"])
    except (KeyError, ValueError):
        raise ValueError("not an attempt of an extraction job") from None
    route = Route.to(effective, history=before.history, replays=before.replays)
    kwargs = {**kwargs, "route": route.model_dump(mode="json")}
    name = provider_task(route.provider)
    header = {
        **_mapping(taken.headers.get(HEADER)),
        "meter": effective.key,
        "tenant": effective.tenant,
        "connection": effective.connection.name,
        "weight": effective.profile.weight,
        "fallback": next_route(chain, route, FailureCode.CANCELLED) is not None,
    }
    headers = {
        **taken.headers,
        "task": name,
        "kwargsrepr": describe(name, taken.job_id, args, kwargs),
        HEADER: header,
    }
    queue, properties = provider_queue(route.provider), _mapping(taken.message.get("properties"))
    message = {
        **taken.message,
        "body": base64.b64encode(json.dumps([args, kwargs, embedded]).encode()).decode(),
        "headers": headers,
        "properties": {
            **properties,
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }
    return queue, message


def move(app: Celery, taken: Taken, effective: EffectiveConnection, chain: Sequence[EffectiveConnection]) -> None:
    """Publish a job that waits anew, to the lane of another connection; see `moved_message`.

    Raises:
        ValueError: it is no attempt of an extraction job.
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    queue, message = moved_message(taken, effective, chain)
    properties = message["properties"]
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            base64.b64decode(message["body"]).decode(),
            routing_key=queue,
            exchange="",
            headers=message["headers"],
            content_type="application/json",
            content_encoding="utf-8",
            retry=True,
            **{key: properties[key] for key in ("correlation_id", "reply_to", "priority") if key in properties},
        )


def _replays(kwargs: Mapping[str, Any]) -> int:
    """How often a job that waits was replayed; nobody knows of one that is no attempt of a job."""
    try:
        return Route.model_validate(kwargs["route"]).replays
    except (KeyError, ValueError):
        return 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
