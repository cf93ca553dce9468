"""A job does not fail because a server is away or full for a while: it goes back."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from celery.exceptions import Reject
from kombu.exceptions import OperationalError

from config.errors import StoreError
from tasks.contract import ExtractionFailed, ExtractionJob, Failure
from workers.task.extraction_body import carry_out

JOB = {"project": "acme", "episodes": [{"id": "e1", "content": "Ada lives in Lisbon."}]}


def carried_out(error: Exception) -> list[str]:
    """Carry out a step that raises; what happened beside."""
    happened: list[str] = []

    def step(_job: ExtractionJob, _job_id: str) -> Any:
        raise error

    def failed(_job: ExtractionJob, _job_id: str, _failure: Failure) -> None:
        happened.append("failed")

    task = cast("Any", SimpleNamespace(request=SimpleNamespace(id="j"), name="extract.openai"))
    with pytest.raises((Reject, ExtractionFailed)) as caught:
        carry_out(task, JOB, step, pause=lambda: happened.append("paused"), failed=failed)
    if isinstance(caught.value, Reject):
        assert vars(caught.value)["requeue"] is True
        happened.append("put back")
    return happened


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError(),
        redis.TimeoutError(),
        redis.OutOfMemoryError(),
        OperationalError("what could not be published"),
        StoreError("away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_job_goes_back_while_a_server_is_away_or_full(error: Exception) -> None:
    assert carried_out(error) == ["paused", "put back"]


def test_a_job_fails_by_any_other_error() -> None:
    assert carried_out(redis.ResponseError("a bug")) == ["failed"]
