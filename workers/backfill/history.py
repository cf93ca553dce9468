"""What a connection's calls came to of late, from the newest usage records."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from config.connections import EffectiveConnection, project_path
from tasks.contract import Priority, TokenUsage
from workers.backfill.expectation import Asked, Seen
from workers.ledger.stream import RecordStream

#: Label of jobs that were made to see what an input takes; its value names the plan that made them.
SAMPLE: Final = "backfill-sample"
#: Records that are looked at, those of other connections included, and calls of one connection that are enough.
_LOOKED_AT: Final = 30_000
_ENOUGH: Final = 3_000
#: Over which the use by live jobs is averaged.
_RECENT: Final = timedelta(minutes=10)


@dataclass(slots=True, kw_only=True)
class History:
    """Of one connection."""

    #: Calls of the project that were answered at the standard tier, the newest first.
    calls: list[Seen] = field(default_factory=list)
    #: Tokens of the project's calls that were paid for without an answer.
    wasted: int = 0
    #: What live jobs of all who share the connection take, in a minute.
    live_requests: float = 0.0
    live_input: float = 0.0
    live_output: float = 0.0


def read_histories(
    stream: RecordStream, links: Iterable[EffectiveConnection], *, now: datetime, sample: str | None = None
) -> list[History]:
    """The histories of connections of one project, in their order.

    Args:
        stream: of the records.
        links: the connections.
        now: what time it is.
        sample: the value of the label `SAMPLE` of the jobs whose calls count; None: those of all jobs do.

    Raises:
        redis.RedisError: the records cannot be read.
    """
    chain = list(links)
    histories = [History() for _ in chain]
    oldest = now
    for record in _records(stream):
        oldest = min(oldest, datetime.fromisoformat(record["started_at"]))
        for link, history in zip(chain, histories, strict=True):
            if _is_of(record, link):
                _add(record, link, history, now=now, sample=sample)
        if all(len(history.calls) >= _ENOUGH for history in histories):
            break
    # Where records go back less far than that, no more can be said of the time before.
    minutes = max(min(now - oldest, _RECENT).total_seconds() / 60, 1.0)
    for history in histories:
        history.live_requests /= minutes
        history.live_input /= minutes
        history.live_output /= minutes
    return histories


def _records(stream: RecordStream) -> Iterator[dict[str, Any]]:
    # Read as plain JSON: there are many, and of each only a few fields matter.
    return (json.loads(entry.text) for entry in stream.newest(count=_LOOKED_AT))


def _is_of(record: dict[str, Any], link: EffectiveConnection) -> bool:
    connection = link.connection
    return (
        record["connection"] == connection.name
        and record["model"] == connection.model
        and record["provider"] == connection.provider.value
        and record.get("account") == link.account
        and (record["project"] == link.project or _shares_meter(link))
    )


def _shares_meter(link: EffectiveConnection) -> bool:
    """Whether other projects of the account call through the same meter."""
    return not link.credential_is_of(project_path(link.project)) and not link.key.endswith(f"@{link.project}")


def _add(
    record: dict[str, Any], link: EffectiveConnection, history: History, *, now: datetime, sample: str | None
) -> None:
    usage = TokenUsage(**record["usage"])
    if record.get("priority") != Priority.BACKFILL and now - datetime.fromisoformat(record["started_at"]) < _RECENT:
        history.live_requests += 1
        history.live_input += usage.total - usage.output
        history.live_output += usage.output
    if record["project"] != link.project or record.get("tier") is not None or len(history.calls) >= _ENOUGH:
        return
    if sample is not None and record["labels"].get(SAMPLE) != sample:
        return
    estimated, text = record.get("estimated_input"), record.get("estimated_text")
    if record["status"] != "ok":
        history.wasted += usage.total
    elif estimated is not None and text is not None and usage.output > 0:
        history.calls.append(
            Seen(
                asked=Asked(text=text, around=estimated - text, episodes=record.get("packed") or 1),
                usage=usage,
                seconds=record["latency_ms"] / 1000,
            )
        )
