"""Economy jobs on a whole pool: from enqueue to result through a batch, with real workers and the simulator."""

import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import redis

from tasks.contract import ExtractionResult, JobStatus, Tier
from tests.integration.support.pool import Pool, running_pool, wait_until
from workers.embedded.simulator import FaultRule, Injection
from workers.enqueue.producer import JobHandle, Producer

pytestmark = pytest.mark.integration

_MODELS = {"anthropic": "claude-haiku-5-5", "gemini": "gemini-3.5-flash-lite"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("economy")) as running:
        running.extra = {"BYOM_ECONOMY_GATHER": "0.5", "BYOM_ECONOMY_LOOK": "0.2"}
        running.max_wait = 30
        for vendor, model in _MODELS.items():
            base_url = running.simulator.base_urls[vendor]
            running.add_project(vendor, provider=vendor, model=model, base_url=base_url)
        running.simulator.set_batch_seconds(3_600)
        running.start_worker()
        yield running


@pytest.fixture
def producer(pool: Pool) -> Iterator[Producer]:
    pool.simulator.clear_faults()
    pool.simulator.reset()
    with pool.producer() as producer:
        yield producer


def jobs(project: str, number: int, **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "project": project,
            "economy": True,
            "priority": "backfill",
            "episodes": [{"id": f"e{place}", "content": f"Ada moved to Lisbon in May 2026. (note {uuid.uuid4().hex})"}],
            **changes,
        }
        for place in range(number)
    ]


def results(handles: list[JobHandle]) -> list[ExtractionResult]:
    return [handle.result(timeout=60) for handle in handles]


def sent(pool: Pool, number: int) -> None:
    """Wait until vendors have batches of so many jobs in all; how many batches that are is a matter of luck."""
    with redis.Redis.from_url(pool.valkey.url) as client:
        wait_until(lambda: sum(batch["jobs"] for batch in _batches(client, "open")) == number)


def _batches(client: redis.Redis, state: str) -> list[dict[str, Any]]:
    found = [json.loads(client.hget(key, "batch") or "{}") for key in client.scan_iter(match="byom:economy:batch:*")]
    return [batch for batch in found if batch.get("state") == state]


@pytest.mark.parametrize("vendor", _MODELS)
def test_jobs_go_through_a_batch_at_half_the_price(pool: Pool, producer: Producer, vendor: str) -> None:
    handles = list(producer.enqueue_many(jobs(vendor, 5)))
    sent(pool, 5)
    assert {handle.state() for handle in handles} == {"waiting"}

    pool.simulator.end_batches()
    ended = results(handles)

    assert {result.status for result in ended} == {JobStatus.SUCCEEDED}
    attempts = [attempt for result in ended for attempt in result.attempts]
    assert [(attempt.tier, attempt.status, attempt.latency_ms) for attempt in attempts] == [(Tier.BATCH, "ok", 0)] * 5
    billed = pool.simulator.books()
    assert {total.tier: total.served for total in billed.totals if total.served} == {"batch": 5}
    assert sum(attempt.usage.total for attempt in attempts) == billed.billed.total
    for attempt in attempts:
        assert attempt.price is not None
        rates = attempt.price["usd_per_million"]
        standard = {"anthropic": "0.1", "gemini": "0.3"}[vendor]
        assert Decimal(rates["input"]) * 2 == Decimal(standard)
    assert all(result.episodes[0].facts for result in ended)


def test_what_a_batch_does_not_yield_is_worked_live_on_the_same_connection(pool: Pool, producer: Producer) -> None:
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=500, tier="batch", count=1))
    handles = list(producer.enqueue_many(jobs("anthropic", 4)))
    sent(pool, 4)

    # One of each batch fails, one is answered, and the vendor does not come to the others.
    pool.simulator.end_batches(done=2)
    ended = results(handles)

    assert {result.status for result in ended} == {JobStatus.SUCCEEDED}
    tiers = [[attempt.tier or "standard" for attempt in result.attempts] for result in ended]
    assert set(map(tuple, tiers)) == {("batch",), ("batch", "standard")}
    assert all(attempt.connection == "primary" for result in ended for attempt in result.attempts)


def test_a_worker_that_is_killed_loses_no_batch(pool: Pool, producer: Producer) -> None:
    handles = list(producer.enqueue_many(jobs("gemini", 3)))
    sent(pool, 3)
    for worker in pool.workers:
        worker.kill()
        worker.wait()

    pool.simulator.end_batches()
    pool.start_worker()
    ended = results(handles)

    assert {result.status for result in ended} == {JobStatus.SUCCEEDED}
    assert [len(result.attempts) for result in ended] == [1, 1, 1]
    assert {total.tier: total.served for total in pool.simulator.books().totals if total.served} == {"batch": 3}


def test_a_batch_whose_sending_broke_off_is_found_again_and_not_sent_twice(pool: Pool, producer: Producer) -> None:
    # The connection breaks when the vendor has taken the batch.
    pool.simulator.add_fault(FaultRule(kind=Injection.RESET, billed=True, prefix="/gemini/v1beta/models/", count=1))
    handles = list(producer.enqueue_many(jobs("gemini", 1)))
    with redis.Redis.from_url(pool.valkey.url) as client:
        batch = wait_until(lambda: _sending(client))
        # As if that had been long ago: what is still under way is left alone for minutes.
        client.hset(batch, "batch", client.hget(batch, "batch").replace(b'"sent_at":', b'"sent_at":1,"was":'))

    wait_until(lambda: b"batch_found_again" in pool.worker_logs().encode())
    pool.simulator.end_batches()
    ended = results(handles)

    assert [len(result.attempts) for result in ended] == [1]
    assert pool.simulator.books().served == 1


def _sending(client: redis.Redis) -> str | None:
    for key in client.scan_iter(match="byom:economy:batch:*"):
        text = client.hget(key, "batch") or b""
        if b'"state":"sending"' in text and b'"trouble":"' in text:
            return str(key.decode())
    return None


def test_flex_serves_economy_jobs_of_vendors_that_have_no_batches(pool: Pool, producer: Producer) -> None:
    handles = list(producer.enqueue_many(jobs("solo", 2)))

    ended = results(handles)

    assert [[attempt.tier for attempt in result.attempts] for result in ended] == [[Tier.FLEX], [Tier.FLEX]]
    assert {total.tier: total.served for total in pool.simulator.books().totals} == {"flex": 2}


def test_nothing_is_left_behind(pool: Pool, producer: Producer) -> None:
    handles = list(producer.enqueue_many(jobs("anthropic", 2)))
    sent(pool, 2)
    pool.simulator.end_batches()
    results(handles)

    with redis.Redis.from_url(pool.valkey.url) as client:
        wait_until(lambda: not list(client.scan_iter(match="byom:economy:open:*")))
        wait_until(lambda: not list(client.scan_iter(match="byom:economy:lines")))
        left = {key.decode().split(":")[2] for key in client.scan_iter(match="byom:economy:*")}
        # A line may be in hand at this moment.
        assert left <= {"batch", "closed", "lease"}
        assert client.hget("byom:lanes:waiting", "anthropic") is None
        assert client.hlen("byom.unacked") == 0
    # What the vendor kept of them is gone, too.
    wait_until(lambda: any(_is_deletion(entry) for entry in pool.simulator.books().entries))


def _is_deletion(entry: Any) -> bool:
    # Looks at results have a path of their own, and looks at the batch come before it has ended.
    return bool(entry.path.startswith("/anthropic/v1/messages/batches/msgbatch_") and entry.status == 200)
