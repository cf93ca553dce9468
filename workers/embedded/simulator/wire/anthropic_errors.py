"""Anthropic's errors: status, type, words, and a code in `details` where there is one."""

import json
import math
from collections.abc import Mapping
from typing import Any

from workers.embedded.simulator.exchange import Metered, Outgoing, Reason, Rejection

_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
#: Status and words of each reason.
_REASONS: dict[Reason, tuple[int, str]] = {
    Reason.MISSING_KEY: (401, "x-api-key header is required"),
    Reason.WRONG_KEY: (401, "invalid x-api-key"),
    Reason.EXPIRED_KEY: (401, "This API key has expired."),
    Reason.FORBIDDEN: (403, "Your API key does not have permission to use the specified resource."),
    Reason.MODEL_NOT_FOUND: (404, "model: {model}"),
    Reason.PATH_NOT_FOUND: (404, "Not Found"),
    Reason.BAD_REQUEST: (400, "Invalid request"),
    Reason.CONTEXT_TOO_LONG: (400, "prompt is too long"),
    Reason.RATE_LIMITED: (429, ""),
    Reason.TOO_LARGE: (429, ""),
    Reason.QUOTA_EXHAUSTED: (400, _CREDIT),
    Reason.SERVER_ERROR: (500, "Internal server error"),
    Reason.OVERLOADED: (529, "Overloaded"),
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def json_response(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Outgoing:
    """A response with a JSON body."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Outgoing(status=status, body=body, headers=headers or {})


def error_of(rejection: Rejection) -> Outgoing:
    """The error that a rejection is."""
    status, words = _REASONS[rejection.reason]
    status = rejection.status or status
    error: dict[str, Any] = {
        "type": _TYPES.get(status, "api_error"),
        "message": rejection.message or _limit_words(rejection) or words.format(model=rejection.model),
    }
    if rejection.code is not None:
        error["details"] = {"error_code": rejection.code}
    wait = rejection.retry_after
    headers = {} if wait is None else {"retry-after": str(math.ceil(wait))}
    return json_response(status, {"type": "error", "error": error}, headers)


def _limit_words(rejection: Rejection) -> str:
    hit = rejection.hit
    if hit is None:
        return "This request would exceed your organization's rate limit." if rejection.status == 429 else ""  # noqa: PLR2004 - the HTTP status
    unit = "tokens" if hit.metered is Metered.TOKENS else "requests"
    return f"This request would exceed your organization's rate limit of {hit.limit} {unit} per minute."
