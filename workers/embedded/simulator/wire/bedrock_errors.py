"""Bedrock's errors: status, a code in a header, and words in the body."""

import json
from collections.abc import Mapping
from typing import Any

from workers.embedded.simulator.exchange import Metered, Outgoing, Reason, Rejection

#: Status, code and words of each reason.
_REASONS: dict[Reason, tuple[int, str, str]] = {
    Reason.MISSING_KEY: (403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
    Reason.WRONG_KEY: (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    Reason.EXPIRED_KEY: (403, "ExpiredTokenException", "The security token included in the request is expired"),
    Reason.FORBIDDEN: (
        403,
        "AccessDeniedException",
        "User is not authorized to perform: bedrock:InvokeModel on the requested resource.",
    ),
    Reason.MODEL_NOT_FOUND: (
        404,
        "ResourceNotFoundException",
        "Could not resolve the foundation model from the provided model identifier.",
    ),
    Reason.PATH_NOT_FOUND: (404, "UnknownOperationException", ""),
    Reason.BAD_REQUEST: (400, "ValidationException", "The request is not valid."),
    Reason.CONTEXT_TOO_LONG: (400, "ValidationException", "Input is too long for requested model."),
    Reason.RATE_LIMITED: (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    Reason.TOO_LARGE: (429, "ThrottlingException", "Too many tokens, please wait before trying again."),
    Reason.QUOTA_EXHAUSTED: (
        429,
        "ThrottlingException",
        "Too many tokens per day, please wait before trying again.",
    ),
    Reason.SERVER_ERROR: (
        500,
        "InternalServerException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    Reason.OVERLOADED: (
        503,
        "ServiceUnavailableException",
        "Bedrock is unable to process your request.",
    ),
}
#: Codes of statuses that have no reason of their own.
_CODES = {408: "ModelTimeoutException", 424: "ModelErrorException"}


def json_response(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Outgoing:
    """A response with a JSON body."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Outgoing(status=status, body=body, headers=headers or {})


def error_of(rejection: Rejection) -> Outgoing:
    """The error that a rejection is."""
    status, code, words = _REASONS[rejection.reason]
    status = rejection.status or status
    code = rejection.code or _CODES.get(status, code)
    if rejection.hit is not None and rejection.hit.metered is Metered.TOKENS:
        words = _REASONS[Reason.TOO_LARGE][2]
    headers = {"x-amzn-errortype": f"{code}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return json_response(status, {"message": rejection.message or words}, headers)
