"""What a backfill has done so far: its place in the file, jobs in flight, how they ended, sums, and who drives."""

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
    Rewound,
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
    "Rewound",
    "Snapshot",
    "UnknownBackfill",
]
