"""Google's errors: status, name, words, and details; one form for the Gemini API and for Vertex AI."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.embedded.simulator.exchange import Metered, Outgoing, Reason, Rejection

_RPC = "type.googleapis.com/google.rpc."
#: HTTP status → name of the status.
_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """One error of a vendor."""

    status: int
    words: str
    #: `ErrorInfo.reason`.
    info: str | None = None
    #: `QuotaFailure.violations[].quotaId`.
    quota: str | None = None


_SERVER: dict[Reason, Error] = {
    Reason.BAD_REQUEST: Error(status=400, words="Request contains an invalid argument."),
    Reason.CONTEXT_TOO_LONG: Error(
        status=400, words="The input token count exceeds the maximum number of tokens allowed 1048576."
    ),
    Reason.SERVER_ERROR: Error(
        status=500,
        words="An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    ),
    Reason.OVERLOADED: Error(status=503, words="The model is overloaded. Please try again later."),
}
_EXCEEDED = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
GEMINI_ERRORS: Mapping[Reason, Error] = {
    **_SERVER,
    Reason.MISSING_KEY: Error(
        status=403,
        words="Method doesn't allow unregistered callers (callers without established identity). Please use API Key "
        "or other form of API consumer identity to call this API.",
    ),
    # A bad key is an invalid argument here.
    Reason.WRONG_KEY: Error(
        status=400, words="API key not valid. Please pass a valid API key.", info="API_KEY_INVALID"
    ),
    Reason.EXPIRED_KEY: Error(status=400, words="API key expired. Please renew the API key.", info="API_KEY_INVALID"),
    Reason.FORBIDDEN: Error(
        status=403,
        words="Generative Language API has not been used in project 1 before or it is disabled.",
        info="SERVICE_DISABLED",
    ),
    Reason.MODEL_NOT_FOUND: Error(
        status=404,
        words="models/{model} is not found for API version v1beta, or is not supported for generateContent. Call "
        "ListModels to see the list of available models and their supported methods.",
    ),
    Reason.RATE_LIMITED: Error(status=429, words=_EXCEEDED, quota="GenerateRequestsPerMinutePerProjectPerModel"),
    Reason.TOO_LARGE: Error(status=429, words=_EXCEEDED, quota="GenerateContentInputTokensPerModelPerMinute"),
    Reason.QUOTA_EXHAUSTED: Error(status=429, words=_EXCEEDED, quota="GenerateRequestsPerDayPerProjectPerModel"),
}
_CREDENTIAL = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. See "
    "https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_CAPACITY = (
    "Resource exhausted. Please try again later. Please refer to "
    "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
)
VERTEX_ERRORS: Mapping[Reason, Error] = {
    **_SERVER,
    Reason.MISSING_KEY: Error(
        status=401,
        words=f"Request is missing required authentication credential. {_CREDENTIAL}",
        info="CREDENTIALS_MISSING",
    ),
    Reason.WRONG_KEY: Error(
        status=401,
        words=f"Request had invalid authentication credentials. {_CREDENTIAL}",
        info="ACCESS_TOKEN_TYPE_UNSUPPORTED",
    ),
    Reason.EXPIRED_KEY: Error(
        status=401,
        words=f"Request had invalid authentication credentials. {_CREDENTIAL}",
        info="ACCESS_TOKEN_EXPIRED",
    ),
    Reason.FORBIDDEN: Error(
        status=403,
        words="Permission 'aiplatform.endpoints.predict' denied on resource (or it may not exist).",
        info="IAM_PERMISSION_DENIED",
    ),
    Reason.MODEL_NOT_FOUND: Error(
        status=404,
        words="Publisher Model `publishers/google/models/{model}` was not found or your project does not have access "
        "to it. Please ensure you are using a valid model version.",
    ),
    # Not the customer's quota: the capacity that all customers share. It names no wait.
    Reason.RATE_LIMITED: Error(status=429, words=_CAPACITY),
    Reason.TOO_LARGE: Error(status=429, words=_CAPACITY),
    Reason.QUOTA_EXHAUSTED: Error(
        status=403,
        words="This API method requires billing to be enabled. Please enable billing on project #1.",
        info="BILLING_DISABLED",
    ),
}


#: A path that no API has: the front end answers, and knows no JSON.
_NO_PATH = (
    b"<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title>"
    b"<p><b>404.</b> <ins>That is an error.</ins><p>The requested URL was not found on this server.</html>"
)


def json_response(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Outgoing:
    """A response with a JSON body."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Outgoing(status=status, body=body, headers=headers or {}, content_type="application/json")


def error_of(rejection: Rejection, errors: Mapping[Reason, Error], *, names_wait: bool) -> Outgoing:
    """The error that a rejection is.

    Args:
        rejection: what went wrong.
        errors: the vendor's error of each reason.
        names_wait: whether the vendor says how long to wait when its own meter refused.
    """
    if rejection.reason is Reason.PATH_NOT_FOUND:
        return Outgoing(status=rejection.status or 404, body=_NO_PATH, content_type="text/html")
    error = errors[rejection.reason]
    status = rejection.status or error.status
    details: list[dict[str, Any]] = []
    if info := rejection.code or (error.info if status == error.status else None):
        details.append({"@type": f"{_RPC}ErrorInfo", "reason": info, "domain": "googleapis.com"})
    quota = error.quota
    if quota is not None and rejection.hit is not None and rejection.hit.metered is Metered.TOKENS:
        quota = errors[Reason.TOO_LARGE].quota
    if quota is not None and status == error.status:
        details.append({"@type": f"{_RPC}QuotaFailure", "violations": [{"quotaId": quota}]})
    if rejection.retry_after is not None and (names_wait or rejection.hit is None):
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{rejection.retry_after:.9f}s"})
    document: dict[str, Any] = {
        "code": status,
        "message": rejection.message or error.words.format(model=rejection.model),
        "status": _NAMES.get(status, "UNKNOWN"),
    }
    if details:
        document["details"] = details
    return json_response(status, {"error": document})
