"""The usage ledger: hourly sums by attribution, and the stream of usage records.

Writing happens in `workers/jobs/settle.lua`, in the same step that marks the attempt as counted, so that a
redelivery changes nothing. Here are the names of keys and fields, and the reader.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import redis

from tasks.contract import AttemptRecord, TokenUsage

#: Stream of usage records as JSON, newest last.
RECORDS_KEY = "byom:usage:records"
#: What usage can be summed by.
DIMENSIONS = ("account", "project", "provider", "model", "role", "credential_version")
#: Seconds that hourly sums are kept.
SUMS_TTL = 400 * 86_400

_TOKENS = tuple(TokenUsage.model_fields)
#: Money is summed as whole pico-dollars: prices per token have no fraction there, and integers do not drift.
_PICO = Decimal(10) ** 12


def hour_key(at: datetime) -> str:
    """Key of the sums of the hour that holds an instant."""
    return f"byom:usage:hour:{at.astimezone(UTC):%Y%m%d%H}"


def increments(record: AttemptRecord) -> dict[str, int]:
    """What a record adds to the sums of its hour: field → whole number."""
    dimensions = json.dumps(
        [None if (value := getattr(record, name)) is None else str(value) for name in DIMENSIONS],
        separators=(",", ":"),
    )
    amounts = {"attempts": 1, **{name: getattr(record.usage, name) for name in _TOKENS}}
    if record.status != "ok":
        amounts["failed"] = 1
    if record.cost_usd is not None:
        amounts["cost_pico"] = int(Decimal(record.cost_usd) * _PICO)
    elif record.usage.total:
        amounts["unpriced"] = 1
    return {f"{dimensions}{name}": amount for name, amount in amounts.items() if amount}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One line of a usage table."""

    #: Dimension → value, in the order asked for.
    keys: dict[str, str]
    attempts: int
    #: Attempts that did not yield an answer.
    failed: int
    tokens: TokenUsage
    #: What is known; `unpriced` says whether that is all.
    cost_usd: Decimal
    #: Attempts that used tokens at an unknown price: their cost is missing, not zero.
    unpriced: int


class UsageReader:
    """Reads the hourly sums."""

    def __init__(self, client: redis.Redis, *, now: datetime) -> None:
        self._client = client
        self._now = now

    def totals(self, *, since: datetime | None = None, by: Sequence[str] = ("project", "provider")) -> list[UsageRow]:
        """Sums since an instant (rounded down to its hour; default a day ago), one row per combination of `by`.

        Raises:
            ValueError: `by` names something that usage is not summed by.
        """
        unknown = [name for name in by if name not in DIMENSIONS]
        if unknown:
            raise ValueError(f"usage cannot be summed by {', '.join(unknown)}; choose from {', '.join(DIMENSIONS)}")
        positions = [DIMENSIONS.index(name) for name in by]
        sums: dict[tuple[str, ...], dict[str, int]] = {}
        for key in _hours(since or self._now - timedelta(days=1), self._now):
            fields: dict[bytes, bytes] = self._client.hgetall(key)  # type: ignore[assignment]  # sync client
            for field, amount in fields.items():
                dimensions, _, name = field.decode().rpartition("]")
                values = json.loads(dimensions + "]")
                group = sums.setdefault(tuple(values[position] or "-" for position in positions), {})
                group[name] = group.get(name, 0) + int(amount)
        return [_row(dict(zip(by, values, strict=True)), sums[values]) for values in sorted(sums)]


def _hours(since: datetime, until: datetime) -> Iterator[str]:
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour <= until:
        yield hour_key(hour)
        hour += timedelta(hours=1)


def _row(keys: dict[str, str], amounts: dict[str, int]) -> UsageRow:
    return UsageRow(
        keys=keys,
        attempts=amounts.get("attempts", 0),
        failed=amounts.get("failed", 0),
        tokens=TokenUsage(**{name: amounts.get(name, 0) for name in _TOKENS}),
        cost_usd=Decimal(amounts.get("cost_pico", 0)) / _PICO,
        unpriced=amounts.get("unpriced", 0),
    )
