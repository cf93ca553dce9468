"""Whether the callback of a job could be delivered, asked before the job is accepted."""

import threading

from config.store import ParameterStore
from tasks.contract import ExtractionJob
from workers.clock import Clock
from workers.notify.deliverer import no_signer
from workers.notify.posting import webhook_address_problem
from workers.notify.subscriptions import find_signer


class CallbackCheck:
    """Looks at callbacks. Blocks; safe to use from several threads. Reads no secret."""

    def __init__(self, store: ParameterStore, *, clock: Clock, ttl: float, allow_private: bool) -> None:
        """`ttl` is how long a read of the store is trusted, in seconds."""
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._allow_private = allow_private
        self._lock = threading.Lock()
        #: Project → until when it is known to have a signer.
        self._signed: dict[str, float] = {}

    def problem(self, job: ExtractionJob) -> str | None:
        """Why the job's callback could not be delivered, with the mend; None if it could, or there is none.

        Raises:
            ConfigError: the store cannot be read, or what it holds is damaged.
        """
        if job.callback_url is None:
            return None
        if problem := webhook_address_problem(job.callback_url, allow_private=self._allow_private):
            return problem
        with self._lock:
            if self._signed.get(job.project, 0.0) > self._clock.monotonic():
                return None
        if find_signer(self._store, job.project) is None:
            return no_signer(job.project)
        with self._lock:
            self._signed[job.project] = self._clock.monotonic() + self._ttl
        return None
