"""Where results are stored: Celery's backend on Redis, with one script that writes.

It writes when Redis has no memory left, too: a full broker refuses new jobs, and must not refuse the results of those
that it has accepted, which were paid for, and whose ends make room. And it never writes over an end what came before
the end; Celery looks and writes in two steps, between which a worker may be stopped for minutes.
"""

import json
from typing import Any

from celery.backends.redis import RedisBackend
from celery.exceptions import Reject
from redis.asyncio import Redis

from workers.redis.lua import lua
from workers.redis.pipelining import Pipelining, Script


class ResultBackend(RedisBackend):
    """The backend; see the module."""

    # Celery's own, which its type stubs leave out.
    app: Any
    expires: int | None
    _store: Any = None

    def store_result(self, *args: Any, **kwargs: Any) -> Any:
        """Store what became of a task.

        Raises:
            Reject: it could not be stored, by a task that runs. Celery's tracer would take any other error for the
                task's own, and store that as soon as the server is back: a job would fail of it that has gone well.
        """
        try:
            return super().store_result(*args, **kwargs)
        except Exception as error:
            if self.app.current_worker_task is None:
                raise
            raise Reject(type(error).__name__, requeue=True) from error

    def _set(self, key: str, value: str | bytes, expires: float | None = None) -> None:
        """Store a result and tell those who wait for it; one command."""
        if self._store is None:
            self._store = self.client.register_script(lua("workers.broker", "result"))
        self._store(
            keys=[key], args=[value, int((self.expires if expires is None else expires) or 0)], client=self.client
        )


class Results:
    """Stores results from the event loop: those of concurrent tasks go together."""

    def __init__(self, client: Redis) -> None:
        """Take a client of the server on which the backend keeps results."""
        self._store = Script(Pipelining.of(client), lua("workers.broker", "result"))

    async def store(self, backend: Any, task_id: str, result: str, state: str, request: Any) -> None:
        """Store what the backend would store, and tell those who wait for it.

        Args:
            backend: Celery's.
            task_id: the task.
            result: what it came to, or what there is to say of it so far, as JSON.
            state: as Celery names it.
            request: its request, for the ids of its group and of its parent.

        Raises:
            redis.RedisError: the server could not be reached, or refused.
        """
        told = backend._get_result_meta(result=None, state=state, traceback=None, request=request)  # noqa: SLF001 - as the backend does
        del told["status"], told["result"]
        # The script reads the state, which comes first. The result is JSON already, and often long.
        text = f'{{"status": "{state}", "result": {result}, {json.dumps({**told, "task_id": task_id})[1:]}'
        await self._store(keys=[backend.get_key_for_task(task_id)], args=[text, int(backend.expires or 0)])
