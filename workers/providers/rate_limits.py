"""What vendors say of their rate limits in the headers of their responses, in one form. Pure.

Replies and faults carry it, and nothing acts on it yet: admission is to learn from it which ceilings a vendor enforces.

| providers | headers | resets |
|---|---|---|
| `openai`, `azure_openai`, `openai_compatible` | `x-ratelimit-{limit,remaining,reset}-*` | `6m0s`; Azure: `30` |
| `anthropic` | `anthropic-ratelimit-*-{limit,remaining,reset}` | `2026-11-23T12:00:41Z` |
| `gemini`, `vertex`, `bedrock` | none | |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tasks.contract import ProviderKind
from workers.providers.delays import MAX_DELAY, instant, seconds_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One limit of a vendor. What it did not say, or not sensibly, is None."""

    #: The vendor's ceiling, mostly per minute; at least 1.
    limit: int | None
    remaining: int | None
    #: Seconds until the limit is whole again.
    reset_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """The limits of one credential and model, after the response that named them."""

    requests: Allowance | None = None
    #: Input and output in one pool; of vendors that meter them apart, the tightest of their limits.
    tokens: Allowance | None = None
    input_tokens: Allowance | None = None
    output_tokens: Allowance | None = None


def _headers(form: str) -> dict[str, tuple[str, ...]]:
    """Field of `RateLimits` → the names of its headers: limit, remaining, reset."""
    return {
        field: tuple(form.format(field.replace("_", "-"), part) for part in ("limit", "remaining", "reset"))
        for field in ("requests", "tokens", "input_tokens", "output_tokens")
    }


_OPENAI = _headers("x-ratelimit-{1}-{0}")
_HEADERS: Mapping[ProviderKind, Mapping[str, tuple[str, ...]]] = {
    ProviderKind.OPENAI: _OPENAI,
    ProviderKind.AZURE_OPENAI: _OPENAI,
    ProviderKind.OPENAI_COMPATIBLE: _OPENAI,
    ProviderKind.ANTHROPIC: _headers("anthropic-ratelimit-{0}-{1}"),
}

#: More than twelve digits are nonsense.
_COUNT = re.compile(r"[0-9]{1,12}")


def parse_rate_limits(
    provider: ProviderKind, headers: Mapping[str, str], *, now: datetime | None = None
) -> RateLimits | None:
    """The limits that a response names, or None if it names none; whatever the headers hold, nothing is raised.

    Args:
        provider: whose headers they are.
        headers: of the response, lower-case names.
        now: what instants are measured against; by default the response's own `date`, so that clocks need not agree.
            Without either, resets that are instants are absent.
    """
    known = _HEADERS.get(provider, {})
    if not any(limit in headers or remaining in headers for limit, remaining, _ in known.values()):
        return None
    now = now or instant(headers.get("date"))
    found = {field: _allowance(headers, names, now) for field, names in known.items()}
    return RateLimits(**found) if any(found.values()) else None


def _allowance(headers: Mapping[str, str], names: tuple[str, ...], now: datetime | None) -> Allowance | None:
    limit, remaining, reset = (headers.get(name) for name in names)
    # Azure's Responses API says -1 or 0 where it has nothing to say. Then 0 remaining is no empty bucket.
    ceiling, left = _count(limit) or None, _count(remaining)
    if ceiling is None and not left:
        return None
    seconds = seconds_until(reset, now)
    if seconds is not None and not 0 <= seconds <= MAX_DELAY:
        seconds = None
    return Allowance(limit=ceiling, remaining=left, reset_seconds=seconds)


def _count(value: str | None) -> int | None:
    return int(value) if value is not None and _COUNT.fullmatch(value) else None
