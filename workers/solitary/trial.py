"""Whether a job of which workers may have died is tried alone, and what follows from its trial."""

import threading
from typing import Final

import redis
import structlog

from config.errors import StoreError
from tasks.contract import ExtractionJob
from workers.engine.delivery import Delivery
from workers.engine.engine import Outcome
from workers.engine.routing import Route
from workers.solitary.cells import Cells, ChildDied
from workers.solitary.frames import Errand
from workers.solitary.marks import Marks
from workers.tracing import TraceContext

_log = structlog.get_logger(__name__)

#: Seconds between the death of a child and the verdict: what kills both is not the job's doing, and the worker is gone
#: by then.
_SETTLE: Final = 1.0

#: Trials that nobody outlived, neither worker nor child: the whole machine may have died of the job each time. More are
#: not made, lest it go on for ever. Deploys, evictions and `kill -9` end workers just so, whatever they have in hand;
#: that they meet the few seconds of so many trials of one job in a row is no coincidence any more.
_TRIALS: Final = 5


class FailedAlone(Exception):
    """A job met an error that nobody foresaw, in a process of its own."""


class Trials:
    """Tries suspects. Safe for threads, as its client is."""

    def __init__(self, cells: Cells, client: redis.Redis, *, max_crashes: int, settle: float = _SETTLE) -> None:
        """Take what trials need.

        Args:
            cells: where jobs run alone.
            client: Redis.
            max_crashes: how often a worker may die with a job in hand; the last time must be alone.
            settle: seconds between the death of a child and the verdict.
        """
        self._settle = settle
        self._cells = cells
        self._marks = Marks(client)
        self._max_crashes = max_crashes

    def are_due(self, delivery: Delivery) -> bool:
        """Whether a delivery is to be tried alone."""
        return delivery.crashes >= self._max_crashes - 1

    def attempt(
        self, job: ExtractionJob, job_id: str, route: Route, delivery: Delivery, *, trace: TraceContext | None = None
    ) -> Outcome | None:
        """Try a job alone, as a part of `trace`; None if its process died of it.

        Raises:
            NoChild: there is no process to try it in.
            StoreError: Redis or the store was away in there.
            FailedAlone: nobody foresaw what happened in there.
            CancelledError: the worker stops.
            redis.RedisError: Redis does not answer.
        """
        if self._marks.unheard_of(job_id) >= _TRIALS:
            # A replay begins anew.
            self._marks.outlived(job_id)
            _log.error("job_quarantined", job_id=job_id, crashes=delivery.crashes, reason="its workers vanish with it")
            return None
        _log.warning("job_tried_alone", job_id=job_id, project=job.project, crashes=delivery.crashes)
        errand = Errand(job=job, job_id=job_id, route=route, delivery=delivery, trace=trace)
        begun = threading.Event()

        def begins() -> None:
            self._marks.begins(job_id)
            begun.set()

        try:
            answer = self._cells.run(errand, begins=begins)
        except ChildDied as error:
            threading.Event().wait(self._settle)
            _log.error("job_quarantined", job_id=job_id, crashes=delivery.crashes + 1, reason=f"its process {error}")
            return None
        finally:
            # One that waited in vain says nothing about those before it.
            if begun.is_set():
                self._marks.outlived(job_id)
        if answer.away is not None:
            raise StoreError(answer.away)
        if answer.unforeseen is not None:
            raise FailedAlone(answer.unforeseen)
        outcome = answer.ending or answer.hand_off or answer.park or answer.collect
        assert outcome is not None  # noqa: S101 - one of them is set
        return outcome
