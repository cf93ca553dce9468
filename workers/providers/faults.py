"""How a vendor's answers are told apart: tables of rules, one per provider, the first match wins. Pure.

The tables are printed in `docs/errors.md`. Nothing that a vendor writes in prose reaches a `Fault`: it may quote the
episode or the key.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tasks.contract import TokenUsage
from workers.providers.base import Call, Fault, FaultKind, Provider, Reply, WireResponse
from workers.providers.delays import vendor_delay
from workers.providers.rate_limits import NO_HEADERS, LimitHeaders

#: A code of ours: the body is not the vendor's error format, so something else answered.
FOREIGN = "(foreign body)"
#: A code of ours: the answer has no text.
EMPTY = "(no text)"

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+\[\]-]*")
#: Shorter words occur inside keys by chance, and shorter keys inside words.
_SECRET_LENGTH = 8

_MEANING: dict[FaultKind, str] = {
    FaultKind.UNAVAILABLE: "the provider failed",
    FaultKind.OVERLOADED: "the model is overloaded",
    FaultKind.RATE_LIMITED: "the rate limit is used up",
    FaultKind.TIER_UNAVAILABLE: "the cheaper tier is not served now",
    FaultKind.QUOTA_EXHAUSTED: "the account is out of quota or credit",
    FaultKind.CREDENTIAL_REJECTED: "the credential was refused",
    FaultKind.CREDENTIAL_EXPIRED: "the credential has expired",
    FaultKind.PERMISSION_DENIED: "the credential may not do this",
    FaultKind.MODEL_NOT_FOUND: "there is no such model for this credential",
    FaultKind.ENDPOINT_INVALID: "this is not the provider's API",
    FaultKind.CONTEXT_TOO_LONG: "the prompt is longer than the model takes",
    FaultKind.BAD_REQUEST: "the request was refused as invalid",
    FaultKind.REFUSED: "the model or its content filter refused the episode",
    FaultKind.TRUNCATED: "the answer was cut off at the output limit",
    FaultKind.EMPTY: "the answer was empty",
    FaultKind.MALFORMED: "the answer is not in the provider's format",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a vendor's answer says, reduced to what rules look at."""

    status: int
    #: Error code, error type, stop reason: whatever the vendor names, most specific first.
    codes: Sequence[str] = ()
    #: The vendor's prose; looked at only where nothing else tells faults apart.
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: what is left empty matches everything."""

    kind: FaultKind
    statuses: Collection[int] = ()
    #: At least one of these, in lower case.
    codes: Collection[str] = ()
    #: At least one of these occurs in the vendor's prose, in lower case.
    says: Collection[str] = ()

    def matches(self, signal: Signal) -> bool:
        """Whether the row speaks of this answer."""
        return (
            (not self.statuses or signal.status in self.statuses)
            and (not self.codes or any(code.lower() in self.codes for code in signal.codes))
            and (not self.says or any(phrase in signal.message.lower() for phrase in self.says))
        )


class RuledProvider(Provider, Protocol):
    """A provider that tells faults apart by a table."""

    rules: Sequence[Rule]


#: What HTTP itself says; every provider's table ends with these.
HTTP_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.ENDPOINT_INVALID, statuses=range(300, 400)),
    Rule(kind=FaultKind.CREDENTIAL_REJECTED, statuses=(401,)),
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(402,)),
    Rule(kind=FaultKind.PERMISSION_DENIED, statuses=(403,)),
    Rule(kind=FaultKind.ENDPOINT_INVALID, statuses=(404,), codes=(FOREIGN,)),
    Rule(kind=FaultKind.MODEL_NOT_FOUND, statuses=(404,)),
    Rule(kind=FaultKind.ENDPOINT_INVALID, statuses=(405,)),
    Rule(kind=FaultKind.UNAVAILABLE, statuses=(408, 409, 425)),
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, statuses=(413,)),
    Rule(kind=FaultKind.RATE_LIMITED, statuses=(429,)),
    Rule(kind=FaultKind.BAD_REQUEST, statuses=range(400, 500)),
    Rule(kind=FaultKind.OVERLOADED, statuses=(529,)),
    Rule(kind=FaultKind.UNAVAILABLE, statuses=range(500, 600)),
)


def classify(rules: Sequence[Rule], signal: Signal) -> FaultKind:
    """The kind of the first row that matches; an answer that no row knows is malformed."""
    return next((rule.kind for rule in rules if rule.matches(signal)), FaultKind.MALFORMED)


def fault_of(
    call: Call,
    response: WireResponse,
    rules: Sequence[Rule],
    signal: Signal,
    *,
    parameter: object = None,
    limits: LimitHeaders = NO_HEADERS,
    retry_info: object = None,
    request_id: object = None,
    served_model: object = None,
    usage: TokenUsage | None = None,
    text: str = "",
) -> Fault:
    """The fault that a response amounts to.

    Args:
        call: what was asked.
        response: what came back.
        rules: the provider's table.
        signal: what the response says.
        parameter: the field of the request that the vendor objects to.
        limits: the headers that tell of the vendor's limits.
        retry_info: `google.rpc.RetryInfo.retryDelay`.
        request_id: the vendor's id of the call.
        served_model: the model that the vendor says it used.
        usage: what the vendor bills all the same.
        text: what the model wrote; kept of truncated answers only.
    """
    kind = classify(rules, signal)
    code = next((safe for code in signal.codes if (safe := safe_word(code, call))), None)
    detail = ", ".join(filter(None, (code, f"parameter {safe}" if (safe := safe_word(parameter, call)) else None)))
    said = f"{call.connection.provider.value} answered {response.status}{f' ({detail})' if detail else ''}"
    return Fault(
        kind=kind,
        message=f"{said}: {_MEANING[kind]}.",
        status=response.status,
        code=code,
        retry_after=vendor_delay(
            response.headers,
            used_up=limits if kind is FaultKind.RATE_LIMITED else NO_HEADERS,
            retry_info=retry_info,
        ),
        request_id=safe_word(request_id, call, limit=128),
        served_model=safe_word(served_model, call, limit=128),
        usage=usage or TokenUsage(),
        text=text if kind is FaultKind.TRUNCATED else "",
    )


def explain(answer: Reply | Fault, hints: Mapping[FaultKind, str]) -> Reply | Fault:
    """A fault with what its provider's users mostly get wrong added to its message; replies pass."""
    if isinstance(answer, Reply) or answer.kind not in hints:
        return answer
    return replace(answer, message=f"{answer.message} {hints[answer.kind]}")


def safe_word(value: object, call: Call, *, limit: int = 64) -> str | None:
    """A vendor's identifier if it is one; None for prose, and for what holds a piece of the call's own secret."""
    if not isinstance(value, str) or len(value) > limit or not _WORD.fullmatch(value):
        return None
    if call.credential is not None:
        secret = call.credential.secret.get_secret_value().strip()
        shorter = min(len(secret), len(value))
        if shorter >= _SECRET_LENGTH and (secret in value or value in secret):
            return None
    return value
