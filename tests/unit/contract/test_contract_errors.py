import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.backends.base import BaseBackend

import tasks.contract
from tasks.contract import ContractError, ExtractionFailed, Failure, FailureCode, JobRefused, ProviderKind


def tree(root: type[ContractError]) -> Iterator[type[ContractError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


CLASSES = pytest.mark.parametrize("cls", list(tree(ContractError)), ids=lambda cls: cls.__name__)
DETAILS = {"code": FailureCode.RATE_LIMITED, "project": "acme", "attempts": [{"attempt": "1.1.1"}]}


@pytest.fixture
def backend() -> Any:
    """What every Celery result backend does with exceptions, JSON only."""
    app = Celery(set_as_current=False)
    app.conf.update(result_serializer="json", accept_content=["json"])
    return BaseBackend(app=app)


def stored(backend: Any, error: Exception) -> Any:
    """The document that lies in the result backend."""
    return json.loads(backend.encode(backend.prepare_exception(error)))


@CLASSES
def test_every_error_is_part_of_the_contract(cls: type[ContractError]) -> None:
    assert getattr(tasks.contract, cls.__name__) is cls


def pickled(error: ContractError) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - read where it was written


@CLASSES
@pytest.mark.parametrize("duplicate", [pickled, copy.copy])
def test_every_error_survives_pickling_and_copying(cls: type[ContractError], duplicate: Any) -> None:
    twin = duplicate(cls("it broke", DETAILS))

    assert type(twin) is cls
    assert (twin.message, twin.details, twin.code, str(twin)) == (
        "it broke",
        DETAILS,
        FailureCode.RATE_LIMITED,
        "it broke",
    )


@CLASSES
def test_every_error_survives_celerys_json_result(cls: type[ContractError], backend: Any) -> None:
    document = stored(backend, cls("it broke", DETAILS))
    twin = backend.exception_to_python(document)

    assert document["exc_message"] == ["it broke", DETAILS]
    assert type(twin) is cls
    assert (twin.message, twin.details, twin.code) == ("it broke", DETAILS, FailureCode.RATE_LIMITED)


@CLASSES
def test_a_foreign_reader_that_imports_nothing_finds_message_and_details(
    cls: type[ContractError], backend: Any
) -> None:
    document = stored(backend, cls("it broke", DETAILS)) | {"exc_module": "somewhere.else"}
    error = backend.exception_to_python(document)

    assert type(error).__name__ == cls.__name__
    assert list(error.args) == ["it broke", DETAILS]


def test_an_error_without_details_is_internal() -> None:
    error = JobRefused("it broke")

    assert (error.details, error.code) == ({}, FailureCode.INTERNAL)


def test_details_handed_out_are_a_copy() -> None:
    error = JobRefused("it broke", {"code": "internal"})
    error.details["code"] = "changed"

    assert error.code is FailureCode.INTERNAL


def test_a_reason_that_only_newer_workers_know_is_read_as_text() -> None:
    assert ExtractionFailed("it broke", {"code": "newer_reason"}).code == "newer_reason"


def test_a_failure_and_its_error_say_the_same() -> None:
    failure = Failure(
        code=FailureCode.CREDENTIAL_REJECTED,
        message="project 'acme': the key was refused",
        project="acme",
        provider=ProviderKind.OPENAI,
    )
    error = failure.as_error()

    assert error.message == failure.message
    assert error.code is FailureCode.CREDENTIAL_REJECTED
    assert Failure.model_validate(error.details) == failure
    assert json.loads(json.dumps(error.details)) == error.details
