"""Many jobs in one step: each is published once, with its key or not at all."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import redis

from config.connections import project_path, save_connection
from config.store import FileStore
from tasks.contract import FailureCode, JobRefused, parse_job
from tests.unit.enqueue.conftest import job
from workers.enqueue.producer import Producer, WithId
from workers.enqueue.publishing import BATCH_JOBS, BrokerFull
from workers.lanes.control import Lanes

pytestmark = pytest.mark.integration


def free(name: str, *, key: str | None = None) -> dict[str, Any]:
    return job(name, project="free", key=key)


def waiting(client: redis.Redis, project: str = "free") -> int:
    return Lanes(client).waiting(project)


def labels(client: redis.Redis) -> list[bytes]:
    """Ids of all that wait, in order."""
    [lane] = Lanes(client).names()
    entries = cast("list[bytes]", client.lrange(lane.jobs, 0, -1))
    return [entry.partition(b'"id": "')[2].partition(b'"')[0] for entry in reversed(entries)]


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """As long as this lasts the server has no memory left."""
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def test_jobs_of_several_batches_wait_in_the_order_in_which_they_came(
    producer: Producer, valkey_client: redis.Redis
) -> None:
    count = 2 * BATCH_JOBS + 7

    handles = list(producer.enqueue_many(free(f"e{number}") for number in range(count)))

    assert [handle.id.encode() for handle in handles] == labels(valkey_client)
    assert len({handle.id for handle in handles}) == count
    assert not any(handle.duplicate for handle in handles)


def test_jobs_too_large_for_one_batch_go_out_in_several(producer: Producer, valkey_client: redis.Redis) -> None:
    large = {"project": "free", "episodes": [{"id": f"e{n}", "content": "x" * 190_000} for n in range(5)]}
    source = iter([large] * 12)

    handles = producer.enqueue_many(source)
    next(handles)

    assert 0 < waiting(valkey_client) < 12
    assert len(list(handles)) == 11
    assert waiting(valkey_client) == 12


def test_a_key_that_comes_twice_in_one_batch_is_published_once(producer: Producer, valkey_client: redis.Redis) -> None:
    first, second, other = producer.enqueue_many([free("a", key="k"), free("b", key="k"), free("c", key="l")])

    assert (second.id, second.duplicate) == (first.id, True)
    assert (first.duplicate, other.duplicate) == (False, False)
    assert waiting(valkey_client) == 2


def test_a_job_with_a_given_id_is_published_once_while_it_waits_and_after(
    producer: Producer, valkey_client: redis.Redis
) -> None:
    [first] = producer.enqueue_many([WithId(job_id="backfill-1", job=free("a"))])
    again = producer.enqueue(free("a"), job_id="backfill-1")
    Lanes(valkey_client).clear("extract.openai")
    later = producer.enqueue(free("a"), job_id="backfill-1")

    assert [handle.id for handle in (first, again, later)] == ["backfill-1"] * 3
    assert [handle.duplicate for handle in (first, again, later)] == [False, True, True]
    assert waiting(valkey_client) == 0


def test_a_given_id_is_remembered_as_long_as_a_key(producer: Producer, valkey_client: redis.Redis) -> None:
    producer.enqueue(free("a"), job_id="mine")
    producer.enqueue(free("b", key="k"))

    times = [valkey_client.ttl(key) for pattern in ("byom:id:*", "byom:key:*") for key in valkey_client.keys(pattern)]
    assert [round(seconds, -2) for seconds in times] == [604_800, 604_800]


def test_a_job_with_a_key_and_an_id_is_known_by_its_key(producer: Producer, valkey_client: redis.Redis) -> None:
    producer.enqueue(free("a", key="k"), job_id="first")

    assert producer.enqueue(free("a", key="k"), job_id="second").id == "first"
    assert not valkey_client.keys("byom:id:*")
    assert waiting(valkey_client) == 1


def test_an_id_of_another_project_is_refused_and_leads_nowhere(producer: Producer, valkey_client: redis.Redis) -> None:
    producer.enqueue(job("a"), job_id="theirs")
    jobs = [WithId(job_id=name, job=free("b")) for name in ("mine", "theirs", "after")]
    handles = producer.enqueue_many(jobs)

    assert next(handles).id == "mine"
    with pytest.raises(JobRefused, match="'theirs' is the id of another project's job") as refused:
        next(handles)
    assert refused.value.code is FailureCode.INVALID_JOB
    assert (waiting(valkey_client), waiting(valkey_client, "acme")) == (1, 1)


@pytest.mark.parametrize("job_id", ["", "-x", "two words", "{slot}", "line\n", "x" * 129, "é"])
def test_an_id_that_could_not_be_shown_is_refused(producer: Producer, valkey_client: redis.Redis, job_id: str) -> None:
    with pytest.raises(JobRefused, match="job_id: must be letters"):
        producer.enqueue(free("a"), job_id=job_id)
    assert waiting(valkey_client) == 0


def test_a_batch_whose_answer_was_lost_is_sent_again_without_harm(
    producer: Producer, valkey_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the client does when the connection breaks: the very same command once more.
    monkeypatch.setattr(uuid, "uuid4", lambda: "same-batch")
    entry = producer._publisher.entry(producer._intake.examine(parse_job(free("a", key="k"))), job_id="j1")
    lanes = Lanes(valkey_client)

    answers = [lanes.put_all([entry], key_ttl=60) for _ in range(2)]

    assert [answer.known for answer in answers] == [[None], [None]]
    assert waiting(valkey_client) == 1


def test_a_full_broker_is_said_to_be_full_and_holds_no_key(producer: Producer, valkey_client: redis.Redis) -> None:
    jobs = [free("a", key="k"), free("b")]
    with full(valkey_client), pytest.raises(BrokerFull, match=r"2 jobs were not enqueued.*project 'free'"):
        list(producer.enqueue_many(jobs))
    assert (waiting(valkey_client), valkey_client.keys("byom:key:*")) == (0, [])

    assert [handle.duplicate for handle in producer.enqueue_many(jobs)] == [False, False]


def test_an_enqueued_job_wakes_a_worker(producer: Producer, valkey_client: redis.Redis) -> None:
    producer.enqueue(free("a", key="k"))
    assert valkey_client.lpop("byom.wake") is not None

    producer.enqueue(free("a", key="k"))
    assert valkey_client.lpop("byom.wake") is None


def test_what_a_project_has_is_read_anew_for_each_call(
    producer: Producer, store: FileStore, valkey_client: redis.Redis
) -> None:
    producer.enqueue(free("a"))
    save_connection(
        store,
        project_path("free"),
        {"name": "primary", "provider": "anthropic", "model": "claude-haiku-4-5", "credential": "key"},
    )
    producer.enqueue(free("b"))

    assert sorted(lane.queue for lane in Lanes(valkey_client).names()) == ["extract.anthropic", "extract.openai"]
