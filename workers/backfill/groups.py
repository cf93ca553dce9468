"""Lines that are too small for a job of their own: neighbours that may share prompts become one job. Pure.

Episodes of one job can share a prompt (`pack_tokens`); of a file of bare episodes each line would be a job of its own,
and nothing would ever be shared. Which lines go together depends on the lines alone, so that whoever reads the file
again comes to the same jobs.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from tasks.contract import ExtractionJob
from workers.extraction import MOST_EPISODES, estimate_tokens

#: What has to be the same in two jobs that are to become one.
_SHARED: Final = tuple(name for name in ExtractionJob.model_fields if name != "episodes")


class HasJob(Protocol):
    """A line that is a job."""

    @property
    def job(self) -> ExtractionJob:
        """The job."""


_Line = TypeVar("_Line", bound=HasJob)


class Grouping(Generic[_Line]):
    """Puts entries together as they come."""

    def __init__(self) -> None:
        self._open: list[_Line] = []
        self._tokens = 0
        self._ids: set[str] = set()

    def add(self, entry: _Line) -> Sequence[_Line]:
        """Take an entry; the group that is complete with it, or before it; empty where that is still open."""
        if entry.job.pack_tokens is None and not self._open:
            return (entry,)
        tokens = sum(estimate_tokens(episode.text) for episode in entry.job.episodes)
        ids = {episode.id for episode in entry.job.episodes}
        if self._open and self._takes(entry.job, tokens, ids):
            self._open.append(entry)
            self._tokens += tokens
            self._ids |= ids
            return ()
        complete, self._open, self._tokens, self._ids = self._open, [entry], tokens, ids
        return complete

    def end(self) -> Sequence[_Line]:
        """The group that was still open, if any."""
        complete, self._open = self._open, []
        return complete

    def _takes(self, job: ExtractionJob, tokens: int, ids: set[str]) -> bool:
        first = self._open[0].job
        return (
            first.pack_tokens is not None
            and self._tokens + tokens <= first.pack_tokens
            and len(self._ids) + len(ids) <= MOST_EPISODES
            and self._ids.isdisjoint(ids)
            # What was said earlier belongs to its own episode, a key to its own job, and a session has an order.
            and not first.context
            and first.idempotency_key is None
            and first.session is None
            and all(getattr(first, name) == getattr(job, name) for name in _SHARED)
        )


def grouped(entries: Iterable[_Line]) -> Iterator[Sequence[_Line]]:
    """Entries in the order in which they come, those together that are to be one job."""
    grouping = Grouping[_Line]()
    for entry in entries:
        if complete := grouping.add(entry):
            yield complete
    if rest := grouping.end():
        yield rest


def joined(entries: Sequence[HasJob]) -> ExtractionJob:
    """The job of a group."""
    first = entries[0].job
    if len(entries) == 1:
        return first
    return first.model_copy(update={"episodes": [episode for entry in entries for episode in entry.job.episodes]})
