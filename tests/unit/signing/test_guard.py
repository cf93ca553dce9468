"""Which jobs pass: those that a producer has signed which may speak for their project."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from config.errors import StoreError
from config.producers import POOL, read_producer, remove_producer, rotate_key, save_producer
from config.store import MemoryStore, Parameter
from tasks.contract import VERIFY_TASK, FailureCode, JobRefused
from tests.support import ManualClock
from tests.unit.signing.conftest import JOB, WINDOW, make_guard, message, signer
from workers.lanes.header import HEADER
from workers.signing import SIGNATURE, Guard, Noted, Outcome


def refused(guard: Guard, request: Any, payload: dict[str, Any] = JOB, **how: Any) -> JobRefused:
    with pytest.raises(JobRefused) as caught:
        guard.check(request, payload, project=payload["project"], **how)
    assert caught.value.code == FailureCode.SIGNATURE_REFUSED
    assert caught.value.details["project"] == payload["project"]
    return caught.value


def outcomes(noted: list[Noted]) -> list[tuple[Outcome, str | None]]:
    return [(one.outcome, one.producer) for one in noted]


def test_a_signed_job_of_its_producers_project_passes(
    guard: Guard, store: MemoryStore, clock: ManualClock, noted: list[Noted]
) -> None:
    header = signer(store, "crm", clock).header(JOB, job_id="j1")

    guard.check(message(header), JOB, project="acme", entering=True)
    guard.check(message(header), JOB, project="acme")

    assert outcomes(noted) == [(Outcome.VALID, "crm")] * 2


def test_what_is_not_signed_is_refused_where_signatures_are_required(guard: Guard, noted: list[Noted]) -> None:
    error = refused(guard, message(None))

    assert "not signed" in error.message
    assert outcomes(noted) == [(Outcome.MISSING, None)]


def test_what_is_not_signed_passes_where_they_are_not(
    store: MemoryStore, clock: ManualClock, noted: list[Noted]
) -> None:
    guard = make_guard(store, clock, noted, required=False)

    guard.check(message(None), JOB, project="acme")
    wrong = signer(store, "chat", clock).header(JOB, job_id="j1")
    refused(guard, message(wrong))

    assert outcomes(noted) == [(Outcome.UNSIGNED, None), (Outcome.OTHER_PROJECT, "chat")]


@pytest.mark.parametrize(
    ("change", "outcome", "producer"),
    [
        ({"producer": "nobody"}, Outcome.UNKNOWN_PRODUCER, None),
        ({"producer": "chat"}, Outcome.WRONG, "chat"),
        ({"producer": POOL}, Outcome.WRONG, POOL),
        ({"timestamp": 1}, Outcome.WRONG, "crm"),
        ({"signature": "v1,AAAA"}, Outcome.WRONG, "crm"),
        ({"signature": 7}, Outcome.UNREADABLE, None),
    ],
    ids=str,
)
def test_a_header_that_was_touched_counts_no_more(
    guard: Guard,
    store: MemoryStore,
    clock: ManualClock,
    noted: list[Noted],
    change: dict[str, Any],
    outcome: Outcome,
    producer: str | None,
) -> None:
    header = signer(store, "crm", clock).header(JOB, job_id="j1")

    refused(guard, message({SIGNATURE: header[SIGNATURE] | change}))

    assert outcomes(noted) == [(outcome, producer)]


def test_a_signature_is_of_one_payload_one_id_and_one_task(
    guard: Guard, store: MemoryStore, clock: ManualClock, noted: list[Noted]
) -> None:
    header = signer(store, "crm", clock).header(JOB, job_id="j1")

    refused(guard, message(header), {**JOB, "project": "globex"})
    refused(guard, message(header), {**JOB, "priority": "backfill"})
    refused(guard, message(header, job_id="j2"))
    refused(guard, message(header), task=VERIFY_TASK)
    refused(guard, message(header), replays=1)

    assert outcomes(noted) == [(Outcome.WRONG, "crm")] * 5


def test_a_producer_speaks_for_its_own_projects_alone(guard: Guard, store: MemoryStore, clock: ManualClock) -> None:
    header = signer(store, "chat", clock).header(JOB, job_id="j1")

    error = refused(guard, message(header))

    assert "producer 'chat' may not speak for project 'acme'" in error.message


def test_a_producer_cannot_run_again_what_is_over(guard: Guard, store: MemoryStore, clock: ManualClock) -> None:
    own = signer(store, "crm", clock).header(JOB, job_id="j1", replays=1)
    pools = signer(store, POOL, clock).header(JOB, job_id="j1", replays=1)

    refused(guard, message(own), replays=1)
    guard.check(message(pools), JOB, project="acme", replays=1)
    refused(guard, message(pools), replays=2)


@pytest.mark.parametrize("age", [WINDOW, 0, -300])
def test_a_job_may_enter_for_as_long_as_its_id_is_remembered(
    guard: Guard, store: MemoryStore, clock: ManualClock, age: int
) -> None:
    clock.seconds = 10_000
    header = signer(store, "crm", clock).header(JOB, job_id="j1")
    clock.seconds += age

    guard.check(message(header), JOB, project="acme", entering=True)


@pytest.mark.parametrize("age", [WINDOW + 1, -301])
def test_a_copy_that_comes_too_late_or_a_date_to_come_is_refused_at_the_entry(
    guard: Guard, store: MemoryStore, clock: ManualClock, noted: list[Noted], age: int
) -> None:
    clock.seconds = 10_000
    header = signer(store, "crm", clock).header(JOB, job_id="j1")
    clock.seconds += age

    error = refused(guard, message(header), entering=True)
    guard.check(message(header), JOB, project="acme")

    assert "counts for 3600 seconds" in error.message
    assert outcomes(noted) == [(Outcome.OUT_OF_TIME, "crm"), (Outcome.VALID, "crm")]


def test_the_pool_itself_speaks_for_all_projects(guard: Guard, store: MemoryStore, clock: ManualClock) -> None:
    header = signer(store, POOL, clock).header(JOB, job_id="j1")

    guard.check(message(header), JOB, project="acme")


def test_nothing_follows_a_job_that_was_refused(guard: Guard) -> None:
    sequel = [{"task": "celery.accumulate", "options": {"queue": "byom.extract"}}]
    request = message(
        None,
        sequels={"callbacks": sequel, "errbacks": sequel, "chain": sequel, "chord": sequel[0], "group": "g"},
    )

    refused(guard, request)

    assert {request.callbacks, request.errbacks, request.chain, request.chord, request.group} == {None}


@pytest.mark.parametrize("part", ["callbacks", "errbacks", "chain", "chord"])
def test_what_follows_a_job_claims_no_lane(
    guard: Guard, store: MemoryStore, clock: ManualClock, noted: list[Noted], part: str
) -> None:
    header = signer(store, "crm", clock).header(JOB, job_id="j1")
    plain = {"task": "app.done", "options": {"queue": "mine", "headers": {"a": 1}}}
    claims = {"task": "x", "kwargs": {}, "options": {"headers": {HEADER: {"meter": "another's"}}}}

    guard.check(message(header, sequels={part: [plain]}), JOB, project="acme")
    refused(guard, message(header, sequels={part: [plain, {"task": "chain", "kwargs": {"tasks": [claims]}}]}))

    assert outcomes(noted) == [(Outcome.VALID, "crm"), (Outcome.CLAIMS_LANE, "crm")]


def test_both_keys_count_until_the_overlap_ends(guard: Guard, store: MemoryStore, clock: ManualClock) -> None:
    old = signer(store, "crm", clock).header(JOB, job_id="j1")
    producer = read_producer(store, "crm")
    assert producer is not None
    rotate_key(store, producer, now=clock.now(), overlap=timedelta(hours=1))
    new = signer(store, "crm", clock).header(JOB, job_id="j1")

    assert old != new
    for header in (old, new):
        guard.check(message(header), JOB, project="acme")
    clock.seconds += 3_601
    guard.drop()
    guard.check(message(new), JOB, project="acme")
    refused(guard, message(old))


def test_a_producer_that_was_removed_is_nobody_at_once(
    guard: Guard, store: MemoryStore, clock: ManualClock, noted: list[Noted]
) -> None:
    header = signer(store, "crm", clock).header(JOB, job_id="j1")
    guard.check(message(header), JOB, project="acme")
    producer = read_producer(store, "crm")
    assert producer is not None

    remove_producer(store, producer)
    guard.drop("/byom/producers/crm")

    refused(guard, message(header))
    assert outcomes(noted)[-1] == (Outcome.UNKNOWN_PRODUCER, None)


def test_names_that_nobody_has_cost_the_store_nothing(
    guard: Guard, store: MemoryStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = signer(store, "crm", clock).header(JOB, job_id="j1")
    guard.check(message(header), JOB, project="acme")
    reads: list[str] = []

    def listed(prefix: str, **_: object) -> Iterator[Parameter]:
        reads.append(prefix)
        return iter(())

    monkeypatch.setattr(store, "list", listed)
    monkeypatch.setattr(store, "get", reads.append)

    for number in range(50):
        refused(guard, message({SIGNATURE: header[SIGNATURE] | {"producer": f"p{number}"}}))
    guard.check(message(header), JOB, project="acme")
    guard.drop("/byom/projects/acme")
    guard.check(message(header), JOB, project="acme")

    assert reads == []
    clock.seconds += 31
    refused(guard, message(header))
    assert reads == ["/byom/producers"]


def test_jobs_wait_where_a_producer_is_stored_damaged(guard: Guard, store: MemoryStore, clock: ManualClock) -> None:
    header = signer(store, "crm", clock).header(JOB, job_id="j1")
    save_producer(store, "crm", projects=["acme"], now=clock.now())
    parameter = store.get("/byom/producers/chat/profile")
    assert parameter is not None
    store.put(parameter.path, type(parameter.value)("[]"), secure=False)

    with pytest.raises(StoreError, match="producer 'chat' is stored damaged"):
        guard.check(message(header), JOB, project="acme")


def test_alerts_name_no_project_and_no_producer_that_is_not_there(guard: Guard, noted: list[Noted]) -> None:
    refused(guard, message({SIGNATURE: {"producer": "evil", "timestamp": 1, "signature": "v1,x"}}))

    assert "evil" not in noted[0].as_alert
    assert "acme" not in noted[0].as_alert
    assert "byom producer list" in noted[0].as_alert
