"""Records, hourly sums, database and export agree to the token and the pico-dollar, whatever is repeated or killed."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
import redis
import redis.asyncio
from pydantic import SecretStr

from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from tests.integration.support.pool import ROOT, wait_until
from tests.ledger import NOW, usage_record
from tests.postgres import server_programs
from workers.embedded.valkey import EmbeddedValkey
from workers.jobs import RedisJobs
from workers.ledger import DIMENSIONS, UsageReader, UsageRow, UsageSource
from workers.ledger.sql.database import Database
from workers.ledger.sql.reader import SqlReader
from workers.ledger.stream import Cursor, RecordStream

pytestmark = pytest.mark.integration

COUNT = 2_000
THREADS = 4
HOURS = 5
SINCE = NOW - timedelta(hours=HOURS)
ASKED: list[tuple[str, ...]] = [(), ("project",), DIMENSIONS, ("day", "label:team"), ("project", "role", "label:team")]
BYOM = [sys.executable, "-c", "from workers.cli import main; main()"]


def made_up(dice: random.Random) -> list[AttemptRecord]:
    """Records of every kind; one project has more label values in an hour than there is room for."""

    def tokens(most: int) -> int:
        return dice.choice([0, dice.randrange(most)])

    def one(number: int) -> AttemptRecord:
        project = dice.choice(["acme", "globex", "initech"])
        user = f"u{dice.randrange(COUNT)}" if project == "acme" else f"u{dice.randrange(5)}"
        labels = dice.choice([{}, {"team": dice.choice(["search", "ads"])}, {"team": "search", "user": user}])
        return usage_record(
            f"call-{number}",
            job_id=f"job-{number // 3}",
            account=dice.choice([None, "inc"]),
            project=project,
            provider=dice.choice(list(ProviderKind)),
            connection=dice.choice(["primary", "backup"]),
            role=dice.choice(list(Role)),
            model=dice.choice(["small", "large"]),
            served_model=dice.choice([None, "small-1", "large-2"]),
            credential_version=dice.choice([None, 1, 2]),
            status=dice.choice(["ok", "ok", "rate_limited"]),
            priority=dice.choice(["live", "backfill"]),
            usage=TokenUsage(
                input=tokens(10**6), cached_input=tokens(10**5), output=tokens(10**5), reasoning=tokens(9)
            ),
            cost_usd=dice.choice([None, format(Decimal(dice.randrange(10**14)).scaleb(-12), "f")]),
            latency_ms=dice.randrange(90_000),
            queue_wait_ms=dice.choice([None, dice.randrange(10**7)]),
            labels=labels,
            started_at=NOW - timedelta(hours=dice.randrange(HOURS)),
        )

    return [one(number) for number in range(COUNT)]


def settle_in_threads(url: str, records: Sequence[AttemptRecord], dice: random.Random) -> int:
    """Settle every record in two of the threads or more, each in an order of its own; how many of these stand."""

    async def settle(mine: Sequence[AttemptRecord]) -> int:
        async with redis.asyncio.Redis.from_url(url) as client:
            jobs = RedisJobs(client, state_ttl=600, records_kept=10 * COUNT)
            stand = 0
            for first in range(0, len(mine), 50):
                stand += sum(await asyncio.gather(*map(jobs.settle, mine[first : first + 50])))
            return stand

    shares: list[list[AttemptRecord]] = [[] for _ in range(THREADS)]
    for record in records:
        for share in dice.sample(shares, dice.choice([2, 2, 3])):
            # Told apart by what no sum is made of.
            share.extend(record.model_copy(update={"request_id": uuid4().hex}) for _ in range(dice.choice([1, 1, 2])))
    for share in shares:
        dice.shuffle(share)
    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(lambda share: asyncio.run(settle(share)), shares))


def expected(records: Iterable[AttemptRecord]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for record in records:
        sums.update(record.usage.model_dump())
        cost = None if record.cost_usd is None else int(Decimal(record.cost_usd).scaleb(12))
        sums.update(
            attempts=1,
            failed=record.status != "ok",
            fallback=record.role is Role.FALLBACK,
            unpriced=cost is None and record.usage.total > 0,
            pico=cost or 0,
            latency=record.latency_ms,
            wait=record.queue_wait_ms or 0,
        )
    return sums


def summed(rows: Iterable[UsageRow]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update(row.tokens.model_dump())
        sums.update(
            attempts=row.attempts,
            failed=row.failed,
            fallback=row.fallback,
            unpriced=row.unpriced,
            pico=int(row.cost_usd.scaleb(12)),
            latency=row.latency_ms,
            wait=row.queue_wait_ms,
        )
    return sums


def tables(source: UsageSource) -> list[list[UsageRow]]:
    return [source.totals(since=SINCE, by=by) for by in ASKED]


class Follower:
    """A command that goes on and on, and is killed time and again."""

    def __init__(self, environment: dict[str, str], directory: Path, *arguments: str) -> None:
        self._command = [*BYOM, "usage", *arguments, "--follow"]
        self._environment, self._directory = environment, directory
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.communicate()

    def again(self) -> None:
        """Kill it, and start another."""
        self.kill()
        self._process = self._start()

    def stop(self) -> str:
        """End it as an operator does; what it said."""
        self._process.send_signal(signal.SIGTERM)
        _, said = self._process.communicate(timeout=30)
        # One that was started again a moment ago may not have come to listen to signals: nothing was left for it to do.
        assert self._process.returncode in {0, -signal.SIGTERM}, said
        return said.decode()


@pytest.fixture
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> list[SecretStr]:
    """Databases to write to at once: SQLite, and PostgreSQL where the machine has one."""
    urls = [SecretStr(f"sqlite:///{tmp_path}/usage.db")]
    if server_programs() is not None:
        urls.append(SecretStr(request.getfixturevalue("postgres_url")))
    return urls


def test_all_books_agree(valkey: EmbeddedValkey, urls: list[SecretStr], tmp_path: Path) -> None:
    dice = random.Random(20261123)  # noqa: S311 - a test's dice
    records = made_up(dice)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BYOM_BROKER_URL": valkey.url}
    out = tmp_path / "out.jsonl"
    export = ["export", "--out", str(out), "--state", str(tmp_path / "state")]
    with ExitStack() as exits:
        client = exits.enter_context(redis.Redis.from_url(valkey.url))
        sums = UsageReader(client, now=NOW)
        databases = [exits.enter_context(Database.open(url)) for url in urls]
        sources = [SqlReader(database, now=NOW) for database in databases]
        followers = [Follower(environment, tmp_path, *export)]
        followers += [
            Follower({**environment, "BYOM_LEDGER_URL": url.get_secret_value()}, tmp_path, "sync") for url in urls
        ]
        for follower in followers:
            exits.callback(follower.kill)

        def written() -> list[int]:
            lines = out.read_bytes().count(b"\n") if out.exists() else 0
            return [lines, *(sum(row.attempts for row in source.totals(since=SINCE, by=())) for source in sources)]

        settling = exits.enter_context(ThreadPoolExecutor(1)).submit(settle_in_threads, valkey.url, records, dice)
        wait_until(lambda: all(written()), seconds=60, every=0.2)
        for follower in followers:
            follower.again()
        assert settling.result(timeout=60) == COUNT, "of each record one stands"
        wait_until(lambda: min(written()) >= COUNT, seconds=60, every=0.2)
        assert "Gap" not in "".join([follower.stop() for follower in followers])

        ids = sorted(record.id for record in records)
        stream = RecordStream(client).read(Cursor(), count=10 * COUNT)
        kept = [AttemptRecord.model_validate_json(entry.text) for entry in stream.entries]
        assert sorted(record.id for record in kept) == ids
        assert sorted(json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()) == ids
        truth = expected(records)
        assert expected(kept) == truth
        assert [summed(table) for table in tables(sums)] == [truth] * len(ASKED)
        assert [tables(source) for source in sources] == [tables(sums)] * len(sources)
        assert summed(sums.totals(since=SINCE, by=("label:user",))) == truth
