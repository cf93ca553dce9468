"""Economy jobs on a connection whose vendor answers batches: they wait for one, once."""

from typing import Any

import pytest

from config.connections import project_path, save_connection
from tasks.contract import Tier
from tests.unit.engine.conftest import Bench, fault, make_job
from workers import extraction
from workers.engine.engine import Collect, HandOff
from workers.engine.kept import Kept
from workers.jobs import Ending
from workers.providers.base import FaultKind


def connect(bench: Bench, model: str = "claude-haiku-5-5", provider: str = "anthropic", **more: Any) -> None:
    """The primary on another provider."""
    document = {"name": "primary", "provider": provider, "model": model, "credential": "main", **more}
    save_connection(bench.store, project_path("acme"), document)
    bench.directory.drop_everything()


@pytest.fixture(autouse=True)
def on_anthropic(bench: Bench) -> None:
    connect(bench)


async def test_an_economy_job_waits_for_a_batch_without_a_call(bench: Bench) -> None:
    assert await bench.run(make_job(economy=True)) == Collect(connection="primary")

    assert bench.model.calls == []
    assert bench.gate.asked == []


async def test_any_other_job_does_not(bench: Bench) -> None:
    assert isinstance(await bench.run(make_job()), Ending)


async def test_what_the_batch_did_not_yield_is_worked_live(bench: Bench) -> None:
    await bench.run(make_job(economy=True))
    await bench.jobs.mark_batched("j", kept=1)

    ending = await bench.run(make_job(economy=True))

    assert isinstance(ending, Ending)
    assert [call.tier for call in bench.model.calls] == [None]


async def test_a_job_of_which_nothing_is_left_to_do_ends(bench: Bench) -> None:
    await bench.jobs.keep("j", unit=1, outcome=Kept.of(extraction.Extracted(entities=[], facts=[])).text())

    assert isinstance(await bench.run(make_job(economy=True)), Ending)

    assert bench.model.calls == []


async def test_a_job_of_a_session_waits_for_no_batch_since_those_behind_it_wait_for_it(bench: Bench) -> None:
    assert isinstance(await bench.run(make_job(economy=True, session="s1")), Ending)


async def test_gemini_has_batches_before_flex(bench: Bench) -> None:
    connect(bench, provider="gemini", model="gemini-3.5-flash-lite")
    assert isinstance(await bench.run(make_job(economy=True)), Collect)
    await bench.jobs.mark_batched("j", kept=1)

    await bench.run(make_job(economy=True))

    assert [call.tier for call in bench.model.calls] == [Tier.FLEX]


async def test_a_fallback_that_has_batches_takes_the_job_into_one(bench: Bench) -> None:
    connect(bench, provider="openai", model="gpt-6-luna")
    document = {"name": "backup", "provider": "anthropic", "model": "claude-haiku-5-5", "credential": "main"}
    save_connection(
        bench.store, project_path("acme"), {**document, "role": "fallback", "base_url": "https://a.example"}
    )
    bench.directory.drop_everything()
    bench.model.always["primary"] = fault(FaultKind.QUOTA_EXHAUSTED)

    handed = await bench.run(make_job(economy=True))
    assert isinstance(handed, HandOff)

    assert await bench.run(make_job(economy=True), route=handed.route) == Collect(connection="backup")
