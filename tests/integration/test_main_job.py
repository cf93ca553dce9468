"""The main job on real processes: a Valkey, workers, Flower, and a simulated provider."""

import json
import signal
import subprocess
import sys
import textwrap
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chord

from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ExtractionFailed, FailureCode, JobRefused, JobStatus, Role
from tests.integration.support.pool import (
    CANARY,
    ROOT,
    SECRET_KEY,
    Pool,
    holds,
    job,
    running_pool,
    wait_until,
)
from workers.app import create_app
from workers.embedded.simulator import FaultRule, Injection, Latency
from workers.embedded.valkey import _free_port
from workers.engine.routing import Route
from workers.enqueue.producer import Producer
from workers.task.messages import attempt_signature

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool")) as pool:
        pool.start_worker()
        yield pool


@pytest.fixture
def pool(running: Pool) -> Pool:
    running.simulator.clear_faults()
    running.simulator.reset()
    running.simulator.set_latency(Latency())
    running.forget_meters()
    return running


@pytest.fixture
def producer(pool: Pool) -> Iterator[Producer]:
    with pool.producer() as producer:
        yield producer


def outage(pool: Pool, prefix: str = "/openai/") -> None:
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503, prefix=prefix))


def test_a_job_comes_back_with_memories_and_the_usage_that_the_provider_billed(pool: Pool, producer: Producer) -> None:
    result = producer.enqueue(job()).result(timeout=30)

    assert result.status is JobStatus.SUCCEEDED
    (episode,) = result.episodes
    assert ("Ada", "LIVES_IN", "Lisbon") in [(fact.subject, fact.predicate, fact.object) for fact in episode.facts]
    billed = pool.simulator.books().billed
    assert (result.usage.tokens.input, result.usage.tokens.output) == (billed.input, billed.output)
    assert result.usage.cost_usd is not None


def test_with_the_primary_down_every_job_succeeds_through_the_fallback_under_its_id(
    pool: Pool, producer: Producer
) -> None:
    outage(pool)

    handles = list(producer.enqueue_many(job() for _ in range(30)))

    assert len({handle.id for handle in handles}) == 30
    for handle in handles:
        result = handle.result(timeout=30)
        assert (result.job_id, result.status) == (handle.id, JobStatus.SUCCEEDED)
        assert [attempt.role for attempt in result.attempts][-1] is Role.FALLBACK


def test_callbacks_and_chords_survive_a_fallback(pool: Pool) -> None:
    outage(pool)
    app = create_app(pool.settings)
    route = Route(connection="primary", provider="openai", model="gpt-6-luna", role="primary")

    def extraction() -> Any:
        return attempt_signature(app, job(), route, None, job_id="x").clone()

    callback = app.signature("celery.accumulate", kwargs={"index": 0}, queue=ENTRY_QUEUE, immutable=False).set(
        task_id="callback-of-one"
    )
    single = extraction().apply_async(link=callback)
    together = chord([extraction() for _ in range(5)], app=app)(app.signature("celery.accumulate", queue=ENTRY_QUEUE))

    assert single.get(timeout=30)["job_id"] == single.id
    assert app.AsyncResult("callback-of-one").get(timeout=30)["job_id"] == single.id
    (collected,) = together.get(timeout=30)
    assert {one["status"] for one in collected} == {"succeeded"}
    assert len({one["job_id"] for one in collected}) == 5
    # A chord's results refer to each other. The garbage collector finds them in a later test, when they are not to
    # unsubscribe from a broker that is gone.
    backend: Any = app.backend
    backend.result_consumer.subscribed_to.clear()
    app.close()


def test_a_job_that_nobody_can_do_fails_typed(pool: Pool, producer: Producer) -> None:
    outage(pool)

    handle = producer.enqueue(job(project="solo"))

    with pytest.raises(ExtractionFailed, match="project 'solo', connection 'primary'") as failed:
        handle.result(timeout=30)
    assert failed.value.code is FailureCode.PROVIDER_UNAVAILABLE
    assert failed.value.details["attempts"]
    assert handle.state() == "failed"


def test_bad_input_and_unknown_projects_are_refused_before_anything_is_published(producer: Producer) -> None:
    with pytest.raises(JobRefused, match=r"episodes\.0\.id"):
        producer.enqueue(job(episodes=[{"content": "x"}]))
    with pytest.raises(JobRefused, match="project 'nobody' is not configured"):
        producer.enqueue(job(project="nobody"))


def test_a_process_without_our_code_enqueues_by_plain_celery(pool: Pool, tmp_path: Path) -> None:
    script = tmp_path / "pipeline.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json, sys
            from celery import Celery

            pipeline = Celery(broker={pool.valkey.url!r}, backend={pool.valkey.url!r})
            job = json.loads(sys.stdin.read())

            def extract(payload):
                handle = pipeline.send_task({EXTRACT_TASK!r}, args=[payload], queue={ENTRY_QUEUE!r})
                return handle.get(timeout=30)

            print(json.dumps(extract(job)))
            try:
                extract(job | {{"project": "a b"}})
            except Exception as error:
                print(json.dumps([type(error).__name__, str(error)]))
            assert not any(name in sys.modules for name in ("tasks", "workers", "config"))
            """
        )
    )

    done = subprocess.run(
        [sys.executable, script], input=json.dumps(job()), capture_output=True, text=True, cwd=tmp_path, check=True
    )

    result, refusal = map(json.loads, done.stdout.splitlines())
    assert (result["status"], result["project"]) == ("succeeded", "acme")
    assert refusal[0] == "JobRefused"
    assert "project: " in refusal[1]
    assert "a b" not in refusal[1]


def test_an_idempotency_key_never_runs_twice_whoever_enqueues(pool: Pool, producer: Producer) -> None:
    first = producer.enqueue(job(idempotency_key="k-1"))
    result = first.result(timeout=30)
    again = producer.enqueue(job(idempotency_key="k-1"))
    app = create_app(pool.settings)
    foreign = app.send_task(EXTRACT_TASK, args=[job(idempotency_key="k-1")], queue=ENTRY_QUEUE).get(timeout=30)
    app.close()

    assert (again.id, again.duplicate) == (first.id, True)
    assert again.result(timeout=1) == result
    assert foreign["job_id"] == first.id
    assert pool.simulator.books().totals[0].served == 1


def test_a_message_delivered_twice_is_called_for_once(pool: Pool) -> None:
    app = create_app(pool.settings)
    route = Route(connection="primary", provider="openai", model="gpt-6-luna", role="primary")
    pool.simulator.set_latency(Latency.fixed(0.5))

    for _ in range(3):
        attempt_signature(app, job(), route, None, job_id="twice").apply_async(task_id="twice")
    result = app.AsyncResult("twice").get(timeout=30)
    wait_until(lambda: app.control.inspect().active() == {"w0@test": []})
    app.close()

    assert result["usage"]["attempts"] == 1
    assert sum(total.served for total in pool.simulator.books().totals) == 1


def test_the_worker_can_be_inspected_and_its_rate_limits_changed_while_it_runs(pool: Pool) -> None:
    app = create_app(pool.settings)

    registered = (app.control.inspect().registered() or {})["w0@test"]
    answer = app.control.rate_limit("extract.openai", "600/m", reply=True)
    limited = (app.control.inspect().registered("rate_limit") or {})["w0@test"]
    app.control.rate_limit("extract.openai", "0", reply=True)
    app.close()

    assert {"byom.extract.v1", "extract.openai", "extract.openai_compatible"} <= set(registered)
    assert answer == [{"w0@test": {"ok": "new rate limit set successfully"}}]
    assert "extract.openai [rate_limit=600/m]" in limited


def test_a_rate_limit_of_a_provider_task_holds_from_then_on(pool: Pool, producer: Producer) -> None:
    app = create_app(pool.settings)
    app.control.rate_limit("extract.openai", "120/m")
    try:
        wait_until(lambda: "extract.openai [rate_limit=120/m]" in str(app.control.inspect().registered("rate_limit")))
        for handle in list(producer.enqueue_many(job() for _ in range(8))):
            handle.result(timeout=60)
    finally:
        app.control.rate_limit("extract.openai", "0", reply=True)
        app.close()

    times = [entry.time for entry in pool.simulator.books().entries]
    # Seven pauses of half a second; the first call may have come late.
    assert len(times) == 8
    assert max(times) - min(times) > 1


def test_celery_itself_lists_the_registered_tasks(pool: Pool) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "registered"],
        cwd=ROOT,
        env=pool.environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "* byom.extract.v1" in done.stdout


def test_flower_shows_attribution_and_usage_and_neither_text_nor_secrets(pool: Pool, producer: Producer) -> None:
    port = _free_port()
    environment = pool.environment | {"FLOWER_BASIC_AUTH": "operator:pass"}
    flower = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "workers.app", "flower", "--address=127.0.0.1", f"--port={port}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    def get(path: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        request.add_header("Authorization", "Basic " + b64encode(b"operator:pass").decode())
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - loopback
                return str(response.read().decode())
        except OSError:
            return ""

    try:
        wait_until(lambda: "w0@test" in get("/api/workers?refresh=1"), every=0.5)
        outage(pool)
        handle = producer.enqueue(job())
        handle.result(timeout=30)
        app = create_app(pool.settings)
        foreign = app.send_task(EXTRACT_TASK, args=[job()], queue=ENTRY_QUEUE, argsrepr=CANARY, kwargsrepr=CANARY)
        foreign.get(timeout=30)
        app.close()
        listed = wait_until(lambda: [row for row in _rows(get("/api/tasks")) if row["state"] == "SUCCESS"][1:])
        task = json.loads(get("/api/tasks"))[handle.id]
        pages = "".join(get(path) for path in ("/", "/tasks", f"/task/{handle.id}", "/api/tasks", "/worker/w0@test"))
    finally:
        flower.terminate()
        flower.communicate(timeout=20)

    assert listed
    assert task["name"] == "extract.openai_compatible"
    for part in ("'project': 'acme'", "'provider': 'openai_compatible'", "'model': 'local'", "'role': 'fallback'"):
        assert part in task["kwargs"]
    assert task["result"].startswith("{'tokens': ")
    assert CANARY not in pages
    assert SECRET_KEY not in pages
    assert "Lisbon" not in pages


def _rows(body: str) -> list[dict[str, Any]]:
    return list(json.loads(body).values()) if body else []


def test_no_secret_reaches_broker_results_or_logs_and_no_text_the_logs(pool: Pool, producer: Producer) -> None:
    producer.enqueue(job()).result(timeout=30)
    outage(pool)
    with pytest.raises(ExtractionFailed):
        producer.enqueue(job(project="solo")).result(timeout=30)

    kept = pool.everything_in_valkey()
    logs = pool.worker_logs()

    assert holds(kept, "provider_unavailable")
    assert not holds(kept, SECRET_KEY)
    assert "attempt" in logs
    assert SECRET_KEY not in logs
    assert CANARY not in logs


@pytest.fixture
def own_pool(tmp_path: Path) -> Iterator[Pool]:
    with running_pool(tmp_path) as pool:
        yield pool


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_and_hands_back_the_rest(own_pool: Pool) -> None:
    own_pool.simulator.set_latency(Latency.fixed(2))
    first = own_pool.start_worker()
    with own_pool.producer() as producer:
        handles = list(producer.enqueue_many(job() for _ in range(30)))
        wait_until(lambda: own_pool.simulator.books().entries)
        first.terminate()
        assert first.wait(timeout=30) == 0
        second = own_pool.start_worker()
        results = [handle.result(timeout=60) for handle in handles]
        second.terminate()
        second.wait(timeout=30)

    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    assert sum(total.served for total in own_pool.simulator.books().totals) == 30


def test_a_worker_that_is_told_to_stop_does_not_wait_for_ever_and_hands_back_what_it_has(own_pool: Pool) -> None:
    own_pool.simulator.set_latency(Latency.fixed(60))
    own_pool.extra["BYOM_SHUTDOWN_TIMEOUT"] = "1"
    # A job that is not handed back would come back when this has passed.
    own_pool.extra["BYOM_VISIBILITY_TIMEOUT"] = "600"
    first = own_pool.start_worker()
    with own_pool.producer() as producer:
        handle = producer.enqueue(job())
        wait_until(lambda: own_pool.simulator.books().entries)
        first.terminate()
        assert first.wait(timeout=30) == 0
        own_pool.simulator.set_latency(Latency())
        own_pool.start_worker()
        result = handle.result(timeout=90)

    assert result.status is JobStatus.SUCCEEDED
    # The call that was given up may have been billed.
    assert [one.status for one in result.attempts] == ["lost", "ok"]


def test_jobs_of_a_killed_worker_are_done_by_another_and_no_usage_is_lost(own_pool: Pool) -> None:
    own_pool.simulator.set_latency(Latency.fixed(1))
    first = own_pool.start_worker()
    with own_pool.producer() as producer:
        handles = list(producer.enqueue_many(job() for _ in range(12)))
        wait_until(lambda: own_pool.simulator.books().entries)
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=10)
        own_pool.start_worker()
        results = [handle.result(timeout=90) for handle in handles]

    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    counted = sum(result.usage.tokens.output for result in results)
    books = own_pool.simulator.books()
    assert counted <= books.billed.output
    # Each call that was billed is an attempt: one with its tokens, or one that was lost with its worker.
    attempts = {(one.job_id, one.attempt): one.status for result in results for one in result.attempts}
    assert Counter(attempts.values())["ok"] == len(results)
    assert set(attempts.values()) <= {"ok", "lost"}
    called = [(entry.tags["job"], entry.tags["attempt"]) for entry in books.entries if entry.served]
    assert len(called) > len(results)
    assert len(set(called)) == len(called)
    assert set(called) <= attempts.keys()
