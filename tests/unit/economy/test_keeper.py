"""What a keeper does with jobs that wait and with batches, whatever the vendor makes of them."""

from decimal import Decimal

import pytest
from pydantic import SecretStr

from config.connections import project_path
from config.credentials import save_credential
from config.prices import price
from tasks.contract import FailureCode, Tier
from tests.unit.economy.conftest import KEY, MODELS, TERMS, TEXT, Bench
from workers.economy.base import State
from workers.embedded.simulator import Account, FaultRule, Injection, KeyState
from workers.embedded.simulator.batches import Result
from workers.providers.base import Fault, FaultKind


async def test_jobs_wait_for_others_and_then_go_together(bench: Bench) -> None:
    first = bench.collect()
    await bench.pass_time(TERMS.gather / 2)
    second = bench.collect()
    await bench.pass_time(TERMS.gather / 2 - 1)
    assert bench.pool.all_batches == []

    await bench.pass_time(1)

    (batch,) = bench.pool.all_batches
    assert (batch.state, batch.jobs, batch.items) == (State.OPEN, 2, 2)
    await bench.read()
    assert bench.back() == {first: True, second: True}
    assert [await bench.kept(job_id) for job_id in (first, second)] == [{1}, {1}]
    assert [one.state for one in bench.pool.all_batches] == [State.CLOSED]


async def test_a_full_batch_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("anthropic_batches.AnthropicBatches", "gemini_batches.GeminiBatches"):
        monkeypatch.setattr(f"workers.providers.{provider}.most_items", 3)
    for _ in range(7):
        bench.collect()

    await bench.pass_time(1)

    assert [batch.items for batch in bench.pool.all_batches] == [3, 3]
    await bench.send()
    assert [batch.items for batch in bench.pool.all_batches] == [3, 3, 1]


async def test_bytes_bound_a_batch_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("anthropic_batches.AnthropicBatches", "gemini_batches.GeminiBatches"):
        monkeypatch.setattr(f"workers.providers.{provider}.most_bytes", 60_000)
    for _ in range(3):
        bench.collect("Ada moved to Lisbon in May 2026. " * 500)

    await bench.send()

    assert [batch.jobs for batch in bench.pool.all_batches] == [2, 1]


async def test_usage_is_recorded_once_at_the_price_of_a_batch(bench: Bench) -> None:
    job_id = bench.collect(TEXT, "Bob works at Initech in Berlin.", labels={"team": "search"})
    await bench.send()
    bench.clock.seconds += 3_600

    await bench.read()

    assert [(record.attempt, record.status, record.action, record.tier) for record in bench.records] == [
        ("1.1.1", "ok", "done", Tier.BATCH),
        ("1.2.1", "ok", "done", Tier.BATCH),
    ]
    record = bench.records[0]
    assert (record.job_id, record.project, record.account, record.connection) == (job_id, "acme", "acme-inc", "primary")
    assert (record.latency_ms, record.credential_version, record.labels) == (0, 1, {"team": "search"})
    assert record.queue_wait_ms == (TERMS.gather + 3_600 + 300) * 1_000
    assert record.request_id
    cost = price(bench.kind, MODELS[bench.kind], usage=record.usage, at=bench.clock.now(), tier=Tier.BATCH)
    assert cost is not None
    assert Decimal(record.cost_usd or 0) == cost.usd
    served = [entry for entry in bench.core.books.report([], entries=99).entries if entry.served]
    assert sum(record.usage.total for record in bench.records) == sum(entry.usage.total for entry in served)


async def test_episodes_that_share_a_prompt_share_a_call_of_the_batch(bench: Bench) -> None:
    job_id = bench.collect(TEXT, "Bob works at Initech in Berlin.", "Eve lives in Porto.", pack_tokens=500)
    await bench.send()

    await bench.read()

    assert [(record.attempt, record.packed) for record in bench.records] == [("1.1.1", 3)]
    assert await bench.kept(job_id) == {1, 2, 3}
    assert bench.back() == {job_id: True}


@pytest.mark.parametrize(
    ("rule", "status", "action"),
    [
        (FaultRule(kind=Injection.STATUS, status=400, tier="batch"), FailureCode.BAD_REQUEST, "retry"),
        (FaultRule(kind=Injection.STATUS, status=429, tier="batch"), FailureCode.RATE_LIMITED, "retry"),
        (FaultRule(kind=Injection.STATUS, status=500, tier="batch"), FailureCode.PROVIDER_UNAVAILABLE, "retry"),
        (FaultRule(kind=Injection.REFUSAL, tier="batch"), FailureCode.CONTENT_REFUSED, "retry"),
        (FaultRule(kind=Injection.TRUNCATED, tier="batch"), FailureCode.OUTPUT_TRUNCATED, "retry_larger"),
        (FaultRule(kind=Injection.EMPTY, tier="batch"), FailureCode.OUTPUT_UNUSABLE, "retry_reminded"),
        (FaultRule(kind=Injection.MALFORMED, tier="batch"), FailureCode.OUTPUT_UNUSABLE, "retry_reminded"),
        (FaultRule(kind=Injection.WRONG_SCHEMA, tier="batch"), FailureCode.OUTPUT_UNUSABLE, "retry_reminded"),
    ],
    ids=lambda value: value.kind.value if isinstance(value, FaultRule) else str(value),
)
async def test_what_a_call_did_not_yield_is_left_for_a_worker_and_what_it_cost_is_recorded(
    bench: Bench, rule: FaultRule, status: FailureCode, action: str
) -> None:
    bench.core.faults.add(rule.model_copy(update={"text": "Initech"}))
    job_id = bench.collect(TEXT, "Bob works at Initech in Berlin.")
    await bench.send()

    await bench.read()

    assert await bench.kept(job_id) == {1}
    assert bench.back() == {job_id: False}
    failed = bench.records[1]
    assert (failed.attempt, failed.status, failed.action, failed.tier) == ("1.2.1", status, action, Tier.BATCH)
    served = [entry for entry in bench.core.books.report([], entries=99).entries if entry.served]
    assert sum(record.usage.total for record in bench.records) == sum(entry.usage.total for entry in served)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (Result.EXPIRED, {FailureCode.PROVIDER_TIMEOUT, FailureCode.PROVIDER_UNAVAILABLE}),
        (Result.CANCELLED, {FailureCode.CANCELLED}),
    ],
)
async def test_partial_results_are_taken_and_the_rest_is_left_for_a_worker(
    bench: Bench, rest: Result, status: set[FailureCode]
) -> None:
    ids = [bench.collect() for _ in range(4)]
    await bench.send()

    bench.core.batches.end(done=3, rest=rest)
    await bench.pass_time(300)

    assert list(bench.back().values()).count(True) == 3
    assert set(bench.back()) == set(ids)
    (undone,) = [record for record in bench.records if record.status != "ok"]
    assert undone.status in status
    assert undone.usage.total == 0
    (batch,) = bench.pool.all_batches
    assert sum(batch.outcome.values()) == 4
    assert batch.outcome["succeeded"] == 3


async def test_a_vendor_that_lets_its_day_pass_is_not_waited_for_longer(bench: Bench) -> None:
    job_id = bench.collect()
    await bench.send()
    bench.wire.faults = [Fault(kind=FaultKind.UNAVAILABLE, message="down")] * 99

    for _ in range(27):
        await bench.pass_time(3_600)

    assert bench.back() == {job_id: False}
    assert bench.pool.all_batches[0].state is State.CLOSED


async def test_a_job_goes_through_a_batch_once(bench: Bench) -> None:
    job_id = bench.collect()
    await bench.send()
    bench.core.batches.end(done=0, rest=Result.EXPIRED)
    await bench.pass_time(300)

    claim = await bench.jobs.claim(job_id, hop=1, owner="w", lease=1)

    assert getattr(claim, "batched", None) is True


async def test_a_message_that_came_twice_goes_back_twice_and_is_asked_once(bench: Bench) -> None:
    job_id = bench.collect()
    bench.collect(job_id=job_id)
    await bench.send()
    bench.collect(job_id=job_id)

    await bench.read()

    assert [given.job_id for given in bench.pool.given_back] == [job_id] * 3
    assert len(bench.records) == 1


async def test_what_is_kept_of_a_job_is_not_asked_again(bench: Bench) -> None:
    job_id = bench.collect(TEXT)
    await bench.send()
    await bench.read()
    bench.collect(TEXT, "Bob works at Initech in Berlin.", job_id=job_id)

    await bench.send()
    await bench.read()

    assert [record.attempt for record in bench.records] == ["1.1.1", "1.2.1"]


async def test_a_job_that_is_over_goes_straight_back(bench: Bench) -> None:
    job_id = bench.collect(TEXT)
    await bench.send()
    await bench.read()
    bench.collect(TEXT, job_id=job_id)

    await bench.send()

    assert [given.done for given in bench.pool.given_back] == [True, False]
    assert len(bench.pool.all_batches) == 1


async def test_the_vendor_is_made_to_forget_what_it_has_answered(bench: Bench) -> None:
    bench.collect()
    await bench.send()

    await bench.read()

    assert len(bench.core.batches) == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.CONNECT, message="down"),
        Fault(kind=FaultKind.RATE_LIMITED, message="too many batches", retry_after=40),
        Fault(kind=FaultKind.OVERLOADED, message="overloaded"),
        Fault(kind=FaultKind.QUOTA_EXHAUSTED, message="no credit"),
    ],
    ids=lambda fault: fault.kind.value,
)
async def test_a_batch_that_the_vendor_does_not_take_now_is_sent_later(bench: Bench, fault: Fault) -> None:
    job_id = bench.collect()
    bench.wire.faults = [fault]
    await bench.send()
    assert bench.pool.all_batches[0].state is State.READY
    assert fault.message in (bench.pool.all_batches[0].trouble or "")

    await bench.pass_time(60)
    await bench.read()

    assert bench.back() == {job_id: True}
    assert len(bench.records) == 1


async def test_a_batch_that_the_vendor_never_takes_is_worked_live_when_patience_ends(bench: Bench) -> None:
    job_id = bench.collect()
    bench.wire.faults = [Fault(kind=FaultKind.CONNECT, message="down")] * 99
    await bench.send()

    for _ in range(4):
        await bench.pass_time(TERMS.patience / 2)

    assert bench.back() == {job_id: False}
    assert bench.records == []
    assert bench.spent() == 0


@pytest.mark.parametrize(
    "kind",
    [FaultKind.BAD_REQUEST, FaultKind.MODEL_NOT_FOUND, FaultKind.ENDPOINT_INVALID, FaultKind.PERMISSION_DENIED],
)
async def test_a_batch_that_can_never_be_taken_is_worked_live_at_once(bench: Bench, kind: FaultKind) -> None:
    job_id = bench.collect()
    bench.wire.faults = [Fault(kind=kind, message="no")]

    await bench.send()

    assert bench.back() == {job_id: False}
    assert bench.spent() == 0


async def test_a_rotated_key_reads_the_batch_that_the_old_one_sent(bench: Bench) -> None:
    job_id = bench.collect()
    await bench.send()
    bench.core.accounts.put(Account(key=SecretStr(KEY), state=KeyState.REVOKED))
    bench.core.batches.end(done=None, rest=Result.EXPIRED)
    await bench.pass_time(300)
    assert bench.back() == {}

    # The new key is of the same account: to the simulator the same fingerprint.
    bench.core.accounts.put(Account(key=SecretStr(KEY)))
    save_credential(bench.store, project_path("acme"), "main", SecretStr(f" {KEY}"))
    await bench.pass_time(300)

    assert bench.back() == {job_id: True}
    # The record names the version that the calls were made with.
    assert [record.credential_version for record in bench.records] == [1]


async def test_a_connection_that_is_gone_gives_its_jobs_back_for_workers_to_say_so(bench: Bench) -> None:
    job_id = bench.collect()
    bench.connect(model="claude-haiku-9" if bench.kind.value == "anthropic" else "gemini-9", unverified=True)

    await bench.send()

    assert bench.back() == {job_id: False}
    claim = await bench.jobs.claim(job_id, hop=1, owner="w", lease=1)
    # It may be collected again, when its connection has batches again.
    assert getattr(claim, "batched", None) is False


async def test_a_message_that_nobody_can_read_goes_back_to_a_worker(bench: Bench) -> None:
    bench.pool.collect(bench.line, "broken", {"body": "no json", "properties": {}, "headers": {}})
    bench.pool.collect(bench.line, "odd", {"body": "[[], {}, {}]", "properties": {}})

    await bench.send()

    assert bench.back() == {"broken": False, "odd": False}


async def test_an_operator_ends_a_batch_early(bench: Bench) -> None:
    ids = [bench.collect() for _ in range(4)]
    await bench.send()

    bench.pool.cancel(bench.pool.all_batches[0].id)
    await bench.pass_time(1)
    await bench.pass_time(300)

    assert set(bench.back()) == set(ids)
    assert list(bench.back().values()).count(True) == 2
    assert bench.wire.count("POST", "cancel") == 1


async def test_an_operator_ends_a_batch_that_was_never_sent(bench: Bench) -> None:
    job_id = bench.collect()
    bench.wire.faults = [Fault(kind=FaultKind.OVERLOADED, message="overloaded")]
    await bench.send()

    bench.pool.cancel(bench.pool.all_batches[0].id)
    await bench.pass_time(1)

    assert bench.back() == {job_id: False}
    assert bench.wire.count("POST", "cancel") == 0


async def test_looks_at_a_batch_become_rarer(bench: Bench) -> None:
    bench.collect()
    await bench.send()
    before = len(bench.wire.asked)

    for _ in range(3_600):
        await bench.pass_time(1)

    assert 10 < len(bench.wire.asked) - before < 25


async def test_another_keeper_leaves_a_line_alone_that_is_looked_after(bench: Bench) -> None:
    bench.collect()
    assert await bench.pool.hold(bench.line, owner="other", seconds=1_000)

    await bench.send()

    assert bench.pool.all_batches == []


async def test_results_of_which_keepers_die_are_left_for_workers_who_set_such_jobs_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    job_id = bench.collect()
    await bench.send()
    bench.core.batches.end(done=None, rest=Result.EXPIRED)
    monkeypatch.setattr("workers.economy.reading.judge", die)

    for _ in range(5):
        with pytest.raises(Died):
            await bench.pass_time(300)
    await bench.pass_time(300)

    assert bench.back() == {job_id: False}
