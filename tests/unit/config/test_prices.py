import socket
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot

from config.catalogue import ModelFacts, load_catalogue
from config.prices import pico_usd_per_token, price
from tasks.contract import ProviderKind, Tier, TokenUsage

_AT = datetime(2026, 11, 23, tzinfo=UTC)
_LISTED = list(load_catalogue())
_JOB = TokenUsage(input=2_000, output=400)


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        # 2,000 x 0.10 + 400 x 0.50, per million.
        (ProviderKind.OPENAI, "gpt-6-luna", "0.0004"),
        (ProviderKind.OPENAI, "gpt-5.6-luna", "0.00088"),
        (ProviderKind.OPENAI, "gpt-5.4-nano", "0.0009"),
        (ProviderKind.OPENAI, "gpt-5.4-mini", "0.0033"),
        (ProviderKind.OPENAI, "gpt-6.1-terra", "0.004"),
        (ProviderKind.OPENAI, "gpt-4.1-mini", "0.00144"),
        (ProviderKind.OPENAI, "gpt-4.1-mini-2025-04-14", "0.00144"),
        (ProviderKind.OPENAI, "gpt-4o-mini", "0.00054"),
        (ProviderKind.AZURE_OPENAI, "gpt-6-luna", "0.0004"),
        (ProviderKind.AZURE_OPENAI, "gpt-4.1-nano", "0.00036"),
        (ProviderKind.ANTHROPIC, "claude-haiku-5-5", "0.0004"),
        (ProviderKind.ANTHROPIC, "claude-haiku-4-5", "0.004"),
        (ProviderKind.ANTHROPIC, "claude-sonnet-5-5", "0.008"),
        (ProviderKind.GEMINI, "gemini-2.5-flash-lite", "0.00036"),
        (ProviderKind.GEMINI, "gemini-3.5-flash-lite", "0.0016"),
        (ProviderKind.GEMINI, "gemini-3.1-flash-lite", "0.0011"),
        (ProviderKind.GEMINI, "gemini-3.8-flash", "0.003"),
        (ProviderKind.VERTEX, "gemini-3.5-flash-lite", "0.0016"),
        (ProviderKind.BEDROCK, "global.anthropic.claude-haiku-5-5", "0.0004"),
        (ProviderKind.BEDROCK, "eu.anthropic.claude-haiku-5-5", "0.00044"),
        (ProviderKind.BEDROCK, "global.anthropic.claude-haiku-4-5-20251001-v1:0", "0.004"),
    ],
)
def test_a_job_costs_what_the_vendors_price_page_says(provider: ProviderKind, model: str, usd: str) -> None:
    cost = price(provider, model, usage=_JOB, at=_AT)
    assert cost is not None
    assert cost.usd == Decimal(usd)


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: f"{facts.provider}/{facts.id}")
def test_every_listed_model_has_a_price(facts: ModelFacts) -> None:
    cost = price(facts.provider, facts.id, usage=_JOB, at=_AT)
    assert cost is not None
    assert cost.usd > 0


def test_each_kind_of_token_is_billed_once_at_its_own_rate() -> None:
    usage = TokenUsage(input=1_000, cached_input=2_000, cache_write=4_000, output=500, reasoning=200)
    cost = price(ProviderKind.OPENAI, "gpt-6-luna", usage=usage, at=_AT)
    assert cost is not None
    # 1,000 x 0.10 + 2,000 x 0.01 + 4,000 x 0.125 + 500 x 0.50, per million; reasoning is part of the output.
    assert cost.usd == Decimal("0.00087")
    assert cost.as_json() == {
        "usd_per_million": {"input": "0.1", "cached_input": "0.01", "cache_write": "0.125", "output": "0.5"},
        "source": f"genai-prices {genai_prices.__version__}",
    }


def test_a_write_to_the_cache_that_has_no_price_of_its_own_is_plain_input() -> None:
    written = price(ProviderKind.OPENAI, "gpt-5.4-nano", usage=TokenUsage(cache_write=1_000_000), at=_AT)
    assert written is not None
    assert written.usd == Decimal("0.2")


@pytest.mark.parametrize(
    ("provider", "model", "usage", "usd"),
    [
        # Up to the edge the base rates hold, above it the higher ones for every token; what counts is the whole prompt.
        (ProviderKind.ANTHROPIC, "claude-haiku-5-5", TokenUsage(input=100_000, output=1_000), "0.0105"),
        (ProviderKind.ANTHROPIC, "claude-haiku-5-5", TokenUsage(input=100_001, output=1_000), "0.0525005"),
        (
            ProviderKind.ANTHROPIC,
            "claude-haiku-5-5",
            TokenUsage(input=50_000, cached_input=40_000, cache_write=20_000, output=1_000),
            # 50,000 x 0.50 + 40,000 x 0.05 + 20,000 x 0.625 + 1,000 x 2.50
            "0.042",
        ),
        (ProviderKind.OPENAI, "gpt-6-luna", TokenUsage(input=272_000, output=1_000), "0.0277"),
        (ProviderKind.OPENAI, "gpt-6-luna", TokenUsage(input=272_001, output=1_000), "0.0551502"),
    ],
)
def test_long_prompts_cost_the_long_rate(provider: ProviderKind, model: str, usage: TokenUsage, usd: str) -> None:
    cost = price(provider, model, usage=usage, at=_AT)
    assert cost is not None
    assert cost.usd == Decimal(usd)


def test_prices_are_those_of_the_day_of_the_call() -> None:
    before = price(ProviderKind.GEMINI, "gemini-3.8-flash", usage=_JOB, at=datetime(2026, 12, 31, tzinfo=UTC))
    after = price(ProviderKind.GEMINI, "gemini-3.8-flash", usage=_JOB, at=datetime(2027, 1, 1, tzinfo=UTC))
    assert before is not None
    assert after is not None
    assert after.usd == before.usd * 2 == Decimal("0.006")


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: f"{facts.provider}/{facts.id}")
@pytest.mark.parametrize(
    "usage",
    [
        TokenUsage(input=2_000, cached_input=1_000, cache_write=500, output=400, reasoning=100),
        TokenUsage(input=300_000, cached_input=1, cache_write=1, output=7),
    ],
)
def test_the_librarys_own_arithmetic_agrees(facts: ModelFacts, usage: TokenUsage) -> None:
    """Its counts include what ours keep apart: `input_tokens` holds the cached and the written ones."""
    vendor = {"azure_openai": "azure", "gemini": "google", "vertex": "google", "bedrock": "aws"}
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input + usage.cached_input + usage.cache_write,
            cache_read_tokens=usage.cached_input,
            cache_write_tokens=usage.cache_write,
            output_tokens=usage.output,
        ),
        facts.id,
        provider_id=vendor.get(facts.provider.value, facts.provider.value),
        genai_request_timestamp=_AT,
    )
    ours = price(facts.provider, facts.id, usage=usage, at=_AT)
    assert ours is not None
    assert ours.usd == theirs.total_price


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        (ProviderKind.OPENAI, "no-such-model"),
        (ProviderKind.OPENAI, "ft:gpt-4o-mini:acme"),
        (ProviderKind.AZURE_OPENAI, "my-deployment"),
        (ProviderKind.OPENAI_COMPATIBLE, "gpt-6-luna"),
        (ProviderKind.OPENAI_COMPATIBLE, "qwen3-8b"),
    ],
)
def test_an_unknown_price_is_unknown_and_not_nothing(provider: ProviderKind, model: str) -> None:
    assert price(provider, model, usage=_JOB, at=_AT) is None


def test_a_call_without_tokens_costs_nothing_where_the_price_is_known() -> None:
    cost = price(ProviderKind.OPENAI, "gpt-6-luna", usage=TokenUsage(), at=_AT)
    assert cost is not None
    assert cost.usd == 0


def test_prices_come_from_the_wheel_whatever_others_do_with_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a price was looked up over the network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=True))
    try:
        assert price(ProviderKind.OPENAI, "gpt-6-luna", usage=_JOB, at=_AT) is not None
    finally:
        set_custom_snapshot(None)


@pytest.mark.parametrize(
    ("provider", "model", "tier", "usd"),
    [
        (ProviderKind.OPENAI, "gpt-6-luna", Tier.FLEX, "0.0002"),
        (ProviderKind.AZURE_OPENAI, "gpt-5.4-nano", Tier.FLEX, "0.00045"),
        (ProviderKind.ANTHROPIC, "claude-haiku-5-5", Tier.BATCH, "0.0002"),
        (ProviderKind.GEMINI, "gemini-2.5-flash-lite", Tier.BATCH, "0.00018"),
        (ProviderKind.GEMINI, "gemini-3.5-flash-lite", Tier.FLEX, "0.0008"),
        (ProviderKind.VERTEX, "gemini-3.5-flash-lite", Tier.FLEX, "0.0008"),
    ],
)
def test_a_cheaper_tier_costs_what_the_vendors_price_page_says(
    provider: ProviderKind, model: str, tier: Tier, usd: str
) -> None:
    cost = price(provider, model, usage=_JOB, at=_AT, tier=tier)
    assert cost is not None
    assert cost.usd == Decimal(usd)


@pytest.mark.parametrize(
    ("facts", "tier"),
    [(facts, tier) for facts in _LISTED for tier in facts.economy],
    ids=lambda value: str(getattr(value, "id", value)),
)
def test_every_cheaper_tier_of_a_listed_model_has_a_price_below_the_standard_one(facts: ModelFacts, tier: Tier) -> None:
    standard = price(facts.provider, facts.id, usage=_JOB, at=_AT)
    cheaper = price(facts.provider, facts.id, usage=_JOB, at=_AT, tier=tier)
    assert standard is not None
    assert cheaper is not None
    assert standard.usd / 2 <= cheaper.usd < standard.usd


def test_what_flex_saves_on_cached_input_is_not_assumed_where_the_page_does_not_say() -> None:
    usage = TokenUsage(cached_input=1_000_000)
    standard, flex = (
        price(ProviderKind.GEMINI, "gemini-3.5-flash-lite", usage=usage, at=_AT, tier=tier)
        for tier in (None, Tier.FLEX)
    )
    assert standard is not None
    assert flex is not None
    assert flex.usd == standard.usd


def test_a_tier_without_a_price_of_its_own_has_none_rather_than_the_standard_one() -> None:
    assert price(ProviderKind.OPENAI, "gpt-4.1-mini", usage=_JOB, at=_AT, tier=Tier.FLEX) is None
    assert price(ProviderKind.BEDROCK, "global.anthropic.claude-haiku-5-5", usage=_JOB, at=_AT, tier=Tier.FLEX) is None
    assert pico_usd_per_token(ProviderKind.OPENAI, "gpt-4.1-mini", _AT.date(), Tier.FLEX) is None


def test_an_estimate_takes_the_prices_of_the_tier() -> None:
    assert pico_usd_per_token(ProviderKind.OPENAI, "gpt-6-luna", _AT.date(), Tier.FLEX) == (50_000, 250_000)
