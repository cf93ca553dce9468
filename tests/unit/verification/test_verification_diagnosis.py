"""The diagnosis table, row by row: which fault on which connection means what to the user."""

import string
from typing import Any, NamedTuple

import pytest

from tasks.contract import ProviderKind
from tests.verification import connected
from workers.providers.base import Fault, FaultKind
from workers.verification.diagnosis import diagnose, find_row, load_table
from workers.verification.report import CheckName, Problem, Status

OPENAI, AZURE, GEMINI = ProviderKind.OPENAI, ProviderKind.AZURE_OPENAI, ProviderKind.GEMINI
VERTEX, ANTHROPIC, BEDROCK = ProviderKind.VERTEX, ProviderKind.ANTHROPIC, ProviderKind.BEDROCK
COMPATIBLE = ProviderKind.OPENAI_COMPATIBLE
OWN = {"base_url": "https://llm.example.com/v1"}
AZURES = {"base_url": "https://acme.openai.azure.com/"}


class Case(NamedTuple):
    row: str
    provider: ProviderKind
    kind: FaultKind
    status: int | None
    code: str | None
    problem: Problem
    settings: dict[str, Any]


def case(
    row: str,
    provider: ProviderKind,
    kind: FaultKind,
    status: int | None,
    code: str | None,
    problem: Problem,
    **settings: Any,
) -> Case:
    needed = {AZURE: AZURES, COMPATIBLE: OWN}.get(provider, {})
    return Case(row, provider, kind, status, code, problem, needed | settings)


K, P = FaultKind, Problem
CASES = [
    # No connection comes about.
    case("azure-no-such-resource", AZURE, K.CONNECT, None, "(dns)", P.WRONG_ENDPOINT),
    case("bedrock-no-such-region", BEDROCK, K.CONNECT, None, "(dns)", P.WRONG_ENDPOINT, region="eu-east-9"),
    case("own-host-unknown", COMPATIBLE, K.CONNECT, None, "(dns)", P.WRONG_ENDPOINT),
    case("own-host-unknown", OPENAI, K.CONNECT, None, "(dns)", P.WRONG_ENDPOINT, **OWN),
    case("no-dns", OPENAI, K.CONNECT, None, "(dns)", P.NO_NETWORK),
    case("no-dns", BEDROCK, K.CONNECT, None, "(dns)", P.NO_NETWORK),
    case("own-tls", COMPATIBLE, K.CONNECT, None, "(tls)", P.WRONG_ENDPOINT),
    case("tls", ANTHROPIC, K.CONNECT, None, "(tls)", P.NO_NETWORK),
    case("own-refused", COMPATIBLE, K.CONNECT, None, "(refused)", P.WRONG_ENDPOINT),
    case("own-silent", COMPATIBLE, K.CONNECT, None, "(no answer)", P.WRONG_ENDPOINT),
    case("unreachable", GEMINI, K.CONNECT, None, "(refused)", P.NO_NETWORK),
    case("unreachable", VERTEX, K.CONNECT, None, "(no answer)", P.NO_NETWORK),
    case("connect", BEDROCK, K.CONNECT, None, None, P.NO_NETWORK),
    case("read", OPENAI, K.READ, None, None, P.PROVIDER_UNAVAILABLE),
    case("timeout", COMPATIBLE, K.TIMEOUT, None, None, P.PROVIDER_UNAVAILABLE),
    # Something else answers.
    case("address-refused", COMPATIBLE, K.ENDPOINT_INVALID, None, None, P.WRONG_ENDPOINT),
    case("openai-data-region", OPENAI, K.ENDPOINT_INVALID, 403, "data_residency_mismatch", P.WRONG_ENDPOINT),
    case("redirect", COMPATIBLE, K.ENDPOINT_INVALID, 308, None, P.WRONG_ENDPOINT),
    case("openai-path", OPENAI, K.ENDPOINT_INVALID, 404, None, P.WRONG_ENDPOINT, **OWN),
    case("azure-path", AZURE, K.ENDPOINT_INVALID, 404, "404", P.WRONG_ENDPOINT),
    case("vertex-location", VERTEX, K.ENDPOINT_INVALID, 404, None, P.WRONG_ENDPOINT, location="us-central9"),
    case("sts-region", BEDROCK, K.ENDPOINT_INVALID, 403, "RegionDisabledException", P.WRONG_ENDPOINT),
    case("compatible-path", COMPATIBLE, K.ENDPOINT_INVALID, 404, None, P.WRONG_ENDPOINT),
    case("wrong-path", ANTHROPIC, K.ENDPOINT_INVALID, 404, None, P.WRONG_ENDPOINT, **OWN),
    case("wrong-path", VERTEX, K.ENDPOINT_INVALID, 404, None, P.WRONG_ENDPOINT, **OWN),
    case("foreign-answer", COMPATIBLE, K.MALFORMED, 200, None, P.WRONG_ENDPOINT),
    # The provider is unwell.
    case("aws-of-this-machine", BEDROCK, K.UNAVAILABLE, None, "ExpiredToken", P.WORKER_SETUP),
    case("bedrock-clock", BEDROCK, K.UNAVAILABLE, 403, "InvalidSignatureException", P.WORKER_SETUP),
    case("unavailable", OPENAI, K.UNAVAILABLE, 500, "server_error", P.PROVIDER_UNAVAILABLE),
    case("bedrock-agreement-pending", BEDROCK, K.OVERLOADED, 403, "AccessDeniedException", P.PROVIDER_UNAVAILABLE),
    case("overloaded", ANTHROPIC, K.OVERLOADED, 529, "overloaded_error", P.PROVIDER_UNAVAILABLE),
    case("tier-unavailable", OPENAI, K.TIER_UNAVAILABLE, 429, "resource_unavailable", P.PROVIDER_UNAVAILABLE),
    case("vertex-no-capacity", VERTEX, K.RATE_LIMITED, 429, "RESOURCE_EXHAUSTED", P.RATE_LIMITED),
    case("gemini-free-tier", GEMINI, K.RATE_LIMITED, 429, "GenerateRequestsPerMinute-FreeTier", P.RATE_LIMITED),
    case("rate-limited", OPENAI, K.RATE_LIMITED, 429, "rate_limit_exceeded", P.RATE_LIMITED),
    # No money, no quota.
    case("openai-no-credit", OPENAI, K.QUOTA_EXHAUSTED, 429, "credit_balance_exhausted", P.QUOTA_EXHAUSTED),
    case("anthropic-no-credit", ANTHROPIC, K.QUOTA_EXHAUSTED, 400, "invalid_request_error", P.QUOTA_EXHAUSTED),
    case("gemini-free-tier-day", GEMINI, K.QUOTA_EXHAUSTED, 429, "RequestsPerDay-FreeTier", P.QUOTA_EXHAUSTED),
    case("gemini-no-billing", GEMINI, K.QUOTA_EXHAUSTED, 403, "BILLING_DISABLED", P.QUOTA_EXHAUSTED),
    case("vertex-no-billing", VERTEX, K.QUOTA_EXHAUSTED, 403, "BILLING_DISABLED", P.QUOTA_EXHAUSTED),
    case("bedrock-no-quota", BEDROCK, K.QUOTA_EXHAUSTED, 429, "ThrottlingException", P.QUOTA_EXHAUSTED),
    case("quota-exhausted", AZURE, K.QUOTA_EXHAUSTED, 403, "QuotaExceeded", P.QUOTA_EXHAUSTED),
    # The credential.
    case("server-wants-key", COMPATIBLE, K.CREDENTIAL_REJECTED, 401, None, P.MISSING_KEY, credential=None),
    case("openai-organization", OPENAI, K.CREDENTIAL_REJECTED, 401, "mismatched_organization", P.BAD_KEY),
    case("openai-region", OPENAI, K.CREDENTIAL_REJECTED, 401, "incorrect_hostname", P.WRONG_ENDPOINT),
    case("openai-bad-key", OPENAI, K.CREDENTIAL_REJECTED, 401, "invalid_api_key", P.BAD_KEY),
    case("azure-bad-key", AZURE, K.CREDENTIAL_REJECTED, 401, "401", P.BAD_KEY),
    case("gemini-leaked-key", GEMINI, K.CREDENTIAL_REJECTED, 403, "PERMISSION_DENIED", P.BAD_KEY),
    case("gemini-bad-key", GEMINI, K.CREDENTIAL_REJECTED, 400, "API_KEY_INVALID", P.BAD_KEY),
    case("vertex-account-gone", VERTEX, K.CREDENTIAL_REJECTED, 400, "invalid_grant", P.BAD_KEY),
    case("vertex-grant-refused", VERTEX, K.CREDENTIAL_REJECTED, 401, "unauthorized_client", P.MISSING_PERMISSION),
    case("vertex-bad-key", VERTEX, K.CREDENTIAL_REJECTED, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED", P.BAD_KEY),
    case("anthropic-bad-key", ANTHROPIC, K.CREDENTIAL_REJECTED, 401, "authentication_error", P.BAD_KEY),
    case("bedrock-role-refused", BEDROCK, K.CREDENTIAL_REJECTED, None, "AccessDenied", P.MISSING_PERMISSION),
    case("bedrock-bad-keys", BEDROCK, K.CREDENTIAL_REJECTED, 403, "UnrecognizedClientException", P.BAD_KEY),
    *(case("bad-key-here", kind, K.CREDENTIAL_REJECTED, None, None, P.BAD_KEY) for kind in ProviderKind),
    case("bad-key", COMPATIBLE, K.CREDENTIAL_REJECTED, 401, None, P.BAD_KEY),
    case("gemini-expired-key", GEMINI, K.CREDENTIAL_EXPIRED, 400, "API_KEY_INVALID", P.EXPIRED_KEY),
    case("bedrock-expired-keys", BEDROCK, K.CREDENTIAL_EXPIRED, 403, "ExpiredTokenException", P.EXPIRED_KEY),
    case("vertex-expired-token", VERTEX, K.CREDENTIAL_EXPIRED, 401, "ACCESS_TOKEN_EXPIRED", P.EXPIRED_KEY),
    case("expired-key", COMPATIBLE, K.CREDENTIAL_EXPIRED, 400, "expired_key", P.EXPIRED_KEY),
    # The permission.
    case("openai-scopes", OPENAI, K.PERMISSION_DENIED, 401, "invalid_request_error", P.MISSING_PERMISSION),
    case(
        "openai-country",
        OPENAI,
        K.PERMISSION_DENIED,
        403,
        "unsupported_country_region_territory",
        P.MISSING_PERMISSION,
    ),
    case("openai-forbidden", OPENAI, K.PERMISSION_DENIED, 403, "request_forbidden", P.MISSING_PERMISSION),
    case("azure-network", AZURE, K.PERMISSION_DENIED, 403, "AccessDenied", P.MISSING_PERMISSION),
    case("gemini-api-off", GEMINI, K.PERMISSION_DENIED, 403, "SERVICE_DISABLED", P.MISSING_PERMISSION),
    case("gemini-key-restricted", GEMINI, K.PERMISSION_DENIED, 403, "API_KEY_SERVICE_BLOCKED", P.MISSING_PERMISSION),
    case("gemini-country", GEMINI, K.PERMISSION_DENIED, 400, "FAILED_PRECONDITION", P.MISSING_PERMISSION),
    case("vertex-api-off", VERTEX, K.PERMISSION_DENIED, 403, "SERVICE_DISABLED", P.MISSING_PERMISSION),
    case("vertex-project", VERTEX, K.PERMISSION_DENIED, 403, "CONSUMER_INVALID", P.MISSING_PERMISSION),
    case("vertex-role", VERTEX, K.PERMISSION_DENIED, 403, "IAM_PERMISSION_DENIED", P.MISSING_PERMISSION),
    case("anthropic-forbidden", ANTHROPIC, K.PERMISSION_DENIED, 403, "permission_error", P.MISSING_PERMISSION),
    case("bedrock-policy", BEDROCK, K.PERMISSION_DENIED, 403, "AccessDeniedException", P.MISSING_PERMISSION),
    case("forbidden", COMPATIBLE, K.PERMISSION_DENIED, 403, None, P.MISSING_PERMISSION),
    case("forbidden", GEMINI, K.PERMISSION_DENIED, 403, "PERMISSION_DENIED", P.MISSING_PERMISSION),
    # The model.
    case("openai-no-model", OPENAI, K.MODEL_NOT_FOUND, 404, "model_not_found", P.UNKNOWN_MODEL),
    case("azure-no-deployment", AZURE, K.MODEL_NOT_FOUND, 404, "DeploymentNotFound", P.UNKNOWN_MODEL),
    case("gemini-no-model", GEMINI, K.MODEL_NOT_FOUND, 404, "NOT_FOUND", P.UNKNOWN_MODEL),
    case("vertex-no-model", VERTEX, K.MODEL_NOT_FOUND, 404, "NOT_FOUND", P.UNKNOWN_MODEL),
    case("anthropic-no-model", ANTHROPIC, K.MODEL_NOT_FOUND, 404, "not_found_error", P.UNKNOWN_MODEL),
    case(
        "bedrock-access-not-granted",
        BEDROCK,
        K.MODEL_NOT_FOUND,
        403,
        "AccessDeniedException",
        P.MISSING_PERMISSION,
    ),
    case(
        "bedrock-needs-profile",
        BEDROCK,
        K.MODEL_NOT_FOUND,
        400,
        "ValidationException",
        P.UNKNOWN_MODEL,
        model="anthropic.claude-haiku-5-5",
    ),
    case("bedrock-no-model", BEDROCK, K.MODEL_NOT_FOUND, 400, "ValidationException", P.UNKNOWN_MODEL),
    case("no-model", COMPATIBLE, K.MODEL_NOT_FOUND, 404, "NotFoundError", P.UNKNOWN_MODEL),
    case("context", COMPATIBLE, K.CONTEXT_TOO_LONG, 400, None, P.UNSUPPORTED_REQUEST),
    # The request and the answer.
    case("request-here", OPENAI, K.BAD_REQUEST, None, None, P.UNSUPPORTED_REQUEST),
    case("compatible-request", COMPATIBLE, K.BAD_REQUEST, 400, None, P.UNSUPPORTED_REQUEST),
    case("request", ANTHROPIC, K.BAD_REQUEST, 400, "invalid_request_error", P.UNSUPPORTED_REQUEST),
    case("refused", AZURE, K.REFUSED, 200, "content_filter", P.UNUSABLE_OUTPUT),
    case("truncated", COMPATIBLE, K.TRUNCATED, 200, "length", P.UNUSABLE_OUTPUT),
    case("empty", GEMINI, K.EMPTY, 200, None, P.UNUSABLE_OUTPUT),
    case("malformed-answer", BEDROCK, K.MALFORMED, 200, "malformed_tool_use", P.UNUSABLE_OUTPUT),
]


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.row}-{row.provider.value}")
def test_each_row_is_reached_by_its_fault(row: Case) -> None:
    link = connected(row.provider, **row.settings)
    fault = Fault(kind=row.kind, message="openai answered 1: it said so.", status=row.status, code=row.code)

    found = find_row(fault, link.connection)
    checks = diagnose(fault, link.connection)

    [failed] = [check for check in checks if check.status is Status.FAILED]
    assert found.name == row.row
    assert (failed.problem, failed.name) == (row.problem, found.check)
    assert failed.mend
    assert "{" not in failed.message + failed.mend


def test_no_row_is_without_an_example() -> None:
    names = [row.name for row in load_table()]

    assert len(names) == len(set(names))
    assert set(names) == {row.row for row in CASES}


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize("provider", ProviderKind)
@pytest.mark.parametrize(("status", "code"), [(None, None), (418, "never_seen")])
def test_every_fault_of_every_provider_has_a_diagnosis(
    kind: FaultKind, provider: ProviderKind, status: int | None, code: str | None
) -> None:
    settings = {AZURE: AZURES, COMPATIBLE: OWN}.get(provider, {})
    fault = Fault(kind=kind, message="It said so.", status=status, code=code)
    checks = diagnose(fault, connected(provider, **settings).connection)

    assert [check.name for check in checks] == list(CheckName)
    assert sum(check.status is Status.FAILED for check in checks) == 1


def test_texts_speak_of_what_is_known_only() -> None:
    known = {"vendor", "model", "address", "host", "place", "said"}

    for row in load_table():
        fields = {name for text in (row.message, row.mend) for _, name, _, _ in string.Formatter().parse(text) if name}
        assert fields <= known, row.name


STATUSES = {
    # What a refusal proves: the address answered, and the checks that come before the refusal were passed.
    (OPENAI, K.CREDENTIAL_REJECTED, 401): ["ok", "failed"],
    (OPENAI, K.CREDENTIAL_REJECTED, None): ["skipped", "failed"],
    (OPENAI, K.MODEL_NOT_FOUND, 404): ["ok", "ok", "skipped", "failed"],
    (OPENAI, K.QUOTA_EXHAUSTED, 429): ["ok", "ok", "failed"],
    (OPENAI, K.BAD_REQUEST, 400): ["ok", "ok", "skipped", "skipped", "failed"],
    (OPENAI, K.EMPTY, 200): ["ok", "ok", "ok", "ok", "failed"],
    # Another resource than the key's own says the same.
    (AZURE, K.CREDENTIAL_REJECTED, 401): ["skipped", "failed"],
}


@pytest.mark.parametrize(("given", "expected"), STATUSES.items(), ids=str)
def test_a_refusal_proves_what_came_before_it(
    given: tuple[ProviderKind, FaultKind, int | None], expected: list[str]
) -> None:
    provider, kind, status = given
    settings = AZURES if provider is AZURE else {}
    fault = Fault(kind=kind, message="No.", status=status)
    found = [check.status.value for check in diagnose(fault, connected(provider, **settings).connection)]

    assert found == expected + ["skipped"] * (len(CheckName) - len(expected))


def test_the_token_endpoints_refusal_proves_nothing_of_the_models_endpoint() -> None:
    fault = Fault(kind=K.CREDENTIAL_REJECTED, message="No.", status=400, code="invalid_grant")
    checks = diagnose(fault, connected(VERTEX).connection)

    assert checks[0].status is Status.SKIPPED


def test_evidence_for_the_providers_support_stands_in_the_message() -> None:
    fault = Fault(kind=K.CREDENTIAL_REJECTED, message="No.", status=401, code="invalid_api_key", request_id="req_12")
    failed = diagnose(fault, connected(OPENAI).connection)[1]

    assert failed.message.endswith("(HTTP 401, invalid_api_key, request req_12)")


def test_a_code_that_repeats_the_status_is_said_once() -> None:
    fault = Fault(kind=K.CREDENTIAL_REJECTED, message="No.", status=401, code="401")

    assert diagnose(fault, connected(AZURE, **AZURES).connection)[1].message.endswith("(HTTP 401)")
