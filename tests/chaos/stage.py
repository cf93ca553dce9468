"""What chaos takes place on: projects on several providers, workers that are killed and started again, and a broker.

Valkey (with its append-only file), store and simulator are those of `benchmarks.ground`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from benchmarks.ground import ROOT, Ground
from config.catalogue import load_catalogue
from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from tasks.contract import ProviderKind, Role
from tests.chaos.clocks import Clock
from tests.chaos.keys import environment, key_of, set_terms, workers_key
from tests.chaos.plan import Sentence, What
from workers.configuration.effect import put_into_force
from workers.embedded.simulator.wire import MOUNTS, stand_in

OPENAI, AZURE = ProviderKind.OPENAI, ProviderKind.AZURE_OPENAI
COMPATIBLE, ANTHROPIC, GEMINI = ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC, ProviderKind.GEMINI
VERTEX, BEDROCK = ProviderKind.VERTEX, ProviderKind.BEDROCK

#: Project → its chain of providers.
CHAINS: Final[Mapping[str, tuple[ProviderKind, ...]]] = {
    "alder": (OPENAI, COMPATIBLE),
    "birch": (ANTHROPIC, OPENAI),
    "cedar": (GEMINI, COMPATIBLE),
    "dogwood": (AZURE, ANTHROPIC),
    # Scarce: its jobs wait in their lane. Alone: its jobs have nowhere else to go.
    "elm": (OPENAI,),
    "fir": (COMPATIBLE,),
    # With tokens that are lent, sessions that are lent, and requests that are signed.
    "ginkgo": (VERTEX, BEDROCK),
    "hazel": (BEDROCK, VERTEX),
    "iris": (VERTEX,),
    "juniper": (BEDROCK,),
}
#: Connections that have a role instead of keys.
ROLES: Final = frozenset({("ginkgo", "backup"), ("juniper", "primary")})
#: Limits of projects that have any.
LIMITS: Final[Mapping[str, Mapping[str, int]]] = {
    "elm": {"max_concurrency": 6, "tpm_capacity": 40_000, "tpm_refill_per_second": 20_000}
}
_WIDE: Final = {"tpm_capacity": 100_000_000, "tpm_refill_per_second": 1_000_000}
#: How the paths of the simulated vendors begin, by kind; and of those beside them who give tokens and sessions.
VENDORS: Final[Mapping[ProviderKind, str]] = {
    kind: stand_in(kind).prefix.removeprefix("/") for kind in {kind for chain in CHAINS.values() for kind in chain}
}
LENDERS: Final = tuple(mount.prefix.removeprefix("/") for mount in MOUNTS if mount.provider is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connection: whose calls those with its key are."""

    project: str
    connection: str
    provider: ProviderKind
    role: Role
    #: Parts of its credential, which must be seen nowhere.
    marks: Sequence[str] = field(repr=False, default=())


def configure(place: Ground, *, workers: int) -> dict[str, Link]:
    """Save all projects; the connection of each key, by the fingerprint under which the simulator books it."""
    store, urls = place.store, place.simulator.base_urls
    models = {facts.provider: facts.id for facts in load_catalogue() if facts.recommended} | {COMPATIBLE: "local"}
    links: dict[str, Link] = {}
    for project, chain in CHAINS.items():
        scope = project_path(project)
        save_project(store, project)
        for number, provider in enumerate(chain):
            name, role = ("backup", Role.FALLBACK) if number else ("primary", Role.PRIMARY)
            key = key_of(provider, f"{project}-{name}", role=(project, name) in ROLES)
            set_terms(place.simulator, f"{project}-{name}", key)
            save_credential(store, scope, name, SecretStr(key.secret))
            document = {"name": name, "provider": provider.value, "model": models[provider], "credential": name}
            document |= {"role": role.value, "base_url": urls[stand_in(provider).name]}
            save_connection(store, scope, {**document, **_WIDE, **LIMITS.get(project, {})})
            links[key.fingerprint] = Link(
                project=project, connection=name, provider=provider, role=role, marks=tuple(key.marks)
            )
        put_into_force(place.client, store, scope, trust=False)
    for number in range(workers):
        set_terms(place.simulator, f"worker {number}", workers_key(number))
    return links


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A worker was torn from its work."""

    #: Unix time at which it was seen, or done.
    at: float
    worker: int
    #: `kill`, `term` or `stop`; with the point of an attempt, where it did that to itself: `kill at claimed`.
    how: str


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker of the pool, whichever process it is at the time."""

    place: Ground
    number: int
    metrics_port: int
    process: "subprocess.Popen[bytes] | None" = None
    #: How often it was started.
    starts: int = 0
    sentence: Sentence | None = None
    #: How it was stopped; empty while it runs.
    stopped: str = ""
    #: Whether it was asked to end, and is started again when it has.
    terminating: bool = False
    deaths: list[Death] = field(default_factory=list)

    @property
    def clock(self) -> Clock:
        """Its wall clock."""
        return Clock(self.place.folder, f"worker-{self.number}")

    @property
    def log(self) -> Path:
        """Where the process that runs now logs; each has a file of its own."""
        return self.place.folder / f"worker-{self.number}-{self.starts - 1}.log"

    @property
    def is_up(self) -> bool:
        """Whether there is a process, stopped or not."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether it takes jobs."""
        return self.is_up and b" ready." in self.log.read_bytes()

    def start(self, sentence: Sentence | None = None) -> None:
        """Start a process; it may have something before it that it does to itself."""
        self.sentence, self.stopped, self.terminating = sentence, "", False
        self.starts += 1
        extra = {"BYOM_METRICS_PORT": str(self.metrics_port)} | ({"CHAOS_DIES": str(sentence)} if sentence else {})
        # As `byom worker` starts them, and as Celery's own command does.
        how = ("celery", "-A", "workers.app", "worker") if self.number % 2 else ("workers.celery_worker",)
        command = [sys.executable, "-m", *how, "-E", "-n", f"w{self.number}@chaos", "--include", "tests.chaos.dying"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={
                    **self.place.environment,
                    **environment(self.place.simulator, self.number),
                    **self.clock.environment,
                    **extra,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is anyone to get it."""
        if self.process is not None and self.is_up:
            if number is signal.SIGCONT and self.stopped:
                self.deaths.append(Death(at=time.time(), worker=self.number, how=self.stopped))
            if number in {signal.SIGSTOP, signal.SIGCONT}:
                self.stopped = "stop" if number is signal.SIGSTOP else ""
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it without a word, if it runs."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self._ended("kill")

    def reap(self) -> str | None:
        """See whether it ended by itself; what is wrong with that, if anything is."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        if self.sentence is not None and code == self.sentence.leaves:
            self._ended(self.sentence.told)
            return None
        self.process = None
        return f"worker {self.number} ended by itself with {code}; its log is {self.log}"

    def stopped_itself(self) -> bool:
        """Whether it has just stopped at the point at which it was to; `sentence` says for how long."""
        if self.process is None or self.stopped or self.sentence is None or self.sentence.how is not What.STOP:
            return False
        if os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self.stopped = self.sentence.told
        return True

    def ended_well(self) -> bool:
        """Whether it has ended after SIGTERM; that counts as a death, since it may have given up calls."""
        if self.process is None or self.process.poll() is None:
            return False
        self._ended("term")
        return True

    def _ended(self, how: str) -> None:
        assert self.process is not None
        self.process.wait()
        self.process = None
        self.deaths.append(Death(at=time.time(), worker=self.number, how=how))

    def stop(self) -> None:
        """End it in good order, at the end of everything."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.process is not None:
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass(slots=True)
class Broker:
    """The broker, as it is disturbed."""

    place: Ground
    #: Why it cannot be used now; None when it can.
    away: str | None = None
    full: bool = False

    def stop(self) -> None:
        """In good order."""
        self.away = "restart"
        self.place.valkey.stop()

    def crash(self) -> None:
        """As when its machine dies; what it wrote to its file is there."""
        self.away = "crash"
        self.place.valkey.kill()

    def start(self) -> None:
        """On the same port, with the same data."""
        self.place.valkey.start()
        self.away = None

    def freeze(self) -> None:
        """Answer nobody."""
        self.away = "freeze"
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)
        self.away = None

    def fill(self) -> None:
        """Have no memory left but for what is there already."""
        self.full = True
        self.place.client.config_set("maxmemory", int(self.place.client.info("memory")["used_memory"]) + 1)

    def empty(self) -> None:
        """Have enough again."""
        self.place.client.config_set("maxmemory", 0)
        self.full = False

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self.place.valkey.pid) is not None:
            os.kill(pid, number)


@dataclass(slots=True)
class Store:
    """The store, as it is disturbed."""

    place: Ground
    is_away: bool = False

    @property
    def _path(self) -> Path:
        return self.place.folder / "store.json"

    def hide(self) -> None:
        """Let nobody read it: a directory stands in its place."""
        self.is_away = True
        self._path.rename(self._path.with_suffix(".away"))
        self._path.mkdir()

    def show(self) -> None:
        """As it was."""
        self._path.rmdir()
        self._path.with_suffix(".away").rename(self._path)
        self.is_away = False
