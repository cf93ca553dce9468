"""What tests of events and webhooks share: time, receivers, and a deliverer with everything around it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import redis
import redis.asyncio
from aiohttp import web

from config.connections import account_path, project_path, save_project
from config.settings import Settings
from config.store import MemoryStore
from config.webhooks import CALLBACK, Webhook, save_webhook, signing_secrets
from tasks.contract import (
    AttemptRecord,
    EpisodeResult,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobStatus,
    ProviderKind,
    Role,
    TokenUsage,
    parse_job,
)
from tests.support import START, ManualClock
from workers.clock import SystemClock
from workers.jobs import Ending
from workers.notify import Deliverer, Events, Limits, Outbox, OutboxReader, Poster, Subscriptions
from workers.providers.client import HttpClient

#: As long as the pool's own, told apart by the numbers.
BACKOFF = (30.0, 120.0, 600.0, 1_800.0)


class Moment:
    """Milliseconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.ms = round(START.timestamp() * 1000)

    def __call__(self) -> int:
        return self.ms

    def pass_by(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.ms / 1000, UTC)


@dataclass
class Receiver:
    """A receiver of webhooks: keeps what it gets, and answers as told."""

    url: str = ""
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((dict(request.headers), await request.text()))
        return web.Response(status=204) if self.answer is None else await self.answer(request)

    @property
    def ids(self) -> list[str]:
        """The `webhook-id` of all that came."""
        return [headers["webhook-id"] for headers, _ in self.got]

    def then(self, *statuses: int, headers: Mapping[str, str] | None = None) -> None:
        """Answer with these, one after the other; then well."""
        left = list(statuses)

        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=left.pop(0) if left else 200, headers=headers)

        self.answer = answer


@dataclass
class Server:
    """One Redis, for code on the loop and for commands."""

    client: "redis.asyncio.Redis"
    sync: Any


@dataclass
class Bench:
    """Events, outbox and deliverer on one Redis, in time that stands still."""

    client: "redis.asyncio.Redis"
    reader: OutboxReader
    store: MemoryStore
    clock: ManualClock
    moment: Moment
    subscriptions: Subscriptions
    outbox: Outbox
    events: Events
    deliverer: Deliverer
    poster: Poster

    def webhook(self, name: str, url: str, *, kinds: tuple[str, ...] = ("*",), scope: str | None = None) -> Webhook:
        """A webhook of project `acme`, or of another scope."""
        path = scope or project_path("acme")
        saved = save_webhook(self.store, path, name, url=url, kinds=kinds, now=self.clock.now())
        self.subscriptions.drop_everything()
        return saved

    def signer(self) -> Webhook:
        """The secret that signs the callbacks of project `acme`."""
        saved = save_webhook(self.store, project_path("acme"), CALLBACK, url=None, kinds=(), now=self.clock.now())
        self.subscriptions.drop_everything()
        return saved

    def secret(self, webhook: Webhook) -> str:
        return signing_secrets(self.store, webhook, now=self.clock.now())[0].get_secret_value()

    async def deliver(self, seconds: float = 0) -> int:
        """Let time pass, and deliver until nothing is due; how many deliveries that were."""
        self.moment.pass_by(seconds)
        self.clock.seconds += seconds
        total = 0
        while started := await self.deliverer.start():
            total += started
            await self.deliverer.finish()
        return total

    async def state(self, delivery_id: str) -> dict[str, str]:
        """What is kept of a delivery."""
        found = cast("dict[bytes, bytes]", await self.client.hgetall(f"byom:outbox:delivery:{delivery_id}"))
        return {name.decode(): value.decode() for name, value in found.items()}


def make_bench(
    server: Server,
    *,
    allow_private: bool = True,
    timeout: float = 5,
    limits: Limits | None = None,
    places: int = 20,
    per_target: int = 4,
    callback_max_bytes: int = 100_000,
) -> Bench:
    """A bench for project `acme` of account `acme-inc`."""
    client, clock, moment, store = server.client, ManualClock(), Moment(), MemoryStore()
    save_project(store, "acme", account="acme-inc")
    subscriptions = Subscriptions(store, clock=clock, ttl=30)
    outbox = Outbox(client, limits=limits, now=moment)
    events = Events(
        client,
        outbox=outbox,
        subscriptions=subscriptions,
        clock=clock,
        kept=1_000,
        limits=limits,
        callback_max_bytes=callback_max_bytes,
        now=moment,
    )
    settings = Settings(allow_private_endpoints=allow_private, connect_timeout=2)
    poster = Poster(
        HttpClient(settings, connections=places, loopback=False),
        seconds=timeout,
        allow_private=allow_private,
    )
    deliverer = Deliverer(
        events=events,
        outbox=outbox,
        subscriptions=subscriptions,
        poster=poster,
        # Receivers hold the timestamp against their own clock.
        clock=SystemClock(),
        backoff=BACKOFF,
        places=places,
        seconds=timeout,
        per_target=per_target,
    )
    return Bench(
        client=client,
        reader=OutboxReader(server.sync, now=moment),
        store=store,
        clock=clock,
        moment=moment,
        subscriptions=subscriptions,
        outbox=outbox,
        events=events,
        deliverer=deliverer,
        poster=poster,
    )


ACCOUNT = account_path("acme-inc")


def record(status: str = "rate_limited", **changes: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "id": "c1",
        "attempt": "1.1.1",
        "job_id": "j",
        "account": "acme-inc",
        "project": "acme",
        "provider": ProviderKind.OPENAI,
        "connection": "primary",
        "role": Role.PRIMARY,
        "model": "gpt-6-luna",
        "status": status,
        "action": "done" if status == "ok" else "retry",
        "usage": TokenUsage(input=10, output=5) if status == "ok" else TokenUsage(),
        "cost_usd": "0.0001" if status == "ok" else "0",
        "latency_ms": 7,
        "started_at": START,
    }
    return AttemptRecord.model_validate(fields | changes)


def make_job(**changes: Any) -> ExtractionJob:
    return parse_job({"project": "acme", "episodes": [{"id": "e", "content": "Ada moved."}]} | changes)


def success(job_id: str = "j") -> Ending:
    return Ending(
        result=ExtractionResult(
            job_id=job_id,
            project="acme",
            status=JobStatus.SUCCEEDED,
            episodes=[EpisodeResult(episode_id="e")],
            attempts=[record("ok", job_id=job_id)],
        )
    )


def failure() -> Ending:
    return Ending(
        failure=Failure(
            code=FailureCode.PROVIDER_UNAVAILABLE,
            message="the provider answered 503",
            project="acme",
            provider=ProviderKind.OPENAI,
            connection="primary",
            model="gpt-6-luna",
        )
    )


async def all_text(client: "redis.asyncio.Redis") -> bytes:
    """All keys and values, as they are."""
    found: list[bytes] = []
    readers: dict[Any, Callable[[Any], Awaitable[Any]]] = {
        b"string": client.get,
        b"hash": cast("Any", client.hgetall),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    async for key in client.scan_iter():
        found += [key, repr(await readers[await client.type(key)](key)).encode()]
    return b"\n".join(found)
