"""`python -m benchmarks.backfill`: a backfill against the simulated vendor, with kills of driver, workers and broker.

Shows that every line has exactly one result, what the books say, how much memory driver and broker take, how near the
plan's cost was, and how long live jobs of the same project and credential wait meanwhile.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from benchmarks.ground import ROOT, TEXT, Ground, ground, percentile, resident_bytes, wait_for
from tasks.contract import AttemptRecord
from workers.backfill.state import Phase, RedisBackfills, Snapshot
from workers.embedded.simulator import Latency, fingerprint
from workers.engine.records import LOST
from workers.handles import JobHandle
from workers.ledger import UsageReader
from workers.ledger.stream import Cursor, RecordStream

PROJECT = "archive"
NAME = "bench"
#: Seconds between two live jobs.
EVERY = 0.5

MORE = (
    "Then we had lunch in Alfama, and Bea told me of her new flat near the river.",
    "The trains were late again, so that I missed the review of the dashboard; Tomás will show it to me on Monday.",
    "My sister Inês turns thirty in October 2026, and wants to go to the Azores with all of us.",
)


def write_file(path: Path, lines: int) -> None:
    """Bare episodes of several lengths, no two alike but for one in a thousand."""
    dice = random.Random(20261126)  # noqa: S311 - made-up texts
    with path.open("w", encoding="utf-8") as file:
        line = ""
        for number in range(lines):
            if number % 1_000 != 999:  # noqa: PLR2004 - see above
                text = " ".join([TEXT.format(number=number), *dice.choices(MORE, k=dice.randrange(4))])
                line = json.dumps({"id": f"e{number}", "content": text}) + "\n"
            file.write(line)


@dataclass
class Watch:
    """Looks at memory every second, and enqueues a live job now and then."""

    place: Ground
    driver: Callable[[], int | None]
    most: Counter[str] = field(default_factory=Counter)
    #: Seconds that live jobs waited in their lane.
    waits: list[float] = field(default_factory=list)
    unanswered: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the block runs."""
        threads = [threading.Thread(target=work) for work in (self._memory, self._live)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _memory(self) -> None:
        while not self._stop.wait(1):
            try:
                used = int(self.place.client.info("memory")["used_memory"])
            except redis.RedisError:
                continue
            self._keep("broker", used)
            if pid := self.driver():
                try:
                    self._keep("driver", resident_bytes(pid))
                except OSError:
                    continue

    def _keep(self, what: str, amount: int) -> None:
        self.most[what] = max(self.most[what], amount)

    def _live(self) -> None:
        handles: list[JobHandle] = []
        with self.place.producer() as producer:
            number = 0
            while not self._stop.wait(EVERY):
                number += 1
                text = TEXT.format(number=f"live {number}")
                handles.append(producer.enqueue({"project": PROJECT, "episodes": [{"id": "e1", "content": text}]}))
            for handle in handles:
                try:
                    result = handle.result(timeout=120)
                except TimeoutError:
                    self.unanswered += 1
                else:
                    self.waits.append((result.attempts[0].queue_wait_ms or 0) / 1000)


class Driver:
    """The command, started again whenever it was killed."""

    def __init__(self, place: Ground, file: Path, out: Path, *, window: int) -> None:
        self._place = place
        self._command = [sys.executable, "-m", "workers.cli", "backfill", "run", str(file), "--project", PROJECT]
        self._command += ["--name", NAME, "--out", str(out), "--window", str(window), "--json"]
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        with (self._place.folder / "driver.log").open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                self._command, cwd=ROOT, env=self._place.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def kill(self) -> None:
        """As a crash would; then begin again."""
        self.process.kill()
        self.process.communicate()
        self.process = self._start()

    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return self.process.pid if self.process.poll() is None else None


def state_of(place: Ground) -> Snapshot:
    """The backfill as it stands."""
    return RedisBackfills(place.client).open(NAME).load()


def lines_read(place: Ground) -> int:
    """How far it is; 0 while nobody can say."""
    try:
        return state_of(place).sums.get("lines", 0)
    except Exception:  # noqa: BLE001 - not begun yet, or the broker is away
        return 0


def _passed(place: Ground, driver: Driver, mark: int) -> bool:
    return lines_read(place) >= mark or driver.pid() is None


def kill_on_the_way(place: Ground, driver: Driver, lines: int, kills: int) -> None:
    """Kill driver, workers and broker in turn, at even distances."""
    workers = iter(range(10**6))
    for number in range(1, kills + 1):
        mark = lines * number // (kills + 1)
        wait_for(partial(_passed, place, driver, mark), seconds=7_200, every=0.5)
        match number % 3:
            case 1:
                driver.kill()
            case 2:
                place.workers[next(workers)].kill()
                place.start_worker()
            case 0:
                place.valkey.kill()
                time.sleep(2)
                place.valkey.start()
        print(f"  kill {number} of {kills} after {mark:,} lines", flush=True)


def plan_cost(place: Ground, file: Path) -> Decimal:
    """What `byom backfill plan` expects."""
    command = [sys.executable, "-m", "workers.cli", "backfill", "plan", str(file), "--project", PROJECT, "--json"]
    ended = subprocess.run(command, cwd=ROOT, env=place.environment, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout)["options"][0]["cost_usd"]
    return Decimal(str(found["expected"]))


@dataclass(frozen=True)
class Calls:
    """The vendor's books beside the ledger's records, request by request."""

    #: In the vendor's books.
    served: int
    #: Of these, unknown to the ledger: their worker was killed, or the broker lost them with its last second.
    unknown: int
    #: In the ledger as lost: whether the vendor knows them is not known.
    lost: int
    #: Of the ledger's others, unknown to the vendor.
    invented: int
    #: Known to both, with other tokens.
    differing: int


def calls_of(place: Ground, key: str) -> Calls:
    """Compare both."""
    stream = RecordStream(place.client)
    records: dict[str, AttemptRecord] = {}
    cursor = Cursor()
    while (read := stream.read(cursor, count=10_000)).entries:
        for entry in read.entries:
            record = AttemptRecord.model_validate_json(entry.text)
            records[record.request_id or record.id] = record
        cursor = read.cursor
    books = {
        entry.request_id: entry
        for entry in place.books(10**6).entries
        if entry.served and entry.key == fingerprint(key)
    }
    lost = sum(record.status == LOST for record in records.values())
    both = [(books[name], record) for name, record in records.items() if name in books]
    return Calls(
        served=len(books),
        unknown=len(books) - len(both),
        lost=lost,
        invented=len(records) - len(both) - lost,
        differing=sum(
            (entry.usage.input, entry.usage.cached_input, entry.usage.output)
            != (record.usage.input, record.usage.cached_input, record.usage.output)
            for entry, record in both
        ),
    )


def run(options: argparse.Namespace) -> dict[str, str]:
    """The scene; what was measured, in words."""
    found: dict[str, str] = {}
    extra = {"BYOM_USAGE_RECORDS": "1000000"}
    with (
        tempfile.TemporaryDirectory() as temporary,
        ground(Path(options.folder or temporary), latency=Latency(low=0.2, high=0.4), extra=extra) as place,
    ):
        key = place.configure(PROJECT, tpm_capacity=10**9, tpm_refill_per_second=10**8)
        for _ in range(options.workers):
            place.start_worker()
        file, out = place.folder / "archive.jsonl", place.folder / "out.jsonl"
        write_file(file, options.episodes)
        place.warm_up(PROJECT, 200)
        quiet = Watch(place, driver=lambda: None)
        with quiet.watching():
            time.sleep(options.quiet)
        planned = plan_cost(place, file)
        before = int(place.client.info("memory")["used_memory"])
        began = time.monotonic()
        driver = Driver(place, file, out, window=options.window)
        beside = Watch(place, driver=driver.pid)
        with beside.watching():
            kill_on_the_way(place, driver, options.episodes, options.kills)
            said, _ = driver.process.communicate(timeout=7_200)
        seconds = time.monotonic() - began
        if driver.process.returncode:
            log = (place.folder / "driver.log").read_text(encoding="utf-8")
            raise RuntimeError(f"the driver ended with {driver.process.returncode}: {log[-4_000:]}")
        report = json.loads(said)
        expected = {number for number in range(1, options.episodes + 1) if number % 1_000}
        with out.open(encoding="utf-8") as lines:
            rows = Counter(json.loads(line)["line"] for line in lines)
        wait_for(lambda: not place.client.exists("byom.unacked"), seconds=120)
        now = datetime.now(UTC)
        [row] = UsageReader(place.client, now=now).totals(since=now - timedelta(days=1), by=("project",))
        calls = calls_of(place, key)
        actual = Decimal(report["usage"]["cost_usd"])
        snapshot = state_of(place)
        found |= {
            "lines; of these duplicates": f"{report['read']:,}; {report['duplicates']:,}",
            "state": f"{report['state']} ({Phase(snapshot.orders.phase)}), {report['rerun']:,} jobs run again",
            "kills: driver, worker, broker in turn": f"{options.kills}",
            "lines in the sink exactly once": f"{sum(count == 1 for count in rows.values()):,} of {len(expected):,}"
            + (" (and no other)" if rows.keys() == expected else " (NOT THE LINES EXPECTED)"),
            "seconds; lines a second": f"{seconds:,.0f}; {report['read'] / seconds:,.0f}",
            "calls in the vendor's books; in the ledger": f"{calls.served:,}; {row.attempts:,}",
            "of the vendor's, unknown to the ledger": f"{calls.unknown:,}",
            "in the ledger as lost; others unknown to the vendor": f"{calls.lost:,}; {calls.invented:,}",
            "known to both, with other tokens": f"{calls.differing:,}",
            "calls beyond one a line": f"{report['usage']['attempts'] - report['succeeded']:,}",
            "plan's cost; actual, USD": f"{planned:.4f}; {actual:.4f} ({(planned / actual - 1) * 100:+.2f} %)",
            "driver's memory at most, MB": f"{beside.most['driver'] / 1e6:.0f}",
            "broker's memory: before; at most; after, MB": f"{before / 1e6:.0f}; {beside.most['broker'] / 1e6:.0f}; "
            f"{int(place.client.info('memory')['used_memory']) / 1e6:.0f}",
            "live jobs' wait at p95: alone; beside it, s": f"{percentile(quiet.waits, 95):.3f}; "
            f"{percentile(beside.waits, 95):.3f} ({len(beside.waits):,} jobs, {beside.unanswered} unanswered)",
        }
    return found


def main() -> None:
    """Play the scene and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=9, help="driver, worker and broker in turn")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--window", type=int, default=1_000)
    parser.add_argument("--quiet", type=float, default=30, help="seconds of live jobs alone, for comparison")
    parser.add_argument("--folder", help="where to leave files and logs; absent: nowhere")
    options = parser.parse_args()
    table = Table("what", "measured", title=f"A backfill of {options.episodes:,} episodes")
    for what, figure in run(options).items():
        table.add_row(what, figure)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
