"""Meters on Redis or Valkey.

They are found by their keys and not by the store, so that Flower needs no access to where connections and credentials
are kept. A meter is there from its first call on, and forgotten a month after its last.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis

from workers.admission.base import Reason
from workers.admission.keys import meter_keys
from workers.admission.redis import script
from workers.monitoring.pool.meters import Limit, MeterReading

#: Names of meters as keys of their state.
_PATTERN = "byom:{*}:meter:*"
_KEY = re.compile(r"byom:\{(?P<tenant>[^}]+)\}:meter:(?P<meter>.+)", re.DOTALL)
#: Seconds that the list of meters is trusted at least and at most, and how many times as long as it took to make: to
#: find them, the server walks over all its keys.
_LEAST, _MOST, _TIMES = 1.0, 60.0, 50
#: Keys that one step of that looks at, and meters that are read in one round trip.
_STEP, _AT_ONCE = 1_000, 200

#: Level, name on the page, and prefix of what was declared.
_LIMITS = (
    ("tokens", "tokens", "tpm"),
    ("output_tokens", "output tokens", "output_tpm"),
    ("requests", "requests", "rpm"),
)


class RedisMeters:
    """All meters of one Redis. A meter board."""

    def __init__(self, client: redis.Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._read = client.register_script(script("read"))
        self._names: Sequence[tuple[str, str]] = ()
        self._trusted_until = float("-inf")

    def readings(self) -> Sequence[MeterReading]:
        """All meters that are in use."""
        names = self._known()
        readings: list[MeterReading] = []
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            with self._client.pipeline(transaction=False) as pipeline:
                for tenant, meter in some:
                    self._read(keys=meter_keys(tenant, meter), args=[""], client=pipeline)
                answers = pipeline.execute()
            readings += [_reading(*name, answer) for name, answer in zip(some, answers, strict=True)]
        return readings

    def _known(self) -> Sequence[tuple[str, str]]:
        """Tenants and meters, found anew after a while."""
        began = self._monotonic()
        if began >= self._trusted_until:
            self._names = sorted(set(self._find()))
            ended = self._monotonic()
            self._trusted_until = ended + min(_MOST, max(_LEAST, (ended - began) * _TIMES))
        return self._names

    def _find(self) -> Iterator[tuple[str, str]]:
        for key in self._client.scan_iter(match=_PATTERN, count=_STEP, _type="hash"):
            found = _KEY.fullmatch(key.decode(errors="replace"))
            if found is not None:
                yield found["tenant"], found["meter"]


def _reading(tenant: str, meter: str, answer: Sequence[Any]) -> MeterReading:
    """What `read.lua` answers, in words."""
    now, pairs, buckets, share, in_flight = answer[:5]
    fields = {name.decode(): value.decode() for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
    levels = {
        buckets[at].decode(): [float(value) for value in buckets[at + 1 : at + 4]] for at in range(0, len(buckets), 4)
    }
    blocked_until, blocked_by = _block(fields, float(now))
    code = fields.get("breaker_code", "-")
    return MeterReading(
        tenant=tenant,
        meter=meter,
        limits=[
            Limit(
                name=name,
                capacity=float(fields[f"{prefix}_capacity"]),
                per_minute=float(fields[f"{prefix}_refill"]) * 60,
                level=levels[level][0],
                learned_capacity=levels[level][1],
                learned_per_minute=levels[level][2] * float(share) * 60,
            )
            for level, name, prefix in _LIMITS
            if level in levels
        ],
        in_flight=int(float(in_flight)),
        max_concurrency=int(float(fields["max_concurrency"])) if "max_concurrency" in fields else None,
        breaker=fields.get("breaker", "closed"),
        breaker_since=_instant(fields["breaker_since"]) if "breaker_since" in fields else None,
        breaker_code=None if code == "-" else code,
        blocked_until=blocked_until,
        blocked_by=blocked_by,
        estimate_error=float(fields["error"]) if "error" in fields else None,
    )


def _block(fields: Mapping[str, str], now: float) -> tuple[datetime | None, str | None]:
    """Until when nobody is admitted and why, in the order in which admission looks."""
    holds = [line.split(" ") for line in fields.get("holds", "").splitlines()]
    blocks = [(float(end), reason) for reason, end, _ in holds]
    blocks.append((float(fields.get("blocked_until", 0)), Reason.RETRY_AFTER.value))
    if fields.get("breaker") == "open":
        blocks.append((float(fields["breaker_until"]), Reason.BREAKER.value))
    standing = [block for block in blocks if block[0] > now]
    if not standing:
        return None, None
    return _instant(max(end for end, _ in standing)), standing[0][1]


def _instant(seconds: float | str) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
