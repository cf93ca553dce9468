"""A whole pool on this machine: Valkey, simulator, store, and worker processes."""

import base64
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.settings import Settings
from config.store import FileStore
from workers.embedded.simulator import SimulatorThread
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue.producer import Producer

ROOT = Path(__file__).parents[3]

#: Stands in every episode; must never be seen where only operators look.
CANARY = "canary-episode-text-5150"
#: The credential of project `acme`; must never be seen at all.
SECRET_KEY = "sk-canary-secret-6021"


#: Type of a key → how to read all of it.
_READERS: dict[Any, Callable[[redis.Redis, bytes], Any]] = {
    # Gone since the scan came by; its name still counts.
    b"none": lambda client, key: client.exists(key),
    b"string": lambda client, key: client.get(key),
    b"hash": lambda client, key: client.hgetall(key),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"set": lambda client, key: client.smembers(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    b"stream": lambda client, key: client.xrange(key),
}


def holds(data: bytes, text: str) -> bool:
    """Whether `text` is in there, plainly or inside something that was encoded as base64, as message bodies are."""
    raw = text.encode()
    spellings = [raw]
    for shift in range(3):
        # Only the characters that none of the neighbouring bytes has a part in.
        first, last = -(-shift * 8 // 6), (shift + len(raw)) * 8 // 6
        spellings.append(base64.b64encode(b"x" * shift + raw)[first:last])
    return any(spelling in data for spelling in spellings)


def wait_until(condition: Any, *, seconds: float = 30, every: float = 0.05) -> Any:
    """What `condition` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        # A process is being waited for, not a clock.
        threading.Event().wait(every)
    raise AssertionError(f"still not so after {seconds} s")


def everything_in(client: redis.Redis) -> bytes:
    """All keys and values of a server, as they are."""
    found: list[bytes] = []
    keys = list(client.scan_iter(count=1_000))
    for first in range(0, len(keys), 500):
        some = keys[first : first + 500]
        pipeline: Any = client.pipeline(transaction=False)
        for key in some:
            pipeline.type(key)
        kinds = pipeline.execute()
        for key, kind in zip(some, kinds, strict=True):
            _READERS[kind](pipeline, key)
        values = pipeline.execute(raise_on_error=False)
        found += [part for key, value in zip(some, values, strict=True) for part in (key, repr(value).encode())]
    return b"\n".join(found)


@dataclass
class Pool:
    """Valkey, simulator and store; workers come and go."""

    valkey: EmbeddedValkey
    simulator: SimulatorThread
    store_path: Path
    logs: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    #: Settings of workers to come.
    extra: dict[str, str] = field(default_factory=dict)
    #: Seconds that jobs wait on their last connection; long enough to be seen, short enough to be waited for.
    max_wait: float = 1.0

    @property
    def environment(self) -> dict[str, str]:
        """For processes of the pool."""
        return {
            **os.environ,
            "BYOM_BROKER_URL": self.valkey.url,
            "BYOM_STORE_URL": f"file:{self.store_path}",
            "BYOM_CONCURRENCY": "8",
            "BYOM_VISIBILITY_TIMEOUT": "10",
            "BYOM_CONFIG_CACHE_TTL": "0",
            "BYOM_MAX_WAIT": str(self.max_wait),
            "BYOM_LOG_LEVEL": "DEBUG",
            **self.extra,
        }

    @property
    def settings(self) -> Settings:
        """For this process."""
        return Settings(
            broker_url=SecretStr(self.valkey.url), store_url=f"file:{self.store_path}", max_wait=self.max_wait
        )

    def configure(self) -> None:
        """Project `acme`: OpenAI, then a compatible server. `solo`: OpenAI alone."""
        self.add_project("acme", backup=True)
        self.add_project("solo")

    def add_project(self, project: str, *, secret: str = SECRET_KEY, backup: bool = False, **fields: Any) -> None:
        """A project of account `acme-inc` on OpenAI, with a compatible server behind it if it has a `backup`.

        `fields` are the primary's.
        """
        store, scope = FileStore(self.store_path), project_path(project)
        primary = {"provider": "openai", "model": "gpt-6-luna", "credential": "main", **fields}
        save_project(store, project, account="acme-inc")
        save_credential(store, scope, "main", SecretStr(secret))
        base_url = self.simulator.base_urls["openai"]
        save_connection(store, scope, {"name": "primary", "base_url": base_url, **primary})
        if backup:
            fallback = {"provider": "openai_compatible", "model": "local", "role": "fallback"}
            base_url = self.simulator.base_urls["compatible"]
            save_connection(store, scope, {"name": "backup", "base_url": base_url, **fallback})

    def byom(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command with the pool's settings, and further ones; it may fail."""
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker that is ready."""
        return self.ready(self.launch_worker())

    def launch_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """A worker that is not ready yet, with further options of Celery's command."""
        name = f"w{len(self.workers)}@test"
        with self._log(len(self.workers)).open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-n", name, *options],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        return worker

    def ready(self, worker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """The same worker, as soon as it is ready."""
        log = self._log(self.workers.index(worker))
        wait_until(lambda: b" ready." in log.read_bytes() or worker.poll() is not None, seconds=90)
        assert worker.poll() is None, log.read_text()
        return worker

    def _log(self, number: int) -> Path:
        return self.logs / f"worker-{number}.log"

    def worker_logs(self) -> str:
        """All that workers logged."""
        return "\n".join(log.read_text() for log in sorted(self.logs.glob("worker-*.log")))

    def everything_in_valkey(self) -> bytes:
        """All keys and values, as they are."""
        with redis.Redis.from_url(self.valkey.url) as client:
            return everything_in(client)

    def forget_meters(self) -> None:
        """What one test taught the meters, an open breaker above all, is not the next one's."""
        with redis.Redis.from_url(self.valkey.url) as client:
            for key in list(client.scan_iter(match="byom:{*")):
                client.delete(key)

    def producer(self) -> Producer:
        """Close it."""
        return Producer.from_settings(self.settings)

    def stop_workers(self) -> None:
        """All of them, in good order."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(timeout=30)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


@contextmanager
def running_pool(folder: Path) -> Iterator[Pool]:
    """A configured pool without workers yet."""
    with EmbeddedValkey() as valkey, SimulatorThread() as simulator:
        pool = Pool(valkey=valkey, simulator=simulator, store_path=folder / "store.json", logs=folder)
        pool.configure()
        try:
            yield pool
        finally:
            pool.stop_workers()
            # Results of Celery unsubscribe when they go: not from a broker that is gone by then, in a later test.
            gc.collect()


def job(text: str = "Ada moved to Lisbon in May 2026.", **changes: Any) -> dict[str, Any]:
    """A job of project `acme` with the canary in its episode."""
    return {"project": "acme", "episodes": [{"id": "e1", "content": f"{text} ({CANARY})"}]} | changes
