"""`python -m benchmarks.flower_load`: what Flower costs under a stream of task events, and how fast its pages are.

A real Valkey and a real `byom flower`. Events come as workers send them: in batches, five times a second, with the
descriptions that our tasks have. The ledger holds a month of a thousand projects. Memory is the process's own, from
/proc; pages are asked for while the events run.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import redis
from celery.events import EventDispatcher
from pydantic import SecretStr

from config.settings import Settings
from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from workers.app import create_app
from workers.embedded.valkey import EmbeddedValkey
from workers.ledger.amounts import Amounts
from workers.ledger.sums import Increment, failed_key
from workers.monitoring.process import MAX_TASKS

ROOT = Path(__file__).parents[1]
LOGIN = ("bench", "bench")
PORT = 5599
#: Seconds between two batches of events.
_GATHER = 0.2
_MB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_PROVIDERS = ("openai", "gemini", "anthropic", "bedrock")


def fill_ledger(client: redis.Redis, *, projects: int, days: int) -> None:
    """A month of usage: every project in every hour, on its primary, and one in four on its fallback, too.

    One attempt of each failed in each hour.
    """
    now = datetime.now(UTC)
    amounts = Amounts(10**9, 40, 1, 0, 36_000, 9_000, 0, 8_400, 0, 25_000, 7_000).pack()
    fields = [
        Increment.of(_record(number, role, now)).field
        for number in range(projects)
        for role in (Role.PRIMARY, *([Role.FALLBACK] if number % 4 == 0 else []))
    ]
    table: dict[Any, Any] = dict.fromkeys(fields, amounts)
    one = Amounts(attempts=1, failed=1).pack()
    failures: dict[Any, Any] = {
        Increment.of(_record(number, Role.PRIMARY, now, status="rate_limited")).failed: one
        for number in range(projects)
    }
    for hour in range(days * 24):
        key = Increment.of(_record(0, Role.PRIMARY, now - timedelta(hours=hour))).hour
        client.hset(key, mapping=table)
        client.hset(failed_key(key), mapping=failures)


def _record(number: int, role: Role, at: datetime, *, status: str = "ok") -> AttemptRecord:
    provider = ProviderKind(_PROVIDERS[number % len(_PROVIDERS)])
    return AttemptRecord(
        id="x",
        attempt="1.1.1",
        job_id="x",
        account=f"account-{number // 3:04}",
        project=f"project-{number:04}",
        provider=provider,
        connection=role.value,
        role=role,
        model="gpt-6-luna",
        credential_version=2,
        status=status,
        action="done" if status == "ok" else "retry",
        usage=TokenUsage(),
        latency_ms=600,
        started_at=at,
    )


@contextmanager
def flower(valkey: EmbeddedValkey, max_tasks: int) -> Iterator[subprocess.Popen[bytes]]:
    """Flower, once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "flower", "--port", str(PORT), "--max-tasks", str(max_tasks)],
        cwd=ROOT,
        env={**os.environ, "BYOM_BROKER_URL": valkey.url, "BYOM_FLOWER_AUTH": ":".join(LOGIN)},
    )
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{PORT}/healthcheck")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def memory(process: subprocess.Popen[bytes]) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE / _MB


def cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def send(dispatcher: EventDispatcher, count: int) -> None:
    """So many events, three a task, in one batch."""
    for _ in range(count // 3):
        job, project = str(uuid.uuid4()), f"project-{random.randrange(1_000):04}"  # noqa: S311 - no secret
        kwargs = repr({"project": project, "provider": "openai", "model": "gpt-6-luna", "role": "primary", "attempt": 1,
                       "episodes": 1, "job": job})  # fmt: skip
        result = repr({"tokens": 1_340, "input": 1_130, "output": 210, "cost_usd": "0.000252", "latency_ms": 640,
                       "attempts": 1, "status": "succeeded", "provider": "openai", "model": "gpt-6-luna"})  # fmt: skip
        known: dict[str, Any] = {"uuid": job}
        dispatcher.send("task-received", **known, name="extract.openai", args="()", kwargs=kwargs, root_id=job)
        dispatcher.send("task-started", **known)
        dispatcher.send("task-succeeded", **known, result=result, runtime=0.64)
    dispatcher.flush()


def ask(client: httpx.Client, path: str) -> float:
    """Seconds that a page takes."""
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - began


def first_sight(options: argparse.Namespace, valkey: EmbeddedValkey) -> None:
    """How long the first page takes of a Flower that has just been started, and when all of it is there."""
    for span in ("24h", "7d", "30d"):
        with (
            flower(valkey, options.max_tasks),
            httpx.Client(base_url=f"http://127.0.0.1:{PORT}", auth=LOGIN, timeout=60) as web,
        ):
            began = time.perf_counter()
            takes: list[float] = []
            missing = True
            while missing:
                asked = time.perf_counter()
                page = web.get("/usage", params={"span": span}).raise_for_status()
                takes.append(time.perf_counter() - asked)
                missing = "still being read" in page.text
                time.sleep(_GATHER * missing)
            complete = time.perf_counter() - began
            print(
                f"first sight of {span:>3}: {takes[0]:.2f} s, worst {max(takes):.2f} s; "
                f"complete after {complete:.1f} s, then {takes[-1]:.2f} s"
            )


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=int, default=500, help="events per second")
    parser.add_argument("--max-tasks", type=int, default=MAX_TASKS)
    parser.add_argument("--projects", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    with EmbeddedValkey() as valkey, redis.Redis.from_url(valkey.url) as client:
        fill_ledger(client, projects=options.projects, days=options.days)
        first_sight(options, valkey)
        with (
            flower(valkey, options.max_tasks) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{PORT}", auth=LOGIN, timeout=60) as web,
        ):
            run(options, valkey, process, web)


def run(
    options: argparse.Namespace, valkey: EmbeddedValkey, process: subprocess.Popen[bytes], web: httpx.Client
) -> None:
    """Send events, and watch."""
    pages = ("/usage", "/usage?by=provider&span=7d", "/usage?span=30d", "/providers", "/lanes", "/metrics")
    times: dict[str, list[float]] = {page: [] for page in pages}
    sent, spent = 0, cpu(process)
    with create_app(Settings(broker_url=SecretStr(valkey.url))) as app, app.connection_for_write() as connection:
        dispatcher = EventDispatcher(
            connection, app=app, hostname="byom@bench", buffer_group=["task"], buffer_limit=200
        )
        began = time.monotonic()
        print(f"{'seconds':>8} {'events':>8} {'MB':>6} {'tasks':>7}")
        shown = 0.0
        while (gone := time.monotonic() - began) < options.seconds:
            count = int(options.rate * gone) - sent
            send(dispatcher, count)
            sent += count // 3 * 3
            if gone >= shown:
                shown += options.seconds / 10
                for page in pages:
                    times[page].append(ask(web, page))
                tasks = web.post("/tasks/datatable", data={"draw": 1, "start": 0, "length": 1, "search[value]": "",
                    "order[0][column]": 0, "columns[0][data]": "name", "order[0][dir]": "asc"})  # fmt: skip
                known = tasks.json().get("recordsTotal", "?") if tasks.is_success else tasks.status_code
                print(f"{gone:8.0f} {sent:8} {memory(process):6.0f} {known:>7}")
            time.sleep(_GATHER)
        seconds = time.monotonic() - began
    print(f"\n{sent / seconds:.0f} events/s sent; Flower used {(cpu(process) - spent) / seconds * 100:.0f} % of a CPU")
    for page, taken in times.items():
        print(f"{page:<30} median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s")


if __name__ == "__main__":
    main()
