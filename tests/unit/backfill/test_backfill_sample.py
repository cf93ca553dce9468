"""A sample is taken from all over an input, and extracted by jobs that touch nothing of what it will be."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tasks.contract import ExtractionFailed, ExtractionJob, FailureCode, Priority, parse_job
from workers.backfill.entries import Entry
from workers.backfill.sample import Sample, extract


def entry(number: int, **changes: Any) -> Entry:
    job = parse_job({"project": "acme", "episodes": [{"id": f"e{number}", "content": "x"}]} | changes)
    return Entry(number=number, id=f"{number:032}", job=job)


ENTRIES = [entry(number) for number in range(100)]


def taken(size: int, count: int, *, seed: int = 0) -> list[int]:
    sample = Sample(size, seed=seed)
    for one in ENTRIES[:count]:
        sample.add(one)
    return sorted(one.number for one in sample.entries)


@pytest.mark.parametrize(("size", "count"), [(5, 0), (5, 3), (5, 5), (5, 100)])
def test_a_sample_has_as_many_as_asked_for_or_as_there_are(size: int, count: int) -> None:
    numbers = taken(size, count)

    assert len(numbers) == len(set(numbers)) == min(size, count)
    assert numbers == taken(size, count)


def test_every_line_is_as_likely_as_the_others() -> None:
    counts = Counter(number for seed in range(2_000) for number in taken(2, 10, seed=seed))

    # 400 each are expected, and 18 are a standard deviation.
    assert set(counts) == set(range(10))
    assert all(300 < count < 500 for count in counts.values())


class FakeHandle:
    def __init__(self, outcome: Exception | None) -> None:
        self._outcome = outcome

    def result(self, timeout: float) -> None:
        assert timeout == 9
        if self._outcome:
            raise self._outcome


class FakeProducer:
    def __init__(self, outcomes: Iterable[Exception | None]) -> None:
        self.jobs: list[ExtractionJob] = []
        self._outcomes = iter(outcomes)

    def enqueue_many(self, jobs: Iterable[ExtractionJob]) -> Iterator[FakeHandle]:
        for job in jobs:
            self.jobs.append(job)
            yield FakeHandle(next(self._outcomes))


def test_a_sample_is_extracted_without_its_keys_callbacks_and_labels() -> None:
    sample = Sample(3)
    own = {"idempotency_key": "k", "callback_url": "https://example.com/", "labels": {"team": "a"}, "economy": True}
    for number in range(3):
        sample.add(entry(number, language="pt", instructions="Places only.", **own))
    failed = ExtractionFailed("no", {"code": FailureCode.CONTENT_REFUSED.value})
    producer: Any = FakeProducer([None, failed, TimeoutError()])

    ended = list(extract(sample, producer, name="s1", timeout=9))

    assert ended == [True, False, False]
    assert [job.episodes[0].id for job in producer.jobs] == ["e0", "e1", "e2"]
    for job in producer.jobs:
        assert (job.language, job.instructions) == ("pt", "Places only.")
        assert (job.idempotency_key, job.callback_url, job.economy) == (None, None, False)
        assert (job.labels, job.priority) == ({"backfill-sample": "s1"}, Priority.LIVE)
