"""Google's wire format, as the Gemini API and Vertex AI share it: `generateContent`, its errors and its usage. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from config.catalogue import ModelFacts, ReasoningOff
from config.kinds.gemini import KIND, LABELS
from tasks.contract import TokenUsage
from workers.providers.base import Call, Fault, FaultKind, Reply, WireResponse
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES, Rule, Signal, fault_of, safe_word
from workers.providers.wire import count, decode, inclusive_usage, objects, part

#: A code of ours: the prompt was blocked, whatever the reason that is given.
BLOCKED = "(prompt blocked)"
#: A code of ours: the quota that is used up is counted per day.
PER_DAY = "(quota per day)"

#: Where daily quotas begin anew, at midnight.
_QUOTA_ZONE = ZoneInfo("America/Los_Angeles")

_POLICY = (
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
    "model_armor",
    "jailbreak",
    "escalation",
    "image_safety",
    "image_prohibited_content",
    "image_recitation",
)

#: Has the newest fields of the Gemini API: `store`, `serviceTier` and `labels` are not known to work on `v1`.
_GEMINI_VERSION = "v1beta"

#: All that a `generateContent` call can come to. Finish reasons that no row names (`LANGUAGE`, `OTHER`,
#: `MALFORMED_RESPONSE`, `UNEXPECTED_TOOL_CALL`, …) are malformed.
GOOGLE_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.REFUSED, statuses=(200,), codes=(BLOCKED, *_POLICY)),
    Rule(kind=FaultKind.TRUNCATED, statuses=(200,), codes=("max_tokens", "continuation")),
    # The account itself is limited for violations of the vendor's policy.
    Rule(kind=FaultKind.PERMISSION_DENIED, statuses=(200,), codes=("pup_limited_disabled",)),
    Rule(kind=FaultKind.EMPTY, statuses=(200,), codes=(EMPTY,)),
    # A bad API key is a 400; only prose tells an expired one.
    Rule(kind=FaultKind.CREDENTIAL_EXPIRED, statuses=(400,), codes=("api_key_invalid",), says=("expired",)),
    Rule(kind=FaultKind.CREDENTIAL_REJECTED, statuses=(400,), codes=("api_key_invalid",)),
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, statuses=(400,), codes=("invalid_argument",), says=("token count",)),
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(400,), codes=("failed_precondition",), says=("billing",)),
    Rule(
        kind=FaultKind.PERMISSION_DENIED,
        statuses=(400,),
        codes=("failed_precondition",),
        says=("location is not supported",),
    ),
    # A token that ended before its time; a fresh one may do.
    Rule(kind=FaultKind.CREDENTIAL_EXPIRED, statuses=(401,), codes=("access_token_expired",)),
    Rule(kind=FaultKind.CREDENTIAL_REJECTED, statuses=(403,), says=("reported as leaked",)),
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(403,), codes=("billing_disabled",)),
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(429,), codes=(PER_DAY,)),
    # Prepaid credit and spend caps share status and reason with rate limits.
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(429,), says=("credits are depleted", "spending cap")),
    Rule(kind=FaultKind.UNAVAILABLE, statuses=(499,)),
    Rule(kind=FaultKind.OVERLOADED, statuses=(503,), codes=("unavailable",)),
    *HTTP_RULES,
)


def gemini_url(call: Call) -> str:
    """Where the Gemini API answers a call: the connection's own address, else the vendor's, and the version path."""
    return f"{(call.connection.base_url or KIND.public_url or '').rstrip('/')}/{_GEMINI_VERSION}"


def generate_body(call: Call) -> dict[str, Any]:
    """The body of `…:generateContent`: JSON out, thinking off or down, tagged. Sampling parameters are never sent."""
    prompt = call.prompt
    generation: dict[str, Any] = {
        "maxOutputTokens": prompt.max_output_tokens,
        "candidateCount": 1,
        "responseMimeType": "application/json",
        "responseJsonSchema": prompt.schema,
    }
    if thinking := _thinking(call.model):
        generation["thinkingConfig"] = thinking
    body: dict[str, Any] = {
        "systemInstruction": {"parts": [{"text": prompt.system}]},
        "contents": [{"role": "user", "parts": [{"text": prompt.user}]}],
        "generationConfig": generation,
    }
    if tags := LABELS.fit(call.tags):
        body["labels"] = tags
    return body


def read_generated(call: Call, response: WireResponse, rules: Sequence[Rule], *, now: datetime) -> Reply | Fault:
    """What a `generateContent` call came to; `now` is what daily quotas are measured against."""
    if response.status != 200:  # noqa: PLR2004 - the one status with an answer
        return _read_error(call, response, rules, now=now)
    body = decode(response.content)
    if body is None:
        return fault_of(call, response, rules, Signal(status=200, codes=(FOREIGN,)))
    usage = _usage(part(body, "usageMetadata"))
    candidate = next(iter(objects(body.get("candidates"))), {})
    # Parts marked as thoughts are no part of the answer.
    text = "".join(
        str(piece.get("text", ""))
        for piece in objects(part(candidate, "content").get("parts"))
        if piece.get("thought") is not True
    )
    if codes := _trouble(body, candidate, text):
        return fault_of(
            call,
            response,
            rules,
            Signal(status=200, codes=codes),
            request_id=body.get("responseId"),
            served_model=body.get("modelVersion"),
            usage=usage,
            text=text,
        )
    return Reply(
        text=text,
        usage=usage,
        served_model=safe_word(body.get("modelVersion"), call, limit=128),
        request_id=safe_word(body.get("responseId"), call, limit=128),
    )


def until_daily_reset(now: datetime) -> float:
    """Seconds until daily quotas begin anew: midnight in California."""
    tomorrow = now.astimezone(_QUOTA_ZONE).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time.min, tzinfo=_QUOTA_ZONE)
    # As timestamps: the difference of two times in one zone would ignore a change of the clocks between them.
    return midnight.timestamp() - now.timestamp()


def _thinking(facts: ModelFacts) -> dict[str, Any]:
    """How thinking is turned off: a budget for older models, a level for newer ones; both at once would be refused."""
    if facts.reasoning not in {ReasoningOff.OFF, ReasoningOff.LOWEST}:
        return {}
    field = "thinkingBudget" if isinstance(facts.reasoning_value, int) else "thinkingLevel"
    return {field: facts.reasoning_value}


def _trouble(body: Mapping[str, Any], candidate: Mapping[str, Any], text: str) -> tuple[str, ...]:
    """What stands between the body and a usable answer; empty if nothing does."""
    blocked = part(body, "promptFeedback").get("blockReason")
    if isinstance(blocked, str):
        return (blocked, BLOCKED)
    if not candidate:
        return (EMPTY,)
    match candidate.get("finishReason"):
        case "STOP":
            return () if text.strip() else (EMPTY,)
        case str(reason):
            return (reason,)
    # Without a reason the model has not come to its end.
    return (FOREIGN,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Error:
    codes: tuple[str, ...]
    message: str
    retry_delay: object


def _read_error(call: Call, response: WireResponse, rules: Sequence[Rule], *, now: datetime) -> Fault:
    error = _error(response.content)
    fault = fault_of(
        call,
        response,
        rules,
        Signal(status=response.status, codes=error.codes, message=error.message),
        retry_info=error.retry_delay,
    )
    if fault.kind is FaultKind.QUOTA_EXHAUSTED and PER_DAY in error.codes:
        # The vendor names the wait of the next minute even then.
        return replace(fault, retry_after=until_daily_reset(now))
    return fault


def _error(content: bytes) -> _Error:
    """What `{"error": {"code", "status", "message", "details": [{"@type", …}]}}` says, alone or in a list."""
    error = part(decode(content) or _only_item(content), "error")
    details = {str(detail.get("@type")).rpartition(".")[2]: detail for detail in objects(error.get("details"))}
    quotas = [
        str(violation.get("quotaId")) for violation in objects(part(details.get("QuotaFailure")).get("violations"))
    ]
    named = (
        part(details.get("ErrorInfo")).get("reason"),
        PER_DAY if any("PerDay" in quota for quota in quotas) else None,
        *quotas,
        error.get("status"),
    )
    codes = tuple(code for code in named if isinstance(code, str))
    message = error.get("message")
    return _Error(
        codes=codes or (() if isinstance(message, str) else (FOREIGN,)),
        message=message if isinstance(message, str) else "",
        retry_delay=part(details.get("RetryInfo")).get("retryDelay"),
    )


def _only_item(content: bytes) -> Mapping[str, Any] | None:
    """The error inside a list of one, as some of Google's front ends wrap it."""
    content = content.strip()
    return decode(content[1:-1]) if content.startswith(b"[") and content.endswith(b"]") else None


def _usage(usage: Mapping[str, Any]) -> TokenUsage:
    """The prompt's count includes what was read from the cache; the answer's leaves out the thoughts."""
    thoughts = count(usage.get("thoughtsTokenCount"))
    return inclusive_usage(
        total_input=count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount")),
        cached=usage.get("cachedContentTokenCount"),
        written=0,
        output=count(usage.get("candidatesTokenCount")) + thoughts,
        reasoning=thoughts,
    )
