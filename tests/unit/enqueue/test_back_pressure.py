"""A project that has too many jobs waiting is told so by whoever takes jobs, and nothing is lost or run twice."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from config.connections import ProjectProfile, effective_chain, write_project
from config.settings import Settings
from config.store import FileStore
from tasks.contract import ExtractionJob, FailureCode, JobRefused, parse_job
from tests.unit.enqueue.conftest import job
from workers.engine.address import patience_of
from workers.enqueue.backlog import Backlog, wait_words
from workers.enqueue.intake import Accepted, Duplicate, Intake
from workers.enqueue.producer import JobHandle, Producer
from workers.enqueue.publishing import BATCH_JOBS
from workers.lanes.control import Lanes

pytestmark = pytest.mark.integration


def parsed(document: dict[str, Any]) -> ExtractionJob:
    return parse_job(document)


def take_until_refused(handles: Iterator[JobHandle]) -> tuple[int, JobRefused]:
    """How many jobs were published, and why the next was not."""
    taken = 0
    while True:
        try:
            next(handles)
        except JobRefused as error:
            return taken, error
        taken += 1


def test_the_job_that_is_one_too_many_is_refused_and_those_before_it_are_published(
    producer: Producer, valkey_client: redis.Redis
) -> None:
    source = iter([job(f"e{number}") for number in range(5)])

    taken, refused = take_until_refused(producer.enqueue_many(source))

    assert (taken, Lanes(valkey_client).waiting("acme")) == (3, 3)
    assert refused.details["code"] == FailureCode.BACKLOG_FULL
    assert (refused.details["project"], refused.details["waiting"], refused.details["max_waiting"]) == ("acme", 3, 3)
    assert "project 'acme' has 3 jobs waiting and may have 3 (max_waiting)" in refused.message
    assert "byom project set --project acme --max-waiting N" in refused.message


def test_a_backlog_that_is_full_already_takes_nothing_and_says_how_long_it_will_take(
    producer: Producer, valkey_client: redis.Redis, store: FileStore
) -> None:
    list(producer.enqueue_many(job(f"e{number}") for number in range(3)))
    [lane] = Lanes(valkey_client).names()
    valkey_client.hset(lane.limits, mapping={"tpm_refill": 0.5})
    tokens = float(valkey_client.hget(lane.state, "tokens") or 0)

    with pytest.raises(JobRefused) as caught:
        producer.enqueue(job("e4"))

    assert caught.value.details["expected_wait"] == pytest.approx(tokens / 0.5, rel=0.01)
    assert f"in about {wait_words(tokens / 0.5)}" in caught.value.message
    backlog = producer.backlog("acme")
    assert backlog.waiting == 3
    assert backlog.expected_wait == pytest.approx(tokens / 0.5, rel=0.01)
    assert producer.backlog("free") == Backlog(waiting=0, expected_wait=0.0)


def test_there_is_room_again_when_jobs_went(producer: Producer, valkey_client: redis.Redis) -> None:
    list(producer.enqueue_many(job(f"e{number}") for number in range(3)))
    Lanes(valkey_client).clear("extract.openai")

    assert take_until_refused(producer.enqueue_many(job(f"f{number}") for number in range(5)))[0] == 3


def test_other_projects_of_the_same_batch_are_not_counted_against_it(
    producer: Producer, valkey_client: redis.Redis
) -> None:
    mixed = [job(f"e{number}", project="acme" if number % 5 == 0 else "free") for number in range(15)]

    assert len(list(producer.enqueue_many(mixed))) == 15
    assert [Lanes(valkey_client).waiting(project) for project in ("acme", "free")] == [3, 12]


def test_a_job_that_was_published_before_is_no_job_more(producer: Producer, valkey_client: redis.Redis) -> None:
    first = [handle.id for handle in producer.enqueue_many(job(f"e{n}", key=f"k{n}") for n in range(3))]

    again = list(producer.enqueue_many(job(f"e{n}", key=f"k{n}") for n in range(3)))

    assert [(handle.id, handle.duplicate) for handle in again] == [(job_id, True) for job_id in first]
    assert Lanes(valkey_client).waiting("acme") == 3


def test_a_job_that_was_refused_can_be_sent_again_later_with_its_key(
    producer: Producer, valkey_client: redis.Redis
) -> None:
    list(producer.enqueue_many(job(f"e{number}") for number in range(3)))
    with pytest.raises(JobRefused):
        producer.enqueue(job("e4", key="k4"))
    Lanes(valkey_client).clear("extract.openai")

    handle = producer.enqueue(job("e4", key="k4"))

    assert not handle.duplicate
    assert Lanes(valkey_client).waiting("acme") == 1


def test_a_refusal_in_a_later_batch_publishes_no_job_twice(
    producer: Producer, valkey_client: redis.Redis, store: FileStore
) -> None:
    write_project(store, "acme", ProjectProfile(max_waiting=BATCH_JOBS + 5))

    taken, _ = take_until_refused(producer.enqueue_many(job(f"e{number}") for number in range(BATCH_JOBS * 2)))

    assert (taken, Lanes(valkey_client).waiting("acme")) == (BATCH_JOBS + 5, BATCH_JOBS + 5)


def test_an_unacceptable_job_in_a_batch_publishes_those_before_it_once(
    producer: Producer, valkey_client: redis.Redis
) -> None:
    rest = [job(f"f{number}", project="free") for number in range(BATCH_JOBS)]
    jobs = [job("e1", project="free"), job("e2", project="unknown"), *rest]

    taken, refused = take_until_refused(producer.enqueue_many(jobs))

    assert (taken, refused.details["code"]) == (1, FailureCode.UNKNOWN_PROJECT)
    assert Lanes(valkey_client).waiting("free") == 1


def test_a_worker_refuses_what_foreign_producers_send_beyond_it(
    producer: Producer, settings: Settings, store: FileStore, valkey_client: redis.Redis
) -> None:
    intake = Intake(
        chain=lambda project: effective_chain(store, project),
        client=valkey_client,
        key_ttl=60,
        patience=patience_of(settings),
    )
    keyed = job("own", key="own")
    accepted = intake.accept(parsed(keyed), job_id="j-own")
    list(producer.enqueue_many(job(f"e{number}") for number in range(3)))

    with pytest.raises(JobRefused, match="max_waiting"):
        intake.accept(parsed(job("e4")), job_id="j4")

    # A job that is delivered once more, and one that is known, add nothing.
    assert isinstance(accepted, Accepted)
    assert isinstance(intake.accept(parsed(keyed), job_id="j-own"), Accepted)
    assert intake.accept(parsed(keyed), job_id="j5") == Duplicate(job_id="j-own")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_300, "2 h"), (200_000, "2 d")]
)
def test_spans_are_said_in_the_largest_unit_of_which_there_are_two(seconds: float, words: str) -> None:
    assert wait_words(seconds) == words
