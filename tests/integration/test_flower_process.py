"""`byom flower` beside a real worker: its pages and metrics say what the provider billed, and no secret."""

import csv
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.support.pool import CANARY, ROOT, SECRET_KEY, Pool, job, running_pool, wait_until
from workers.embedded.simulator import FaultRule, Injection
from workers.embedded.valkey import _free_port

pytestmark = pytest.mark.integration

LOGIN = ("operator", "a-password")


@dataclass
class Watched:
    """A pool that has worked, and Flower."""

    pool: Pool
    flower: httpx.Client
    #: Of the worker.
    metrics_url: str
    jobs: int


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    port, metrics_port = _free_port(), _free_port()
    with running_pool(tmp_path_factory.mktemp("pool")) as pool:
        pool.extra |= {"BYOM_METRICS_PORT": str(metrics_port)}
        log = (pool.logs / "flower.log").open("wb")
        flower = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "flower", "--port", str(port)],
            cwd=ROOT,
            env=pool.environment | {"BYOM_FLOWER_AUTH": ":".join(LOGIN)},
            stdout=log,
            stderr=log,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=LOGIN, timeout=20) as client:
                pool.start_worker()
                wait_until(lambda: answers(client))
                with pool.producer() as producer:
                    handles = list(producer.enqueue_many(job() for _ in range(6)))
                    done = [handle.result(timeout=60) for handle in handles]
                    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503, prefix="/openai/"))
                    handles = list(producer.enqueue_many(job() for _ in range(6)))
                    done += [handle.result(timeout=60) for handle in handles]
                yield Watched(pool, client, f"http://127.0.0.1:{metrics_port}/metrics", len(done))
        finally:
            flower.send_signal(signal.SIGTERM)
            code = flower.wait(timeout=20)
            log.close()
    assert code == 0, (pool.logs / "flower.log").read_text()


def answers(client: httpx.Client) -> bool:
    """Whether Flower is there, and has begun to count."""
    try:
        return client.get("/metrics").is_success
    except httpx.TransportError:
        return False


def samples(text: str, name: str) -> dict[str, float]:
    """Labels as text → value, of the samples of one name."""
    return {
        str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_csv_metrics_and_the_worker_agree_with_the_provider_to_the_token(watched: Watched) -> None:
    billed = watched.pool.simulator.books().billed

    def table() -> dict[str, dict[str, str]]:
        page = watched.flower.get("/usage.csv", params={"by": "role"})
        return {row["role"]: row for row in csv.DictReader(StringIO(page.text))}

    def total(*columns: str) -> int:
        return sum(int(row[column]) for row in table().values() for column in columns)

    # Pages are at most two seconds old.
    wait_until(lambda: total("output") == billed.output, seconds=5)
    rows = table()
    tokens = samples(watched.flower.get("/metrics").text, "byom_tokens_total")
    worker = httpx.get(watched.metrics_url).text
    counted = samples(worker, "gen_ai_client_token_usage_sum")

    assert total("input", "cached_input", "cache_write") == billed.input + billed.cached_input + billed.cache_write
    assert sum(value for labels, value in tokens.items() if "'output'" in labels) == billed.output
    assert sum(value for labels, value in counted.items() if "'output'" in labels) == billed.output
    assert int(rows["fallback"]["attempts"]) > 0
    assert int(rows["primary"]["failed"]) > 0
    assert sum(samples(worker, "byom_jobs_total").values()) == watched.jobs


def test_connections_are_known_with_their_limits_and_versions(watched: Watched) -> None:
    def shown() -> str:
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", watched.flower.get("/providers").text))

    # Pages are at most two seconds old.
    wait_until(lambda: "openai · gpt-6-luna" in shown(), seconds=5)
    page = shown()
    assert "project acme, primary" in page
    assert "90k tokens/min" in page
    assert "version 1, used since" in page


def test_nothing_that_operators_look_at_holds_text_or_secrets(watched: Watched) -> None:
    seen = [httpx.get(watched.metrics_url).text, (watched.pool.logs / "flower.log").read_text()]
    for path in ("/usage", "/usage?by=credential_version", "/usage.csv?by=model", "/providers", "/lanes", "/metrics",
                 "/workers", "/tasks", "/api/tasks", "/broker"):  # fmt: skip
        answer = watched.flower.get(path)
        assert answer.status_code == 200, path
        assert httpx.get(answer.url).status_code == 401, path
        seen.append(answer.text)

    for text in seen:
        assert CANARY not in text
        assert SECRET_KEY not in text
        assert "Lisbon" not in text
        assert LOGIN[1] not in text


def test_a_port_that_is_taken_is_told_of(watched: Watched, tmp_path: Path) -> None:
    port = str(watched.flower.base_url.port)
    ended = subprocess.run(
        [sys.executable, "-m", "workers.cli", "flower", "--port", port],
        cwd=ROOT,
        env=watched.pool.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
    assert "choose another --port" in ended.stderr
