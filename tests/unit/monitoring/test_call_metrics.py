"""What a worker measures of its own calls."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from wsgiref.simple_server import WSGIServer

import fakeredis
import pytest
from celery import signals
from prometheus_client import CollectorRegistry, start_http_server

from config.settings import Settings
from tasks.contract import (
    AttemptRecord,
    ExtractionResult,
    Failure,
    FailureCode,
    JobStatus,
    ProviderKind,
    Role,
    TokenUsage,
    UsageTotals,
)
from tests.support import START, ManualClock, effective
from workers.admission import Admission, Demand, Lease, MemoryAdmission, Observation, Reason, Refusal
from workers.alerts import MemoryAlerts
from workers.jobs import MemoryJobs, RedisJobs
from workers.jobs.base import Ending, JobStore
from workers.ledger import RECORDS_KEY
from workers.monitoring.metrics import names, serve
from workers.monitoring.metrics.calls import CallMetrics, MeasuredAdmission, MeasuredJobs, MeasuredPoster
from workers.monitoring.metrics.series import Series
from workers.notify.posting import Posted

DEMAND = Demand(input_tokens=100, max_output_tokens=50)
CALL = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "azure.ai.openai",
    "gen_ai_request_model": "gpt-4.1-mini",
}


def record(**changes: object) -> AttemptRecord:
    fields: dict[str, object] = {
        "id": "a",
        "attempt": "1.1.1",
        "job_id": "job",
        "project": "acme",
        "provider": ProviderKind.AZURE_OPENAI,
        "connection": "primary",
        "role": Role.PRIMARY,
        "model": "gpt-4.1-mini",
        "status": "ok",
        "action": "done",
        "usage": TokenUsage(input=100, cached_input=20, cache_write=3, output=30),
        "latency_ms": 640,
        "queue_wait_ms": 250,
        "started_at": START,
    }
    return AttemptRecord.model_validate(fields | changes)


def in_memory() -> MemoryAdmission:
    return MemoryAdmission(alerts=MemoryAlerts(), lease_seconds=100, clock=ManualClock())


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> CallMetrics:
    return CallMetrics(Series(registry).count)


@pytest.fixture
def jobs(metrics: CallMetrics) -> JobStore:
    return MeasuredJobs(MemoryJobs(clock=ManualClock()), metrics)


async def test_an_attempt_is_measured_once_under_opentelemetrys_names(
    registry: CollectorRegistry, jobs: JobStore
) -> None:
    assert await jobs.settle(record())
    assert not await jobs.settle(record(latency_ms=1))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {**CALL, **labels})

    assert value("gen_ai_client_operation_duration_seconds_count", error_type="") == 1
    assert value("gen_ai_client_operation_duration_seconds_sum", error_type="") == 0.64
    # What was read from the cache and written to it is input, too.
    assert value("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 123
    assert value("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 30
    assert registry.get_sample_value("byom_queue_wait_seconds_sum", {"provider": "azure_openai"}) == 0.25


async def test_an_attempt_and_an_ending_count_although_the_answer_to_their_first_sending_was_lost(
    registry: CollectorRegistry, metrics: CallMetrics
) -> None:
    ending = Ending(failure=Failure(code=FailureCode.PROVIDER_UNAVAILABLE, message="down"))
    async with fakeredis.FakeAsyncRedis() as client:
        stored = RedisJobs(client, state_ttl=60, records_kept=10)
        # What the broker did before it went.
        await stored.settle(record())
        await stored.end("bad", owner="me", ending=ending)

        measured = MeasuredJobs(stored, metrics)
        await measured.settle(record())
        await measured.end("bad", owner="me", ending=ending)

        assert await client.xlen(RECORDS_KEY) == 1
    attempts = registry.get_sample_value("gen_ai_client_operation_duration_seconds_count", {**CALL, "error_type": ""})
    jobs = registry.get_sample_value("byom_jobs_total", {"status": "failed", "code": "provider_unavailable"})
    assert (attempts, jobs) == (1, 1)


async def test_a_failure_says_which_and_counts_no_tokens_where_there_were_none(
    registry: CollectorRegistry, jobs: JobStore
) -> None:
    await jobs.settle(record(status="rate_limited", usage=TokenUsage(), queue_wait_ms=None))

    failed = {**CALL, "error_type": "rate_limited"}
    assert registry.get_sample_value("gen_ai_client_operation_duration_seconds_count", failed) == 1
    usage = registry.get_sample_value("gen_ai_client_token_usage_count", {**CALL, "gen_ai_token_type": "input"})
    assert usage is None
    assert registry.get_sample_value("byom_queue_wait_seconds_count", {"provider": "azure_openai"}) is None


async def test_models_beyond_the_bound_share_one_series(registry: CollectorRegistry, jobs: JobStore) -> None:
    for number in range(60):
        await jobs.settle(record(id=str(number), model=f"model-{number}"))

    models = {
        sample.labels["gen_ai_request_model"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "gen_ai_client_operation_duration_seconds_count"
    }
    assert len(models) == 51
    assert "other" in models


async def test_endings_are_counted_once_by_how_they_are(registry: CollectorRegistry, jobs: JobStore) -> None:
    failure = Ending(failure=Failure(code=FailureCode.PROVIDER_UNAVAILABLE, message="down"))
    again = Ending(failure=Failure(code=FailureCode.PROVIDER_UNAVAILABLE, message="still down"))
    result = Ending(
        result=ExtractionResult(
            job_id="good",
            project="acme",
            status=JobStatus.PARTIAL,
            episodes=[],
            usage=UsageTotals(),
            attempts=[],
        )
    )
    for job_id, ending in (("bad", failure), ("bad", again), ("good", result)):
        await jobs.claim(job_id, hop=1, owner="me", lease=10)
        await jobs.end(job_id, owner="me", ending=ending)

    failed = {"status": "failed", "code": "provider_unavailable"}
    assert registry.get_sample_value("byom_jobs_total", failed) == 1
    assert registry.get_sample_value("byom_jobs_total", {"status": "partial", "code": ""}) == 1


async def test_refusals_and_estimates_are_measured(registry: CollectorRegistry, metrics: CallMetrics) -> None:
    admission = MeasuredAdmission(in_memory(), metrics)
    one = effective(max_concurrency=1)

    lease = await admission.admit(one, DEMAND)
    refused = await admission.admit(one, DEMAND)
    assert not isinstance(lease, Refusal)
    await lease.settle(Observation(usage=TokenUsage(input=60, cached_input=20, output=10)))

    assert isinstance(refused, Refusal)
    counted = {"provider": "openai", "reason": "concurrency"}
    assert registry.get_sample_value("byom_admission_refused_total", counted) == 1
    # 100 were estimated and 80 counted.
    labels = {"provider": "openai", "model": "gpt-6-luna"}
    assert registry.get_sample_value("byom_estimate_ratio_sum", labels) == 1.25


async def test_a_call_that_tells_no_usage_or_was_given_back_says_nothing_of_estimates(
    registry: CollectorRegistry, metrics: CallMetrics
) -> None:
    admission = MeasuredAdmission(in_memory(), metrics)
    for observation in (None, Observation(), Observation(usage=TokenUsage())):
        lease = await admission.admit(effective(), DEMAND)
        assert not isinstance(lease, Refusal)
        await (lease.refund() if observation is None else lease.settle(observation))

    assert not [sample for family in registry.collect() for sample in family.samples if "estimate" in sample.name]


async def test_what_is_measured_reaches_what_it_stands_before(metrics: CallMetrics) -> None:
    inner = in_memory()
    admission: Admission = MeasuredAdmission(inner, metrics)
    one = effective(max_concurrency=1)

    await admission.hold_back(one, reason=Reason.CREDENTIAL, seconds=30, code=FailureCode.CREDENTIAL_REJECTED)
    assert isinstance(await admission.admit(one, DEMAND), Refusal)
    await admission.let_go(one, reason=Reason.CREDENTIAL)
    lease = await admission.admit(one, DEMAND)
    assert not isinstance(lease, Refusal)
    await lease.refund()

    again: Lease | Refusal = await admission.admit(one, DEMAND)
    assert not isinstance(again, Refusal)


class Receiver:
    """Takes posts, and some time for it."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.posted: list[tuple[str, str, dict[str, str]]] = []
        self.answer = Posted(status=200)
        self.is_closed = False

    async def post(self, url: str, *, body: str, headers: Mapping[str, str]) -> Posted:
        self._clock.seconds += 2
        self.posted.append((url, body, dict(headers)))
        return self.answer

    async def aclose(self) -> None:
        self.is_closed = True


async def test_posts_to_receivers_are_timed_by_what_came_of_them(
    registry: CollectorRegistry, metrics: CallMetrics
) -> None:
    clock = ManualClock()
    receiver = Receiver(clock)
    poster = MeasuredPoster(receiver, metrics, clock=clock)

    assert await poster.post("https://x", body="{}", headers={"webhook-id": "1"}) == receiver.answer
    receiver.answer = Posted(status=500, problem="answered 500")
    assert await poster.post("https://x", body="{}", headers={}) == receiver.answer
    await poster.aclose()

    def value(name: str, outcome: str) -> float | None:
        return registry.get_sample_value(f"byom_webhook_post_seconds_{name}", {"outcome": outcome})

    assert receiver.posted[0] == ("https://x", "{}", {"webhook-id": "1"})
    assert receiver.is_closed
    assert [value(name, "ok") for name in ("count", "sum")] == [1, 2]
    assert [value(name, "failed") for name in ("count", "sum")] == [1, 2]


async def test_nothing_is_measured_where_nobody_asks_for_it(fake_redis: fakeredis.FakeAsyncRedis) -> None:
    jobs = RedisJobs(fake_redis, state_ttl=60, records_kept=1, sums_ttl=60)
    admission = in_memory()

    poster = Receiver(ManualClock())

    assert serve.measured(Settings(), jobs, admission) == (jobs, admission)
    assert serve.measured_poster(Settings(), poster, clock=ManualClock()) is poster


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def worker_begins() -> Iterator[None]:
    """Forgets what was connected to the signal."""
    yield
    signals.celeryd_after_setup.disconnect(dispatch_uid="byom.metrics")


def test_a_worker_serves_its_metrics_from_the_start(
    port: int, worker_begins: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = CollectorRegistry()
    monkeypatch.setattr(serve, "REGISTRY", registry)
    started = []
    start = start_http_server

    def keep(number: int, addr: str) -> tuple[WSGIServer, threading.Thread]:
        started.append(start(number, addr=addr, registry=registry))
        return started[-1]

    monkeypatch.setattr(serve, "start_http_server", keep)
    serve.call_metrics.cache_clear()
    serve.serve_from_the_start(Settings(metrics_port=port))
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)

    signals.celeryd_after_setup.send(sender=None)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    # The port is taken now: a second worker goes on without.
    signals.celeryd_after_setup.send(sender=None)

    for metric in names.WORKER:
        assert f"# HELP {metric.name} " in text
    assert "metrics_not_served" in capsys.readouterr().out
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()
    serve.call_metrics.cache_clear()
