"""Rate limits as vendors meter them: a true token bucket for requests and one for tokens, per key and model.

Beside each enforcing bucket runs a watch: a bucket that may go below zero. Its lowest level is exactly the largest
amount by which any window of time exceeded `burst + refill x window`, so over-admission can be asserted afterwards.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import LimitHit, Metered, Reason, Rejection

SECONDS_PER_MINUTE = 60
#: Differences below this are rounding, not requests.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The window in which a limit was exceeded most."""

    #: Amount beyond what the limit allowed in the window; 0 means never exceeded.
    excess: float = 0.0
    start: float = 0.0
    end: float = 0.0
    #: Amount that came in the window.
    taken: float = 0.0


@dataclass(slots=True)
class Bucket:
    """A token bucket; with `overdraw` it only watches."""

    burst: float
    #: Amount added per second.
    refill: float
    level: float
    at: float
    start: float
    taken: float = 0.0
    worst: Worst = field(default_factory=Worst)

    def advance(self, now: float) -> None:
        """Refill for the time that has passed; a clock that steps back counts as standing still."""
        self.level = min(self.burst, self.level + self.refill * max(0.0, now - self.at))
        self.at = max(now, self.at)

    def overdraw(self, now: float, amount: float) -> None:
        """Take without asking, and remember the worst window."""
        self.advance(now)
        if self.level >= self.burst:
            self.start, self.taken = now, 0.0
        self.level -= amount
        self.taken += amount
        if -self.level > self.worst.excess + ROUNDING:
            self.worst = Worst(excess=-self.level, start=self.start, end=now, taken=self.taken)

    def wait(self, amount: float) -> float:
        """Seconds until this amount is there."""
        return max(0.0, (amount - self.level) / self.refill)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One limit as the vendor reports it in headers."""

    limit: int
    remaining: int
    #: Seconds until the limit is whole again.
    reset: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Both limits of a key and model after a request."""

    requests: Gauge
    tokens: Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReport:
    """What one key and model asked for, held against its limits."""

    key: str
    model: str
    rpm: int
    tpm: int
    #: Requests and tokens that came, refused ones included: what the client let through.
    offered_requests: Worst
    offered_tokens: Worst
    #: Requests and tokens that were let in.
    served_requests: Worst
    served_tokens: Worst


@dataclass(slots=True)
class _Limit:
    metered: Metered
    per_minute: int
    enforced: Bucket
    offered: Bucket
    served: Bucket

    @classmethod
    def new(cls, metered: Metered, per_minute: int, burst: int | None, now: float) -> "_Limit":
        def bucket() -> Bucket:
            size = float(burst or per_minute)
            return Bucket(burst=size, refill=per_minute / SECONDS_PER_MINUTE, level=size, at=now, start=now)

        return cls(metered, per_minute, bucket(), bucket(), bucket())

    def resize(self, per_minute: int, burst: int | None) -> None:
        """Follow a limit that was changed while running."""
        if per_minute == self.per_minute and self.enforced.burst == (burst or per_minute):
            return
        self.per_minute = per_minute
        for bucket in (self.enforced, self.offered, self.served):
            bucket.burst = float(burst or per_minute)
            bucket.refill = per_minute / SECONDS_PER_MINUTE
            bucket.level = min(bucket.level, bucket.burst)

    def lacks(self, now: float, amount: float) -> bool:
        self.enforced.advance(now)
        return self.enforced.level + ROUNDING < amount

    def take(self, now: float, amount: float) -> None:
        self.enforced.level -= amount
        self.served.overdraw(now, amount)

    def hit(self, amount: int) -> LimitHit:
        used = max(0, round(self.enforced.burst - self.enforced.level))
        return LimitHit(metered=self.metered, limit=self.per_minute, used=used, requested=amount)

    def gauge(self) -> Gauge:
        bucket = self.enforced
        return Gauge(limit=self.per_minute, remaining=max(0, int(bucket.level)), reset=bucket.wait(bucket.burst))


class Meter:
    """The limits of all keys and models."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits: dict[tuple[str, str], tuple[_Limit, _Limit]] = {}

    def admit(self, account: Account, model: str, tokens: int) -> Reading:
        """Charge one request and its tokens. A refused request still counts as a request, as vendors do.

        Raises:
            Rejection: `RATE_LIMITED`, with the seconds to wait, or `TOO_LARGE` when waiting would not help.
        """
        now = self._clock()
        requests, bucket = self._of(account, model)
        requests.offered.overdraw(now, 1)
        bucket.offered.overdraw(now, tokens)
        refused: tuple[_Limit, int] | None = None
        if requests.lacks(now, 1):
            refused = (requests, 1)
        elif bucket.lacks(now, tokens):
            refused = (bucket, tokens)
        if account.enforce and refused is not None:
            limit, amount = refused
            hit, wait = limit.hit(amount), limit.enforced.wait(amount)
            if limit is bucket:
                requests.enforced.level -= 1
            too_large = amount > limit.enforced.burst
            raise Rejection(
                Reason.TOO_LARGE if too_large else Reason.RATE_LIMITED,
                model=model,
                retry_after=None if too_large else wait,
                hit=hit,
            )
        requests.take(now, 1)
        bucket.take(now, tokens)
        return self.read(account, model)

    def touch(self, account: Account, model: str) -> None:
        """Count a request that failed for another reason."""
        now = self._clock()
        requests, _ = self._of(account, model)
        requests.offered.overdraw(now, 1)
        if not requests.lacks(now, 1):
            requests.take(now, 1)

    def read(self, account: Account, model: str) -> Reading:
        """Both limits as they stand."""
        now = self._clock()
        requests, tokens = self._of(account, model)
        requests.enforced.advance(now)
        tokens.enforced.advance(now)
        return Reading(requests=requests.gauge(), tokens=tokens.gauge())

    def reports(self) -> Iterator[MeterReport]:
        """The worst windows of every key and model."""
        for (key, model), (requests, tokens) in self._limits.items():
            yield MeterReport(
                key=key,
                model=model,
                rpm=requests.per_minute,
                tpm=tokens.per_minute,
                offered_requests=requests.offered.worst,
                offered_tokens=tokens.offered.worst,
                served_requests=requests.served.worst,
                served_tokens=tokens.served.worst,
            )

    def reset(self) -> None:
        """Fill all buckets and forget the worst windows."""
        self._limits.clear()

    def _of(self, account: Account, model: str) -> tuple[_Limit, _Limit]:
        key = (account.fingerprint, model)
        limits = self._limits.get(key)
        if limits is None:
            now = self._clock()
            limits = (
                _Limit.new(Metered.REQUESTS, account.rpm, account.rpm_burst, now),
                _Limit.new(Metered.TOKENS, account.tpm, account.tpm_burst, now),
            )
            self._limits[key] = limits
        else:
            limits[0].resize(account.rpm, account.rpm_burst)
            limits[1].resize(account.tpm, account.tpm_burst)
        return limits
