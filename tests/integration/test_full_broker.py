"""The broker's memory is full: what was accepted goes on to its end, and nothing new is taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio
from pydantic import SecretStr

from config.settings import Settings
from tasks.contract import ExtractionResult, JobStatus
from tests.ledger import usage_record
from workers.app import create_app
from workers.embedded.valkey import EmbeddedValkey
from workers.jobs import Claimed, Ended, Ending, RedisJobs
from workers.jobs.redis import job_key

pytestmark = pytest.mark.integration


@pytest.fixture
def full(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(data_dir=tmp_path) as valkey, redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.OutOfMemoryError):
            client.set("k", "v")
        yield valkey


async def test_a_job_in_hand_is_settled_and_ends(full: EmbeddedValkey) -> None:
    ending = Ending(result=ExtractionResult(job_id="j", project="acme", status=JobStatus.SUCCEEDED))
    async with redis.asyncio.Redis.from_url(full.url) as client:
        jobs = RedisJobs(client, state_ttl=60, records_kept=10)

        assert await jobs.claim("j", hop=1, owner="a", lease=15) == Claimed()
        await jobs.renew([("j", "a")], lease=15)
        assert await jobs.settle(usage_record("call", job_id="j", labels={"team": "search"}))
        await jobs.keep("j", unit=1, outcome="{}")
        await jobs.release("j", owner="a", dropped=True)
        claim = await jobs.claim("j", hop=1, owner="b", lease=15)
        assert isinstance(claim, Claimed)
        assert (claim.units, len(claim.attempts)) == ({1: "{}"}, 1)
        assert (await jobs.end("j", owner="b", ending=ending)).ending == ending
        assert await jobs.claim("j", hop=1, owner="c", lease=15) == Ended(ending=ending)
        assert await client.ttl(job_key("j")) > 0


def test_a_result_is_stored_for_as_long_as_it_is_meant_to_be_and_those_who_wait_are_told(full: EmbeddedValkey) -> None:
    app = create_app(Settings(broker_url=SecretStr(full.url), result_ttl=600))
    with redis.Redis.from_url(full.url) as client, client.pubsub(ignore_subscribe_messages=True) as waiting:
        waiting.subscribe("celery-task-meta-j")
        waiting.get_message(timeout=5)

        app.backend.store_result("j", {"project": "acme"}, "SUCCESS")

        told = None
        while told is None:
            told = waiting.get_message(timeout=5)
        assert told["data"] == client.get("celery-task-meta-j")
        assert 0 < client.ttl("celery-task-meta-j") <= 600
        assert app.AsyncResult("j").result == {"project": "acme"}
    app.close()


@pytest.mark.parametrize(
    ("before", "after", "stands"),
    [
        ("STARTED", "SUCCESS", "SUCCESS"),
        ("STARTED", "FAILURE", "FAILURE"),
        ("SUCCESS", "STARTED", "SUCCESS"),
        ("FAILURE", "STARTED", "FAILURE"),
        ("FAILURE", "WAITING", "FAILURE"),
        ("SUCCESS", "FAILURE", "SUCCESS"),
        # A job that is run again after it failed.
        ("FAILURE", "SUCCESS", "SUCCESS"),
    ],
)
def test_an_end_is_not_written_over_by_a_worker_that_is_late(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch, before: str, after: str, stands: str
) -> None:
    app = create_app(Settings(broker_url=SecretStr(valkey.url)))
    backend = app.backend
    # It has looked already, and saw nothing.
    monkeypatch.setattr(backend, "_get_task_meta_for", lambda _: {"status": "PENDING"})
    for state in (before, after):
        backend.store_result("j", ValueError(state) if state == "FAILURE" else {"state": state}, state)
    monkeypatch.undo()

    assert app.AsyncResult("j").state == stands
    app.close()
