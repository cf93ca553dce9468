"""What version 1 wrote must stay readable for ever. Files in here are added, never edited."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.backends.base import BaseBackend
from pydantic import BaseModel

import tasks.contract
from tasks.contract import (
    ContractError,
    ExtractionFailed,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobRefused,
    JobStatus,
    parse_job,
    parse_verification,
)

PAYLOADS = Path(__file__).parents[2] / "fixtures" / "payloads" / "v1"


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))


def names(prefix: str) -> list[str]:
    return sorted(path.stem for path in PAYLOADS.glob(f"{prefix}*.json"))


def as_error(document: dict[str, Any]) -> ContractError:
    """What a reader's Celery makes of a failed task."""
    error = BaseBackend(app=Celery(set_as_current=False)).exception_to_python(document)
    assert isinstance(error, ContractError)
    return error


def models(value: Any) -> Iterator[BaseModel]:
    """A model and all models in it."""
    if isinstance(value, BaseModel):
        yield value
        value = list(vars(value).values())
    if isinstance(value, list):
        for item in value:
            yield from models(item)


@pytest.mark.parametrize("name", names("job-"))
def test_a_job_of_version_1_is_read_without_loss(name: str) -> None:
    document = load(name)

    assert parse_job(document).model_dump(mode="json", exclude_unset=True) == document


@pytest.mark.parametrize("name", names("result-"))
def test_a_result_of_version_1_is_read_without_loss(name: str) -> None:
    document = load(name)

    assert ExtractionResult.model_validate(document).model_dump(mode="json", exclude_unset=True) == document


def test_a_failure_of_version_1_is_read_without_loss() -> None:
    document = load("failure")
    error = as_error(document)

    assert isinstance(error, ExtractionFailed)
    assert error.code is FailureCode.PROVIDER_UNAVAILABLE
    assert Failure.model_validate(error.details).as_error().args == tuple(document["exc_message"])


def test_a_refusal_of_version_1_is_read_without_loss() -> None:
    error = as_error(load("refusal"))

    assert isinstance(error, JobRefused)
    assert (error.code, error.details["problems"]) == (FailureCode.INVALID_JOB, ["episodes: Field required"])


def test_a_verification_request_of_version_1_is_read_without_loss() -> None:
    document = load("verification-request")

    assert parse_verification(document).model_dump(mode="json", exclude_unset=True) == document


def test_the_frozen_results_cover_every_status() -> None:
    assert {load(name)["status"] for name in names("result-")} == {status.value for status in JobStatus}


def test_the_frozen_payloads_cover_every_field_of_the_contract() -> None:
    documents: list[BaseModel] = [parse_job(load(name)) for name in names("job-")]
    documents += [ExtractionResult.model_validate(load(name)) for name in names("result-")]
    documents.append(Failure.model_validate(as_error(load("failure")).details))
    documents.append(parse_verification(load("verification-request")))
    covered: dict[type[BaseModel], set[str]] = {}
    for model in models(documents):
        covered.setdefault(type(model), set()).update(model.model_fields_set)

    public = {
        value for value in vars(tasks.contract).values() if isinstance(value, type) and issubclass(value, BaseModel)
    }
    missing = {
        cls.__name__: sorted(cls.model_fields.keys() - covered.get(cls, set()))
        for cls in public
        if cls.model_fields.keys() - covered.get(cls, set())
    }
    assert missing == {}, "a field is new: add a file to tests/fixtures/payloads/v1 that sets it; edit no old one"


def test_a_reader_goes_on_reading_what_newer_workers_add() -> None:
    document = load("result-succeeded")
    document["later"] = {"new": True}
    document["attempts"][0] |= {"provider": "newer_kind", "later": 1}
    document["provenance"][0]["provider"] = "newer_kind"
    document["episodes"][0]["failure"] = {"code": "newer_reason", "message": "it broke", "provider": "newer_kind"}

    result = ExtractionResult.model_validate(document)

    assert result.attempts[0].provider == "newer_kind"
    assert result.provenance[0].provider == "newer_kind"
    assert result.episodes[0].failure is not None
    assert result.episodes[0].failure.code == "newer_reason"


def test_a_job_is_not_read_with_unknown_fields_since_they_would_be_ignored_silently() -> None:
    with pytest.raises(JobRefused, match="later: Extra inputs"):
        parse_job(load("job-full") | {"later": 1})


def test_known_kinds_and_reasons_are_read_as_such() -> None:
    result = ExtractionResult.model_validate(load("result-partial"))

    assert result.episodes[1].failure is not None
    assert result.episodes[1].failure.code is FailureCode.CONTENT_REFUSED
    assert isinstance(parse_job(load("job-full")), ExtractionJob)
