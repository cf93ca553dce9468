"""Gathers what is known after a run."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.ground import Ground
from config.connections import effective_chain
from config.prices import PICO
from tasks.contract import AttemptRecord
from tests.chaos.evidence import Evidence, JobSeen, Table
from tests.chaos.scenario import SETTINGS, Run
from tests.chaos.spilled import spilled
from tests.chaos.stage import CHAINS
from tests.chaos.traffic import MOST_EPISODES
from tests.chaos.watchers import Watchers, counted
from workers.admission.control import Meters
from workers.jobs import Ending
from workers.jobs.redis import job_key
from workers.ledger import UsageReader, UsageRow
from workers.ledger.stream import Cursor, RecordStream

#: Keys that are asked for at once.
_AT_ONCE: Final = 500
#: Seconds that leases, deliveries and messages may take to run out when nobody works any more.
_REST: Final = 60.0

#: What is meant to be kept when nothing is to do, by the beginning of its key.
KEPT: Final = (
    "byom:job:",
    "byom:id:",
    "byom:batch:",
    "byom:dead:",
    "byom:alone:",
    "byom:key:",
    "byom:usage:",
    "byom:events",
    "byom:lanes:weights",
    "byom:outbox:counts",
    "byom:{",
    "byom:config",
    "byom.wake",
    "celery-task-meta-",
    "_kombu.binding",
    "unacked_mutex",
)
#: What is kept of something that was posted.
_DELIVERY: Final = "byom:outbox:delivery:"
#: What is kept of a job that is over, by the beginning of the field.
_KEPT_OF_JOB: Final = ("attempt:", "ending", "whole", "route", "hop")


def gather(run: Run, watchers: Watchers | None = None) -> Evidence:
    """Wait for rest, then look at everything.

    Args:
        run: that is over.
        watchers: who looked on, where anybody did.
    """
    place = run.place
    left = _wait_for_rest(run)
    sums = UsageReader(place.client, now=datetime.now(UTC)).totals(since=run.began, by=("project", "provider"))
    tables = {"the hourly sums": rows_table(sums), **(watchers.tables() if watchers else {})}
    return Evidence(
        jobs=list(_jobs(run)),
        entries=place.simulator.books(entries=200_000).entries,
        links=run.links,
        records=[
            AttemptRecord.model_validate_json(entry.text)
            for entry in RecordStream(place.client).read(Cursor(), count=10_000_000).entries
        ],
        tables=tables,
        counted=counted(run.workers),
        interruptions=run.interruptions,
        lasted=(run.began.timestamp(), time.time()),
        in_hand=int(SETTINGS["BYOM_CONCURRENCY"]) * MOST_EPISODES,
        left=left,
        spilled=list(spilled(run, watchers.seen if watchers else {})),
        surprises=[*run.surprises, *(watchers.surprises if watchers else ())],
    )


def rows_table(rows: Iterable[UsageRow]) -> Table:
    """A usage table of ours as the verdict reads it."""
    return {
        (row.keys["project"], row.keys["provider"]): Counter(
            attempts=row.attempts,
            failed=row.failed,
            cost_pico=int(row.cost_usd * PICO),
            **row.tokens.model_dump(),
        )
        for row in rows
    }


def _jobs(run: Run) -> Iterator[JobSeen]:
    """What became of each job, by the results and by the working state."""
    names = sorted({name for ids in run.traffic.ids.values() for name in ids})
    results: dict[str, bytes | None] = {}
    endings: dict[str, bytes | None] = {}
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        pipeline = run.place.client.pipeline(transaction=False)
        for name in some:
            pipeline.get(f"celery-task-meta-{name}")
            pipeline.hget(job_key(name), "ending")
        answers = pipeline.execute()
        results |= zip(some, answers[::2], strict=True)
        endings |= zip(some, answers[1::2], strict=True)
    for job in run.traffic.jobs:
        ids = frozenset(run.traffic.ids.get(job.number, ()))
        seen = {name: _Result.parse(results[name]) for name in ids}
        yield JobSeen(
            number=job.number,
            project=job.project,
            ids=ids,
            states={name: one.state for name, one in seen.items()},
            statuses={name: one.status for name, one in seen.items()},
            endings={name: _said(Ending.parse(text.decode())) for name in ids if (text := endings[name]) is not None},
            points_to={name: one.job_id for name, one in seen.items() if one.job_id not in {name, ""}},
        )


@dataclass(frozen=True, slots=True)
class _Result:
    """What the result backend holds of one id."""

    state: str
    status: str = ""
    #: Whose result it is: another job's for a duplicate.
    job_id: str = ""

    @classmethod
    def parse(cls, text: bytes | None) -> "_Result":
        document: dict[str, Any] = json.loads(text) if text else {"status": "PENDING"}
        match document:
            case {"status": "SUCCESS", "result": {"status": "duplicate", "duplicate_of": str(first)}}:
                return cls("SUCCESS", "duplicate", first)
            case {"status": "SUCCESS", "result": {"status": str(status), "job_id": str(name)}}:
                return cls("SUCCESS", status, name)
            case {"status": "FAILURE", "result": {"exc_message": [_, {"code": str(code)}]}}:
                return cls("FAILURE", code)
            case {"status": str(state)}:
                return cls(state)
        return cls("unreadable")


def _said(ending: Ending) -> str:
    if ending.result is not None:
        return ending.result.status.value
    return str(ending.failure.code) if ending.failure is not None else "nothing"


def _wait_for_rest(run: Run) -> Mapping[str, str]:
    """What is still there though nothing is to do, as soon as that is nothing, or after a while."""
    deadline = time.monotonic() + _REST
    while (left := _left(run)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def _left(run: Run) -> dict[str, str]:
    client = run.place.client
    left: dict[str, str] = {}
    for key in client.scan_iter(count=1_000):
        name = key.decode()
        if name.startswith(_DELIVERY) and client.hget(name, "state") == b"delivered":
            continue
        if not name.startswith(KEPT) or name.endswith(":lease"):
            left[name] = f"of type {client.type(key)!r}"
    for project in CHAINS:
        left |= _reserved(run.place, project)
    names = [name for ids in run.traffic.ids.values() for name in ids]
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        pipeline = client.pipeline(transaction=False)
        for name in some:
            pipeline.hkeys(job_key(name))
            pipeline.hget(job_key(name), "whole")
        answers = pipeline.execute()
        for name, fields, whole in zip(some, answers[::2], answers[1::2], strict=True):
            # What is done of a job that may be replayed is kept.
            kept = _KEPT_OF_JOB if whole == b"1" else (*_KEPT_OF_JOB, "unit:")
            odd = [field.decode() for field in fields if not field.decode().startswith(kept)]
            if odd:
                left[job_key(name)] = ", ".join(odd)
    return left


def _reserved(place: Ground, project: str) -> dict[str, str]:
    """Meters of a project at which something is still set aside."""
    found: dict[str, str] = {}
    chain = effective_chain(place.store, project)
    for link, state in zip(chain, Meters(place.client).read(chain), strict=True):
        if state.in_flight or state.reserved_requests or state.reserved_tokens:
            what = f"{state.in_flight} leases, {state.reserved_tokens:.0f} tokens set aside"
            found[f"meter of {project}/{link.connection.name}"] = what
    return found
