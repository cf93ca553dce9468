"""Today's workers go on with what those of earlier releases left behind in the broker."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from tasks.contract import AttemptRecord
from tests.integration.support.freezing import LINES, add_projects, put_back, write_archive
from tests.integration.support.pool import Pool, job, running_pool, wait_until
from workers.backfill.state import RedisBackfills
from workers.dead.sealing import Sealing
from workers.dead.shelf import Shelf
from workers.jobs import Claimed, Ended, RedisJobs
from workers.ledger import UsageReader
from workers.ledger.stream import Cursor, RecordStream

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    # Celery's result store uses it.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]

#: One file for each release, from `tests.integration.support.freezing`. Files are added, never edited.
RELEASES = sorted((Path(__file__).parents[1] / "fixtures" / "broker").glob("*.json"))
#: Seconds: nothing is forgotten for being as old as the file is.
FOR_EVER = "1000000000"
#: The most that a job may wait.
LONG = "31536000"


class Old:
    """A pool whose broker holds what an earlier release left behind."""

    def __init__(self, pool: Pool, left: dict[str, Any], folder: Path) -> None:
        self.pool, self.jobs, self.keys = pool, left["jobs"], left["keys"]
        self.out = folder / "out.jsonl"
        self.client = redis.Redis.from_url(pool.valkey.url)
        add_projects(pool)
        write_archive(folder)
        for name, text in left["files"].items():
            (folder / name).write_text(text, encoding="utf-8")
        put_back(self.client, self.keys, folder)
        self.first = min(record.started_at for record in self.records())

    def records(self) -> list[AttemptRecord]:
        entries = RecordStream(self.client).read(Cursor(), count=100_000).entries
        return [AttemptRecord.model_validate_json(entry.text) for entry in entries]

    def sums(self, *, now: datetime) -> Counter[str]:
        """Of all projects, by the hourly sums."""
        rows = UsageReader(self.client, now=now).totals(since=self.first - timedelta(hours=1), by=("project",))
        sums: Counter[str] = Counter()
        for row in rows:
            sums.update(attempts=row.attempts, failed=row.failed, tokens=row.tokens.total)
        return sums

    def state(self, name: str) -> str:
        text = self.client.get(f"celery-task-meta-{self.jobs[name]}")
        return str(json.loads(text)["status"]) if text else "nothing"


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Old]:
    left = json.loads(request.param.read_text(encoding="utf-8"))
    with running_pool(tmp_path) as pool:
        found = Old(pool, left, tmp_path)
        yield found
        found.client.close()


def summed(records: list[AttemptRecord]) -> Counter[str]:
    return Counter(
        attempts=len(records),
        failed=sum(record.status != "ok" for record in records),
        tokens=sum(record.usage.total for record in records),
    )


async def check_what_is_read(old: Old) -> None:
    """Each kind of thing says what it said to those who wrote it."""
    records = old.records()
    assert len(records) == len(old.keys["byom:usage:records"]["value"])
    assert old.sums(now=old.first + timedelta(hours=2)) == summed(records)
    [letter] = Shelf(old.client).some([old.jobs["failed"]])
    contents = Shelf(old.client).contents(letter, Sealing.of(None))
    assert contents is not None
    snapshot = RedisBackfills(old.client).open("archive").load()
    assert (snapshot.orders.phase, snapshot.sums["succeeded"]) == ("running", LINES // 2)
    async with redis.asyncio.Redis.from_url(old.pool.valkey.url) as client:
        jobs = RedisJobs(client, state_ttl=3_600, records_kept=1_000)
        done = await jobs.claim(old.jobs["done"], hop=1, owner="me", lease=1)
        assert isinstance(done, Ended)
        assert done.ending.result is not None
        half = await jobs.claim(old.jobs["half"], hop=1, owner="me", lease=1)
        assert isinstance(half, Claimed)
        assert (len(half.units), len(half.attempts), len(half.dropped)) == (1, 1, 1)
        await jobs.release(old.jobs["half"], owner="me")


async def test_todays_workers_read_and_finish_what_an_earlier_release_left_behind(old: Old) -> None:
    await check_what_is_read(old)
    before = Counter(record.job_id for record in old.records())
    old.pool.extra |= {
        "BYOM_MAX_WAIT": LONG,
        "BYOM_FALLBACK_PATIENCE": LONG,
        "BYOM_RESULT_TTL": FOR_EVER,
        "BYOM_DEAD_LETTER_TTL": FOR_EVER,
        "BYOM_ECONOMY_GATHER": "0.5",
        "BYOM_ECONOMY_LOOK": "0.2",
        "BYOM_BACKFILL_SLICE": "2",
    }
    old.pool.simulator.set_batch_seconds(0.1)

    old.pool.start_worker()
    going_on = old.jobs.keys() - {"done", "failed"}
    wait_until(lambda: {name: old.state(name) for name in going_on} == dict.fromkeys(going_on, "SUCCESS"), seconds=90)
    backfill = RedisBackfills(old.client).open("archive")
    wait_until(lambda: backfill.load().orders.phase == "completed", seconds=90)
    replayed = old.pool.byom("dead", "replay", "--id", old.jobs["failed"], "--yes")
    assert replayed.returncode == 0, replayed.stderr
    wait_until(lambda: old.state("failed") == "SUCCESS", seconds=90)
    wait_until(lambda: not old.client.exists("byom.unacked", "byom.unacked_index"), seconds=90)

    # What was done is not done again: of the job of two parts the second alone was called for.
    calls = Counter(entry.tags.get("job") for entry in old.pool.simulator.books(entries=1_000).entries)
    assert calls[old.jobs["half"]] == 1
    assert calls[old.jobs["done"]] == 0
    with old.pool.producer() as producer:
        again = producer.enqueue(job("Ada lives in Lisbon.", project="plain", idempotency_key="ada"))
    assert again.id == old.jobs["done"]
    lines = [json.loads(line)["line"] for line in old.out.read_text(encoding="utf-8").splitlines()]
    assert sorted(lines) == list(range(1, LINES + 1))
    # Calls that were under way are in the ledger as lost, and everything is in the sums once.
    records = old.records()
    lost = Counter(record.job_id for record in records if record.status == "lost")
    assert lost.keys() >= {old.jobs["half"]}
    assert all(Counter(record.job_id for record in records)[name] >= count for name, count in before.items())
    assert old.sums(now=max(record.started_at for record in records)) == summed(records)
