"""Jobs whose episodes share prompts: one bad episode never takes the others with it, and no call is made too many."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contract import ExtractionResult, FailureCode, JobStatus
from tests.unit.engine.conftest import FRESH, USAGE, Bench, failure_of, fault, make_job, reply
from tests.unit.engine.packing import (
    PEOPLE,
    PLACES,
    answer_to,
    asked,
    good,
    leaving_out,
    numbers_in,
    own,
    packed,
    part_of,
    refusing,
    remembered,
    result_of,
    text_of,
    tried,
)
from workers.engine.engine import Park
from workers.jobs import Ending
from workers.providers.base import Call, Fault, FaultKind, Reply


async def test_episodes_of_a_job_share_one_call_and_each_gets_its_own_memories(bench: Bench) -> None:
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed()))

    assert (result.status, remembered(result)) == (JobStatus.SUCCEEDED, own(0, 1, 2, 3))
    assert asked(bench) == [[0, 1, 2, 3]]
    assert tried(result) == [("1.1.1", "ok", "done", 4)]
    assert [one.prompt_version for one in result.provenance] == ["1-packed"]
    assert [one.schema_version for one in result.provenance] == ["1-packed"]
    saved = result.attempts[0].tokens_saved
    assert saved is not None
    assert saved > 1_000
    assert result.usage.tokens_saved == saved


async def test_without_packing_nothing_tells_of_it(bench: Bench) -> None:
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed(pack_tokens=None)))

    assert asked(bench) == [[0], [1], [2], [3]]
    assert (result.usage.tokens_saved, {one.packed for one in result.attempts}) == (None, {None})
    assert [one.prompt_version for one in result.provenance] == ["1"]


async def test_where_nothing_goes_together_everything_is_as_without_packing(bench: Bench) -> None:
    bench.model.always["primary"] = good

    def told(result: ExtractionResult) -> dict[str, Any]:
        return result.model_dump(exclude={"job_id": True, "attempts": {"__all__": {"id", "job_id", "started_at"}}})

    plain = result_of(await bench.run(packed(pack_tokens=None), job_id="a"))
    alone = result_of(await bench.run(packed(pack_tokens=1), job_id="b"))

    assert told(plain) == told(alone)
    prompts = [call.prompt for call in bench.model.calls]
    assert prompts[:4] == prompts[4:]


async def test_an_episode_that_spoils_its_part_is_asked_about_alone_and_the_rest_is_kept(bench: Bench) -> None:
    bench.model.then("primary", leaving_out(2))
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed()))

    assert remembered(result) == own(0, 1, 2, 3)
    assert asked(bench) == [[0, 1, 2, 3], [2]]
    assert tried(result) == [("1.1.1", "ok", "split", 4), ("1.3.1", "ok", "done", None)]
    assert [one.prompt_version for one in result.provenance] == ["1-packed", "1"]


async def test_the_first_episode_alone_is_a_later_try_than_that_with_its_company(bench: Bench) -> None:
    bench.model.then("primary", leaving_out(0))
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed()))

    assert tried(result) == [("1.1.1", "ok", "split", 4), ("1.1.2", "ok", "done", None)]


@pytest.mark.parametrize(
    "kind",
    [FaultKind.REFUSED, FaultKind.BAD_REQUEST, FaultKind.CONTEXT_TOO_LONG, FaultKind.EMPTY],
)
async def test_what_is_refused_for_one_is_asked_again_one_by_one(bench: Bench, kind: FaultKind) -> None:
    bench.model.always["primary"] = bench.model.always["backup"] = refusing(1, kind=kind)

    ending = await bench.run_to_the_end(packed())

    result = result_of(ending)
    assert result.status is JobStatus.PARTIAL
    assert remembered(result) == [*own(0), [], *own(2, 3)]
    assert [episode.failure is not None for episode in result.episodes] == [False, True, False, False]
    failure = result.episodes[1].failure
    assert failure is not None
    assert failure.episode_id == "e2"
    again = [[1]] if kind is FaultKind.EMPTY else []  # one more with a reminder
    assert asked(bench)[0] == [0, 1, 2, 3]
    assert sorted(asked(bench)[1:]) == sorted([[0], [1], [2], [3], *again, [1], *again])
    assert bench.called == ["primary"] * (5 + len(again)) + ["backup"] * (1 + len(again))
    assert result.attempts[0].action == "split"


async def test_the_whole_parts_of_a_truncated_answer_are_kept(bench: Bench) -> None:
    def broken_off(call: Call) -> Fault:
        text = answer_to(call)
        return fault(FaultKind.TRUNCATED, usage=USAGE, text=text[: text.index('"e3"') + 20])

    bench.model.then("primary", broken_off)
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed()))

    assert remembered(result) == own(0, 1, 2, 3)
    assert asked(bench) == [[0, 1, 2, 3], [2], [3]]
    assert tried(result)[0] == ("1.1.1", "ok", "split", 4)


async def test_an_answer_that_is_no_json_costs_one_call_and_no_reminder(bench: Bench) -> None:
    bench.model.then("primary", reply("I will gladly help you."))
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed()))

    assert remembered(result) == own(0, 1, 2, 3)
    assert asked(bench) == [[0, 1, 2, 3], [0], [1], [2], [3]]
    assert tried(result)[0] == ("1.1.1", "output_unusable", "split", 4)
    assert result.usage.tokens_saved is not None
    assert result.usage.tokens_saved < 0
    assert [one.prompt_version for one in result.provenance] == ["1"]


async def test_a_fault_of_the_connection_leaves_the_pack_together(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.UNAVAILABLE), good)

    result = result_of(await bench.run(packed()))

    assert asked(bench) == [[0, 1, 2, 3]] * 2
    assert tried(result) == [("1.1.1", "provider_unavailable", "retry", 4), ("1.1.2", "ok", "done", 4)]
    assert result.attempts[0].tokens_saved == 0


async def test_the_fallback_gets_the_pack_as_it_is_when_the_primary_is_down(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.OVERLOADED)
    bench.model.always["backup"] = good

    result = result_of(await bench.run_to_the_end(packed()))

    assert remembered(result) == own(0, 1, 2, 3)
    assert asked(bench) == [[0, 1, 2, 3]] * 2
    assert [one.attempt for one in result.attempts] == ["1.1.1", "2.1.1"]


async def test_a_job_that_nobody_can_do_fails_as_without_packing(bench: Bench) -> None:
    bench.model.always["primary"] = bench.model.always["backup"] = fault(FaultKind.QUOTA_EXHAUSTED)

    failure = failure_of(await bench.run_to_the_end(packed()))

    assert (failure.code, failure.episode_id) == (FailureCode.QUOTA_EXHAUSTED, None)
    assert bench.called == ["primary", "backup"]


async def test_the_fallback_gets_only_what_is_left_and_that_alone(bench: Bench) -> None:
    bench.model.always["primary"] = refusing(1, 3)
    bench.model.always["backup"] = good

    result = result_of(await bench.run_to_the_end(packed()))

    assert (result.status, remembered(result)) == (JobStatus.SUCCEEDED, own(0, 1, 2, 3))
    assert asked(bench)[5:] == [[1], [3]]
    assert bench.called[5:] == ["backup", "backup"]
    assert [one.connection for one in result.provenance] == ["primary", "backup"]


async def test_a_crash_after_the_pack_was_answered_costs_no_further_call_about_it(bench: Bench) -> None:
    def crash(_: Call) -> Reply | Fault:
        raise RuntimeError

    bench.model.then("primary", leaving_out(2), crash)
    with pytest.raises(RuntimeError):
        await bench.run(packed())
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed()))

    assert remembered(result) == own(0, 1, 2, 3)
    assert asked(bench) == [[0, 1, 2, 3], [2], [2]]
    # What the call that broke off came to nobody knows.
    assert [(one.attempt, one.status) for one in result.attempts] == [
        ("1.1.1", "ok"),
        ("1.3.1", "lost"),
        ("1.3.2", "ok"),
    ]


async def test_a_crash_between_the_refusal_and_the_single_calls_does_not_ask_together_again(bench: Bench) -> None:
    def crash(_: Call) -> Reply | Fault:
        raise RuntimeError

    bench.model.then("primary", refusing(1), *[crash] * 4)
    with pytest.raises(RuntimeError):
        await bench.run(packed())
    bench.model.always["primary"] = good

    result = result_of(await bench.run(packed()))

    assert remembered(result) == own(0, 1, 2, 3)
    assert asked(bench)[5:] == [[0], [1], [2], [3]]


async def test_a_crash_before_anything_is_kept_asks_together_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any, **__: Any) -> Ending:
        raise RuntimeError

    bench.model.always["primary"] = good
    monkeypatch.setattr(bench.jobs, "end", crash)
    with pytest.raises(RuntimeError):
        await bench.run(packed())
    monkeypatch.undo()

    result = result_of(await bench.run(packed()))

    assert asked(bench) == [[0, 1, 2, 3]] * 2
    assert [one.attempt for one in result.attempts] == ["1.1.1", "1.1.2"]
    assert len({one.id for one in bench.records}) == 2


async def test_a_job_that_goes_back_to_its_lane_keeps_what_its_packs_yielded(bench: Bench) -> None:
    text = "word " * 190
    job = make_job(*[f"{text_of(number)} {text}" for number in range(8)], pack_tokens=1_000)
    seen: list[list[int]] = []

    def second_is_limited(call: Call) -> Reply | Fault:
        seen.append(numbers_in(call))
        return fault(FaultKind.RATE_LIMITED, retry_after=60) if len(seen) == 2 else good(call)

    bench.model.always["primary"] = second_is_limited
    first = await bench.run(job, delivery=FRESH)
    assert isinstance(first, Park)

    result = result_of(await bench.run(job, delivery=FRESH))

    assert remembered(result) == own(*range(8))
    assert sorted(number for numbers in seen for number in numbers) == sorted([*range(8), *seen[1]])
    assert all(len(numbers) > 1 for numbers in seen)


async def test_two_deliveries_at_once_make_one_call(bench: Bench) -> None:
    bench.model.always["primary"] = good

    first, second = await asyncio.gather(bench.run(packed()), bench.run(packed()))

    assert first == second
    assert asked(bench) == [[0, 1, 2, 3]]


async def test_the_meter_is_asked_for_what_the_pack_takes(bench: Bench) -> None:
    bench.model.always["primary"] = good
    await bench.run(packed(pack_tokens=None), job_id="a")
    apart = bench.gate.asked[:]
    await bench.run(packed(), job_id="b")
    (together,) = [demand for demand, _ in bench.gate.asked[len(apart) :]]

    single = apart[0][0]
    assert single.input_tokens < together.input_tokens < 4 * single.input_tokens
    assert single.max_output_tokens < together.max_output_tokens < 4 * single.max_output_tokens


HOWS = ("good", "left out", "another's", "refused", "refused once", "bad everywhere")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hows=st.lists(st.sampled_from(HOWS), min_size=1, max_size=len(PEOPLE)),
    pack_tokens=st.integers(1, 60),
)
async def test_every_episode_gets_its_own_memories_or_its_own_failure(
    make_bench: Callable[[], Bench], hows: list[str], pack_tokens: int
) -> None:
    bench = make_bench()
    refused: set[int] = set()

    def model(call: Call) -> Reply | Fault:
        numbers = numbers_in(call)
        is_primary = call.connection.name == "primary"
        for number in numbers:
            once = hows[number] == "refused once" and number not in refused
            if hows[number] == "bad everywhere" or (is_primary and hows[number] == "refused") or once:
                refused.add(number)
                return fault(FaultKind.REFUSED, usage=USAGE)
        if len(numbers) == 1:
            return good(call)
        parts = [
            {
                "episode": f"e{place}",
                **part_of(number if hows[number] != "another's" else numbers[place % len(numbers)]),
            }
            for place, number in enumerate(numbers, start=1)
            if hows[number] != "left out"
        ]
        return reply(json.dumps({"episodes": parts}))

    bench.model.always["primary"] = bench.model.always["backup"] = model
    count = len(hows)
    ending = await bench.run_to_the_end(packed(count, pack_tokens=pack_tokens))

    bad = [number for number in range(count) if hows[number] == "bad everywhere"]
    if len(bad) == count:
        assert failure_of(ending).code is FailureCode.CONTENT_REFUSED
    else:
        result = result_of(ending)
        for number, episode in enumerate(result.episodes):
            facts = [(fact.subject, fact.object, fact.evidence) for fact in episode.facts]
            if number in bad:
                assert episode.failure is not None
                assert (episode.failure.episode_id, facts) == (f"e{number + 1}", [])
            else:
                assert episode.failure is None
                assert facts == [(PEOPLE[number], PLACES[number], text_of(number))]
    records = bench.records
    assert len({(one.connection, one.attempt) for one in records}) == len(records) == len(bench.model.calls)
    shared = [numbers for numbers in asked(bench) if len(numbers) > 1]
    # One call for each pack, and for each episode one on each connection.
    assert len(shared) <= count // 2
    assert len(bench.called) <= len(shared) + 2 * count
