"""Everybody who shows the ledger: the command, the database, the export, Flower's page and metrics, the workers'."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.ground import ROOT, Ground
from config.prices import PICO
from tasks.contract import AttemptRecord
from tests.chaos.evidence import Sums, Table
from tests.chaos.stage import CHAINS, Worker
from tests.chaos.verdict import KINDS, table_of
from workers.embedded.valkey import _free_port

#: Sums that everybody shows; the metrics have the cost as a binary fraction, and only nearly.
_NUMBERS: Final = ("attempts", "failed", *KINDS)
_LOGIN: Final = ("operator", "chaos-flower-password")
#: Seconds that Flower's pages may be behind, and that a page may take on a machine that is busy.
_BEHIND, _PATIENCE = 3.0, 30.0


@dataclass(slots=True)
class Watchers:
    """Flower, and a command that writes the ledger to a database, beside a run from its beginning to its end."""

    place: Ground
    flower: "subprocess.Popen[bytes]"
    flower_url: str
    sync: "subprocess.Popen[bytes]"
    #: What was seen of pages and commands, by name: there must be no secret in it.
    seen: dict[str, str] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)

    def tables(self) -> dict[str, Table]:
        """What each shows, now that nothing changes any more."""
        self.sync.send_signal(signal.SIGTERM)
        if self.sync.wait(timeout=60) not in {0, -signal.SIGTERM}:
            self.surprises.append(f"byom usage sync --follow ended with {self.sync.returncode}")
        self._byom("usage", "sync")
        with httpx.Client(base_url=self.flower_url, auth=_LOGIN, timeout=_PATIENCE) as client:
            time.sleep(_BEHIND)
            return {
                "byom usage": self._usage(),
                "byom usage --from sql": self._usage("--from", "sql"),
                "the database": self._database(),
                "byom usage export": self._export(),
                "Flower's page of usage": self._page(client),
                "Flower's metrics": self._metrics(client),
            }

    def _byom(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", *arguments],
            cwd=ROOT,
            env=environment(self.place),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        name = f"byom {' '.join(arguments)}"
        self.seen[name] = done.stdout + done.stderr
        if done.returncode:
            self.surprises.append(f"{name} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _usage(self, *more: str) -> Table:
        text = self._byom("usage", "--by", "project,provider", "--since", "24h", "--json", *more)
        rows: list[dict[str, Any]] = json.loads(text or "[]")
        return {
            (row["project"], row["provider"]): Counter(
                attempts=row["attempts"],
                failed=row["failed"],
                cost_pico=int(Decimal(row["cost_usd"] or 0) * PICO),
                **row["tokens"],
            )
            for row in rows
        }

    def _database(self) -> Table:
        """By plain SQL, which knows none of our code."""
        sums = ", ".join(f"SUM({kind}_tokens)" for kind in KINDS)
        question = (
            f"SELECT project, provider, COUNT(*), SUM(status <> 'ok'), SUM(cost_pico), {sums} "  # noqa: S608 - our names
            "FROM byom_usage_records GROUP BY 1, 2"
        )
        with sqlite3.connect(database(self.place)) as connection:
            rows = connection.execute(question).fetchall()
        connection.close()
        names = ("attempts", "failed", "cost_pico", *KINDS)
        return {(row[0], row[1]): Counter(dict(zip(names, (n or 0 for n in row[2:]), strict=True))) for row in rows}

    def _export(self) -> Table:
        lines = self._byom("usage", "export", "--format", "jsonl").splitlines()
        return table_of(AttemptRecord.model_validate_json(line) for line in lines)

    def _page(self, client: httpx.Client) -> Table:
        table: dict[tuple[str, str], Sums] = {}
        for project in CHAINS:
            page = client.get("/usage.csv", params={"by": "provider", "project": project, "span": "24h"})
            self.seen[f"Flower's usage of {project}"] = page.text
            for row in csv.DictReader(StringIO(page.text)):
                sums = Counter({name: int(row[name]) for name in _NUMBERS})
                sums["cost_pico"] = int(Decimal(row["cost_usd"] or 0) * PICO)
                table[project, row["provider"]] = sums
        return table

    def _metrics(self, client: httpx.Client) -> Table:
        text = client.get("/metrics").text
        self.seen["Flower's metrics"] = text
        table: defaultdict[tuple[str, str], Sums] = defaultdict(Counter)
        for name, labels, value in samples(text):
            if not name.startswith("byom_") or not {"project", "provider"} <= labels.keys():
                continue
            sums = table[labels["project"], labels["provider"]]
            match name:
                case "byom_attempts_total":
                    sums["attempts"] += int(value)
                    sums["failed"] += int(value) if labels["outcome"] == "failed" else 0
                case "byom_tokens_total":
                    sums[labels["type"]] += int(value)
                case "byom_reasoning_tokens_total":
                    sums["reasoning"] += int(value)
        return table


def samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Name, labels and value of everything in a page of metrics."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def counted(workers: Iterable[Worker]) -> dict[str, tuple[int, int, int]]:
    """Worker → attempts by its metrics, and by its own log, at the least and at the most; both begin with its process.

    A job that is tried alone has a process of its own, which logs into the same file and serves no metrics.
    """
    found = {}
    for worker in workers:
        text = httpx.get(f"http://127.0.0.1:{worker.metrics_port}/metrics", timeout=_PATIENCE).text
        by_metrics = sum(
            int(value) for name, _, value in samples(text) if name == "gen_ai_client_operation_duration_seconds_count"
        )
        lines = [json.loads(line) for line in worker.log.read_text("utf-8").splitlines() if line.startswith("{")]
        alone = {line["job_id"] for line in lines if line.get("event") == "job_tried_alone"}
        by_log = [line["job_id"] for line in lines if line.get("event") in {"attempt", "attempt_lost"}]
        least = sum(job not in alone for job in by_log)
        found[f"worker {worker.number}"] = (by_metrics, least, len(by_log))
    return found


def database(place: Ground) -> Path:
    """Where the database is."""
    return place.folder / "usage.db"


def environment(place: Ground) -> dict[str, str]:
    """For commands."""
    return {**place.environment, "BYOM_LEDGER_URL": f"sqlite:///{database(place)}"}


@contextmanager
def watching(place: Ground) -> Iterator[Watchers]:
    """Start to watch; returns once Flower counts."""
    port = _free_port()
    logs = [(place.folder / f"{name}.log").open("wb") for name in ("flower", "sync")]
    commands = (["flower", "--port", str(port)], ["usage", "sync", "--follow"])
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "workers.cli", *command],
            cwd=ROOT,
            env=environment(place) | {"BYOM_FLOWER_AUTH": ":".join(_LOGIN)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        for command, log in zip(commands, logs, strict=True)
    ]
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(url):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Flower did not answer in a minute; its log is {place.folder / 'flower.log'}")
            time.sleep(0.2)
        yield Watchers(place=place, flower=started[0], flower_url=url, sync=started[1])
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in logs:
            log.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/metrics", auth=_LOGIN, timeout=_PATIENCE).is_success
    except httpx.TransportError:
        return False
