"""Economy jobs on a connection with a flex tier: asked for first, left for the standard one where there is no room."""

import pytest

from tasks.contract import Tier, TokenUsage
from tests.unit.engine.conftest import Bench, fault, make_job, memories
from workers.admission import Health
from workers.jobs import Ending
from workers.providers.base import FaultKind, Reply

_USAGE = TokenUsage(input=100_000, output=100_000)


async def test_an_economy_job_asks_for_flex_and_is_billed_at_its_price(bench: Bench) -> None:
    bench.model.then("primary", Reply(text=memories(), usage=_USAGE, tier=Tier.FLEX))

    ending = await bench.run_to_the_end(make_job(economy=True))

    assert [call.tier for call in bench.model.calls] == [Tier.FLEX]
    assert [(record.tier, record.cost_usd) for record in bench.records] == [(Tier.FLEX, "0.0300")]
    assert ending.result is not None
    assert ending.result.usage.cost_usd == "0.03"


async def test_any_other_job_does_not(bench: Bench) -> None:
    bench.model.then("primary", Reply(text=memories(), usage=_USAGE))

    await bench.run_to_the_end(make_job())

    assert [call.tier for call in bench.model.calls] == [None]
    assert [(record.tier, record.cost_usd) for record in bench.records] == [(None, "0.060")]


async def test_a_call_that_the_vendor_served_at_the_standard_tier_costs_what_that_costs(bench: Bench) -> None:
    bench.model.then("primary", Reply(text=memories(), usage=_USAGE, tier=None))

    await bench.run_to_the_end(make_job(economy=True))

    assert [(record.tier, record.cost_usd) for record in bench.records] == [(None, "0.060")]


async def test_a_model_without_a_flex_tier_is_asked_as_ever(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.QUOTA_EXHAUSTED)

    await bench.run_to_the_end(make_job(economy=True))

    assert [(call.connection.name, call.tier) for call in bench.model.calls] == [
        ("primary", Tier.FLEX),
        ("backup", None),
    ]


async def test_without_room_the_same_connection_takes_it_at_the_standard_tier_at_once(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.TIER_UNAVAILABLE))

    ending = await bench.run_to_the_end(make_job(economy=True))

    assert [(call.connection.name, call.tier) for call in bench.model.calls] == [
        ("primary", Tier.FLEX),
        ("primary", None),
    ]
    assert [(record.tier, record.status, record.action) for record in bench.records] == [
        (Tier.FLEX, "provider_unavailable", "retry_standard"),
        (None, "ok", "done"),
    ]
    assert sum(bench.slept) == 0
    assert ending.failure is None
    # It says nothing of the connection: no breaker opens for it.
    assert bench.gate.observed[0].health is Health.NONE


async def test_where_there_was_no_room_nobody_asks_again_for_a_minute(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.TIER_UNAVAILABLE))

    await bench.run(make_job(economy=True), job_id="a")
    await bench.run(make_job(economy=True), job_id="b")
    bench.clock.seconds += 60
    await bench.run(make_job(economy=True), job_id="c")

    assert [call.tier for call in bench.model.calls] == [Tier.FLEX, None, None, Tier.FLEX]


async def test_what_flex_does_not_answer_in_its_time_is_asked_at_the_standard_tier(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.TIMEOUT))

    await bench.run_to_the_end(make_job(economy=True))

    assert [call.tier for call in bench.model.calls] == [Tier.FLEX, None]
    assert bench.gate.observed[0].health is Health.NONE
    # The lease of a call lasts as long as the call may.
    assert [demand.longer for demand, _ in bench.gate.asked] == [810, 0]


async def test_a_slow_call_at_the_standard_tier_still_counts_against_the_connection(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.TIMEOUT))

    await bench.run_to_the_end(make_job())

    assert bench.gate.observed[0].health is Health.FAILING


@pytest.mark.parametrize("kind", [FaultKind.UNAVAILABLE, FaultKind.TRUNCATED, FaultKind.MALFORMED])
async def test_other_tries_stay_at_the_tier(bench: Bench, kind: FaultKind) -> None:
    bench.model.then("primary", fault(kind))

    ending = await bench.run_to_the_end(make_job(economy=True))

    assert isinstance(ending, Ending)
    assert [call.tier for call in bench.model.calls] == [Tier.FLEX, Tier.FLEX]


async def test_a_budget_is_asked_for_the_price_of_the_tier(bench: Bench) -> None:
    await bench.run_to_the_end(make_job(economy=True))
    await bench.run(make_job(), job_id="other")

    prices = [(demand.input_price, demand.output_price) for demand, _ in bench.gate.asked]
    assert prices == [(50_000, 250_000), (100_000, 500_000)]
