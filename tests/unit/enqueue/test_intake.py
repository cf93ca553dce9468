from typing import Never

import fakeredis
import pytest

from config.errors import NoConnection, StoreError, UnknownProject
from tasks.contract import ExtractionJob, FailureCode, JobRefused, parse_job
from tests.support import effective
from workers.engine.address import Patience
from workers.enqueue.intake import Accepted, Duplicate, Intake

PATIENCE = Patience(before_fallback=30, at_most=600)


@pytest.fixture
def intake() -> Intake:
    return Intake(chain=lambda _: [effective()], client=fakeredis.FakeRedis(), key_ttl=60, patience=PATIENCE)


def job(key: str | None = None, *, project: str = "acme") -> ExtractionJob:
    return parse_job({"project": project, "episodes": [{"id": "e", "content": "x"}], "idempotency_key": key})


def test_a_job_starts_on_the_primary_under_the_id_it_was_given(intake: Intake) -> None:
    accepted = intake.accept(job(), job_id="j1")

    assert isinstance(accepted, Accepted)
    assert accepted.route.connection == "primary"


def test_a_published_key_never_runs_twice(intake: Intake) -> None:
    intake.accept(job("k"), job_id="j1")

    assert intake.accept(job("k"), job_id="j2") == Duplicate(job_id="j1")


def test_a_redelivered_job_is_not_its_own_duplicate(intake: Intake) -> None:
    intake.accept(job("k"), job_id="j1")

    assert isinstance(intake.accept(job("k"), job_id="j1"), Accepted)


def test_keys_of_other_projects_and_jobs_without_keys_are_independent(intake: Intake) -> None:
    for number, one in enumerate([job("k"), job("k", project="globex"), job(), job()]):
        assert isinstance(intake.accept(one, job_id=f"j{number}"), Accepted)


def test_keys_are_forgotten_after_their_time() -> None:
    client = fakeredis.FakeRedis()
    intake = Intake(chain=lambda _: [effective()], client=client, key_ttl=60, patience=PATIENCE)
    intake.accept(job("a secret key"), job_id="j1")

    (key,) = client.keys()

    assert 0 < client.ttl(key) <= 60
    assert b"secret" not in key


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownProject("project 'acme' is not configured; …"), FailureCode.UNKNOWN_PROJECT),
        (NoConnection("project 'acme' has no primary connection; …"), FailureCode.NO_CONNECTION),
    ],
)
def test_a_project_that_cannot_run_is_refused_with_its_reason(error: Exception, code: FailureCode) -> None:
    def chain(_: str) -> list[object]:
        raise error

    intake = Intake(chain=chain, client=fakeredis.FakeRedis(), key_ttl=60, patience=PATIENCE)  # type: ignore[arg-type]  # always raises

    with pytest.raises(JobRefused, match="project 'acme'") as refused:
        intake.accept(job(), job_id="j1")
    assert refused.value.code is code


def test_a_store_that_cannot_be_read_refuses_no_job() -> None:
    def away(_project: str) -> Never:
        raise StoreError("away")

    intake = Intake(chain=away, client=fakeredis.FakeRedis(), key_ttl=60, patience=PATIENCE)

    with pytest.raises(StoreError):
        intake.accept(job(), job_id="j1")


def test_an_accepted_job_knows_the_lane_in_which_it_waits(intake: Intake) -> None:
    accepted = intake.accept(job(), job_id="j1")

    assert isinstance(accepted, Accepted)
    assert accepted.address is not None
    assert (accepted.address.meter, accepted.address.patience, accepted.address.fallback) == (
        "/byom/projects/acme/credentials/primary-key#gpt-6-luna",
        600,
        False,
    )


def test_a_callback_that_could_not_be_delivered_is_refused_before_the_key_is_taken() -> None:
    client = fakeredis.FakeRedis()
    intake = Intake(
        chain=lambda _: [effective()],
        client=client,
        key_ttl=60,
        patience=PATIENCE,
        callback_problem=lambda _: "project 'acme' has no secret that could sign callbacks",
    )

    with pytest.raises(JobRefused, match="callback_url: project 'acme' has no secret") as refused:
        intake.accept(job("k"), job_id="j1")
    assert refused.value.code is FailureCode.INVALID_JOB
    assert refused.value.details["problems"] == ["callback_url: project 'acme' has no secret that could sign callbacks"]
    assert client.keys() == []
