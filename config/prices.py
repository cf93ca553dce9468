"""What a call costs, from the price data inside the `genai-prices` wheel. Never from a network.

The rates are resolved here, tiers included, so that a usage record can keep them: tokens times the recorded rates is
always the recorded cost.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from genai_prices import __version__ as _version
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelPrice, TieredPrices

from config.kinds import kind_of
from tasks.contract import ProviderKind, Tier, TokenUsage

_MILLION = Decimal(1_000_000)
#: Pico-dollars in a dollar: prices per token have no fraction there, and whole numbers do not drift when summed.
PICO = 10**12
#: Tier → how the data names the prices of it.
_CONTEXTS: dict[Tier, dict[str, str]] = {
    Tier.BATCH: {"processing": "batch"},
    Tier.FLEX: {"service_tier": "flex"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one call costs, and by which prices."""

    usd: Decimal
    #: Kind of token (as in `TokenUsage`) → USD per million.
    rates: Mapping[str, Decimal]
    #: Where the prices come from.
    source: str

    @property
    def pico_usd(self) -> int:
        """The same as a whole number, which does not drift when it is summed."""
        return int(self.usd * PICO)

    def as_json(self) -> dict[str, Any]:
        """The prices as a usage record keeps them; decimals are strings, so that nothing is rounded."""
        rates = {kind: format(rate, "f") for kind, rate in self.rates.items()}
        return {"usd_per_million": rates, "source": self.source}


def price(
    provider: ProviderKind, model: str, *, usage: TokenUsage, at: datetime, tier: Tier | None = None
) -> Cost | None:
    """What `usage` costs on a model, or None where the price is not known; never a guess.

    Args:
        provider: the connection's provider.
        model: the model that served the call; dated names such as `gpt-4.1-mini-2025-04-14` are understood.
        usage: tokens, each counted once.
        at: when the call was made; prices change.
        tier: the cheaper tier that served it; None stands for the standard one.
    """
    prices = _prices(provider, model, at, tier)
    if prices is None:
        return None
    prompt = usage.input + usage.cached_input + usage.cache_write
    input_rate = _rate(prices.input_mtok, prompt=prompt)
    output_rate = _rate(prices.output_mtok, prompt=prompt)
    if input_rate is None or output_rate is None:
        return None
    cached_rate = _rate(prices.cache_read_mtok, prompt=prompt)
    write_rate = _rate(prices.cache_write_mtok, prompt=prompt)
    rates = {
        "input": input_rate,
        # A vendor without a price of its own for these bills them as plain input.
        "cached_input": input_rate if cached_rate is None else cached_rate,
        "cache_write": input_rate if write_rate is None else write_rate,
        "output": output_rate,
    }
    usd = sum((getattr(usage, kind) * rate for kind, rate in rates.items()), Decimal(0)) / _MILLION
    return Cost(usd=usd, rates=rates, source=f"genai-prices {_version}")


def is_priced(provider: ProviderKind, model: str, *, at: datetime) -> bool:
    """Whether the cost of a model's calls is known, so that a cap on what it spends can be kept."""
    return price(provider, model, usage=TokenUsage(input=1, output=1), at=at) is not None


@cache
def _snapshot() -> DataSnapshot:
    """The wheel's own data; not the library's global snapshot, which code elsewhere may replace with a download."""
    from genai_prices.data import providers  # noqa: PLC0415 - half a second of work that most commands don't need

    return DataSnapshot(providers=providers, from_auto_update=False)


def _prices(provider: ProviderKind, model: str, at: datetime, tier: Tier | None) -> ModelPrice | None:
    kind = kind_of(provider)
    vendor = kind.prices
    if vendor is None:
        return None
    try:
        _, facts = _snapshot().find_provider_model(model, None, vendor, None)
    except LookupError:
        return None
    if tier is None:
        return facts.get_prices(at)
    if tier is Tier.FLEX and kind.flex_as_batch:
        flex = copy(_prices(provider, model, at, Tier.BATCH))
        if flex is not None:
            # As the library itself sets prices: which there are is in its data, not in its types.
            flex.__dict__["cache_read_mtok"] = facts.get_prices(at).cache_read_mtok
        return flex
    context = _CONTEXTS[tier]
    offered = any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(at))
        for variant in facts.price_variants or ()
    )
    # Without a price of its own the data would answer with the standard one.
    return facts.get_prices(at, context) if offered else None


def _rate(rate: Decimal | TieredPrices | None, *, prompt: int) -> Decimal | None:
    """USD per million. A tier that the prompt reaches holds for the whole call, as vendors bill it."""
    if not isinstance(rate, TieredPrices):
        return rate
    reached = [tier.price for tier in rate.tiers if prompt > tier.start]
    return reached[-1] if reached else rate.base


@lru_cache(maxsize=1_000)
def pico_usd_per_token(
    provider: ProviderKind, model: str, day: date, tier: Tier | None = None
) -> tuple[int, int] | None:
    """Price of one input and one output token on a day, in whole pico-USD, by the tier of short prompts.

    For estimates before a call; what a call really costs is `price`. None where the price is not known.
    """
    usage = TokenUsage(input=1, output=1)
    cost = price(provider, model, usage=usage, at=datetime(day.year, day.month, day.day, tzinfo=UTC), tier=tier)
    return None if cost is None else (int(cost.rates["input"] * _MILLION), int(cost.rates["output"] * _MILLION))
