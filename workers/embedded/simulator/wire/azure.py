"""Azure OpenAI: OpenAI's Responses API below a resource, with Azure's keys, errors and headers."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import parse_qs

from workers.embedded.simulator.exchange import Incoming, Outgoing, Question, Reason, Receipt, Rejection
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.wire import openai_checks as checks
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.openai import dumped
from workers.embedded.simulator.wire.openai_facts import MODELS, Facts
from workers.embedded.simulator.wire.openai_responses import OpenAIResponses

_ROOT = "/openai/v1"
#: What `api-version` may be on this path.
_VERSIONS = frozenset({"v1", "preview", "latest"})

#: Deployments, named like their models. Azure switches models off on days of its own.
_ENDS = {
    "gpt-6-luna": "2028-03-11",
    "gpt-5.6-luna": "2028-01-11",
    "gpt-5.4-nano": "2027-09-21",
    "gpt-5.4-mini": "2027-09-21",
    "gpt-5-mini": "2027-02-09",
    "gpt-5-nano": "2027-02-09",
    "gpt-4.1-mini": "2027-04-14",
    "gpt-4o-mini": "2027-04-14",
}
DEPLOYMENTS: Mapping[str, Facts] = {
    **{name: replace(MODELS[name], ends=ends) for name, ends in _ENDS.items()},
    "gpt-4.1-nano": replace(MODELS["gpt-4.1-mini"], ends="2027-04-14"),
}

_WRONG_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
_NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)
#: Status, code and words of each reason. Codes are words in some places and numbers, as strings, in others.
_ERRORS: Mapping[Reason, tuple[int, str, str]] = {
    Reason.MISSING_KEY: (401, "401", _WRONG_KEY),
    Reason.FORBIDDEN: (403, "AccessDenied", "Access denied due to Virtual Network/Firewall rules."),
    Reason.MODEL_NOT_FOUND: (404, "DeploymentNotFound", _NO_DEPLOYMENT),
    Reason.PATH_NOT_FOUND: (404, "404", "Resource not found"),
    Reason.BAD_REQUEST: (400, "BadRequest", "The request is not valid."),
    Reason.CONTEXT_TOO_LONG: (
        400,
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
    Reason.RATE_LIMITED: (
        429,
        "too_many_requests",
        "Your requests to the deployment have exceeded the call rate limit of its pricing tier.",
    ),
    # There is no prepaid credit here; what can run out is the quota of a gateway in front of the resource.
    Reason.QUOTA_EXHAUSTED: (403, "QuotaExceeded", "Token quota is exceeded. Try again in 3 days."),
    Reason.SERVER_ERROR: (500, "InternalServerError", "The server had an error while processing your request."),
    Reason.OVERLOADED: (503, "ServiceUnavailable", "The service is temporarily unable to process your request."),
}
#: Reasons that are told in the words of another.
_SAME = {
    Reason.WRONG_KEY: Reason.MISSING_KEY,
    Reason.EXPIRED_KEY: Reason.MISSING_KEY,
    Reason.TOO_LARGE: Reason.RATE_LIMITED,
}


class AzureResponses(OpenAIResponses):
    """The wire format of a resource's v1 path."""

    routes = (
        Route(method="POST", path=f"{_ROOT}/responses", operation=Operation.ANSWER),
        Route(method="GET", path=f"{_ROOT}/models", operation=Operation.LOOKUP),
        Route(method="GET", path=f"{_ROOT}/models/{{model}}", operation=Operation.LOOKUP),
    )
    models: ClassVar[Mapping[str, Facts]] = DEPLOYMENTS

    def credential(self, incoming: Incoming) -> str | None:
        """`api-key`, else the bearer token by which OpenAI's own client sends it."""
        return incoming.headers.get("api-key", "").strip() or super().credential(incoming)

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks, if it is for a version of the API that there is."""
        if not _VERSIONS.issuperset(parse_qs(incoming.query).get("api-version", ())):
            raise Rejection(Reason.BAD_REQUEST, "API version not supported", code="BadRequest")
        return super().parse(incoming)

    def question(self, body: checks.Json, model: str, facts: Facts) -> Question:
        """As OpenAI takes it, without what Azure does not offer."""
        checks.one_of(body, "service_tier", ("auto", "default", "flex", "priority"))
        options = checks.typed(body, "prompt_cache_options", dict) or {}
        checks.one_of(options, "ttl", ("30m",), param="prompt_cache_options.ttl")
        asked = super().question(body, model, facts)
        return replace(asked, echo={**asked.echo, "content_filters": []})

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - the interface's
        """An error body with `code` and `message`."""
        status, code, words = _ERRORS[_SAME.get(rejection.reason, rejection.reason)]
        error = {"code": rejection.code or code, "message": rejection.message or words}
        if rejection.param is not None:
            error["param"] = rejection.param
        wait = rejection.retry_after
        headers = {} if wait is None else {"retry-after": str(math.ceil(wait))}
        return Outgoing(status=rejection.status or status, body=dumped({"error": error}), headers=headers)

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:
        """Azure's own ids; on this path its token limits mean nothing."""
        headers = {
            "apim-request-id": receipt.request_id,
            "x-request-id": receipt.request_id,
            "x-ms-region": "Simulated",
            "openai-processing-ms": str(round(seconds * 1_000)),
        }
        if reading is not None:
            requests = reading.requests
            headers |= {
                "x-ratelimit-limit-requests": str(requests.limit),
                "x-ratelimit-remaining-requests": str(requests.remaining),
                "x-ratelimit-limit-tokens": "-1",
                "x-ratelimit-remaining-tokens": "0",
            }
        return headers
