"""An estimate is the sum of what the live path would make of each job, for every way of doing it side by side."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from config.connections import Connection, EffectiveConnection
from config.prices import price
from tasks.contract import ProviderKind, Tier, TokenUsage, parse_job
from workers import extraction
from workers.backfill.entries import Entry, entry_id
from workers.backfill.estimate import Estimate, Estimator, Option
from workers.backfill.expectation import Asked, Expectation, Seen
from workers.backfill.pace import Cap
from workers.backfill.standing import Standing, Supply

NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
#: Every estimated token is one, and every episode yields 100.
EXACT = Expectation.of_calls(
    [
        Seen(
            asked=Asked(text=text, around=1_000 + text % 7),
            usage=TokenUsage(input=1_000 + text % 7 + text, output=100),
            seconds=2.0,
        )
        for text in range(10, 500)
    ]
)


def standing(
    provider: ProviderKind = ProviderKind.OPENAI,
    model: str = "gpt-6-luna",
    *,
    room: ModelFacts | None = None,
    **changes: Any,
) -> Standing:
    fields: dict[str, Any] = {"name": "primary", "provider": provider, "model": model, "credential": "key"}
    if provider is ProviderKind.OPENAI_COMPATIBLE:
        fields |= {"base_url": "http://127.0.0.1:1/v1", "credential": None}
    link = EffectiveConnection(
        connection=Connection.model_validate(fields),
        project="acme",
        account=None,
        credential_scope="/byom/projects/acme/credentials",
        origins={},
    )
    facts = room or load_catalogue().find(provider, model)
    return Standing(**{"link": link, "model": facts, "expectation": EXACT, **changes})


def entry(number: int, text: str = "Ana moved to Porto in May.", **changes: Any) -> Entry:
    job = parse_job({"project": "acme", "episodes": [{"id": f"e{number}", "content": text}]} | changes)
    return Entry(number=number, id=entry_id(job), job=job)


def estimate(standings: Sequence[Standing], entries: Sequence[Entry], **options: Any) -> Estimate:
    estimator = Estimator(standings, floor=0.05, now=NOW, **options)
    for one in entries:
        estimator.add(one)
    return estimator.estimate()


def only(standings: Sequence[Standing], entries: Sequence[Entry], **options: Any) -> Option:
    [option] = estimate(standings, entries, **options).options
    return option


def test_calls_and_input_are_those_of_the_plans_of_all_jobs() -> None:
    # The long ones take several calls.
    entries = [entry(number, "Ana moved to Porto in May. " * (1 + 400 * (number % 3))) for number in range(9)]
    units = [unit for one in entries for unit in extraction.plan(one.job, context_tokens=1_000_000, max_output=100_000)]

    option = only([standing()], entries)

    assert option.calls == len(units) > option.jobs == 9
    expected = sum(extraction.prompt_tokens(unit.prompt) for unit in units)
    assert option.taken.input.expected == pytest.approx(expected, rel=0.02)
    assert option.taken.output.expected == pytest.approx(100 * len(units), rel=0.1)


def test_packs_are_those_that_a_worker_would_make_and_cost_less() -> None:
    entries = [entry(number) for number in range(100)]

    found = estimate([standing()], entries, packs=(None, 100, 2_000))

    assert (found.entries, found.episodes) == (100, 100)
    assert [(option.pack_tokens, option.calls) for option in found.options] == [(None, 100), (100, 9), (2_000, 7)]
    costs = [option.cost.expected for option in found.options if option.cost]
    assert costs == sorted(costs, reverse=True)
    assert len(costs) == 3


def test_a_line_that_says_how_it_is_packed_is_packed_so() -> None:
    entries = [entry(number, pack_tokens=100) for number in range(40)]

    calls = [option.calls for option in estimate([standing()], entries, packs=(None, 2_000)).options]

    assert calls[0] == calls[1] < 40


def test_the_cost_is_that_of_the_tokens_at_the_prices_of_the_model() -> None:
    option = only([standing()], [entry(number) for number in range(1_000)])

    taken = option.taken
    # By the prices of prompts of this length, of which there are a thousand.
    usage = TokenUsage(input=round(taken.input.expected / 1_000), output=round(taken.output.expected / 1_000))
    cost = price(ProviderKind.OPENAI, "gpt-6-luna", usage=usage, at=NOW)
    assert cost is not None
    assert option.cost is not None
    assert option.cost.expected == pytest.approx(1_000 * cost.usd, rel=Decimal("0.01"))
    assert option.cost.low < option.cost.expected < option.cost.high


def test_every_connection_packing_and_tier_is_compared_and_an_unknown_price_is_no_price() -> None:
    gemini = standing(ProviderKind.GEMINI, "gemini-2.5-flash-lite")
    local = standing(ProviderKind.OPENAI_COMPATIBLE, "local")

    found = estimate([gemini, local], [entry(1)], packs=(None, 1_000), economy=True)

    ways = [
        (option.standing.link.connection.model, option.pack_tokens, option.tier, option.cost is not None)
        for option in found.options
    ]
    tier = gemini.model.economy[0]
    assert ways == [
        ("gemini-2.5-flash-lite", None, None, True),
        ("gemini-2.5-flash-lite", None, tier, True),
        ("gemini-2.5-flash-lite", 1_000, None, True),
        ("gemini-2.5-flash-lite", 1_000, tier, True),
        ("local", None, None, False),
        ("local", 1_000, None, False),
    ]
    standard, cheaper = (option.cost for option in found.options[:2])
    assert standard is not None
    assert cheaper is not None
    assert cheaper.expected < 0.6 * float(standard.expected)


def test_without_economy_no_tier_is_shown() -> None:
    gemini = standing(ProviderKind.GEMINI, "gemini-2.5-flash-lite")

    assert only([gemini], [entry(1)]).tier is None


def test_a_batch_takes_a_day_and_no_tokens_of_the_limit() -> None:
    slow = standing(ProviderKind.ANTHROPIC, "claude-haiku-4-5", tokens=Supply(per_minute=1, level=0))
    if slow.model.economy[:1] != (Tier.BATCH,):
        pytest.fail("choose another model: this one has no batches")

    standard, batch = estimate([slow], [entry(number) for number in range(10)], economy=True).options

    assert (batch.pace.seconds, batch.pace.bound_by) == (86_400, "a batch, which may take a day")
    assert standard.pace.bound_by == "tokens per minute"


@pytest.mark.parametrize(
    ("changes", "name", "seconds"),
    [
        ({"tokens": Supply(per_minute=60_000, level=0)}, "tokens per minute", 1_366),
        ({"tokens": Supply(per_minute=60_000, level=0), "waiting_tokens": 60_000}, "tokens per minute", 1_426),
        (
            {"tokens": Supply(per_minute=60_000, level=0), "live_input": 25_000, "live_output": 5_000},
            "tokens per minute",
            2_732,
        ),
        # Where output has a limit of its own, the other is of input alone.
        (
            {"tokens": Supply(per_minute=60_000, level=0), "output_tokens": Supply(per_minute=60_000, level=0)},
            "tokens per minute",
            1_266,
        ),
        (
            {"tokens": Supply(per_minute=10**9, level=0), "output_tokens": Supply(per_minute=1_000, level=0)},
            "output tokens per minute",
            6_000,
        ),
        ({"requests": Supply(per_minute=60, level=10)}, "requests per minute", 990),
        ({"at_once": 4}, "calls in flight", 500),
        (
            {"caps": [Cap(name="cap", monthly=False, amount=Decimal("0.1"), spent=Decimal(0))]},
            "cap",
            18 * 3_600,
        ),
    ],
)
def test_the_time_is_that_of_the_tightest_limit(changes: dict[str, Any], name: str, seconds: float) -> None:
    option = only([standing(**changes)], [entry(number) for number in range(1_000)])

    assert option.pace.bound_by == name
    assert option.pace.seconds == pytest.approx(seconds, rel=0.03)


def test_what_is_read_from_the_cache_takes_nothing_of_a_limit_that_leaves_it_out() -> None:
    cached = Expectation.of_calls(
        [
            Seen(
                asked=Asked(text=text, around=1_000 + text % 7),
                usage=TokenUsage(input=100 + text, cached_input=900 + text % 7, output=100),
                seconds=2.0,
            )
            for text in range(10, 500)
        ]
    )
    limited: dict[str, Any] = {"expectation": cached, "tokens": Supply(per_minute=60_000, level=0)}
    entries = [entry(number) for number in range(1_000)]

    counted = only([standing(**limited)], entries)
    left_out = only([standing(ProviderKind.ANTHROPIC, "claude-haiku-4-5", **limited)], entries)

    assert counted.taken.cached_input == left_out.taken.cached_input > 100_000
    assert counted.pace.seconds is not None
    assert left_out.pace.seconds == pytest.approx(counted.pace.seconds - counted.taken.cached_input / 1_000)


def test_jobs_that_the_model_has_no_room_for_are_counted() -> None:
    small = ModelFacts(
        provider=ProviderKind.OPENAI, id="small", context=4_000, max_output=1_000, reasoning=ReasoningOff.NOT_NEEDED
    )
    entries = [entry(1), entry(2, "Ana moved to Porto in May. " * 1_000), entry(3)]

    tight, roomy = estimate([standing(room=small), standing()], entries).options

    assert (tight.too_long, roomy.too_long) == (1, 0)


def test_packs_are_made_for_the_room_that_a_model_has() -> None:
    small = ModelFacts(
        provider=ProviderKind.OPENAI, id="small", context=32_000, max_output=4_000, reasoning=ReasoningOff.NOT_NEEDED
    )
    entries = [entry(number) for number in range(64)]

    tight, roomy = estimate([standing(room=small), standing()], entries, packs=(2_000,)).options

    assert tight.jobs == roomy.jobs == 4
    assert roomy.calls == 4 < tight.calls
