"""The limits that a connection declares for its meter, and what a vendor's headers say of them."""

from dataclasses import dataclass
from typing import Self

from config.connections import Connection
from workers.providers.rate_limits import Allowance, RateLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Limits as a meter keeps them; what is None does not limit."""

    tpm_capacity: float | None = None
    tpm_refill: float | None = None
    output_tpm_capacity: float | None = None
    output_tpm_refill: float | None = None
    rpm_capacity: float | None = None
    rpm_refill: float | None = None
    max_concurrency: int | None = None

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """The limits of a connection."""
        requests, refill = connection.rpm_capacity, connection.rpm_refill_per_second
        return cls(
            tpm_capacity=connection.tpm_capacity,
            tpm_refill=connection.tpm_refill_per_second,
            output_tpm_capacity=connection.output_tpm_capacity,
            output_tpm_refill=connection.output_tpm_refill_per_second,
            rpm_capacity=requests,
            rpm_refill=requests / 60 if requests and refill is None else refill,
            max_concurrency=connection.max_concurrency,
        )

    def text(self) -> str:
        """One text per set of limits, as scripts read it."""
        values = (getattr(self, name) for name in self.__dataclass_fields__)
        return " ".join("-" if value is None else format(value, ".17g") for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What a vendor said of its limits, by the buckets of the meter that it limits."""

    requests: Allowance | None = None
    tokens: Allowance | None = None
    output_tokens: Allowance | None = None

    @classmethod
    def of(cls, limits: RateLimits | None, *, apart: bool) -> Self:
        """Read headers.

        Args:
            limits: what they say.
            apart: whether the meter keeps input and output apart.
        """
        if limits is None:
            return cls()
        given, taken = limits.input_tokens, limits.output_tokens
        if apart:
            return cls(requests=limits.requests, tokens=given or limits.tokens, output_tokens=taken)
        if given is None and taken is None:
            return cls(requests=limits.requests, tokens=limits.tokens)
        # The vendor has two pools and the meter one: it may take what both allow together. What is left in two pools
        # says nothing of one.
        both = (given and given.limit) and (taken and taken.limit) and given.limit + taken.limit
        tokens = Allowance(limit=both, remaining=None) if both else None
        return cls(requests=limits.requests, tokens=tokens)
