"""Handles of jobs that were enqueued, by this process or another, and waiting for thousands of them at once."""

from .aio import as_completed_async, wait_async
from .handle import JobHandle
from .results import Results
from .waiting import Waited, as_completed, wait

__all__ = ["JobHandle", "Results", "Waited", "as_completed", "as_completed_async", "wait", "wait_async"]
