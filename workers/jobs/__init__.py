"""Working state of jobs: who has a job in hand, what of it is done, how it ended. Makes redelivery harmless."""

from .base import Busy, Claim, Claimed, Dropped, Ended, Ending, HandedOver, JobStore, Kept, Reopening
from .memory import MemoryJobs
from .redis import RedisJobs, end_now, reopen_now

__all__ = [
    "Busy",
    "Claim",
    "Claimed",
    "Dropped",
    "Ended",
    "Ending",
    "HandedOver",
    "JobStore",
    "Kept",
    "MemoryJobs",
    "RedisJobs",
    "Reopening",
    "end_now",
    "reopen_now",
]
