"""What vendors say of their rate limits in the headers of their responses, in one form. Pure.

Replies and faults carry it, and admission learns from it which ceilings a vendor enforces.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One limit of a vendor. What it did not say, or not sensibly, is None."""

    #: The vendor's ceiling, mostly per minute; at least 1.
    limit: int | None
    remaining: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """The limits of one credential and model, after the response that named them."""

    requests: Allowance | None = None
    #: Input and output in one pool; of vendors that meter them apart, the tightest of their limits.
    tokens: Allowance | None = None
    input_tokens: Allowance | None = None
    output_tokens: Allowance | None = None


#: Field of `RateLimits` → the names of its headers: limit, remaining, reset.
LimitHeaders = Mapping[str, tuple[str, str, str]]


def limit_headers(form: str) -> LimitHeaders:
    """The headers of a vendor that names them by one form, such as `x-ratelimit-{part}-{what}`."""
    return {
        field: (
            form.format(what=field.replace("_", "-"), part="limit"),
            form.format(what=field.replace("_", "-"), part="remaining"),
            form.format(what=field.replace("_", "-"), part="reset"),
        )
        for field in ("requests", "tokens", "input_tokens", "output_tokens")
    }


#: OpenAI's headers, which many servers copy. Resets are `6m0s`; Azure's are `30`.
OPENAI_HEADERS = limit_headers("x-ratelimit-{part}-{what}")
#: Anthropic's. Resets are instants.
ANTHROPIC_HEADERS = limit_headers("anthropic-ratelimit-{what}-{part}")
#: Of vendors whose headers say nothing.
NO_HEADERS: LimitHeaders = {}

#: More than twelve digits are nonsense.
_COUNT = re.compile(r"[0-9]{1,12}")


def parse_rate_limits(known: LimitHeaders, headers: Mapping[str, str]) -> RateLimits | None:
    """The limits that a response names, or None if it names none; whatever the headers hold, nothing is raised.

    Args:
        known: the headers that the vendor tells its limits in.
        headers: of the response, lower-case names.
    """
    if not any(limit in headers or remaining in headers for limit, remaining, _ in known.values()):
        return None
    found = {field: _allowance(headers, limit, remaining) for field, (limit, remaining, _) in known.items()}
    return RateLimits(**found) if any(found.values()) else None


def _allowance(headers: Mapping[str, str], limit: str, remaining: str) -> Allowance | None:
    # Azure's Responses API says -1 or 0 where it has nothing to say. Then 0 remaining is no empty bucket.
    ceiling, left = _count(headers.get(limit)) or None, _count(headers.get(remaining))
    return Allowance(limit=ceiling, remaining=left) if ceiling or left else None


def _count(value: str | None) -> int | None:
    return int(value) if value is not None and _COUNT.fullmatch(value) else None
