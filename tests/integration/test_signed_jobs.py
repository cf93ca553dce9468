"""Workers that ask who sends jobs: what an attacker with a broker user, and with a key, gets done and what not."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from pydantic import SecretStr

from config.connections import effective_chain
from config.producers import POOL, read_keys, read_producer, save_producer
from config.settings import Settings
from config.store import FileStore
from tasks.contract import (
    ENTRY_QUEUE,
    EXTRACT_TASK,
    VERIFY_TASK,
    ExtractionFailed,
    FailureCode,
    JobRefused,
    parse_job,
)
from tests.integration.support.pool import everything_in, job, running_pool, wait_until
from tests.integration.support.roles import Guarded
from workers.app import create_app
from workers.backfill.publisher import LanePublisher
from workers.clock import SystemClock
from workers.dead.replay import Fate, Replayer
from workers.dead.shelf import Shelf
from workers.embedded.simulator import FaultRule, Injection
from workers.engine.address import address_of, patience_of
from workers.engine.routing import first_route
from workers.enqueue.producer import Producer
from workers.lanes.header import HEADER
from workers.signing import SIGNATURE, Signer
from workers.task.messages import attempt_signature

pytestmark = pytest.mark.integration

REFUSED = FailureCode.SIGNATURE_REFUSED


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """`crm` may speak for `acme`, `chat` for `solo`."""
    folder: Path = tmp_path_factory.mktemp("signed")
    with running_pool(folder) as pool:
        guarded = Guarded(pool)
        store, now = FileStore(pool.store_path), SystemClock().now()
        save_producer(store, "crm", projects=["acme"], now=now)
        save_producer(store, "chat", projects=["solo"], now=now)
        pool.extra |= {"BYOM_SIGNED_JOBS": "required", "BYOM_BROKER_URL": guarded.url("worker")}
        pool.max_wait = 30
        pool.start_worker()
        yield guarded
        pool.stop_workers()
        guarded.admin.close()


@pytest.fixture(autouse=True)
def _nothing_else_was_refused(guarded: Guarded) -> Iterator[None]:
    guarded.pool.simulator.reset()
    guarded.pool.simulator.clear_faults()
    # What one test taught the meters, an open breaker above all, is not the next one's.
    for meter in list(guarded.admin.scan_iter(match="byom:{*")):
        guarded.admin.delete(meter)
    yield
    assert guarded.refused() == []


def keys_of(guarded: Guarded, name: str) -> list[SecretStr]:
    store = FileStore(guarded.pool.store_path)
    producer = read_producer(store, name)
    assert producer is not None
    return read_keys(store, producer, now=SystemClock().now())


class _Late(SystemClock):
    """A clock that is two hours behind."""

    def now(self) -> datetime:
        return super().now() - timedelta(hours=2)


def signed(
    guarded: Guarded, payload: dict[str, Any], job_id: str, *, by: str = "crm", late: bool = False, **how: Any
) -> dict[str, Any]:
    """The header with a signature."""
    [key] = keys_of(guarded, by)
    return Signer(by, lambda: key, clock=_Late() if late else SystemClock()).header(payload, job_id=job_id, **how)


def settings_of(guarded: Guarded, user: str, **more: Any) -> Settings:
    return guarded.pool.settings.model_copy(update={"broker_url": SecretStr(guarded.url(user)), **more})


@contextmanager
def connected(guarded: Guarded, user: str = "pipeline") -> Iterator[Celery]:
    """A foreign producer."""
    url = guarded.url(user)
    with Celery(broker=url, backend=url, set_as_current=False) as app:
        app.conf.update(task_serializer="json", accept_content=["json"], result_accept_content=["json"])
        yield app


def became(app: Celery, payload: Any, job_id: str, headers: Any, *, task: str = EXTRACT_TASK, **how: Any) -> Any:
    """What became of what was sent to the entry queue: its status, or the code of its failure."""
    where: dict[str, Any] = {"queue": ENTRY_QUEUE, "argsrepr": "", "kwargsrepr": "", **how}
    sent = app.send_task(task, args=[payload], task_id=job_id, headers=headers, **where)
    try:
        return sent.get(timeout=30).get("status", "answered")
    except (JobRefused, ExtractionFailed) as error:
        return error.code


def calls(guarded: Guarded) -> int:
    """How often a vendor was called."""
    return sum(total.served for total in guarded.pool.simulator.books().totals)


def step(guarded: Guarded, app: Celery, payload: dict[str, Any], job_id: str, headers: Any, *, replays: int = 0) -> Any:
    """The message of a step inside the pool, as workers and `Producer` make it."""
    parsed = parse_job(payload)
    chain = effective_chain(FileStore(guarded.pool.store_path), parsed.project)
    route = first_route(chain).model_copy(update={"replays": replays})
    address = address_of(parsed, chain, route, patience_of(Settings()))
    return attempt_signature(app, payload, route, address, job_id=job_id, signed=headers)


def test_what_a_producer_signs_for_its_project_runs_also_on_a_fallback(guarded: Guarded) -> None:
    payload = job()
    with connected(guarded) as app:
        assert became(app, payload, "fine", signed(guarded, payload, "fine")) == "succeeded"
        guarded.pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503, prefix="/openai/"))
        assert became(app, payload, "fallback", signed(guarded, payload, "fallback")) == "succeeded"


def test_what_is_not_signed_or_by_another_is_refused_before_anything_is_spent(guarded: Guarded) -> None:
    payload, other = job(), job(project="solo")
    with connected(guarded) as app:
        found = {
            "not signed": became(app, payload, "u1", {}),
            "by another producer": became(app, payload, "u2", signed(guarded, payload, "u2", by="chat")),
            "of another project": became(app, other, "u3", signed(guarded, other, "u3")),
            "for another id": became(app, payload, "u4", signed(guarded, payload, "other")),
            "for another payload": became(app, payload, "u5", signed(guarded, other, "u5")),
            "a copy that is late": became(app, payload, "u6", signed(guarded, payload, "u6", late=True)),
            "named `pool`": became(
                app,
                payload,
                "u7",
                {SIGNATURE: signed(guarded, payload, "u7")[SIGNATURE] | {"producer": POOL}},
            ),
            "a verification": became(app, {"project": "acme"}, "u8", {}, task=VERIFY_TASK),
        }

    assert found == dict.fromkeys(found, REFUSED)
    assert calls(guarded) == 0
    kept = list(guarded.admin.scan_iter(match="byom:*u[1-8]*"))
    assert kept == [], "nothing of them is kept beside their failure"


def test_a_copy_of_what_ran_does_not_run_again(guarded: Guarded) -> None:
    payload = job(project="solo")
    header = signed(guarded, payload, "copied", by="chat")
    with connected(guarded) as app:
        assert became(app, payload, "copied", header) == "succeeded"
        made = calls(guarded)
        assert became(app, payload, "copied", header) == "succeeded"
        wait_until(lambda: guarded.admin.hlen("byom.unacked") == 0)

    assert calls(guarded) == made == 1


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_pipeline_cannot_begin_with_a_step_inside_the_pool(guarded: Guarded, is_signed: bool) -> None:  # noqa: FBT001 - a parameter
    payload, job_id = job(), f"hand-off-{is_signed}"
    headers = signed(guarded, payload, job_id) if is_signed else {}
    with connected(guarded) as app:
        made = step(guarded, app, payload, job_id, headers)
        assert HEADER in made.options["headers"]
        with pytest.raises(Exception, match=r"a step inside the pool is not taken from queue 'byom\.extract'"):
            app.send_task(
                made.task,
                kwargs=made.kwargs,
                task_id=job_id,
                queue=ENTRY_QUEUE,
                headers=made.options["headers"],
                argsrepr="",
                kwargsrepr="",
            ).get(timeout=30)

    assert calls(guarded) == 0


def test_one_who_writes_lanes_sends_jobs_of_its_projects_alone(guarded: Guarded) -> None:
    payload, other = job(), job(project="solo")
    own, others = signed(guarded, payload, "lane-own"), signed(guarded, other, "lane-others")
    again = signed(guarded, payload, "lane-again")
    app = create_app(settings_of(guarded, "producer"))
    found = {}
    with app:
        for job_id, made in {
            "lane-own": step(guarded, app, payload, "lane-own", own),
            "lane-unsigned": step(guarded, app, payload, "lane-unsigned", None),
            "lane-others": step(guarded, app, other, "lane-others", others),
            "lane-again": step(guarded, app, payload, "lane-again", again, replays=1),
        }.items():
            sent = made.apply_async(task_id=job_id)
            try:
                found[job_id] = sent.get(timeout=30)["status"]
            except JobRefused as error:
                found[job_id] = error.code

    assert found == {"lane-own": "succeeded"} | dict.fromkeys(["lane-unsigned", "lane-others", "lane-again"], REFUSED)


def test_workers_do_nothing_that_a_refused_job_asks_for(guarded: Guarded) -> None:
    payload = job()
    with connected(guarded) as app:
        follow = app.signature(EXTRACT_TASK, args=[payload], queue=ENTRY_QUEUE, immutable=True).set(task_id="followed")
        assert became(app, payload, "asks", {}, link=follow, link_error=follow) == REFUSED
        after = signed(guarded, payload, "after")
        assert became(app, payload, "after", after) == "succeeded", "what was asked for would have come before"

    assert guarded.admin.exists("celery-task-meta-followed") == 0


def test_a_producer_with_a_key_signs_and_one_without_is_refused(guarded: Guarded) -> None:
    [key] = keys_of(guarded, "crm")
    with Producer.from_settings(settings_of(guarded, "producer", producer_name="crm", producer_key=key)) as producer:
        jobs = [job(), job(idempotency_key="signed")]
        assert [handle.result(timeout=30).status for handle in producer.enqueue_many(jobs)] == ["succeeded"] * 2
    with Producer.from_settings(settings_of(guarded, "producer")) as producer, pytest.raises(JobRefused) as caught:
        producer.enqueue(job()).result(timeout=30)

    assert caught.value.code == REFUSED


def test_what_the_pool_sends_itself_passes(guarded: Guarded) -> None:
    settings = settings_of(guarded, "operator", signed_jobs="required")
    store, failing = FileStore(guarded.pool.store_path), job(project="solo")
    guarded.pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=400, prefix="/openai/", count=1))
    with (
        connected(guarded) as pipeline,
        create_app(settings) as app,
        redis.Redis.from_url(guarded.url("operator")) as client,
    ):
        header = signed(guarded, failing, "dead", by="chat")
        assert became(pipeline, failing, "dead", header) == FailureCode.BAD_REQUEST
        filler = LanePublisher.of(settings, app=app, store=store, client=client, clock=SystemClock())
        filler.publish([("filled", parse_job(job(priority="backfill")))])
        [letter] = Shelf(client).some(["dead"])
        [outcome] = Replayer(app=app, client=client, store=store, settings=settings).replay([letter])
        ends = [app.AsyncResult(job_id).get(timeout=30)["status"] for job_id in ("dead", "filled")]

    assert outcome.fate is Fate.REPLAYED
    assert ends == ["succeeded"] * 2


def test_refusals_are_told_once_and_no_key_is_anywhere(guarded: Guarded) -> None:
    payload = job(project="solo")
    with connected(guarded) as app:
        for number in range(3):
            job_id = f"told-{number}"
            assert became(app, payload, job_id, signed(guarded, payload, job_id)) == REFUSED
    stream: Any = guarded.admin.xrange("byom:events")
    events = [text.decode() for _, fields in stream for text in fields.values()]
    told = [text for text in events if "producer 'crm'" in text and "other_project" in text]

    assert 1 <= len(told) <= 2, "one a window"
    keys = [key for name in ("crm", "chat", POOL) for key in keys_of(guarded, name)]
    marks = [key.get_secret_value().removeprefix("whsec_").encode() for key in keys]
    assert len(marks) == 3
    seen = guarded.pool.worker_logs().encode() + everything_in(guarded.admin)
    assert [mark for mark in marks if mark in seen] == []
