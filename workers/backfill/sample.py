"""A few lines from all over an input, to see what they take by extracting them."""

import random
import uuid
from collections.abc import Iterator

from tasks.contract import ContractError, ExtractionJob
from workers.backfill.entries import Entry
from workers.backfill.history import SAMPLE
from workers.enqueue.producer import Producer


class Sample:
    """So many of all entries, each as likely as the others, without keeping more than these."""

    def __init__(self, size: int, *, seed: int = 0) -> None:
        """Prepare; the same seed takes the same lines of the same input."""
        self.entries: list[Entry] = []
        self._size = size
        self._seen = 0
        self._rng = random.Random(seed)  # noqa: S311 - which lines are taken is no secret

    def add(self, entry: Entry) -> None:
        """Take an entry, or not."""
        self._seen += 1
        if len(self.entries) < self._size:
            self.entries.append(entry)
        elif (place := self._rng.randrange(self._seen)) < self._size:
            self.entries[place] = entry


def extract(sample: Sample, producer: Producer, *, name: str, timeout: float) -> Iterator[bool]:
    """Extract a sample as live jobs, which somebody waits for; whether each went well, as they end.

    Args:
        sample: the entries.
        producer: enqueues them.
        name: of this sample, by which its usage records are found.
        timeout: seconds to wait for each of them.

    Raises:
        JobRefused: the project takes no jobs.
    """
    for handle in list(producer.enqueue_many(_job(entry, name) for entry in sample.entries)):
        try:
            handle.result(timeout=timeout)
        except (ContractError, TimeoutError):
            yield False
        else:
            yield True


def new_name() -> str:
    """A name that no other sample has."""
    return uuid.uuid4().hex


def _job(entry: Entry, name: str) -> ExtractionJob:
    """Of what is extracted alone: nobody is called back, and no key is used up."""
    job = entry.job
    return ExtractionJob(
        project=job.project,
        episodes=job.episodes,
        context=job.context,
        entity_types=job.entity_types,
        instructions=job.instructions,
        language=job.language,
        labels={SAMPLE: name},
    )
