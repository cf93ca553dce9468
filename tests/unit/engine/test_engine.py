"""One delivery of one job, and all its hops."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from config.connections import project_path, save_connection
from config.errors import StoreError
from tasks.contract import FailureCode, JobStatus, Role
from tests.support import START
from tests.unit.engine.conftest import IMPATIENT, TEXT, USAGE, Bench, failure_of, fault, make_job, memories, reply
from workers import extraction
from workers.engine.engine import HandOff
from workers.engine.routing import first_route
from workers.jobs import Ending
from workers.providers.base import Call, Fault, FaultKind, Reply


async def test_a_job_returns_memories_with_usage_and_provenance(bench: Bench) -> None:
    bench.model.then("primary", reply(served_model="gpt-6-luna-2026-09-01", request_id="req_1"))

    ending = await bench.run()

    assert isinstance(ending, Ending)
    result = ending.result
    assert result is not None
    assert (result.status, result.job_id, result.project) == (JobStatus.SUCCEEDED, "j", "acme")
    (episode,) = result.episodes
    assert {entity.name for entity in episode.entities} == {"Ada", "Lisbon"}
    assert [(fact.subject, fact.predicate, fact.object) for fact in episode.facts] == [("Ada", "LIVES_IN", "Lisbon")]
    assert (result.usage.attempts, result.usage.tokens) == (1, USAGE)
    assert result.provenance[0].served_model == "gpt-6-luna-2026-09-01"
    (attempt,) = result.attempts
    assert attempt.model_dump(exclude={"price", "cost_usd", "id"}) == {
        "attempt": "1.1.1",
        "job_id": "j",
        "account": "acme-inc",
        "project": "acme",
        "provider": "openai",
        "connection": "primary",
        "role": Role.PRIMARY,
        "model": "gpt-6-luna",
        "served_model": "gpt-6-luna-2026-09-01",
        "credential_version": 1,
        "status": "ok",
        "action": "done",
        "usage": USAGE.model_dump(),
        "estimated_input": extraction.prompt_tokens(bench.model.calls[0].prompt),
        "estimated_text": extraction.estimate_tokens(TEXT),
        "latency_ms": 1_000,
        "queue_wait_ms": IMPATIENT.waited * 1_000,
        "request_id": "req_1",
        "labels": {"team": "search"},
        "priority": "live",
        "tier": None,
        "packed": None,
        "tokens_saved": None,
        "started_at": START,
    }


async def test_the_cost_is_the_vendors_price_and_unknown_where_there_is_none(bench: Bench) -> None:
    first = (await bench.run(job_id="a")).result  # type: ignore[union-attr]  # no hand-off: the model answers
    bench.model.always["primary"] = fault(FaultKind.OVERLOADED)
    onward = await bench.run(job_id="b")
    assert isinstance(onward, HandOff)
    second = (await bench.run(job_id="b", route=onward.route)).result  # type: ignore[union-attr]  # as above

    assert first is not None
    assert first.usage.cost_usd is not None
    # 700 in at $0.10 and 80 out at $0.50 per million.
    assert Decimal(first.usage.cost_usd) == Decimal("0.00011")
    assert second is not None
    assert second.usage.cost_usd is None


async def test_a_call_is_tagged_with_what_attribution_needs(bench: Bench) -> None:
    await bench.run(make_job(labels={"run": "nightly"}))

    assert bench.model.calls[0].tags == {
        "project": "acme",
        "provider": "openai",
        "role": "primary",
        "job": "j",
        "attempt": "1.1.1",
        "team": "search",
        "run": "nightly",
    }


async def test_a_failing_primary_sends_the_job_to_the_fallback_with_its_history(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.UNAVAILABLE)

    outcome = await bench.run()

    assert isinstance(outcome, HandOff)
    assert (outcome.route.connection, outcome.route.role, outcome.route.hop) == ("backup", Role.FALLBACK, 2)
    assert [(hop.connection, hop.code) for hop in outcome.route.history] == [
        ("primary", FailureCode.PROVIDER_UNAVAILABLE)
    ]
    ending = await bench.run(route=outcome.route)
    assert isinstance(ending, Ending)
    assert ending.result is not None
    assert [one.connection for one in ending.result.attempts] == ["primary"] * 3 + ["backup"]
    assert [one.connection for one in ending.result.provenance] == ["backup"]


async def test_a_job_that_nobody_can_do_fails_typed_and_says_what_was_tried(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.QUOTA_EXHAUSTED)
    bench.model.always["backup"] = fault(FaultKind.UNAVAILABLE)

    failure = failure_of(await bench.run_to_the_end())

    assert failure.code is FailureCode.PROVIDER_UNAVAILABLE
    assert failure.message.startswith("project 'acme', connection 'backup' (openai_compatible, local): It said")
    assert failure.message.endswith("Tried before: 'primary' (quota_exhausted).")
    assert [one.status for one in failure.attempts] == ["quota_exhausted"] + ["provider_unavailable"] * 3


async def test_labels_cannot_pass_for_another_project(bench: Bench) -> None:
    await bench.run(make_job(labels={"project": "globex", "job": "x"}))

    assert (bench.model.calls[0].tags["project"], bench.model.calls[0].tags["job"]) == ("acme", "j")


async def test_what_is_done_is_not_called_for_again_on_the_fallback(bench: Bench) -> None:
    def choosy(call: Call) -> Reply | Fault:
        return fault(FaultKind.REFUSED) if "Bea" in call.prompt.user else reply()

    bench.model.always["primary"] = choosy
    bench.model.always["backup"] = reply('{"entities":[],"facts":[]}')
    job = make_job(TEXT, "Bea moved to Porto.", TEXT)

    outcome = await bench.run(job)
    assert isinstance(outcome, HandOff)
    await bench.run(job, route=outcome.route)

    assert bench.called == ["primary"] * 3 + ["backup"]
    assert "Bea" in bench.model.calls[-1].prompt.user


async def test_an_episode_that_nobody_takes_fails_alone(bench: Bench) -> None:
    def choosy(call: Call) -> Reply | Fault:
        return fault(FaultKind.REFUSED) if "Bea" in call.prompt.user else reply()

    bench.model.always["primary"] = bench.model.always["backup"] = choosy

    ending = await bench.run_to_the_end(make_job(TEXT, "Bea moved to Porto."))

    assert ending.result is not None
    assert ending.result.status is JobStatus.PARTIAL
    good, bad = ending.result.episodes
    assert good.failure is None
    assert good.facts
    assert bad.failure is not None
    assert (bad.failure.code, bad.failure.episode_id, bad.facts) == (FailureCode.CONTENT_REFUSED, "e2", [])


async def test_trouble_of_the_connection_stops_episodes_that_have_not_begun(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.QUOTA_EXHAUSTED)

    await bench.run(make_job(*[TEXT] * 60))

    assert len(bench.called) <= 16


async def test_a_connection_removed_after_enqueue_leads_to_those_that_are_left(bench: Bench) -> None:
    chain = await bench.directory.chain("acme")

    route = first_route(chain).model_copy(update={"connection": "gone"})

    outcome = await bench.run(route=route)

    assert isinstance(outcome, HandOff)
    assert outcome.route.connection == "primary"


async def test_a_model_that_the_catalogue_does_not_know_is_not_called(bench: Bench) -> None:
    document = {"name": "primary", "provider": "openai", "model": "gpt-99", "credential": "main"}
    save_connection(bench.store, project_path("acme"), document)

    outcome = await bench.run()

    assert isinstance(outcome, HandOff)
    assert outcome.route.history[0].code is FailureCode.MODEL_NOT_FOUND
    assert bench.called == []


async def test_a_delivery_of_an_ended_job_returns_its_ending_without_a_call(bench: Bench) -> None:
    first = await bench.run()
    again = await bench.run()

    assert again == first
    assert bench.called == ["primary"]


async def test_two_deliveries_at_once_make_one_call(bench: Bench) -> None:
    first, second = await asyncio.gather(bench.run(), bench.run())

    assert first == second
    assert bench.called == ["primary"]
    assert len(bench.records) == 1


async def test_a_stale_delivery_sends_the_job_where_it_went_and_calls_nobody(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.OVERLOADED)
    outcome = await bench.run()

    again = await bench.run()

    assert again == outcome
    assert bench.called == ["primary"]


async def test_a_delivery_after_a_crash_goes_on_where_the_first_stopped(bench: Bench) -> None:
    def crash(_: Call) -> Reply | Fault:
        raise RuntimeError

    bench.model.then("primary", reply(), crash)
    job = make_job(TEXT, "Bea moved to Porto.")
    with pytest.raises(RuntimeError):
        await bench.run(job)
    bench.model.then("primary", reply('{"entities":[],"facts":[]}'))

    ending = await bench.run(job)

    assert isinstance(ending, Ending)
    assert ending.result is not None
    assert len(bench.called) == 3
    assert "Bea" in bench.model.calls[-1].prompt.user
    # The call that was broken off may have been billed.
    assert [(one.attempt, one.status) for one in ending.result.attempts] == [
        ("1.1.1", "ok"),
        ("1.2.1", "lost"),
        ("1.2.2", "ok"),
    ]


async def test_parts_kept_under_another_prompt_version_are_not_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: Call) -> Reply | Fault:
        raise RuntimeError

    bench.model.then("primary", reply(), crash)
    job = make_job(TEXT, TEXT)
    with pytest.raises(RuntimeError):
        await bench.run(job)
    monkeypatch.setattr(extraction, "PROMPT_VERSION", "2")

    await bench.run(job)

    assert len(bench.called) == 4


async def test_an_unreadable_store_fails_no_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = await bench.directory.chain("acme")

    def down(path: str) -> None:
        raise StoreError(f"cannot read {path}")

    monkeypatch.setattr(bench.store, "get", down)
    bench.directory.drop_everything()
    with pytest.raises(StoreError):
        await bench.run(route=first_route(chain))
    monkeypatch.undo()

    ending = await bench.run()

    assert isinstance(ending, Ending)
    assert ending.result is not None


async def test_a_long_episode_is_extracted_in_chunks_and_merged(bench: Bench) -> None:
    text = " ".join(f"{TEXT} Paragraph {number} goes on about nothing much." for number in range(1_200))

    ending = await bench.run(make_job(text))

    assert isinstance(ending, Ending)
    assert ending.result is not None
    assert len(bench.called) > 1
    (episode,) = ending.result.episodes
    assert len(episode.facts) == 1
    assert bench.clock.now() - START >= timedelta(seconds=len(bench.called))


async def test_a_fact_that_is_not_in_the_text_is_not_returned(bench: Bench) -> None:
    bench.model.then("primary", reply(memories(evidence="Ada has a dog called Rex.", fact="Ada has a dog.")))

    ending = await bench.run()

    assert isinstance(ending, Ending)
    assert ending.result is not None
    assert ending.result.episodes[0].facts == []
    assert ending.result.warnings
