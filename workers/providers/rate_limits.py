"""What vendors say of their rate limits in the headers of their responses, in one form. Pure.

Replies and faults carry it, and admission learns from it which ceilings a vendor enforces.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

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
#: Of vendors whose headers say nothing.
NO_HEADERS: LimitHeaders = {}

#: More than twelve digits are nonsense.
_COUNT = re.compile(r"[0-9]{1,12}")


def parse_rate_limits(
    known: LimitHeaders, headers: Mapping[str, str], *, now: datetime | None = None
) -> RateLimits | None:
    """The limits that a response names, or None if it names none; whatever the headers hold, nothing is raised.

    Args:
        known: the headers that the vendor tells its limits in.
        headers: of the response, lower-case names.
        now: what instants are measured against; by default the response's own `date`, so that clocks need not agree.
            Without either, resets that are instants are absent.
    """
    if not any(limit in headers or remaining in headers for limit, remaining, _ in known.values()):
        return None
    now = now or instant(headers.get("date"))
    found = {field: _allowance(headers, names, now) for field, names in known.items()}
    return RateLimits(**found) if any(found.values()) else None


def _allowance(headers: Mapping[str, str], names: tuple[str, str, str], now: datetime | None) -> Allowance | None:
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
