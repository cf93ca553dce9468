"""The usage records themselves: a bounded stream in Redis, read in order, with gaps told.

Each record has a place in the stream, counted from the first one ever written. The server knows how many it has taken
(`entries-added`) and how many it still holds, and so how many it has dropped. A reader that knows the place up to which
it has read therefore knows exactly how many were dropped before it came to them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import redis
from pydantic import ValidationError

from tasks.contract import AttemptRecord
from workers.ledger.errors import UnreadableRecord

#: Stream of usage records as JSON, newest last.
RECORDS_KEY = "byom:usage:records"

#: Records that are read in one round trip where nobody says how many.
_AT_ONCE = 1_000

#: Comes before every entry.
START = "0-0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Up to where a reader has read."""

    #: Id of the last entry that was read.
    last: str = START
    #: Its place in the stream, from 1; None when it is not known: then gaps cannot be told.
    place: int | None = None

    @classmethod
    def at(cls, moment: datetime) -> Self:
        """Before everything that was written at or after an instant of the server's clock."""
        return cls(last=f"{max(0, int(moment.timestamp() * 1000) - 1)}-{2**64 - 1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record in the stream."""

    id: str
    #: The record as JSON.
    text: bytes

    def record(self) -> AttemptRecord:
        """The record.

        Raises:
            UnreadableRecord: it is none, as far as this version knows.
        """
        try:
            return AttemptRecord.model_validate_json(self.text)
        except ValidationError as error:
            raise UnreadableRecord(
                f"entry {self.id} of the stream of usage records is not a usage record ({error.error_count()} "
                "problems). A newer worker may have written it: upgrade this program."
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Records that were dropped before they were read."""

    #: Id of the last entry that was read before it.
    after: str
    #: Id of the next entry that was still there; None when there was none.
    before: str | None
    #: How many; None when that cannot be told, since the stream is not the one that was read before.
    missing: int | None

    @property
    def message(self) -> str:
        """What happened, and the mend."""
        where = f"after entry {self.after}" + (f" and before {self.before}" if self.before else "")
        if self.missing is None:
            return (
                f"The stream of usage records is not the one that was read before: it was deleted or restored, and "
                f"what it held {where} is lost to this reader. The hourly sums may still have it."
            )
        return (
            f"{self.missing:,} usage records {where} were dropped before they were read. They are in the hourly sums. "
            "Read more often, or keep more of them with BYOM_USAGE_RECORDS."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one read came to."""

    entries: Sequence[Entry]
    #: Where to go on.
    cursor: Cursor
    gap: Gap | None = None
    #: Records that were dropped before the very first read: no gap, since nobody had begun to read.
    before_first: int = 0


class RecordStream:
    """Reads usage records."""

    def __init__(self, client: redis.Redis, *, key: str = RECORDS_KEY) -> None:
        self._client = client
        self._key = key

    def read(self, cursor: Cursor, *, count: int) -> Batch:
        """At most so many records after a cursor.

        Raises:
            redis.RedisError: the stream cannot be read.
        """
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xinfo_stream(self._key)
        # With the entry of the cursor itself, to see that it is still the same stream.
        pipeline.xrange(self._key, min=cursor.last, count=count + 1)
        info, found = pipeline.execute(raise_on_error=False)
        if isinstance(info, redis.ResponseError) and "no such key" in str(info):
            lost = Gap(after=cursor.last, before=None, missing=None) if cursor.place else None
            return Batch(entries=(), cursor=Cursor(last=cursor.last, place=0), gap=lost)
        for answer in (info, found):
            if isinstance(answer, Exception):
                raise answer
        return _batch(cursor, info, [Entry(id=key.decode(), text=fields[b"record"]) for key, fields in found], count)

    def newest(self, *, count: int) -> Iterator[Entry]:
        """So many records at most, the newest first.

        Raises:
            redis.RedisError: the stream cannot be read.
        """
        end = "+"
        while count > 0:
            found: Any = self._client.xrevrange(self._key, max=end, count=min(count, _AT_ONCE))
            for key, fields in found:
                yield Entry(id=key.decode(), text=fields[b"record"])
            if len(found) < _AT_ONCE:
                return
            count -= len(found)
            end = f"({found[-1][0].decode()}"

    def wait(self, cursor: Cursor, *, seconds: float) -> None:
        """Wait until there is something after a cursor, or so long.

        Raises:
            redis.RedisError: the stream cannot be read.
        """
        self._client.xread({self._key: cursor.last}, count=1, block=max(1, round(seconds * 1000)))


def _batch(cursor: Cursor, info: dict[str, Any], found: Sequence[Entry], count: int) -> Batch:
    added, held = int(info["entries-added"]), int(info["length"])
    dropped = added - held
    first = cursor == Cursor()
    place = dropped if first else cursor.place
    same = bool(found) and found[0].id == cursor.last
    entries = found[1 if same else 0 :][:count]
    after = cursor.last
    gap = None
    if place is not None and place > dropped and not same:
        gap, place = Gap(after=after, before=entries[0].id if entries else None, missing=None), None
    elif place is not None and place < dropped:
        gap = Gap(after=after, before=entries[0].id if entries else None, missing=dropped - place)
        place = dropped
    at_end = len(found) <= count
    return Batch(
        entries=entries,
        cursor=Cursor(
            last=entries[-1].id if entries else after,
            # At the end of the stream the place is known, whatever was known before.
            place=added if at_end else None if place is None else place + len(entries),
        ),
        gap=gap,
        before_first=dropped if first else 0,
    )
