"""Spend caps and batches: what a batch is expected to cost is set aside before it is sent, and put right after it."""

from typing import Any

import pytest

from config.connections import save_project
from tests.unit.economy.conftest import Bench
from workers.economy.base import State
from workers.providers.base import Fault, FaultKind


async def test_what_a_batch_costs_is_charged_once(bench: Bench) -> None:
    for _ in range(3):
        bench.collect()
    await bench.send()
    aside = bench.spent()
    assert aside > 0

    await bench.read()

    cost = sum(float(record.cost_usd or 0) for record in bench.records)
    assert float(bench.spent()) / 1e12 == pytest.approx(cost, rel=1e-6)
    assert bench.spent() < aside


async def test_a_cap_is_asked_before_anything_is_sent(bench: Bench) -> None:
    bench.connect(spend_cap_day_usd="0.000001")
    job_id = bench.collect()

    await bench.send()
    await bench.pass_time(1_000)

    assert bench.wire.asked == []
    assert bench.pool.all_batches[0].state is State.READY
    assert bench.back() == {}

    # It waits for the cap however long that takes, and goes as soon as it is raised.
    bench.connect(spend_cap_day_usd="1")
    await bench.pass_time(60)
    await bench.read()
    assert bench.back() == {job_id: True}


async def test_jobs_that_are_to_fail_at_a_cap_go_back_to_fail(bench: Bench) -> None:
    bench.connect(spend_cap_day_usd="0.000001", on_spend_cap="fail")
    job_id = bench.collect()

    await bench.send()

    assert bench.back() == {job_id: False}
    assert bench.spent() == 0


async def test_two_batches_together_do_not_overshoot_a_cap(bench: Bench) -> None:
    bench.collect()
    await bench.send()
    aside = bench.spent()
    cap: Any = f"{float(aside) * 1.5 / 1e12:.6f}"
    bench.connect(spend_cap_day_usd=cap)
    bench.collect()

    await bench.send()

    assert [batch.state for batch in bench.pool.all_batches] == [State.OPEN, State.READY]


async def test_what_was_set_aside_for_a_batch_that_came_to_nothing_comes_back(bench: Bench) -> None:
    save_project(bench.store, "acme", account="acme-inc")
    bench.collect()
    bench.wire.faults = [Fault(kind=FaultKind.BAD_REQUEST, message="no")]

    await bench.send()

    assert bench.spent() == 0
