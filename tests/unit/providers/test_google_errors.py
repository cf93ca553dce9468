"""What Gemini's and Vertex's errors are taken for, from raw HTTP to the engine's decision."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.google import GEMINI, error, fault, generated, quota, read, retry, vertex_call
from tests.providers import CANARY, answer
from workers.engine.outcome import Action, decide
from workers.providers.base import Call, FaultKind
from workers.providers.google_wire import until_daily_reset

_MINUTE = "GenerateContentInputTokensPerModelPerMinute"
_DAY = "GenerateRequestsPerDayPerProjectPerModel"

_ERRORS: list[tuple[int, Any, FaultKind, Action]] = [
    (
        400,
        error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID"),
        FaultKind.CREDENTIAL_REJECTED,
        Action.REFRESH_CREDENTIAL,
    ),
    (
        400,
        error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", reason="API_KEY_INVALID"),
        FaultKind.CREDENTIAL_EXPIRED,
        Action.REFRESH_CREDENTIAL,
    ),
    (
        400,
        error(400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed."),
        FaultKind.CONTEXT_TOO_LONG,
        Action.FALL_BACK,
    ),
    (400, error(400, "INVALID_ARGUMENT", "Invalid value at 'x'"), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (
        400,
        error(400, "FAILED_PRECONDITION", "Please enable billing on project in Google AI Studio."),
        FaultKind.QUOTA_EXHAUSTED,
        Action.FALL_BACK,
    ),
    (
        400,
        error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        FaultKind.PERMISSION_DENIED,
        Action.FALL_BACK,
    ),
    (400, error(400, "FAILED_PRECONDITION", "Something else."), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (401, error(401, "UNAUTHENTICATED"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (
        401,
        error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_EXPIRED"),
        FaultKind.CREDENTIAL_EXPIRED,
        Action.REFRESH_CREDENTIAL,
    ),
    (
        401,
        error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        FaultKind.CREDENTIAL_REJECTED,
        Action.REFRESH_CREDENTIAL,
    ),
    (403, error(403, "PERMISSION_DENIED", reason="SERVICE_DISABLED"), FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
    (
        403,
        error(403, "PERMISSION_DENIED", reason="IAM_PERMISSION_DENIED"),
        FaultKind.PERMISSION_DENIED,
        Action.FALL_BACK,
    ),
    (
        403,
        error(403, "PERMISSION_DENIED", reason="API_KEY_SERVICE_BLOCKED"),
        FaultKind.PERMISSION_DENIED,
        Action.FALL_BACK,
    ),
    (
        403,
        error(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
        FaultKind.CREDENTIAL_REJECTED,
        Action.REFRESH_CREDENTIAL,
    ),
    (403, error(403, "PERMISSION_DENIED", reason="BILLING_DISABLED"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (
        404,
        error(404, "NOT_FOUND", "models/x is not found for API version"),
        FaultKind.MODEL_NOT_FOUND,
        Action.FALL_BACK,
    ),
    (404, b"<html>not found</html>", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (
        429,
        error(429, "RESOURCE_EXHAUSTED", details=[quota(_MINUTE), retry("14s")]),
        FaultKind.RATE_LIMITED,
        Action.RETRY,
    ),
    (
        429,
        error(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again."),
        FaultKind.RATE_LIMITED,
        Action.RETRY,
    ),
    (
        429,
        error(429, "RESOURCE_EXHAUSTED", details=[quota(_MINUTE, _DAY), retry("14s")]),
        FaultKind.QUOTA_EXHAUSTED,
        Action.FALL_BACK,
    ),
    (
        429,
        error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted. Please go to AI Studio."),
        FaultKind.QUOTA_EXHAUSTED,
        Action.FALL_BACK,
    ),
    (
        429,
        error(429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."),
        FaultKind.QUOTA_EXHAUSTED,
        Action.FALL_BACK,
    ),
    (499, error(499, "CANCELLED"), FaultKind.UNAVAILABLE, Action.RETRY),
    (500, error(500, "INTERNAL"), FaultKind.UNAVAILABLE, Action.RETRY),
    (503, error(503, "UNAVAILABLE", "The model is overloaded."), FaultKind.OVERLOADED, Action.FALL_BACK),
    (503, b"<html>bad gateway</html>", FaultKind.UNAVAILABLE, Action.RETRY),
    (504, error(504, "DEADLINE_EXCEEDED"), FaultKind.UNAVAILABLE, Action.RETRY),
]


@pytest.mark.parametrize("call", [GEMINI, vertex_call()], ids=["gemini", "vertex"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "in a list"])
@pytest.mark.parametrize(("status", "body", "kind", "action"), _ERRORS)
def test_each_error_has_its_fault_and_action(
    status: int, body: Any, kind: FaultKind, action: Action, *, wrapped: bool, call: Call
) -> None:
    if wrapped and isinstance(body, dict):
        body = b" \n[" + json.dumps(body).encode() + b"]\n"
    found = fault(answer(body, status=status), call=call)
    assert (found.kind, decide(found).action, found.status) == (kind, action, status)
    assert "words" not in repr(found)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (error(400, "INVALID_ARGUMENT", reason="API_KEY_INVALID"), "API_KEY_INVALID"),
        (error(429, "RESOURCE_EXHAUSTED", details=[quota(_DAY)]), _DAY),
        (error(503, "UNAVAILABLE"), "UNAVAILABLE"),
        (error(400, "two words", reason="not a word"), None),
        (error(400, "x" * 65), None),
    ],
)
def test_the_vendors_most_telling_code_is_kept_and_its_prose_is_not(body: Any, code: str | None) -> None:
    found = fault(answer(body, status=body["error"]["code"]))
    assert found.code == code
    assert ("(" in found.message) == (code is not None)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("14s", 14.0), ("0.5s", 0.5), ("45.578569677s", 45.578569677), ("-1s", None), ("soon", None), ("NaNs", None)],
)
def test_the_wait_of_a_rate_limit_is_the_vendors(delay: str, seconds: float | None) -> None:
    body = error(429, "RESOURCE_EXHAUSTED", details=[quota(_MINUTE), retry(delay)])
    assert fault(answer(body, status=429)).retry_after == seconds


def test_a_retry_after_header_goes_before_the_body() -> None:
    body = error(429, "RESOURCE_EXHAUSTED", details=[retry("14s")])
    assert fault(answer(body, status=429, retry_after="3")).retry_after == 3


def test_a_daily_quota_waits_for_midnight_in_california_whatever_the_vendor_says() -> None:
    body = error(429, "RESOURCE_EXHAUSTED", details=[quota(_DAY), retry("14s")])
    # The tests' clock stands at 12:00 UTC, which is 04:00 in California in winter.
    assert fault(answer(body, status=429)).retry_after == 20 * 3_600


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 11, 23, 8, 0, tzinfo=UTC), 24),
        (datetime(2026, 11, 23, 7, 59, 59, tzinfo=UTC), 1 / 3_600),
        (datetime(2026, 7, 1, 7, 0, tzinfo=UTC), 24),
        # The days on which clocks change have 25 and 23 hours.
        (datetime(2026, 11, 1, 7, 0, tzinfo=UTC), 25),
        (datetime(2027, 3, 14, 8, 0, tzinfo=UTC), 23),
    ],
)
def test_the_day_of_a_quota_ends_at_midnight_in_california(now: datetime, hours: float) -> None:
    assert until_daily_reset(now) == pytest.approx(hours * 3_600)


@pytest.mark.parametrize(
    ("status", "name", "says"),
    [
        (403, "PERMISSION_DENIED", "roles/aiplatform.user"),
        (404, "NOT_FOUND", "'global'"),
        (401, "UNAUTHENTICATED", "service account"),
    ],
)
def test_vertex_says_what_its_users_mostly_get_wrong(status: int, name: str, says: str) -> None:
    assert says in fault(answer(error(status, name), status=status), call=vertex_call()).message


@pytest.mark.parametrize("call", [GEMINI, vertex_call()])
def test_a_server_that_echoes_the_credential_does_not_get_it_into_a_fault(call: Call) -> None:
    assert call.credential is not None
    secret = call.credential.secret.get_secret_value()
    piece = CANARY if secret == CANARY else json.loads(secret)["private_key"].splitlines()[3]
    body = error(401, piece, f"Bad key {piece}", reason=piece, details=[quota(piece), retry(piece)])
    found = fault(answer(body, status=401), call=call)
    assert found.kind is FaultKind.CREDENTIAL_REJECTED
    assert piece not in repr(found)
    reply = read(answer(generated({"text": "{}"}) | {"modelVersion": piece, "responseId": piece}), call=call)
    assert piece not in repr(reply)
