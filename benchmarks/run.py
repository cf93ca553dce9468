"""`make bench`: what a job costs, as ratios between arms that run one after the other on the same machine.

All arms call the same simulator (half a second a call) through the same Valkey. CPU is the worker process's own, from
its accounting in /proc, start-up left out. Absolute figures depend on the machine; the ratios are what counts.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from celery import Celery
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.jobs import jobs, prompts
from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.settings import Settings
from config.store import FileStore
from workers.embedded.simulator import Latency, Options, SimulatorProcess
from workers.embedded.valkey import EmbeddedValkey
from workers.producer import Producer

ROOT = Path(__file__).parents[1]
LATENCY = 0.5
IN_FLIGHT = 100
NO_BOUND = 1_000_000_000
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the arms share."""

    valkey: EmbeddedValkey
    simulator: SimulatorProcess
    store: Path
    calls: int

    @property
    def settings(self) -> Settings:
        """For this process."""
        return Settings(broker_url=SecretStr(self.valkey.url), store_url=f"file:{self.store}")

    @property
    def environment(self) -> dict[str, str]:
        """For the workers."""
        return {
            **os.environ,
            "BYOM_BROKER_URL": self.valkey.url,
            "BYOM_STORE_URL": f"file:{self.store}",
            "BYOM_CONCURRENCY": str(IN_FLIGHT),
            "BYOM_LOG_LEVEL": "WARNING",
            "BENCH_BROKER": self.valkey.url,
            "BENCH_BASE_URL": self.simulator.base_urls["openai"],
            "PYTHONPATH": str(ROOT),
            # LiteLLM would fetch prices from the network when it is imported.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


@contextmanager
def worker(bench: Bench, *arguments: str, pool: Sequence[str] = ()) -> Iterator[int]:
    """A worker that is ready; its process id. `pool` are its options where its app does not choose a pool."""
    with tempfile.NamedTemporaryFile("w+b", suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *arguments, "worker", *pool, "-c", str(IN_FLIGHT), "-l", "INFO"],
            cwd=ROOT,
            env=bench.environment | {"BYOM_LOG_LEVEL": "INFO"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while b" ready." not in Path(log.name).read_bytes():
                if process.poll() is not None:
                    raise RuntimeError(Path(log.name).read_text(encoding="utf-8"))
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=60)


def pool_arm(bench: Bench, *, episodes: int) -> float:
    """CPU milliseconds per call in our worker."""
    count = bench.calls // episodes
    with worker(bench, "-A", "workers.app") as pid, Producer.from_settings(bench.settings) as producer:
        for handle in list(producer.enqueue_many(jobs(IN_FLIGHT // episodes, episodes=episodes))):
            handle.result(timeout=120)
        before = cpu_seconds(pid)
        handles = list(producer.enqueue_many(jobs(count, episodes=episodes)))
        for handle in handles:
            handle.result(timeout=300)
        return (cpu_seconds(pid) - before) / (count * episodes) * 1000


def rival_arm(bench: Bench) -> float:
    """CPU milliseconds per call of LiteLLM in a Celery task."""
    rival = Celery(broker=bench.valkey.url, backend=bench.valkey.url)
    with worker(bench, "-A", "benchmarks.litellm_app", pool=("-P", "threads")) as pid:

        def go(count: int) -> None:
            sent = [
                rival.send_task("benchmarks.litellm_app.extract", args=list(prompt), queue="rival")
                for prompt in prompts(count)
            ]
            for result in sent:
                result.get(timeout=600)

        go(IN_FLIGHT)
        before = cpu_seconds(pid)
        go(bench.calls)
        return (cpu_seconds(pid) - before) / bench.calls * 1000


def bare_arm(bench: Bench) -> float:
    """CPU milliseconds per call of a bare loop."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.bare_loop",
            str(bench.calls),
            bench.simulator.base_urls["openai"],
            str(IN_FLIGHT),
        ],
        cwd=ROOT,
        env=bench.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout) / bench.calls * 1000


@dataclass(slots=True, kw_only=True)
class Pace:
    """What enqueueing took so far, in seconds."""

    elapsed: float = 0.0
    #: Of the producer's process and of the broker's.
    cpu: float = 0.0

    @contextmanager
    def measured(self, client: redis.Redis) -> Iterator[None]:
        """Add what happens meanwhile."""
        began, cpu = time.perf_counter(), time.process_time() + _broker_cpu(client)
        yield
        self.elapsed += time.perf_counter() - began
        self.cpu += time.process_time() + _broker_cpu(client) - cpu


def _broker_cpu(client: redis.Redis) -> float:
    told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def enqueue_arms(bench: Bench, *, rounds: int, count: int) -> tuple[Pace, Pace]:
    """Our bulk API, and plain `apply_async` in a loop; in turns, so that both meet the same load."""
    payloads = list(jobs(count))
    plain = Celery(broker=bench.valkey.url, backend=bench.valkey.url)
    signature = plain.signature("plain", queue="plain")
    ours, theirs = Pace(), Pace()
    with Producer.from_settings(bench.settings) as producer, redis.Redis.from_url(bench.valkey.url) as client:
        for _ in range(rounds):
            with ours.measured(client):
                for _handle in producer.enqueue_many(payloads):
                    pass
            with theirs.measured(client):
                for payload in payloads:
                    signature.apply_async(args=[payload])
    return ours, theirs


@contextmanager
def set_up(calls: int) -> Iterator[Bench]:
    """Valkey, simulator and one configured project."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedValkey() as valkey,
        SimulatorProcess(Options(latency=Latency.fixed(LATENCY))) as simulator,
    ):
        store = Path(folder) / "store.json"
        connection = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
        save_project(FileStore(store), "bench")
        save_credential(FileStore(store), project_path("bench"), "main", SecretStr("sk-bench"))
        # What work costs, not how it waits: by default a thousand calls would wait for tokens for ten minutes.
        limits = {"tpm_capacity": NO_BOUND, "tpm_refill_per_second": NO_BOUND}
        where = {"base_url": simulator.base_urls["openai"]}
        save_connection(FileStore(store), project_path("bench"), connection | where | limits)
        yield Bench(valkey=valkey, simulator=simulator, store=store, calls=calls)


def has_rival() -> bool:
    """Whether LiteLLM is installed (`pip install -e '.[bench]'`)."""
    return subprocess.run([sys.executable, "-c", "import litellm"], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Run all arms and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"{' and '.join(_PARTS)}; both when none is named")
    parser.add_argument("--calls", type=int, default=1_000, help="calls of each arm in each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    console = Console(width=110)
    with set_up(options.calls) as bench:
        for name, part in _PARTS.items():
            if not options.parts or name in options.parts:
                part(bench, options.repeats, console)


def _calls(bench: Bench, repeats: int, console: Console) -> None:
    """What a call costs the worker."""
    arms: dict[str, Callable[[Bench], float]] = {
        "bare loop": bare_arm,
        "pool, 10 episodes a job": lambda bench: pool_arm(bench, episodes=10),
        "pool, 1 episode a job": lambda bench: pool_arm(bench, episodes=1),
    }
    if has_rival():
        arms["LiteLLM in a Celery task"] = rival_arm
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats):
        for name, arm in arms.items():
            taken[name].append(arm(bench))
            console.print(f"[dim]{repeat + 1}/{repeats} {name}: {taken[name][-1]:.2f} ms CPU per call[/]")
    table = Table("what", "min", "median", "max", title="CPU per call in the worker, ms")
    for name, figures in taken.items():
        table.add_row(name, *_spread(figures, "{:.2f}"))
    console.print(table)
    ratios = Table("ratio of medians", "measured", "reach")
    median = {name: statistics.median(figures) for name, figures in taken.items()}
    if "LiteLLM in a Celery task" in median:
        rival = median["pool, 1 episode a job"] / median["LiteLLM in a Celery task"]
        ratios.add_row("pool (1 episode) / LiteLLM in a Celery task", f"1/{1 / rival:.1f}", "≤ 1/6")
    else:
        ratios.add_row("pool (1 episode) / LiteLLM in a Celery task", "pip install -e '.[bench]' to measure", "≤ 1/6")
    bare = median["pool, 10 episodes a job"] / median["bare loop"]
    ratios.add_row("pool (10 episodes) / bare loop", f"{bare:.2f} x", "≤ 1.5 x")
    console.print(ratios)


def _enqueueing(bench: Bench, repeats: int, console: Console) -> None:
    """How fast jobs come in."""
    jobs_each = 5_000
    pairs = [enqueue_arms(bench, rounds=10, count=jobs_each // 10) for _ in range(repeats)]
    table = Table("what", "min", "median", "max", "reach", title="Enqueueing")
    for place, name in enumerate(("bulk API", "apply_async in a loop")):
        table.add_row(f"{name}, jobs/s", *_spread([jobs_each / pair[place].elapsed for pair in pairs], "{:,.0f}"), "")
    table.add_row(
        "ratio, in turns", *_spread([slow.elapsed / fast.elapsed for fast, slow in pairs], "{:.1f} x"), "≥ 5 x"
    )
    for place, name in enumerate(("bulk API", "apply_async in a loop")):
        per_job = [pair[place].cpu / jobs_each * 1e6 for pair in pairs]
        table.add_row(f"{name}, CPU of producer and broker per job, µs", *_spread(per_job, "{:.0f}"), "")
    table.add_row("ratio of CPU", *_spread([slow.cpu / fast.cpu for fast, slow in pairs], "{:.1f} x"), "")
    console.print(table)


def _spread(figures: Sequence[float], form: str) -> Iterator[str]:
    """The least, the median and the greatest."""
    return (form.format(figure) for figure in (min(figures), statistics.median(figures), max(figures)))


_PARTS: dict[str, Callable[[Bench, int, Console], None]] = {"calls": _calls, "enqueue": _enqueueing}


if __name__ == "__main__":
    main()
