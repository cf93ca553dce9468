"""`byom result`: where a job is, how it ended, and what it remembered."""

import json

import pytest

from tasks.contract import ExtractionFailed, ExtractionResult
from tests.unit.cli.conftest import Byom
from tests.unit.cli.fake_producer import FAILURE, FakeProducer, succeeded


def test_a_result_shows_memories(byom: Byom, producer: FakeProducer) -> None:
    result = byom("result", "job-e1")

    assert result.exit_code == 0
    assert "Ana likes [tea]." in result.stdout
    assert "Ana (person)" in result.stdout


def test_a_result_is_the_published_document(byom: Byom, producer: FakeProducer) -> None:
    document = json.loads(byom("result", "job-e1", "--json").stdout)

    assert ExtractionResult.model_validate(document) == succeeded("job-e1")


@pytest.mark.parametrize("state", ["pending", "queued", "running", "waiting", "budget_paused", "something_new"])
def test_a_job_that_goes_on_is_reported_with_its_state(byom: Byom, producer: FakeProducer, state: str) -> None:
    producer.ends["e1"] = state
    result = byom("result", "job-e1", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"job_id": "job-e1", "status": state}


def test_waiting_for_a_job_that_goes_on_ends_with_1(byom: Byom, producer: FakeProducer) -> None:
    producer.ends["e1"] = "running"

    assert byom("result", "job-e1", "--wait", "--timeout", "0").exit_code == 1


def test_a_failed_job_says_why(byom: Byom, producer: FakeProducer) -> None:
    producer.ends["e1"] = ExtractionFailed("too fast", FAILURE)
    result = byom("result", "job-e1")

    assert result.exit_code == 1
    assert "too fast" in result.stdout
