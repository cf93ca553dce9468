"""A pool to measure on: a Valkey, a simulator in a process of its own, a store, and worker processes."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from pydantic import SecretStr

from config.connections import ProjectProfile, account_path, project_path, save_connection
from config.connections.profiles import write_project
from config.credentials import save_credential
from config.settings import Settings
from config.store import FileStore
from workers.configuration.effect import put_into_force
from workers.embedded.simulator import Account, BooksReport, Entry, Latency, Options, SimulatorProcess, fingerprint
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue.producer import Producer
from workers.lanes.control import Lanes

ROOT = Path(__file__).parents[1]
_TICK = os.sysconf("SC_CLK_TCK")

#: Limits for measuring what work costs, not how it waits: by default a thousand calls would wait for ten minutes.
UNBOUND: Mapping[str, Any] = {"tpm_capacity": 1_000_000_000, "tpm_refill_per_second": 1_000_000_000}

#: About a thousand tokens with the instructions, as a message of some length has.
TEXT = (
    "We spoke about the move again. I left Porto in March 2026 and live in Lisbon now, and since June I work at Figma "
    "as an analyst. Bea still lives in Porto; she is allergic to peanuts. Number {number}."
)


def jobs(project: str, count: int, **fields: Any) -> Iterator[dict[str, Any]]:
    """`count` jobs of a project, no two alike."""
    for number in range(count):
        yield {"project": project, "episodes": [{"id": "e1", "content": TEXT.format(number=number)}], **fields}


def wait_for(condition: Callable[[], Any], *, seconds: float = 60, every: float = 0.05) -> Any:
    """What `condition` returns as soon as that is true.

    Raises:
        TimeoutError: it did not become true.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise TimeoutError(f"still not so after {seconds} s")


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of all do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_bytes(pid: int) -> int:
    """Memory that a process has resident."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def most_resident_bytes(pid: int) -> int:
    """The most memory that a process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1_024
    raise RuntimeError(f"process {pid} does not say how much memory it had")


def server_cpu_seconds(client: redis.Redis) -> float:
    """CPU that a broker has used so far."""
    told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def broker_version() -> str:
    """Name and version of the broker that grounds have, and its allocator, which its CPU depends on."""
    with EmbeddedValkey() as valkey, redis.Redis.from_url(valkey.url) as client:
        told, allocator = client.info("server"), client.info("memory")["mem_allocator"]
    name, version = ("Valkey", "valkey_version") if "valkey_version" in told else ("Redis", "redis_version")
    return f"{name} {told[version]} ({allocator})"


@dataclass(kw_only=True)
class Ground:
    """What scenes take place on; workers come and go."""

    valkey: EmbeddedValkey
    simulator: SimulatorProcess
    folder: Path
    client: redis.Redis
    #: Settings of workers to come, as variables of the environment.
    extra: dict[str, str] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def store(self) -> FileStore:
        """The configuration."""
        return FileStore(self.folder / "store.json")

    @property
    def settings(self) -> Settings:
        """For this process."""
        return Settings(
            broker_url=SecretStr(self.valkey.url),
            store_url=f"file:{self.folder / 'store.json'}",
            audit_log=str(self.folder / "audit.jsonl"),
        )

    @property
    def environment(self) -> dict[str, str]:
        """For processes of the pool."""
        return {
            **os.environ,
            "BYOM_BROKER_URL": self.valkey.url,
            "BYOM_STORE_URL": f"file:{self.folder / 'store.json'}",
            "BYOM_AUDIT_LOG": str(self.folder / "audit.jsonl"),
            "BYOM_CONCURRENCY": "50",
            "BYOM_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            **self.extra,
        }

    @property
    def lanes(self) -> Lanes:
        """The lanes of the pool."""
        return Lanes(self.client)

    def producer(self) -> Producer:
        """Close it."""
        return Producer.from_settings(self.settings)

    def configure(
        self,
        project: str,
        *,
        account: str | None = None,
        backup: bool = False,
        profile: Mapping[str, Any] | None = None,
        vendor: Mapping[str, Any] | None = None,
        **limits: Any,
    ) -> str:
        """A project with a credential of its own, or on that of its account; the key.

        Args:
            project: its name.
            account: whose connection the project uses; its key, limits and vendor's limits are given each time.
            backup: whether there is a fallback without any limits.
            profile: what is set for the project as a whole.
            vendor: what the simulated vendor grants the key; unlimited where it is not said.
            limits: fields of the connection.
        """
        store, key = self.store, f"sk-bench-{account or project}"
        write_project(store, project, ProjectProfile.model_validate({"account": account, **(profile or {})}))
        scope = account_path(account) if account else project_path(project)
        save_credential(store, scope, "main", SecretStr(key))
        urls = self.simulator.base_urls
        primary = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
        save_connection(store, scope, {**primary, "base_url": urls["openai"], **limits})
        if backup:
            other = {"name": "backup", "provider": "openai_compatible", "model": "local", "role": "fallback"}
            save_connection(store, scope, {**other, "base_url": urls["compatible"]})
        # As all commands do: the meter knows its limits before the first job asks.
        put_into_force(self.client, store, scope, trust=False)
        self.simulator.put_account(Account.model_validate({"key": key, **(vendor or {})}))
        return key

    def start_worker(self, app: str = "workers.app", *arguments: str) -> subprocess.Popen[bytes]:
        """A worker that is ready.

        Args:
            app: the module of its app.
            arguments: further ones of the command.

        Raises:
            RuntimeError: it ended; with its log.
        """
        log = self.log(len(self.workers))
        # Ours as `byom worker` starts it.
        how = ("workers.celery_worker",) if app == "workers.app" else ("celery", "-A", app, "worker")
        command = [sys.executable, "-m", *how]
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [*command, "-n", f"w{len(self.workers)}@bench", "-E", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        wait_for(lambda: b" ready." in log.read_bytes() or worker.poll() is not None)
        if worker.poll() is not None:
            raise RuntimeError(log.read_text(encoding="utf-8"))
        return worker

    def log(self, number: int) -> Path:
        """Where a worker logs."""
        return self.folder / f"worker-{number}.log"

    def stop_workers(self) -> None:
        """All of them, in good order."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(timeout=30)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def books(self, entries: int = 0) -> BooksReport:
        """What the vendors served."""
        return self.simulator.books(entries=entries)

    def served(self, key: str) -> int:
        """Calls that were answered for a key; lighter than the entries, so that looking often slows nobody."""
        return sum(total.served for total in self.books().totals if total.key == fingerprint(key))

    def calls(self, project: str) -> list[Entry]:
        """What the vendors met of a project, oldest first."""
        return [entry for entry in self.books(200_000).entries if entry.tags.get("project") == project]

    def drain(self) -> None:
        """Throw away what waits, and wait for what runs."""
        for lane in self.lanes.names():
            self.lanes.clear(lane.queue)
        wait_for(lambda: not self.client.exists("byom.unacked"))

    def fresh_books(self) -> None:
        """New books, once no call is under way."""
        wait_for(lambda: not self.client.exists("byom.unacked"))
        self.simulator.reset()

    def warm_up(self, project: str, count: int = 40) -> float:
        """Let a meter learn what jobs take; tokens of one job."""
        with self.producer() as producer:
            for handle in list(producer.enqueue_many(jobs(project, count))):
                handle.result(timeout=60)
        calls = self.calls(project)
        return statistics.fmean(call.usage.total for call in calls if call.served)


@contextmanager
def ground(
    folder: Path | None = None,
    *,
    latency: Latency | None = None,
    broker: EmbeddedValkey | None = None,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Ground]:
    """A pool without projects and workers.

    Args:
        folder: for the store and logs; a temporary one unless given.
        latency: of the simulated models.
        broker: not started yet; one that keeps nothing unless given.
        extra: settings of workers, such as `BYOM_CONCURRENCY`.
    """
    with (
        tempfile.TemporaryDirectory() as temporary,
        broker or EmbeddedValkey() as valkey,
        SimulatorProcess(Options(latency=latency or Latency(low=0.2, high=0.4))) as simulator,
        redis.Redis.from_url(valkey.url) as client,
    ):
        place = Ground(
            valkey=valkey, simulator=simulator, folder=folder or Path(temporary), client=client, extra=dict(extra or {})
        )
        try:
            yield place
        finally:
            place.stop_workers()
