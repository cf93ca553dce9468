"""docs/python.md: its snippets run as one program, against a broker on which somebody does the jobs."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from config.connections import project_path, save_connection, save_project
from config.store import FileStore
from tasks.contract import ExtractionFailed, Failure, FailureCode
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Lanes

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.integration


class Doer(threading.Thread):
    """Ends all jobs that wait, well; every hundredth badly."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._stop_asked = threading.Event()
        self.done = 0

    def run(self) -> None:
        while not self._stop_asked.wait(0.01):
            for lane in Lanes(self._client).names():
                while entry := cast("bytes | None", self._client.rpop(lane.jobs)):
                    self._end(json.loads(entry.split(b"\n", 1)[1])["headers"]["id"])

    def _end(self, job_id: str) -> None:
        self.done += 1
        state: str = "SUCCESS"
        result: dict[str, Any] = {
            "job_id": job_id,
            "project": "acme",
            "status": "succeeded",
            "usage": {"attempts": 1},
            "episodes": [],
        }
        if self.done % 100 == 0:
            failure = Failure(code=FailureCode.PROVIDER_UNAVAILABLE, message="it is down").as_error()
            state = "FAILURE"
            result = {
                "exc_type": ExtractionFailed.__name__,
                "exc_module": ExtractionFailed.__module__,
                "exc_message": list(failure.args),
            }
        meta: dict[str, Any] = {"task_id": job_id, "status": state, "result": result, "traceback": None, "children": []}
        self._client.set(f"celery-task-meta-{job_id}", json.dumps(meta))

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


@pytest.fixture
def doer(valkey_client: redis.Redis) -> Iterator[Doer]:
    doer = Doer(valkey_client)
    doer.start()
    yield doer
    doer.stop()


def test_the_snippets_of_the_page_do_what_it_says(doer: Doer, valkey: EmbeddedValkey, tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store.json")
    save_project(store, "acme")
    save_connection(
        store,
        project_path("acme"),
        {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "key"},
    )

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(SNIPPETS)],
        cwd=ROOT,
        env={"BYOM_BROKER_URL": valkey.url, "BYOM_STORE_URL": f"file:{store.path}", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    first, many, known, *failed, waited, awaited, all_awaited = done.stdout.splitlines()
    assert (first, many, known) == ("succeeded 0", "1000 0", "True True")
    assert {line.split()[1] for line in failed} == {"provider_unavailable"}
    assert len(failed) == 10
    assert (waited, awaited, all_awaited) == ("1000 0", "succeeded", "1000 0")
    assert doer.done == 1_002
