"""Which lines of an input to do again, given what came of them earlier.

A line is wanted if nothing came of it yet, or if what came of it meets the conditions. Of several results of the same
line the latest counts. Results are known again by the id of their entry, which is of its content: a line that was
changed since is a new one. Results without such ids (of `byom enqueue --wait --json`, for instance) are known by the
ids of their episodes.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from workers.backfill.conditions import Conditions
from workers.backfill.documents import NoDocument, read_document
from workers.backfill.entries import Entry
from workers.backfill.errors import BackfillError
from workers.backfill.source import read_lines

#: Of a result by which nothing was made.
_NOTHING: Final[Mapping[str, str | None]] = {}


class ResultsError(BackfillError):
    """A file of earlier results cannot be used."""


class Selection:
    """Says which entries are wanted. Keeps eight bytes of each entry that is not, and what Python needs around them."""

    def __init__(self, *, where: Conditions | None = None) -> None:
        """Prepare; without conditions, what has a result is not wanted, and what failed is."""
        self._where = where
        self._done: set[int] = set()

    @classmethod
    def read(cls, paths: Iterable[str], *, where: Conditions | None = None) -> "Selection":
        """A selection by the results in files: sinks of backfills, or any JSON Lines of results; later ones count.

        Raises:
            SourceError: one cannot be read.
            ResultsError: a line of one is no result.
        """
        selection = cls(where=where)
        for path in paths:
            for file in _files(path):
                for line in read_lines(file):
                    try:
                        selection.note(_result(line.text))
                    except (NoDocument, _NoResult) as error:
                        raise ResultsError(
                            f"line {line.number} of {file} is no result: {error}. Give a sink of a backfill, or "
                            "results as `byom enqueue --wait --json` prints them"
                        ) from None
        return selection

    def note(self, line: Mapping[str, Any]) -> None:
        """Take one earlier result: a line of a sink, or a result itself."""
        result = line.get("result", line)
        status = line.get("status", result.get("status"))
        told = result.get("provenance") or [_NOTHING]
        again = (
            any(self._where.hold({**provenance, "status": status}) for provenance in told)
            if self._where
            else told == [_NOTHING]
        )
        keys = _keys(line, result)
        if again:
            self._done.difference_update(keys, _episode_keys(result))
        else:
            self._done.update(keys)

    def wants(self, entry: Entry) -> bool:
        """Whether an entry is to be done."""
        if _key(entry.id) in self._done:
            return False
        project = entry.job.project
        return not all(_key(project, episode.id) in self._done for episode in entry.job.episodes)


class _NoResult(Exception):
    """A document is no result."""


def _files(path: str) -> Iterator[str]:
    """The file, or those of a folder into which a backfill wrote Parquet: first what is complete, then the rest."""
    folder = Path(path)
    if not folder.is_dir():
        yield path
        return
    for pattern in ("*.parquet", "_lines-*.jsonl"):
        yield from map(str, sorted(folder.glob(pattern)))


def _result(text: bytes) -> Mapping[str, Any]:
    """A line of a sink, or a result."""
    document = read_document(text)
    for name in ("result", "failure"):
        # Parquet has them as JSON.
        if isinstance(document.get(name), str):
            document[name] = json.loads(document[name])
    result = document.get("result", document)
    if not isinstance(result, dict) or not isinstance(document.get("status"), str):
        raise _NoResult("it has no status")
    if not any(isinstance(document.get(name), str) for name in ("id", "job_id")):
        raise _NoResult("it names neither an entry nor a job")
    return document


def _keys(line: Mapping[str, Any], result: Mapping[str, Any]) -> Sequence[int]:
    """What the result is known by; nothing where a job failed and does not say what it was about."""
    return [_key(line["id"])] if line.get("id") else _episode_keys(result)


def _episode_keys(result: Mapping[str, Any]) -> Sequence[int]:
    return [_key(str(result.get("project")), name) for name in _episode_ids(result)]


def _episode_ids(result: Mapping[str, Any]) -> list[str]:
    episodes = result.get("episodes") or []
    return [str(episode["episode_id"]) for episode in episodes if isinstance(episode, dict) and "episode_id" in episode]


def _key(*names: str) -> int:
    """Eight bytes that stand for names; two of a million different ones are the same once in 37 million times."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
