"""What OpenAI's endpoints share: keys, headers, errors, and the listing of models."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Incoming, Metered, Outgoing, Question, Reason, Receipt, Rejection
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.wire.openai_checks import Json, bad, read_json
from workers.embedded.simulator.wire.openai_facts import MODELS, Facts

ORGANISATION = "org-simulated"
_CREATED = 1_760_000_000
_SHOWN_START, _SHOWN_END = 8, 4

_BILLING = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
    }
)
_HELP = "You can retry your request, or contact us through our help center at help.openai.com if the error persists."


@dataclass(frozen=True, slots=True)
class _Error:
    """How the vendor says no."""

    status: int
    kind: str
    code: str | None
    words: str = ""


#: Words that need the request are in `_words`.
_ERRORS: dict[Reason, _Error] = {
    Reason.MISSING_KEY: _Error(
        401,
        "invalid_request_error",
        None,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing "
        "the API from your browser and are prompted for a username and password. You can obtain an API key from "
        "https://platform.openai.com/account/api-keys.",
    ),
    Reason.WRONG_KEY: _Error(401, "invalid_request_error", "invalid_api_key"),
    # The vendor does not tell expired keys from wrong ones.
    Reason.EXPIRED_KEY: _Error(401, "invalid_request_error", "invalid_api_key"),
    # A 401 all the same, as seen in 2026.
    Reason.FORBIDDEN: _Error(
        401,
        "invalid_request_error",
        None,
        "You have insufficient permissions for this operation. Missing scopes: model.request. Check that you have the "
        "correct role in your organization (Reader, Writer, Owner) and project (Member, Owner), and if you're using a "
        "restricted API key, that it has the necessary scopes.",
    ),
    Reason.MODEL_NOT_FOUND: _Error(404, "invalid_request_error", "model_not_found"),
    Reason.PATH_NOT_FOUND: _Error(404, "invalid_request_error", None),
    Reason.BAD_REQUEST: _Error(400, "invalid_request_error", None, "The request is not valid."),
    Reason.CONTEXT_TOO_LONG: _Error(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
    Reason.RATE_LIMITED: _Error(429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    Reason.TOO_LARGE: _Error(429, "tokens", "rate_limit_exceeded"),
    Reason.QUOTA_EXHAUSTED: _Error(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    ),
    Reason.SERVER_ERROR: _Error(
        500,
        "server_error",
        "server_error",
        f"The server had an error while processing your request. Sorry about that! {_HELP}",
    ),
    Reason.OVERLOADED: _Error(
        503,
        "service_unavailable_error",
        "server_is_overloaded",
        f"Our servers are currently overloaded. {_HELP}",
    ),
}
#: What a 403 is about; a key without permission is a 401.
_FORBIDDEN = _Error(
    403,
    "request_forbidden",
    "unsupported_country_region_territory",
    "Country, region, or territory not supported",
)


def duration(seconds: float) -> str:
    """A Go-style duration, as in `x-ratelimit-reset-tokens`: `59ms`, `1.2s`, `6m0s`.

    Rounded up, so that whoever waits that long finds what they waited for.
    """
    milliseconds = math.ceil(seconds * 1_000)
    if seconds < 1:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{rest / 1_000:g}s"
    if hours:
        return f"{hours}h{minutes}m{shown}"
    return f"{minutes}m{shown}" if minutes else shown


def masked(key: str) -> str:
    """A key as the vendor repeats it: the first eight and the last four characters."""
    hidden = len(key) - _SHOWN_START - _SHOWN_END
    return key[:_SHOWN_START] + "*" * hidden + key[-_SHOWN_END:] if hidden > 0 else "*" * len(key)


def dumped(document: Mapping[str, Any]) -> bytes:
    """A JSON body."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class OpenAIBase(ABC):
    """The common part of OpenAI's endpoints."""

    needs_key: ClassVar[bool] = True
    models: ClassVar[Mapping[str, Facts]] = MODELS

    def credential(self, incoming: Incoming) -> str | None:
        """The bearer token."""
        scheme, _, key = incoming.headers.get("Authorization", "").partition(" ")
        return key.strip() or None if scheme.lower() == "bearer" else None

    @abstractmethod
    def question(self, body: Json, model: str, facts: Facts) -> Question:
        """What a request for a known model asks; unknown, unsupported and ill-typed parameters are refused."""

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks; a rejection names the model as soon as it is known."""
        body = read_json(incoming)
        model, facts = self.facts(body)
        try:
            return self.question(body, model, facts)
        except Rejection as rejection:
            rejection.model = model
            raise

    def facts(self, body: Json) -> tuple[str, Facts]:
        """The requested model and what it accepts."""
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise bad("Missing required parameter: 'model'.", "model", "missing_required_parameter")
        facts = self.find(model)
        if facts is None:
            raise Rejection(Reason.MODEL_NOT_FOUND, model=model)
        return model, facts

    def find(self, model: str) -> Facts | None:
        """What a model accepts, or None when there is no such model."""
        return self.models.get(model)

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:
        """An error body with `message`, `type`, `param` and `code`."""
        reason = Reason.QUOTA_EXHAUSTED if rejection.code in _BILLING else rejection.reason
        error = _FORBIDDEN if rejection.status == _FORBIDDEN.status else _ERRORS[reason]
        body = {
            "message": rejection.message or self._words(reason, rejection, incoming) or error.words,
            "type": error.kind if rejection.hit is None else rejection.hit.metered.value,
            "param": rejection.param,
            "code": rejection.code or error.code,
        }
        headers: dict[str, str] = {}
        if rejection.retry_after is not None:
            headers["retry-after"] = str(math.ceil(rejection.retry_after))
            headers["retry-after-ms"] = str(math.ceil(rejection.retry_after * 1_000))
        return Outgoing(status=rejection.status or error.status, body=dumped({"error": body}), headers=headers)

    def _words(self, reason: Reason, rejection: Rejection, incoming: Incoming) -> str:
        match reason:
            case Reason.WRONG_KEY | Reason.EXPIRED_KEY:
                shown = masked(self.credential(incoming) or "")
                return (
                    f"Incorrect API key provided: {shown}. You can find your API key at "
                    "https://platform.openai.com/account/api-keys."
                )
            case Reason.MODEL_NOT_FOUND:
                return f"The model `{rejection.model}` does not exist or you do not have access to it."
            case Reason.PATH_NOT_FOUND:
                return f"Invalid URL ({incoming.method} {incoming.path})"
            case Reason.RATE_LIMITED | Reason.TOO_LARGE:
                return _limit_words(rejection)
            case _:
                return ""

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:
        """`x-request-id`, processing time, and both limits."""
        headers = {
            "x-request-id": receipt.request_id,
            "openai-organization": ORGANISATION,
            "openai-version": "2020-10-01",
            "openai-processing-ms": str(round(seconds * 1_000)),
        }
        if reading is not None:
            for name, gauge in (("requests", reading.requests), ("tokens", reading.tokens)):
                headers[f"x-ratelimit-limit-{name}"] = str(gauge.limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(gauge.remaining)
                headers[f"x-ratelimit-reset-{name}"] = duration(gauge.reset)
        return headers

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:
        """`GET /v1/models` and `GET /v1/models/{id}`."""
        wanted = incoming.params.get("model")
        if wanted is None:
            data = [_listed(name, facts) for name, facts in self.models.items() if account.may_use(name)]
            return Outgoing(status=200, body=dumped({"object": "list", "data": data}))
        facts = self.find(wanted)
        if facts is None or not account.may_use(wanted):
            message = f"The model '{wanted}' does not exist"
            raise Rejection(Reason.MODEL_NOT_FOUND, message, model=wanted, param="model")
        return Outgoing(status=200, body=dumped(_listed(wanted, facts)))


def _limit_words(rejection: Rejection) -> str:
    hit = rejection.hit
    if hit is None:
        return ""
    unit = "tokens per min (TPM)" if hit.metered is Metered.TOKENS else "requests per min (RPM)"
    where = f"for {rejection.model} in organization {ORGANISATION} on {unit}: Limit {hit.limit}"
    more = "Visit https://platform.openai.com/account/rate-limits to learn more."
    if rejection.reason is Reason.TOO_LARGE:
        return (
            f"Request too large {where}, Requested {hit.requested}. The input or output tokens must be reduced in "
            f"order to run successfully. {more}"
        )
    wait = duration(rejection.retry_after or 0)
    return f"Rate limit reached {where}, Used {hit.used}, Requested {hit.requested}. Please try again in {wait}. {more}"


def _listed(name: str, facts: Facts) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": _CREATED,
        "owned_by": "system",
        "shutdown_date": facts.ends,
    }
