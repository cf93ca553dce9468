"""Backfills on Redis or Valkey; `workers.backfill.state.keys` draws the layout."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import redis

from workers.backfill.definition import Definition
from workers.backfill.state.base import (
    Fenced,
    Flight,
    Held,
    Lease,
    LineRef,
    NameTaken,
    Orders,
    Phase,
    Rewound,
    Snapshot,
    UnknownBackfill,
)
from workers.backfill.state.keys import (
    NAMES,
    RETENTION,
    ended_key,
    flight_key,
    inbox_keys,
    main_key,
    order_key,
    seen_key,
    wanted_key,
)
from workers.redis.lua import lua

_PACKAGE = "workers.backfill.state"
_FENCE = ((_PACKAGE, "fence"),)
_SEEN = ((_PACKAGE, "seen"),)
_TIME = (("workers.notify", "time"),)

#: Milliseconds since 1970, where a test sets the time.
Time = Callable[[], int]


def put_script() -> str:
    """The script that takes an ending into the inbox."""
    return lua(_PACKAGE, "put")


class RedisBackfills:
    """All backfills of a pool. Methods raise `redis.RedisError` when the server cannot be asked."""

    def __init__(self, client: redis.Redis, *, now: Time | None = None) -> None:
        self._client = client
        self._now = now
        self._create = client.register_script(lua(_PACKAGE, "create"))

    def create(self, definition: Definition, *, orders: Orders, wanted: bytes = b"") -> "RedisState":
        """Note a new one down.

        Raises:
            NameTaken: there is one of this name.
        """
        created = definition.created_at.timestamp()
        fields = {
            "definition": definition.model_dump_json(exclude_defaults=True),
            "phase": orders.phase.value,
            "why": orders.why,
            "changed": round(created * 1000),
            "cluster": int(orders.cluster),
            "window": orders.window,
            "read": 0,
            "writes": 0,
            "sink": "",
            "budget": "" if orders.budget is None else str(orders.budget),
        }
        arguments: list[str | float | bytes] = [
            definition.name,
            created,
            wanted,
            *(part for pair in fields.items() for part in pair),
        ]
        if not self._create(keys=[main_key(definition.name), NAMES, wanted_key(definition.name)], args=arguments):
            raise NameTaken(f"a backfill is called '{definition.name}' already")
        return self.open(definition.name)

    def open(self, name: str) -> "RedisState":
        """One of them; whether it is there shows when it is used."""
        return RedisState(self._client, name, now=self._now)

    def all(self) -> list[Snapshot]:
        """All that are kept, the newest first."""
        found = []
        for raw in self._client.zrevrange(NAMES, 0, -1):
            name = _str(raw)
            try:
                found.append(self.open(name).load())
            except UnknownBackfill:
                # Its time was over.
                self._client.zrem(NAMES, name)
        return found


class RedisState:
    """The state of one backfill. Methods raise `redis.RedisError` when the server cannot be asked."""

    def __init__(self, client: redis.Redis, name: str, *, now: Time | None = None) -> None:
        self._client = client
        self._name = name
        self._now = now
        self._key = main_key(name)
        #: Of drivers, as far as this object knows.
        self._writes = 0
        script = client.register_script
        self._acquire = script(lua(_PACKAGE, "acquire", uses=_TIME))
        self._renew = script(lua(_PACKAGE, "renew", uses=(*_FENCE, *_TIME)))
        self._change = script(lua(_PACKAGE, "change", uses=_TIME))
        self._unseen = script(lua(_PACKAGE, "unseen", uses=_SEEN))
        self._reserve = script(lua(_PACKAGE, "reserve", uses=(*_FENCE, *_SEEN)))
        self._published = script(lua(_PACKAGE, "published", uses=_FENCE))
        self._put = script(put_script())
        self._commit = script(lua(_PACKAGE, "commit", uses=_FENCE))
        self._finish = script(lua(_PACKAGE, "finish", uses=(*_FENCE, *_TIME)))

    def load(self) -> Snapshot:
        """All of it.

        Raises:
            UnknownBackfill: there is none of this name.
        """
        with self._client.pipeline() as pipeline:
            pipeline.hgetall(self._key)
            pipeline.hlen(flight_key(self._name))
            pipeline.hlen(ended_key(self._name))
            pipeline.time()
            stored, in_flight, waiting, (seconds, micros) = pipeline.execute()
        fields = {field.decode(): value.decode() for field, value in stored.items()}
        if "definition" not in fields:
            raise UnknownBackfill(self._name)
        self._writes = int(fields["writes"])
        now = seconds * 1000 + micros // 1000 if self._now is None else self._now()
        left = (int(fields.get("until", "0")) - now) / 1000
        return Snapshot(
            definition=Definition.model_validate_json(fields["definition"]),
            orders=_orders(*(fields[name] for name in ("phase", "why", "budget", "window", "cluster"))),
            read=int(fields["read"]),
            in_flight=in_flight,
            waiting=waiting,
            sums={name.removeprefix("n:"): int(value) for name, value in fields.items() if name.startswith("n:")},
            sink=fields["sink"],
            driver=fields.get("driver") if left > 0 else None,
            changed_at=_moment(fields["changed"]),
            ended_at=_moment(fields["ended"]) if "ended" in fields else None,
        )

    def change(
        self,
        phase: Phase,
        *,
        why: str = "",
        after: Sequence[Phase],
        budget: Decimal | None = None,
        no_budget: bool = False,
        window: int | None = None,
        cluster: bool | None = None,
    ) -> Phase:
        """Say what is wanted, from anywhere; the phase before. Nothing changes unless that is one of `after`.

        Raises:
            UnknownBackfill: there is none of this name.
        """
        arguments: list[str | int] = [self._time(), phase.value, why, len(after), *after]
        new = (
            ("budget", "" if no_budget else budget),
            ("window", window),
            ("cluster", None if cluster is None else int(cluster)),
        )
        arguments += [part for name, value in new if value is not None for part in (name, str(value))]
        before = self._change(keys=[self._key], args=arguments)
        if not before:
            raise UnknownBackfill(self._name)
        return Phase(before.decode())

    def acquire(self, driver: str, *, seconds: float) -> Lease:
        """Begin to drive, for so many seconds unless it is renewed.

        Raises:
            Held: another does.
            UnknownBackfill: there is none of this name.
        """
        word, *values = self._acquire(keys=[self._key], args=[self._time(), driver, round(seconds * 1000)])
        match word:
            case b"none":
                raise UnknownBackfill(self._name)
            case b"held":
                raise Held(self._name, values[0].decode(), values[1] / 1000)
        return Lease(token=values[0], seconds=seconds)

    def renew(self, lease: Lease) -> Orders:
        """Go on driving, and hear what is wanted."""
        arguments: list[str | int] = [self._time(), lease.token, self._writes, round(lease.seconds * 1000)]
        word, *values = self._renew(keys=[self._key], args=arguments)
        self._check(word)
        return _orders(*(value.decode() for value in values))

    def release(self, lease: Lease) -> None:
        """Stop driving; no error if that was over."""
        self._renew(keys=[self._key], args=[self._time(), lease.token, self._writes, 0])

    def wanted(self) -> bytes:
        """The lines that are to be done, as bits; empty: all."""
        stored: Any = self._client.get(wanted_key(self._name))
        return stored or b""

    def flights(self) -> list[Flight]:
        """The jobs in flight, in the order of their lines."""
        stored = self._client.hgetall(flight_key(self._name))
        return sorted((_flight(job, text) for job, text in stored.items()), key=lambda flight: flight.lines[0].number)

    def unseen(self, ids: Sequence[str]) -> list[bool]:
        """Which entries were not taken in hand before."""
        return [bool(fresh) for fresh in self._unseen(keys=[seen_key(self._name)], args=[*map(bytes.fromhex, ids)])]

    def reserve(self, lease: Lease, flights: Sequence[Flight], *, read: int, sums: Mapping[str, int]) -> None:
        """Take lines in hand, before anything of them is published."""
        jobs = [part for flight in flights for part in (flight.job_id, _text(flight))]
        ids = [bytes.fromhex(line.id) for flight in flights for line in flight.lines if line.id]
        arguments: list[Any] = [lease.token, self._writes, read, *_sums(sums), len(flights), *jobs, *ids]
        keys = [self._key, flight_key(self._name), seen_key(self._name)]
        self._wrote(self._reserve(keys=keys, args=arguments))

    def published(self, lease: Lease, job_ids: Sequence[str]) -> None:
        """Note that jobs are with the broker."""
        arguments: list[str | int] = [lease.token, self._writes, *job_ids]
        self._wrote(self._published(keys=[self._key, flight_key(self._name)], args=arguments))

    def put(self, job_id: str, ending: str) -> bool:
        """Take in how a job ended, as JSON of an `Ending`; False if it is not in flight, or known."""
        return bool(self._put(keys=inbox_keys(self._name), args=[job_id, ending]))

    def ended(self, limit: int) -> list[tuple[str, str]]:
        """Jobs in flight that have ended, and how; those that ended first."""
        jobs = [_str(job) for job in self._client.lrange(order_key(self._name), 0, limit - 1)]
        return [(job, text) for job, text in zip(jobs, self.endings_of(jobs), strict=True) if text is not None]

    def endings_of(self, job_ids: Sequence[str]) -> list[str | None]:
        """How these jobs ended; None for those that have not."""
        if not job_ids:
            return []
        stored = self._client.hmget(ended_key(self._name), list(job_ids))
        return [None if text is None else _str(text) for text in stored]

    def commit(self, lease: Lease, job_ids: Sequence[str], *, sink: str, sums: Mapping[str, int]) -> None:
        """Note that jobs are done and in the sink."""
        keys = [self._key, *inbox_keys(self._name)]
        self._wrote(self._commit(keys=keys, args=[lease.token, self._writes, sink, *_sums(sums), *job_ids]))

    def finish(self, lease: Lease, *, sink: str) -> None:
        """Wind up: all that was taken in hand is done. A backfill that was not cancelled is then completed."""
        keys = [self._key, *inbox_keys(self._name), seen_key(self._name), wanted_key(self._name)]
        self._wrote(self._finish(keys=keys, args=[self._time(), lease.token, self._writes, sink, RETENTION]))

    def _wrote(self, answer: int) -> None:
        self._check(answer)
        self._writes = answer

    def _check(self, answer: int) -> None:
        if answer == 0:
            raise Fenced(self._name)
        if answer < 0:
            raise Rewound(self._name)

    def _time(self) -> str:
        return "" if self._now is None else str(self._now())


def _orders(phase: str, why: str, budget: str, window: str, cluster: str) -> Orders:
    return Orders(
        phase=Phase(phase),
        why=why,
        budget=Decimal(budget) if budget else None,
        window=int(window),
        cluster=cluster == "1",
    )


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _str(value: Any) -> str:
    """The client's answers are bytes; its types allow for more."""
    text: str = value.decode()
    return text


def _sums(sums: Mapping[str, int]) -> list[str | int]:
    pairs = [(what, amount) for what, amount in sums.items() if amount]
    return [len(pairs), *(part for pair in pairs for part in pair)]


def _text(flight: Flight) -> str:
    lines = [[line.number, line.id, line.episode_ids] for line in flight.lines]
    document = {"since": round(flight.since, 3), "lines": lines, **({"again": True} if flight.again else {})}
    return json.dumps(document, separators=(",", ":"))


def _flight(job: Any, text: Any) -> Flight:
    document = json.loads(text[1:])
    lines = tuple(
        LineRef(number=number, id=entry, episode_ids=tuple(episodes)) for number, entry, episodes in document["lines"]
    )
    return Flight(
        job_id=_str(job),
        lines=lines,
        since=document["since"],
        published=text.startswith(b"1"),
        again=document.get("again", False),
    )
