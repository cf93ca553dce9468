"""The smaller parts of a backfill: its inbox, the result backend, its file, its event, its task."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import fakeredis
import pytest
import redis
import redis.asyncio
from celery import Celery, Task
from celery.exceptions import Ignore, Reject

from tasks.contract import Episode, ExtractionFailed, ExtractionJob, ExtractionResult, FailureCode, JobStatus
from tasks.contract.events import BackfillCompleted
from tests.backfill import definition, failure, flight, success, text_of
from tests.support import START, ManualClock
from workers.backfill.definition import Definition, Fingerprint, job_id_of
from workers.backfill.driving import Stopped, leased, pause_for
from workers.backfill.entries import BadLine, Entry
from workers.backfill.errors import BackfillError, SourceChanged, SourceError
from workers.backfill.file import FileSource, is_set, with_bit
from workers.backfill.inbox import Inbox
from workers.backfill.report import Report
from workers.backfill.results import RedisResults
from workers.backfill.state import Held, MemoryBackfills, Orders, Phase, RedisBackfills
from workers.backfill.task_body import carry_on
from workers.backfill.telling import completed_event
from workers.broker.describe import describe
from workers.embedded.valkey import EmbeddedValkey
from workers.jobs import Ended, Ending, RedisJobs

ORDERS = Orders(phase=Phase.RUNNING, window=10)


def job(**changes: Any) -> ExtractionJob:
    return ExtractionJob(project="acme", episodes=[Episode(id="e1", content="Hello.")], **changes)


async def test_workers_put_endings_of_jobs_in_flight_into_the_inbox_of_their_backfill(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        state = RedisBackfills(client).create(definition(), orders=ORDERS)
        lease = state.acquire("me", seconds=15)
        state.load()
        state.reserve(lease, [flight(1)], read=1, sums={})
        async with redis.asyncio.Redis.from_url(valkey.url) as async_client:
            inbox = Inbox(async_client)
            await inbox.job_ended(job(labels={"backfill": "archive"}), "job-2", success("job-2"))
            await inbox.job_ended(job(labels={"backfill": "another"}), "job-1", success("job-1"))
            await inbox.job_ended(job(), "job-1", success("job-1"))
            assert state.ended(10) == []

            await inbox.job_ended(job(labels={"backfill": "archive"}), "job-1", success("job-1"))
            await inbox.job_ended(job(labels={"backfill": "archive"}), "job-1", failure("job-1"))

        assert state.ended(10) == [("job-1", text_of(success("job-1")))]


def test_endings_are_read_from_what_celery_stores(valkey_client: redis.Redis) -> None:
    results = RedisResults(valkey_client, broker=valkey_client)
    good = success("j1").result
    assert good is not None
    failed = ExtractionFailed("no answer", {"code": "provider_timeout", "project": "acme"})
    stored = {
        "j1": {"status": "SUCCESS", "result": good.model_dump(mode="json", exclude_none=True)},
        "j2": {"status": "FAILURE", "result": {"exc_type": "ExtractionFailed", "exc_message": list(failed.args)}},
        "j3": {"status": "STARTED", "result": {"pid": 1}},
        "j4": {"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["revoked"]}},
        "j5": {"status": "FAILURE", "result": {"exc_type": "WorkerLostError", "exc_message": ["x"]}},
        "j6": {"status": "WAITING", "result": {"reason": "tokens", "seconds": 3}},
    }
    for name, meta in stored.items():
        valkey_client.set(f"celery-task-meta-{name}", json.dumps(meta))

    found = results.look([*stored, "unknown"])

    assert found.keys() == stored.keys()
    endings = {name: Ending.parse(text) for name, text in found.items() if text is not None}
    assert endings.keys() == {"j1", "j2", "j4", "j5"}
    assert endings["j1"].result == good
    codes = {name: ending.failure.code for name, ending in endings.items() if ending.failure}
    assert codes == {"j2": FailureCode.PROVIDER_TIMEOUT, "j4": FailureCode.CANCELLED, "j5": FailureCode.INTERNAL}
    assert results.look([]) == {}


async def test_what_is_let_go_of_is_still_known_to_have_ended(valkey: EmbeddedValkey) -> None:
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        jobs = RedisJobs(client, state_ttl=3_600, records_kept=10)
        ending = success("j1")
        assert ending.result is not None
        await jobs.settle(ending.result.attempts[0])
        await jobs.end("j1", owner="", ending=ending)
        with redis.Redis.from_url(valkey.url) as plain:
            plain.set("celery-task-meta-j1", "a result")
            before = plain.memory_usage("byom:job:{j1}") or 0
            RedisResults(plain, broker=plain).forget({"j1": "acme", "never ran": "acme"})

            assert not plain.exists("celery-task-meta-j1")
            assert not plain.exists("byom:job:{never ran}")
            assert (plain.memory_usage("byom:job:{j1}") or 0) < before
            assert 3_500 < plain.ttl("byom:job:{j1}") <= 3_600
        claim = await jobs.claim("j1", hop=1, owner="later", lease=5)
        assert claim == Ended(
            ending=Ending(result=ExtractionResult(job_id="j1", project="acme", status=JobStatus.SUCCEEDED))
        )
        assert await jobs.settle(ending.result.attempts[0]) is False


def test_lines_of_a_file_become_jobs_of_the_backfill(tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl.gz"
    lines = [{"id": f"e{number}", "content": f"text {number}"} for number in range(4)]
    path.write_bytes(gzip.compress("\n".join([*map(json.dumps, lines), "nonsense"]).encode()))
    made = definition(source=str(path), labels={"team": "search"}, callback_url="https://example.com/done")

    found = list(FileSource(made).read(after=1))

    assert [line.number for line in found] == [2, 3, 4, 5]
    assert isinstance(found[-1], BadLine)
    first = found[0]
    assert isinstance(first, Entry)
    assert first.job.labels == {"team": "search", "backfill": "archive"}
    assert first.job.callback_url == "https://example.com/done"
    assert first.job.model_dump(mode="json", exclude_unset=True)["callback_url"] == "https://example.com/done"

    wanted = bytearray(1)
    for number in (2, 4, 300):
        with_bit(wanted, number)
    assert [number for number in range(400) if is_set(bytes(wanted), number)] == [2, 4, 300]
    assert [line.number for line in FileSource(made, wanted=bytes(wanted)).read(after=0)] == [2, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda path: path.write_bytes(b"longer than before"), "its size", id="longer"),
        pytest.param(lambda path: path.write_bytes(b"two"), "its time of change, its content", id="rewritten"),
    ],
)
def test_a_file_is_known_again(tmp_path: Path, change: Callable[[Path], Any], said: str) -> None:
    path = tmp_path / "archive.jsonl"
    path.write_bytes(b"one")
    made = definition(source=str(path), fingerprint=Fingerprint.of(str(path)))
    made.check_source()
    made = Definition.model_validate_json(made.model_dump_json())
    made.check_source()

    change(path)
    if said.startswith("its time"):
        # Whatever the resolution of the file system's clock.
        import os  # noqa: PLC0415 - nothing else needs it

        os.utime(path, ns=(0, made.fingerprint.mtime_ns + 1))
    with pytest.raises(SourceChanged, match=said):
        made.check_source()
    path.unlink()
    with pytest.raises(SourceError, match="cannot read"):
        made.check_source()


def test_the_id_of_a_job_is_derived_from_backfill_and_content_alone() -> None:
    assert job_id_of("archive", ["ab"]) == job_id_of("archive", ["ab"])
    different = {job_id_of("archive", ["ab"]), job_id_of("march", ["ab"]), job_id_of("archive", ["ab", "cd"])}
    assert len(different) == 3


def test_the_event_is_the_same_whenever_it_is_told() -> None:
    clock = ManualClock()
    state = MemoryBackfills(clock=clock).create(definition(), orders=ORDERS)
    snapshot = replace(
        state.load(),
        sums={"jobs": 4, "succeeded": 2, "known": 1, "failed": 1, "attempts": 5, "input": 100, "pico": 5 * 10**9},
    )
    first = completed_event(snapshot, clock)
    clock.seconds = 60
    second = completed_event(snapshot, clock)

    assert first.id == second.id
    assert isinstance(second.data, BackfillCompleted)
    assert second.data == BackfillCompleted.model_validate(
        {
            "backfill": "archive",
            "project": "acme",
            "jobs": 4,
            "succeeded": 3,
            "failed": 1,
            "started_at": START,
            "ended_at": START + timedelta(seconds=60),
            "usage": {"attempts": 5, "tokens": {"input": 100}, "cost_usd": "0.005"},
        }
    )


def test_a_driver_that_is_gone_is_waited_for_and_a_living_one_is_not() -> None:
    clock = ManualClock()
    backfills = MemoryBackfills(clock=clock)
    state = backfills.create(definition(), orders=ORDERS)
    state.acquire("gone", seconds=15)
    waited: list[str] = []

    def pass_time(seconds: float) -> bool:
        clock.seconds += seconds
        return False

    lease = leased(state, seconds=15, wait=pass_time, waiting=lambda held: waited.append(held.driver), me="me")
    assert lease is not None
    assert waited == ["gone"]
    state.load()

    def renewed(seconds: float) -> bool:
        clock.seconds += seconds
        state.renew(lease)
        return False

    with pytest.raises(Held, match="driven by me"):
        leased(state, seconds=15, wait=renewed, me="you")
    assert leased(state, seconds=15, wait=lambda _: True, me="you") is None


class _Task:
    """A task as far as its body needs it."""

    def __init__(self) -> None:
        self.app = Celery("test", set_as_current=False)
        self.replaced: list[Any] = []

    def replace(self, signature: Any) -> Exception:
        self.replaced.append(signature)
        return Ignore("replaced")


@pytest.fixture
def task() -> Any:
    made = _Task()
    yield made
    made.app.close()


def body(task: Any, drive: Callable[[str, Celery], Stopped], paused: list[int] | None = None) -> dict[str, str]:
    noted = paused if paused is not None else []
    return carry_on(cast("Task[Any, Any]", task), "archive", drive, pause=lambda: noted.append(1))


def test_a_slice_is_followed_by_the_next_until_all_is_done(task: Any) -> None:
    with pytest.raises(Ignore):
        body(task, lambda _name, _app: Stopped.ASKED)
    [following] = task.replaced
    assert (following.task, list(following.args), following.options["queue"]) == (
        "byom.backfill.v1",
        ["archive"],
        "byom.extract",
    )

    assert body(task, lambda _name, _app: Stopped.OVER) == {"backfill": "archive", "stopped": "over"}
    assert body(task, lambda _name, _app: Stopped.PAUSED) == {"backfill": "archive", "stopped": "paused"}
    assert len(task.replaced) == 1


def test_a_slice_ends_where_another_drives_or_nothing_can_be_done(task: Any) -> None:
    def held(_name: str, _app: Celery) -> Stopped:
        raise Held("archive", "moon, process 7", 9)

    def broken(_name: str, _app: Celery) -> Stopped:
        raise BackfillError("the sink is full")

    assert body(task, held)["stopped"] == "driven elsewhere"
    assert body(task, broken)["stopped"] == "the sink is full"
    assert task.replaced == []


def test_a_slice_goes_back_to_its_queue_while_redis_is_away(task: Any) -> None:
    def away(_name: str, _app: Celery) -> Stopped:
        raise redis.ConnectionError

    paused: list[int] = []
    with pytest.raises(Reject) as rejected:
        body(task, away, paused)
    assert vars(rejected.value)["requeue"] is True
    assert paused == [1]


def test_a_slice_shows_which_backfill_it_drives() -> None:
    assert describe("byom.backfill.v1", "t-1", ["archive"], {}) == "{'backfill': 'archive', 'job': 't-1'}"
    assert describe("byom.backfill.v1", "t-1", "x", {}) == "{'backfill': '(unreadable)', 'job': 't-1'}"


def test_a_report_says_in_a_word_what_goes_on() -> None:
    clock = ManualClock()
    state = MemoryBackfills(clock=clock).create(definition(), orders=ORDERS)

    def word() -> str:
        return Report(snapshot=state.load(), now=datetime.now(UTC)).state

    assert word() == "stopped"
    state.change(Phase.RUNNING, after=[Phase.RUNNING], cluster=True)
    assert word() == "waiting for a worker"
    lease = state.acquire("me", seconds=15)
    assert word() == "running"
    pause_for(state, BackfillError("the sink is full"))
    assert (word(), state.load().orders.why) == ("paused", "the sink is full")
    state.change(Phase.CANCELLED, after=[Phase.PAUSED])
    assert word() == "cancelling"
    state.load()
    state.finish(lease, sink="")
    assert word() == "cancelled"


def test_a_report_tells_failures_by_code_and_money_to_the_last_digit() -> None:
    clock = ManualClock()
    state = MemoryBackfills(clock=clock).create(definition(), orders=replace(ORDERS, budget=Decimal("2.5")))
    sums = {"lines": 9, "succeeded": 3, "failed": 5, "duplicates": 1, "code:a": 2, "code:b": 3, "pico": 10**16 + 7}
    report = Report(snapshot=replace(state.load(), sums=sums), now=START + timedelta(seconds=90))

    document = report.as_json()

    assert (document["done"], document["seconds"], document["budget_usd"]) == (9, 90.0, "2.5")
    assert list(document["failures"].items()) == [("b", 3), ("a", 2)]
    assert document["usage"]["cost_usd"] == "10000.000000000007"
    assert not report.good
    assert json.loads(json.dumps(document)) == document


async def test_an_inbox_costs_nothing_where_there_is_no_backfill() -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        await Inbox(client).job_ended(job(labels={"team": "search"}), "j", success("j"))

        assert await client.keys() == []
