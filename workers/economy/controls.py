"""What operators see of jobs that wait for a batch and of batches, and what they may do about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from workers.economy.base import Held, State
from workers.economy.keys import CLOSED, LINES, Line, batch_key, open_key, waiting_key
from workers.economy.redis import held_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingView:
    """Jobs of one connection that wait for a batch."""

    project: str
    connection: str
    jobs: int
    #: Seconds that the first of them waits.
    oldest_age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """One batch."""

    id: str
    project: str
    connection: str
    provider: str
    model: str
    state: str
    jobs: int
    items: int
    #: Seconds since it was made; of one that is over, until it ended.
    age: float
    #: What the vendor calls it.
    vendor_id: str | None
    #: What came of its items, in numbers.
    outcome: dict[str, int]
    #: Why it does not get on, or came to nothing.
    trouble: str | None
    #: Whether somebody asked to end it.
    cancel: bool
    #: Pico-USD that are set aside of the budgets for it.
    reserved: int


def list_waiting(client: redis.Redis, *, project: str | None = None) -> list[WaitingView]:
    """What waits for a batch, by project and connection.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    now, views = _now(client), []
    for line in _lines(client, project):
        first = client.zrange(waiting_key(line), 0, 0, withscores=True)
        if first:
            jobs = int(client.zcard(waiting_key(line)))
            oldest = max(0.0, now - float(first[0][1]))
            views.append(WaitingView(project=line.project, connection=line.connection, jobs=jobs, oldest_age=oldest))
    return views


def list_batches(client: redis.Redis, *, project: str | None = None, ended: bool = False) -> list[BatchView]:
    """Batches, the oldest first.

    Args:
        client: of the broker.
        project: only of this one.
        ended: also those of the last week that are over.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    names = [_text(name) for line in _lines(client, project) for name in client.smembers(open_key(line))]
    if ended:
        names += [_text(name) for name in client.zrange(CLOSED, 0, -1)]
    now = _now(client)
    found = [held for name in dict.fromkeys(names) if (held := _held(client, name))]
    views = [_view(held, now) for held in found if project in {None, held.batch.project}]
    return sorted(views, key=lambda view: -view.age)


def find_batch(client: redis.Redis, name: str) -> BatchView | None:
    """The batch whose id begins so; None if there is none, or more than one.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    found = [view for view in list_batches(client, ended=True) if view.id.startswith(name)]
    return found[0] if len(found) == 1 else None


def ask_to_cancel(client: redis.Redis, batch_id: str) -> bool:
    """Ask for the end of a batch; what is done by then is kept, the rest is worked live. False if it is over.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    held = _held(client, batch_id)
    if held is None or held.batch.state in {State.READ, State.CLOSED}:
        return False
    client.hset(batch_key(batch_id), "cancel", "1")
    return True


def _lines(client: redis.Redis, project: str | None) -> Iterator[Line]:
    lines = sorted(Line.parse(_text(name)) for name in client.smembers(LINES))
    return (line for line in lines if project in {None, line.project})


def _held(client: redis.Redis, batch_id: str) -> Held | None:
    fields: Any = client.hgetall(batch_key(batch_id))
    return held_of(fields)


def _view(held: Held, now: float) -> BatchView:
    batch = held.batch
    return BatchView(
        id=batch.id,
        project=batch.project,
        connection=batch.connection,
        provider=batch.provider.value,
        model=batch.model,
        state=batch.state.value,
        jobs=batch.jobs,
        items=batch.items,
        age=max(0.0, (now if batch.ended_at is None else batch.ended_at) - batch.created_at),
        vendor_id=batch.vendor_id,
        outcome=batch.outcome,
        trouble=batch.trouble,
        cancel=held.cancel,
        reserved=batch.reserved if batch.state in {State.SENDING, State.OPEN} else 0,
    )


def _now(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
