"""Flower with our pages on a port of its own, and a pool's worth of made-up usage, meters and lanes to show there."""

import asyncio
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
from celery import Celery
from flower.options import default_options  # type: ignore[import-untyped]  # has no types
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from config.prices import PICO
from tests.support import START, ManualClock
from workers.dead.shelf import Census
from workers.lanes.views import LaneView
from workers.monitoring.boards import Boards
from workers.monitoring.metrics.pool import PoolCollector
from workers.monitoring.pool.batches import MemoryBatches
from workers.monitoring.pool.lanes import LaneBoard, MemoryLanes
from workers.monitoring.pool.meters import Limit, MemoryMeters, MeterBoard, MeterReading
from workers.monitoring.pool.webhooks import MemoryWebhooks, WebhookBoard
from workers.monitoring.server import build_flower
from workers.monitoring.usage.book import HOUR, UsageBook, hour_of
from workers.monitoring.usage.sums import (
    Combination,
    FailedKind,
    Hourly,
    HourlyUsage,
    MemoryHours,
    Sums,
    Table,
)

LOGIN = ("operator", "pass:word")

#: Nothing here speaks TLS, and reading all certificates of the machine for each client takes its time.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class MemoryLetters:
    """A count of dead letters."""

    def census(self) -> Census:
        return Census(letters=3, causes={"rate_limited": 2}, bytes=900, dropped=5, expired=7)


def boards(
    hours: HourlyUsage | Mapping[datetime, Table] | None = None,
    *,
    failures: Hourly[FailedKind] | Mapping[datetime, Mapping[FailedKind, Sums]] | None = None,
    meters: MeterBoard | None = None,
    lanes: LaneBoard | None = None,
    batches: MemoryBatches | None = None,
    webhooks: WebhookBoard | None = None,
    clock: ManualClock | None = None,
) -> Boards:
    """Sources in memory; what is not given is empty."""
    clock = clock or ManualClock()
    source = MemoryHours(hours) if hours is None or isinstance(hours, Mapping) else hours
    failed = MemoryHours(failures) if failures is None or isinstance(failures, Mapping) else failures
    return Boards(
        hours=source,
        book=UsageBook(source, clock=clock, monotonic=clock.monotonic),
        failures=UsageBook(failed, clock=clock, monotonic=clock.monotonic),
        meters=meters or MemoryMeters(),
        lanes=lanes or MemoryLanes(),
        batches=batches or MemoryBatches(),
        webhooks=webhooks or MemoryWebhooks(),
        letters=MemoryLetters(),
        clock=clock,
    )


def combination(**values: str) -> Combination:
    """Attempts of project `acme` on its primary, unless said otherwise."""
    known = {
        "account": "acme-inc",
        "project": "acme",
        "provider": "openai",
        "model": "gpt-6-luna",
        "role": "primary",
        "connection": "primary",
        "credential_version": "2",
        "priority": "live",
    }
    return Combination(**(known | values))


def hour(back: int = 0) -> datetime:
    """The beginning of the hour so many hours before the one in which tests begin."""
    return hour_of(START) - back * HOUR


@dataclass
class Site:
    """Flower that runs."""

    url: str
    #: With a login.
    client: httpx.Client
    #: Without one.
    stranger: httpx.Client

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self.client.get(path, params=parameters or None)

    def post(self, path: str, **form: str) -> httpx.Response:
        """As the page's own form does it: with the token that came with the page."""
        page = self.client.get(path)
        assert page.status_code == 200
        token = self.client.cookies["_xsrf"]
        return self.client.post(path, data={"_xsrf": token, **form})


@dataclass
class _Server:
    boards: Boards
    options: dict[str, Any]
    open_metrics: bool
    settings: dict[str, Any]
    url: str = ""
    ready: threading.Event = field(default_factory=threading.Event)
    stop: asyncio.Event | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        options = SimpleNamespace(**{**default_options.as_dict(), **self.options})
        with Celery("watched", broker="memory://", set_as_current=False) as app:
            flower = build_flower(
                app,
                self.boards,
                options,
                collector=PoolCollector(self.boards),
                open_metrics=self.open_metrics,
                **self.settings,
            )
            sockets, port = bind_unused_port()
            server = HTTPServer(flower)
            server.add_sockets([sockets])
            self.url = f"http://127.0.0.1:{port}"
            self.ready.set()
            await self.stop.wait()
            server.stop()
            await server.close_all_connections()
            flower.executor.shutdown()


@contextmanager
def site(
    given: Boards, *, open_metrics: bool = False, settings: dict[str, Any] | None = None, **options: Any
) -> Iterator[Site]:
    """Flower in a thread; the login is `LOGIN`."""
    options = {"basic_auth": [":".join(LOGIN)], **options}
    server = _Server(boards=given, options=options, open_metrics=open_metrics, settings=settings or {})
    thread = threading.Thread(target=server.run, name="flower")
    thread.start()
    assert server.ready.wait(20)
    assert server.loop is not None
    assert server.stop is not None
    try:
        with (
            httpx.Client(base_url=server.url, auth=LOGIN, timeout=20, verify=_NO_TLS) as client,
            httpx.Client(base_url=server.url, timeout=20, verify=_NO_TLS) as stranger,
        ):
            yield Site(url=server.url, client=client, stranger=stranger)
    finally:
        server.loop.call_soon_threadsafe(server.stop.set)
        thread.join()


# A pool as it may look. -----------------------------------------------------------------------------------------------

_CUSTOMERS = (
    ("northwind", "openai", "gpt-6-luna", 9),
    ("contoso", "gemini", "gemini-2.5-flash-lite", 7),
    ("fabrikam", "anthropic", "claude-haiku-4-5", 6),
    ("globex", "bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", 5),
    ("initech", "azure_openai", "gpt-4.1-mini", 4),
    ("umbrella", "vertex", "gemini-2.5-flash-lite", 3),
    ("hooli", "openai", "gpt-6-luna", 2),
    ("stark-industries-memories-production", "openai_compatible", "qwen3-30b-a3b-instruct", 1),
)


def busy_hours(*, hours: int = 24 * 31) -> dict[datetime, Table]:
    """Usage by customers of several sizes, with a day's rhythm and an outage in it."""
    found: dict[datetime, Table] = {}
    for back in range(hours):
        start = hour(back)
        busy = 4 + 3 * (1 - abs(12 - start.hour) / 12) + (start.day * 7 % 5) / 3
        down = 6 <= back <= 8
        table: dict[Combination, Sums] = {}
        for project, provider, model, size in _CUSTOMERS:
            calls = round(busy * size * 11)
            failed = calls // 2 if down and provider == "openai" else calls // 90
            version = "2" if back < 24 * 3 else "1"
            kind = combination(
                account=f"{project.split('-')[0]}-inc",
                project=project,
                provider=provider,
                model=model,
                credential_version=version,
            )
            table[kind] = _calls(calls, failed=failed, price=size % 3 + 1, priced=provider != "openai_compatible")
            if down and provider == "openai":
                table[
                    kind._replace(
                        provider="gemini", model="gemini-2.5-flash-lite", role="fallback", connection="backup"
                    )
                ] = _calls(failed, failed=0, price=1)
        found[start] = table
    return found


def busy_failures() -> dict[datetime, dict[FailedKind, Sums]]:
    """Why attempts of `busy_hours` failed: the vendor was down where a fallback stepped in, else a limit was met."""
    found: dict[datetime, dict[FailedKind, Sums]] = {}
    for start, table in busy_hours().items():
        down = any(kind.role == "fallback" for kind in table)
        for kind, sums in table.items():
            if sums.failed:
                is_down = down and kind.provider == "openai"
                cause = ("provider_unavailable", "fall_back") if is_down else ("rate_limited", "wait")
                found.setdefault(start, {})[FailedKind(*cause, kind)] = Sums(attempts=sums.failed, failed=sums.failed)
    return found


def _calls(count: int, *, failed: int, price: int, priced: bool = True) -> Sums:
    good = count - failed
    return Sums(
        attempts=count,
        failed=failed,
        unpriced=0 if priced else good,
        cost=good * price * PICO // 4_000 if priced else 0,
        input=good * 900,
        cached_input=good * 350,
        output=good * 210,
        latency_ms=count * 640,
        queue_wait_ms=count * 180,
    )


def busy_meters() -> list[MeterReading]:
    """A meter per customer: most are well, one's breaker is open, one waits for the vendor."""
    readings = []
    for number, (project, _, model, size) in enumerate(_CUSTOMERS):
        learned = 60_000 if number == 2 else 90_000
        readings.append(
            MeterReading(
                tenant=f"a/{project.split('-')[0]}-inc",
                meter=f"/byom/projects/{project}/credentials/main#{model}",
                limits=(
                    Limit(
                        name="tokens",
                        capacity=90_000,
                        per_minute=90_000,
                        learned_capacity=learned,
                        learned_per_minute=learned,
                        level=learned * (0.05 if number == 1 else 1 - size / 12),
                    ),
                    *(
                        [
                            Limit(
                                name="requests",
                                capacity=500,
                                per_minute=500,
                                learned_capacity=500,
                                learned_per_minute=500,
                                level=410,
                            )
                        ]
                        if number % 3 == 0
                        else []
                    ),
                ),
                in_flight=size * 2,
                max_concurrency=40 if number == 3 else None,
                breaker="open" if number == 6 else "closed",
                breaker_since=START - timedelta(seconds=75) if number == 6 else None,
                breaker_code="provider_unavailable" if number == 6 else None,
                blocked_until=START + timedelta(seconds=20) if number in {4, 6} else None,
                blocked_by={4: "retry_after", 6: "breaker"}.get(number),
            )
        )
    return readings


def busy_lanes() -> list[LaneView]:
    """What waits in such a pool."""
    rows = []
    for number, (project, provider, model, size) in enumerate(_CUSTOMERS[1:6]):
        for priority in ("live", "backfill") if number == 0 else ("live",):
            depth = 18_420 if priority == "backfill" else size * 7
            rows.append(
                LaneView(
                    queue=f"extract.{provider}",
                    priority=priority,
                    tenant=f"a/{project}-inc",
                    meter=f"/byom/projects/{project}/credentials/main#{model}",
                    project=project,
                    connection="primary",
                    depth=depth,
                    tokens=depth * 1_150,
                    oldest_age=4_512.0 if priority == "backfill" else 3.2 + number,
                    next_release=(0.0, 1.4, None, 22.5, 3_600.0)[number],
                    why=(None, "tokens", "concurrency", "retry_after", "budget")[number],
                    paused=False,
                    weight=2.0 if number == 1 else 1.0,
                )
            )
    return rows
