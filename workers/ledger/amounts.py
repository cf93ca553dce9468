"""What is summed of usage records, exactly."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from operator import attrgetter
from typing import Self

from config.prices import PICO
from tasks.contract import AttemptRecord, TokenUsage

#: Pico-dollars in one micro-dollar; sums are kept as the two.
_MICRO = 10**6


def cost_pico(record: AttemptRecord) -> int | None:
    """What an attempt cost in whole pico-dollars; None when that is not known."""
    return None if record.cost_usd is None else int(Decimal(record.cost_usd) * PICO)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums over attempts, all whole numbers. Fields are only ever added at the end: that is how they are stored."""

    #: What is known; `unpriced` says whether that is all.
    cost_pico: int = 0
    attempts: int = 0
    #: Attempts that did not yield an answer.
    failed: int = 0
    #: Attempts that used tokens at an unknown price: their cost is missing, not zero.
    unpriced: int = 0
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    #: Milliseconds of all calls together, and of all waits in lanes before them.
    latency_ms: int = 0
    queue_wait_ms: int = 0

    @classmethod
    def of(cls, record: AttemptRecord) -> Self:
        """What one attempt adds."""
        cost, usage = cost_pico(record), record.usage
        return cls(
            cost_pico=cost or 0,
            attempts=1,
            failed=int(record.status != "ok"),
            unpriced=int(cost is None and usage.total > 0),
            input=usage.input,
            cached_input=usage.cached_input,
            cache_write=usage.cache_write,
            output=usage.output,
            reasoning=usage.reasoning,
            latency_ms=record.latency_ms,
            queue_wait_ms=record.queue_wait_ms or 0,
        )

    @classmethod
    def total(cls, amounts: Iterable["Amounts"]) -> Self:
        """The sum of many."""
        return cls(*(sum(column) for column in zip(*map(_values, amounts), strict=True)))

    @classmethod
    def unpack(cls, text: bytes) -> Self:
        """Read what `pack` wrote, or `settle.lua` added up; what newer workers sum beyond this is left out."""
        micro, pico, *others = map(int, text.split())
        return cls(micro * _MICRO + pico, *others[: len(fields(cls)) - 1])

    def pack(self) -> str:
        """As it is stored: micro-dollars, the pico-dollars below them, and the others in their order."""
        cost, *others = _values(self)
        return " ".join(map(str, (*divmod(cost, _MICRO), *others)))

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts.total((self, other))

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(*(mine - its for mine, its in zip(_values(self), _values(other), strict=True)))

    @property
    def tokens(self) -> TokenUsage:
        """Tokens by kind."""
        return TokenUsage(**{name: getattr(self, name) for name in TokenUsage.model_fields})


#: All fields of `Amounts` in their order; `dataclasses.astuple` copies each of them first.
_values = attrgetter(*(field.name for field in fields(Amounts)))
