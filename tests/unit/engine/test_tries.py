"""The tries of one unit on one connection: which faults are tried again, how often, and after what wait."""

import pytest
from pydantic import SecretStr

from config.connections import project_path
from config.credentials import save_credential
from tasks.contract import FailureCode
from tests.unit.engine.conftest import USAGE, Bench, failure_of, fault, reply
from workers.engine.engine import HandOff
from workers.jobs import Ending
from workers.providers.base import Call, Fault, FaultKind, Reply


async def test_a_short_fault_is_retried_in_place_with_growing_waits(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.UNAVAILABLE), fault(FaultKind.READ))

    ending = await bench.run()

    assert isinstance(ending, Ending)
    assert ending.result is not None
    assert bench.called == ["primary"] * 3
    assert bench.slept == [0.5, 1.0]
    assert [(one.attempt, one.status, one.action) for one in ending.result.attempts] == [
        ("1.1.1", "provider_unavailable", "retry"),
        ("1.1.2", "provider_unavailable", "retry"),
        ("1.1.3", "ok", "done"),
    ]


async def test_the_vendors_wait_is_obeyed(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.RATE_LIMITED, retry_after=3.5))

    await bench.run()

    assert (bench.called, bench.slept) == (["primary"] * 2, [3.5])


async def test_a_wait_beyond_patience_is_not_spent_here(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.RATE_LIMITED, retry_after=60))

    outcome = await bench.run()

    assert isinstance(outcome, HandOff)
    assert outcome.route.connection == "backup"
    assert (bench.called, bench.slept) == (["primary"], [])


async def test_an_overloaded_model_is_tried_again_only_where_there_is_no_other(bench: Bench) -> None:
    bench.model.always["primary"] = bench.model.always["backup"] = fault(FaultKind.OVERLOADED)

    failure = failure_of(await bench.run_to_the_end())

    assert failure.code is FailureCode.PROVIDER_UNAVAILABLE
    assert bench.called == ["primary"] + ["backup"] * 4


async def test_a_credential_deleted_while_it_was_in_use_leaves_a_record_and_leads_to_the_fallback(bench: Bench) -> None:
    def refuses(_: Call) -> Reply | Fault:
        bench.store.delete("/byom/projects/acme/credentials/main")
        return fault(FaultKind.CREDENTIAL_REJECTED)

    bench.model.always["primary"] = refuses

    outcome = await bench.run()

    assert isinstance(outcome, HandOff)
    assert [one.status for one in bench.records] == ["credential_rejected"]


@pytest.mark.parametrize("bad", ["not json", "", "{}", '{"entities": 3}'])
async def test_an_unusable_answer_is_retried_once_with_a_reminder(bench: Bench, bad: str) -> None:
    bench.model.then("primary", reply(bad))

    ending = await bench.run()

    assert isinstance(ending, Ending)
    assert ending.result is not None
    first, second = bench.model.calls
    assert second.prompt.system == first.prompt.system
    assert second.prompt.user.startswith(first.prompt.user)
    assert len(second.prompt.user) > len(first.prompt.user)
    assert ending.result.usage.tokens == USAGE + USAGE


async def test_a_truncated_answer_is_retried_once_with_more_room(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.TRUNCATED, usage=USAGE))

    await bench.run()

    first, second = bench.model.calls
    assert second.prompt.max_output_tokens > first.prompt.max_output_tokens


async def test_records_say_what_was_done_about_each_try(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.TRUNCATED), *[fault(FaultKind.UNAVAILABLE)] * 3)
    bench.model.always["backup"] = fault(FaultKind.OVERLOADED)

    failure = failure_of(await bench.run_to_the_end())

    assert [one.action for one in failure.attempts] == [
        *("retry_larger", "retry", "retry", "fall_back"),
        *("retry", "retry", "retry", "fail"),
    ]


async def test_a_rotated_key_fails_no_job(bench: Bench) -> None:
    (effective, _) = await bench.directory.chain("acme")
    cached = await bench.directory.credential(effective)
    assert cached is not None
    assert cached.version == 1
    save_credential(bench.store, project_path("acme"), "main", SecretStr("key-two"))

    def checks_key(call: Call) -> Reply | Fault:
        assert call.credential is not None
        good = call.credential.secret.get_secret_value() == "key-two"
        return reply() if good else fault(FaultKind.CREDENTIAL_REJECTED)

    bench.model.always["primary"] = checks_key

    ending = await bench.run()

    assert isinstance(ending, Ending)
    assert ending.result is not None
    assert [one.credential_version for one in ending.result.attempts] == [1, 2]
    assert bench.called == ["primary", "primary"]
    assert sum(bench.slept) == 0


async def test_a_key_that_is_refused_and_was_not_rotated_is_tried_once(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.CREDENTIAL_REJECTED)

    outcome = await bench.run()

    assert isinstance(outcome, HandOff)
    assert bench.called == ["primary"]


async def test_a_missing_credential_leads_to_the_fallback_without_a_call(bench: Bench) -> None:
    bench.store.delete("/byom/projects/acme/credentials/main")

    outcome = await bench.run()

    assert isinstance(outcome, HandOff)
    assert outcome.route.history[0].code is FailureCode.CREDENTIAL_MISSING
    assert bench.called == []


async def test_each_kind_of_fault_has_tries_of_its_own(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.UNAVAILABLE), fault(FaultKind.TRUNCATED), reply("not json"))

    ending = await bench.run()

    assert isinstance(ending, Ending)
    assert ending.result is not None
    first, _, third, fourth = bench.model.calls
    assert third.prompt.max_output_tokens == fourth.prompt.max_output_tokens > first.prompt.max_output_tokens
    assert fourth.prompt.user != third.prompt.user


async def test_a_unit_that_meets_a_new_fault_each_time_is_given_up_all_the_same(bench: Bench) -> None:
    kinds = [FaultKind.UNAVAILABLE, FaultKind.READ, FaultKind.CONNECT, FaultKind.RATE_LIMITED] * 2
    bench.model.then("primary", *map(fault, kinds))

    outcome = await bench.run()

    assert isinstance(outcome, HandOff)
    assert len(bench.called) == 6
