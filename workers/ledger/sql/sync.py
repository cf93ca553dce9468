"""From the stream to the database, exactly once."""

from collections.abc import Iterator
from dataclasses import dataclass

from workers.ledger.sql.database import CursorMoved, Database
from workers.ledger.stream import RECORDS_KEY, Cursor, Gap, RecordStream

#: Records of one transaction.
BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one transaction came to."""

    #: Records that are new in the database, and those that were there already.
    new: int
    known: int
    gap: Gap | None
    #: Records that were dropped from the stream before it was ever read.
    before_first: int


def sync(stream: RecordStream, database: Database, *, batch: int = BATCH) -> Iterator[Step]:
    """Write what the stream holds beyond the database's cursor, a step per transaction, until its end.

    It may be ended anywhere, and several may run at once: the database is never left between a record and its cursor.

    Raises:
        LedgerError: the database cannot be used, or an entry is not a usage record.
        redis.RedisError: the stream cannot be read.
    """
    while True:
        before = database.cursor(RECORDS_KEY)
        read = stream.read(before or Cursor(), count=batch)
        if not read.entries and read.gap is None and before is not None:
            return
        try:
            written = database.write(RECORDS_KEY, read, before=before)
        except CursorMoved:
            continue
        yield Step(new=written.new, known=written.known, gap=read.gap, before_first=read.before_first)
