"""Lanes without Celery and without waiting: the scripts on a real Valkey, at the time that a test says."""

import json
from dataclasses import dataclass
from typing import Any

from workers.broker.parked import Parked
from workers.broker.unacked import KEYS, Place, Unacked
from workers.lanes.control import Lanes
from workers.lanes.entering import Entry
from workers.lanes.header import HEADER

QUEUE = "q"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a worker gets."""

    queue: str
    name: str
    tag: str
    told: dict[str, Any] | None
    message: dict[str, Any]

    @property
    def project(self) -> str:
        return self.name.partition("/")[0]


class LaneBench:
    """Puts jobs in, takes them out, and turns the clock."""

    def __init__(self, client: Any, *, floor: float = 0.05) -> None:
        self.client = client
        self.floor = floor
        self.now = 1_000_000.0
        self.lanes = Lanes(client, clock=lambda: str(self.now))
        self.unacked = Unacked(client, KEYS, bucket=("tests.integration.support", "bucket"))
        self.count = 0

    def header(self, project: str, **fields: Any) -> dict[str, Any]:
        return {
            "meter": f"/keys/{project}#m",
            "tenant": f"p/{project}",
            "project": project,
            "connection": "primary",
            "priority": "live",
            "input": 500,
            "calls": 1,
            "patience": 3_600.0,
            **fields,
        }

    def put(self, project: str, *, queue: str = QUEUE, body: str = "", name: str = "", **fields: Any) -> str:
        """One message; the name of its job begins with the project, and is a new one unless it is given."""
        self.count += 1
        name = name or f"{project}/{self.count}"
        message: dict[str, Any] = {
            "body": body or name,
            "headers": {"id": name, HEADER: self.header(project, **fields)},
            "properties": {"delivery_tag": f"{project}-{self.count}", "delivery_info": {}},
        }
        entry = Entry.of(message, queue=queue)
        assert entry is not None
        self.lanes.put(entry)
        return name

    def put_many(self, count: int, project: str, **fields: Any) -> None:
        for _ in range(count):
            self.put(project, **fields)

    def fetch(self, *queues: str) -> Fetched | None:
        """The next job for a worker that serves these queues."""
        count, *rest = self.unacked.fetch_arguments(
            queues or [QUEUE],
            [(queue, True) for queue in queues or [QUEUE]],
            backfill_floor=self.floor,
            now=str(self.now),
        )
        replies = self.unacked.fetch_script(keys=rest[:count], args=rest[count:])
        if not replies or len(replies[0]) == 1:
            return None
        queue, raw, tag, *told = replies[0]
        message = json.loads(raw)
        return Fetched(
            queue=queue.decode(),
            name=message["headers"]["id"],
            tag=tag.decode(),
            told=json.loads(told[0]) if told else None,
            message=message,
        )

    def take(self, *queues: str) -> Fetched:
        """The next job, which must be there."""
        fetched = self.fetch(*queues)
        assert fetched is not None
        return fetched

    def served(self, count: int) -> list[Fetched]:
        """The next so many, each done at once."""
        found = []
        for _ in range(count):
            found.append(self.take())
            self.ack(found[-1])
        return found

    def ack(self, fetched: Fetched) -> None:
        self.unacked.settle([fetched.tag], now=str(self.now))

    def place(self, fetched: Fetched) -> Place:
        since = fetched.told["since"] if fetched.told else None
        place = Place.of(fetched.message, queue=fetched.queue, since=since)
        assert place is not None
        return place

    def park(self, fetched: Fetched, seconds: float, reason: str = "tokens") -> bool:
        return self.unacked.park(
            fetched.tag, self.place(fetched), Parked(seconds=seconds, reason=reason), now=str(self.now)
        )

    def put_back(self, fetched: Fetched, *, end: Any = "head") -> bool:
        raw = json.dumps(fetched.message)
        return self.unacked.restore(
            fetched.tag, raw, [fetched.queue], end=end, place=self.place(fetched), now=str(self.now)
        )

    def limit(
        self, project: str, *, capacity: float, refill: float, tenant: str | None = None, meter: str = ""
    ) -> None:
        """Declare the limits of a meter, full as it is at first; tokens, and tokens per second."""
        key = f"byom:{{{tenant or f'p/{project}'}}}:meter:{meter or f'/keys/{project}#m'}"
        self.client.hset(key, mapping={"tpm_capacity": capacity, "tpm_refill": refill})

    def refuse(self, project: str, reason: str, wait: float) -> None:
        """Let the meter of a project refuse everybody."""
        self.client.hset(f"byom:{{p/{project}}}:meter:/keys/{project}#m", mapping={"refuse": reason, "wait": wait})

    def recover(self, project: str) -> None:
        """Let it refuse nobody."""
        self.client.hdel(f"byom:{{p/{project}}}:meter:/keys/{project}#m", "refuse")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def wake_for(self, reason: str) -> int:
        """End all waits of one kind."""
        return self.lanes.wake(reason=reason)

    def kept(self) -> set[str]:
        """What the lanes keep in Redis."""
        return {key.decode() for key in self.client.scan_iter("byom:lanes:*")}
