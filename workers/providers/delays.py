"""How long a vendor asks to wait, in all the spellings that vendors use. Pure."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from workers.providers.rate_limits import NO_HEADERS, LimitHeaders

#: No wait is longer than this, in seconds: daily quotas come back within it, and nonsense is bounded by it.
MAX_DELAY = 86_400.0

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def vendor_delay(
    headers: Mapping[str, str],
    *,
    used_up: LimitHeaders = NO_HEADERS,
    retry_info: object = None,
    now: datetime | None = None,
) -> float | None:
    """Seconds that the vendor asks to wait, or None if it names none that makes sense.

    In the order of trust: `retry-after-ms`, `retry-after` (seconds or a date), Google's `RetryInfo`, and for a rate
    limit the reset of the bucket that is empty.

    Args:
        headers: of the response, lower-case names.
        used_up: where the response says that a rate limit is used up, the headers that tell of the vendor's limits;
            else their resets do not speak of it.
        retry_info: `google.rpc.RetryInfo.retryDelay`, such as `14s`.
        now: what dates are measured against; by default the response's own `date`, so that clocks need not agree.
    """
    now = now or instant(headers.get("date"))
    milliseconds = _number(headers.get("retry-after-ms"))
    candidates = (
        None if milliseconds is None else milliseconds / 1000,
        _number(headers.get("retry-after")),
        _until(instant(headers.get("retry-after")), now),
        _duration(retry_info) if isinstance(retry_info, str) else None,
        _reset(used_up, headers, now),
    )
    return next((min(delay, MAX_DELAY) for delay in candidates if delay is not None and delay > 0), None)


def _reset(known: LimitHeaders, headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Seconds until the empty bucket is full; where none is, the token bucket, which held too little for the call."""
    delays = {
        field: delay
        for field, (_, _, reset) in known.items()
        if (delay := _seconds_until(headers.get(reset), now)) is not None and delay > 0
    }
    empty = [delay for field, delay in delays.items() if headers.get(known[field][1]) == "0"]
    return max(empty, default=delays.get("tokens"))


def _seconds_until(value: str | None, now: datetime | None) -> float | None:
    """Seconds until a reset, given as `6m0s` (OpenAI), `30` (Azure) or an RFC 3339 instant (Anthropic).

    Negative where it has passed; None where it is nothing of these.
    """
    if value is None:
        return None
    plain = _number(value)
    if plain is None:
        plain = _duration(value)
    if plain is None:
        plain = _until(instant(value), now)
    return plain


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _duration(value: str) -> float | None:
    value = value.strip()
    parts = _PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@lru_cache(maxsize=256)  # all responses of one second bear the same date
def instant(value: str | None) -> datetime | None:
    """The instant that an HTTP date or an RFC 3339 timestamp names; None where it is neither."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            parsed = parse(value or "")
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return None


def _until(then: datetime | None, now: datetime | None) -> float | None:
    return (then - now).total_seconds() if then and now else None
