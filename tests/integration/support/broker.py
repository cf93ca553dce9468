"""Workers of the test app as real processes, and what they leave behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from config.settings import Settings
from tasks.contract import ENTRY_QUEUE, ProviderKind, provider_queue
from workers.app import create_app
from workers.embedded.valkey import EmbeddedValkey

ROOT = Path(__file__).parents[3]

#: A queue whose messages may name their lane; those of the entry queue may not.
LANES = provider_queue(ProviderKind.OPENAI)


class Bench:
    """One broker, the workers on it, and a producer."""

    def __init__(self, valkey: EmbeddedValkey, folder: Path) -> None:
        self.valkey = valkey
        self.app: Celery = create_app(Settings.model_validate({"broker_url": valkey.url}))
        self.client = redis.Redis.from_url(valkey.url)
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []

    def start_worker(
        self, *options: str, visibility: float = 600, concurrency: int = 4, log_level: str = "INFO"
    ) -> subprocess.Popen[bytes]:
        """A worker that is ready to work."""
        number = len(self._workers)
        log = self._folder / f"{number}.log"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BYOM_")},
            "BYOM_BROKER_URL": self.valkey.url,
            "BYOM_CONCURRENCY": str(concurrency),
            "BYOM_LOG_LEVEL": log_level,
            "TEST_VISIBILITY": str(visibility),
        }
        quick = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "--quiet", "-A", "tests.integration.support.broker_app"),
                    *(
                        "worker",
                        "--queues",
                        f"{ENTRY_QUEUE},{LANES}",
                        "--hostname",
                        f"w{number}@test",
                        *quick,
                        *options,
                    ),
                ],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(worker)
        wait_until(lambda: b" ready." in log.read_bytes(), log.read_text)
        return worker

    def send(self, task: str, project: str, **job: Any) -> Any:
        """Publish one job."""
        return self.app.send_task(task, args=[{"project": project, **job}])

    def counts(self, what: str) -> dict[str, int]:
        """How often each project was counted."""
        found: dict[Any, Any] = self.client.hgetall(f"test.{what}")
        return {name.decode(): int(count) for name, count in found.items()}

    def logs(self) -> str:
        """All that workers said."""
        return "\n".join(log.read_text() for log in sorted(self._folder.glob("*.log")))

    def idle(self) -> bool:
        """Whether no message waits or is held."""
        return not self.client.exists(ENTRY_QUEUE, LANES, "byom.unacked", "byom.unacked_index")

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self._workers:
            worker.kill()
            worker.wait()
        self.client.close()
        self.app.close()


@contextmanager
def bench_on(valkey: EmbeddedValkey, folder: Path) -> Iterator[Bench]:
    """A bench that is cleared away afterwards."""
    bench = Bench(valkey, folder)
    try:
        yield bench
    finally:
        bench.close()


def wait_until(done: Callable[[], bool], story: Callable[[], str] = str, timeout: float = 30) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, story()
        time.sleep(0.02)
