import json
from typing import Any

import pytest

from tasks.contract import FailureCode, JobRefused, VerificationRequest, parse_verification
from tests.unit.contract.cases import CANARY


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"project": "acme"}, VerificationRequest(project="acme")),
        ({"project": "acme", "connection": "primary"}, VerificationRequest(project="acme", connection="primary")),
        (
            {"project": "acme", "connection": "primary", "credential_version": 2},
            VerificationRequest(project="acme", connection="primary", credential_version=2),
        ),
    ],
)
def test_a_request_is_read(payload: dict[str, Any], expected: VerificationRequest) -> None:
    assert parse_verification(payload) == expected
    assert parse_verification(json.loads(expected.model_dump_json())) == expected


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({}, "project: Field required"),
        ({"project": f"../{CANARY}"}, "project: "),
        ({"project": "acme", "later": CANARY}, "later: Extra inputs are not permitted"),
        ({"project": "acme", "connection": f"{CANARY} {CANARY}"}, "connection: "),
        ({"project": "acme", "connection": "a", "credential_version": 0}, "credential_version: "),
        ({"project": "acme", "credential_version": 2}, "request: credential_version needs connection"),
        ([CANARY], "request: "),
        (None, "request: "),
    ],
)
def test_what_is_no_request_is_refused_without_repeating_it(payload: Any, problem: str) -> None:
    with pytest.raises(JobRefused) as caught:
        parse_verification(payload)

    assert caught.value.code is FailureCode.INVALID_JOB
    assert any(line.startswith(problem) for line in caught.value.details["problems"])
    assert CANARY not in str(caught.value.args)
