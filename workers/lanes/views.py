"""What operators, pages and producers may know of the lanes. An answer costs a few commands per lane, sent together."""

from dataclasses import dataclass, replace
from typing import Any

import redis

from workers.lanes.control import EVERY, Lanes, Which
from workers.lanes.keys import BEHINDS, PAUSED, WEIGHTS, LaneName, pause_field

_SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Lanes that hand out nothing until they are resumed, whether anything waits in them or not."""

    project: str
    priority: str
    #: None: on all queues.
    queue: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """One lane in which jobs wait."""

    queue: str
    priority: str
    tenant: str
    meter: str
    project: str
    #: The connection that the first job of the lane named when it opened.
    connection: str
    depth: int
    #: Estimated tokens of all that waits.
    tokens: int
    #: Seconds that the first job waits, and until the next may go; 0 when nothing but its turn is missing, None when
    #: nobody can say.
    oldest_age: float
    next_release: float | None
    #: What it waits for: a `workers.admission.Reason`, `session` (earlier jobs of the same session), or nothing.
    why: str | None
    paused: bool
    weight: float
    #: Jobs that come into the lane when the job before them in their session has ended; not among `depth`.
    behind: int = 0
    #: Tokens that the meter gains per second, where a limit is declared.
    refill: float | None = None


def list_lanes(client: redis.Redis, which: Which = EVERY) -> list[LaneView]:
    """All lanes in which jobs wait, or to which they come from behind others, in order of their names.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    behind = {LaneName.parse(_text(name) or ""): int(count) for name, count in client.hgetall(BEHINDS).items()}
    lanes = sorted({*Lanes(client).names(which), *filter(which.fits, behind)})
    seconds, micros = client.time()
    now = seconds + micros / 1e6
    weights = client.hgetall(WEIGHTS)
    paused = {_text(field) for field in client.hkeys(PAUSED)}
    with client.pipeline(transaction=False) as pipeline:
        for lane in lanes:
            pipeline.llen(lane.jobs)
            pipeline.hmget(lane.state, "head", "tokens", "connection", "why")
            pipeline.zscore(lane.due, f"lane\t{lane}")
            pipeline.zscore(lane.due, f"meter\t{lane.meter_name}")
            pipeline.hget(lane.meter_state, "why")
            pipeline.hget(lane.limits, "tpm_refill")
        answers = pipeline.execute()
    views = []
    for position, lane in enumerate(lanes):
        depth, *rest = answers[position * 6 : position * 6 + 6]
        # One that ended between the two trips is no lane any more.
        if depth or lane in behind:
            held = not paused.isdisjoint(
                pause_field(lane.project, lane.priority, queue) for queue in (None, lane.queue)
            )
            weight = float(weights.get(lane.project.encode(), 1))
            view = _view(lane, depth, rest, paused=held, weight=weight, now=now)
            views.append(replace(view, behind=behind.get(lane, 0)))
    return views


def list_pauses(client: redis.Redis, project: str | None = None) -> list[Pause]:
    """All that is paused, or all of one project, in order; one command.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    names = sorted((_text(field) or "").split("\t") for field in client.hkeys(PAUSED))
    pauses = [Pause(project=owner, priority=priority, queue=queue or None) for owner, priority, queue in names]
    return [pause for pause in pauses if project in {None, pause.project}]


def expected_wait(client: redis.Redis, project: str) -> float | None:
    """Seconds until the last of a project's jobs can be paid for, were nothing else to come in.

    The longest over its meters; 0 when nothing waits, None when no meter has a declared limit.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    views = list_lanes(client)
    of_project = {(view.tenant, view.meter): view.refill for view in views if view.project == project}
    if not of_project:
        return 0.0
    waits = [
        sum(view.tokens for view in views if (view.tenant, view.meter) == meter) / refill
        for meter, refill in of_project.items()
        if refill
    ]
    return max(waits, default=None)


def _view(lane: LaneName, depth: int, answers: list[Any], *, paused: bool, weight: float, now: float) -> LaneView:
    (head, tokens, connection, why), lane_due, meter_due, meter_why, refill = answers
    waits = [(due, _text(reason)) for due, reason in ((lane_due, why), (meter_due, meter_why)) if due is not None]
    # Where none is in the lane, all that come to it wait for jobs that are in workers' hands.
    until, reason = max(waits, default=(now, None if depth else _SESSION))
    return LaneView(
        **lane._asdict(),
        connection=_text(connection) or "",
        depth=depth,
        tokens=round(float(tokens or 0)),
        oldest_age=max(0.0, now - _since(head, now)),
        next_release=None if paused or not depth else max(0.0, until - now),
        why="paused" if paused else reason,
        paused=paused,
        weight=weight,
        refill=float(refill) if refill else None,
    )


def _since(head: bytes | None, now: float) -> float:
    try:
        return float((head or b"").split(b" ", 1)[0])
    except ValueError:
        return now


def _text(value: bytes | str | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
