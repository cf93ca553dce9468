"""Results that come in while somebody looks."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fakeredis
import pytest

from config.settings import Settings
from workers.app import create_app
from workers.handles import JobHandle, Results
from workers.handles.results import Told

RESULT = {"version": 1, "project": "acme", "status": "succeeded", "usage": {"attempts": 1}, "episodes": []}


class Scripted(Results):
    """The result store, in which something happens before each look."""

    def __init__(self) -> None:
        self.server = fakeredis.FakeRedis()
        super().__init__(create_app(Settings()), self.server)
        #: What happens before each look to come.
        self.script: list[Callable[[], None]] = []
        self.looks = 0
        #: How often each job was asked for.
        self.asked: Counter[str] = Counter()

    def read(self, job_ids: Sequence[str]) -> Iterator[tuple[str, Told]]:
        self.looks += 1
        self.asked.update(job_ids)
        if self.script:
            self.script.pop(0)()
        return super().read(job_ids)

    def handles(self, *names: str) -> list[JobHandle]:
        return [JobHandle(name, self) for name in names]

    def store(self, job_id: str, state: str, result: Any) -> None:
        meta = {"task_id": job_id, "status": state, "result": result, "traceback": None, "children": []}
        self.server.set(f"celery-task-meta-{job_id}", json.dumps(meta))

    def succeed(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.store(job_id, "SUCCESS", RESULT | {"job_id": job_id})

    def fail(self, job_id: str, kind: str = "ExtractionFailed", module: str = "tasks.contract.errors") -> None:
        message = ["it failed", {"code": "provider_unavailable", "message": "it failed"}]
        self.store(job_id, "FAILURE", {"exc_type": kind, "exc_module": module, "exc_message": message})


@pytest.fixture
def results() -> Scripted:
    return Scripted()


def names(handles: Sequence[JobHandle]) -> list[str]:
    return [handle.id for handle in handles]
