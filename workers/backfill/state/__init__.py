"""What a backfill has done so far: definition, place in the file, jobs in flight, their endings, sums, and who drives."""

from .base import (
    Backfills,
    BackfillState,
    Fenced,
    Flight,
    Held,
    Lease,
    LineRef,
    NameTaken,
    Orders,
    Phase,
    Snapshot,
    UnknownBackfill,
)
from .memory import MemoryBackfills
from .redis import RedisBackfills

__all__ = [
    "BackfillState",
    "Backfills",
    "Fenced",
    "Flight",
    "Held",
    "Lease",
    "LineRef",
    "MemoryBackfills",
    "NameTaken",
    "Orders",
    "Phase",
    "RedisBackfills",
    "Snapshot",
    "UnknownBackfill",
]
