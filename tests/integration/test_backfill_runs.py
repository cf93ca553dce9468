"""Backfills on real workers: whoever is killed on the way, each line is in the sink once and the ledger is right."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.contract.events import BackfillCompleted
from tests.integration.support.pool import ROOT, Pool, running_pool, wait_until
from workers.backfill.report import Report
from workers.backfill.state import RedisBackfills
from workers.embedded.simulator import fingerprint
from workers.ledger import UsageReader
from workers.notify import EventReader

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """With one worker; each test takes a project of its own."""
    with running_pool(tmp_path_factory.mktemp("backfill")) as made:
        made.extra.update(BYOM_LOG_LEVEL="INFO", BYOM_BACKFILL_SLICE="1", BYOM_BACKFILL_LEASE="3")
        made.start_worker()
        yield made


def add_project(pool: Pool, name: str) -> None:
    """A project whose limits are no bound, with a key of its own."""
    limits: dict[str, Any] = {"tpm_capacity": 100_000_000, "tpm_refill_per_second": 1_000_000}
    pool.add_project(name, secret=f"sk-{name}", **limits)


def served(pool: Pool, project: str) -> int:
    """Calls in the vendor's books."""
    totals = pool.simulator.books().totals
    return sum(total.served for total in totals if total.key == fingerprint(f"sk-{project}"))


def write_lines(path: Path, count: int) -> Path:
    """Bare episodes; the last one says the same as the first."""
    contents = [f"Ada moved to Lisbon in May 2026, on day {number}." for number in range(count - 1)]
    lines = [json.dumps({"id": f"e{number}", "content": text}) for number, text in enumerate(contents)]
    path.write_text("\n".join([*lines, lines[0]]) + "\n", encoding="utf-8")
    return path


def start(pool: Pool, *arguments: str) -> "subprocess.Popen[str]":
    """The command, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "backfill", *arguments],
        cwd=ROOT,
        env=pool.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def status(pool: Pool, name: str) -> dict[str, Any]:
    with redis.Redis.from_url(pool.valkey.url) as client:
        return Report(snapshot=RedisBackfills(client).open(name).load(), now=datetime.now(UTC)).as_json()


def sink_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check_books(pool: Pool, name: str, *, report: dict[str, Any]) -> None:
    """The report, the ledger and the vendor say the same, and the event was told once."""
    now = datetime.now(UTC)
    with redis.Redis.from_url(pool.valkey.url) as client:
        rows = UsageReader(client, now=now).totals(since=now - timedelta(hours=2), by=("label:backfill",))
        told = [event.data for event in EventReader(client).kept() if event.type == "backfill.completed"]
    [row] = [row for row in rows if row.keys["label:backfill"] == name]
    assert row.attempts == served(pool, report["project"])
    assert report["usage"]["attempts"] == row.attempts
    assert report["usage"]["tokens"] == row.tokens.model_dump()
    [event] = [data for data in told if isinstance(data, BackfillCompleted) and data.backfill == name]
    assert (event.jobs, event.usage.attempts) == (report["succeeded"], row.attempts)


def test_a_driver_and_a_worker_are_killed_and_nothing_is_lost_or_done_twice(pool: Pool, tmp_path: Path) -> None:
    add_project(pool, "killed")
    file, out = write_lines(tmp_path / "archive.jsonl", 300), tmp_path / "out.jsonl"
    doomed = pool.start_worker()
    run = ["run", str(file), "--project", "killed", "--out", str(out), "--window", "50"]
    first = start(pool, *run)
    wait_until(lambda: out.exists() and len(out.read_bytes().splitlines()) > 40, every=0.01)
    first.kill()
    first.communicate()
    doomed.kill()

    second = pool.byom("backfill", *run, "--json")

    assert second.returncode == 0, second.stderr
    report = json.loads(second.stdout)
    assert (report["state"], report["succeeded"], report["duplicates"]) == ("completed", 299, 1)
    lines = sink_lines(out)
    assert Counter(line["line"] for line in lines) == Counter(range(1, 300))
    assert {line["status"] for line in lines} == {"succeeded"}
    assert all(line["episode_ids"] == [line["result"]["episodes"][0]["episode_id"]] for line in lines)
    # What the killed worker had called for and could not settle was called for again, and both were billed.
    assert 299 <= served(pool, "killed") <= 299 + 8


def test_workers_drive_a_backfill_in_slices_and_its_books_agree(pool: Pool, tmp_path: Path) -> None:
    add_project(pool, "sliced")
    file, out = write_lines(tmp_path / "march.jsonl", 150), tmp_path / "out.jsonl"

    begun = pool.byom(
        "backfill", "run", str(file), "--project", "sliced", "--out", str(out), "--ordered", "--on-cluster"
    )

    assert begun.returncode == 0, begun.stderr
    wait_until(lambda: status(pool, "march")["state"] == "completed", seconds=60)
    assert [line["line"] for line in sink_lines(out)] == list(range(1, 150))
    check_books(pool, "march", report=status(pool, "march"))


def test_a_backfill_pauses_at_its_budget_and_by_ctrl_c_and_goes_on(pool: Pool, tmp_path: Path) -> None:
    add_project(pool, "frugal")
    file, out = write_lines(tmp_path / "may.jsonl", 150), tmp_path / "out.jsonl"
    run = ["run", str(file), "--project", "frugal", "--out", str(out), "--window", "20"]

    paused = pool.byom("backfill", *run, "--budget", "0.01", "--json")

    report = json.loads(paused.stdout)
    assert (paused.returncode, report["state"], report["in_flight"]) == (1, "paused", 0), paused.stderr
    assert "byom backfill resume may --budget" in report["why"]
    assert 0.009 < float(report["usage"]["cost_usd"]) <= 0.01
    assert 0 < report["succeeded"] < 149

    again = start(pool, "resume", "may", "--no-budget")
    before = report["succeeded"]
    wait_until(lambda: len(out.read_bytes().splitlines()) > before, every=0.01)
    again.send_signal(signal.SIGINT)
    _, said = again.communicate(timeout=30)
    assert again.returncode in {0, 130}, said
    assert again.returncode == 0 or "byom backfill resume may" in said

    ended = pool.byom("backfill", "resume", "may", "--json")

    assert ended.returncode == 0, ended.stderr
    assert Counter(line["line"] for line in sink_lines(out)) == Counter(range(1, 150))
    check_books(pool, "may", report=json.loads(ended.stdout))
