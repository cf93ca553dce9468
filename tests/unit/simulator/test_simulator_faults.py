"""Faults on demand: what the caller meets, and what stands in the books afterwards."""

import asyncio
import contextlib
import json
from collections import Counter

import aiohttp
import openai
import pytest
from pydantic import SecretStr, ValidationError

from workers.embedded.simulator import (
    Account,
    FaultRule,
    Injection,
    KeyState,
    Latency,
    Options,
    Reason,
    Simulator,
    Usage,
    fingerprint,
)

SCHEMA = {
    "type": "object",
    "properties": {"entities": {"type": "array", "items": {"type": "string"}}},
    "required": ["entities"],
    "additionalProperties": False,
}
BODY = {
    "model": "gpt-6-luna",
    "input": "Ada Byron lives in London. She met Tom Kyle.",
    "reasoning": {"effort": "none"},
    "text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": SCHEMA}},
}
HEADERS = {"Authorization": "Bearer sk-faults"}


@pytest.fixture
def options() -> Options:
    return Options(latency=Latency.fixed(0), seed=7)


async def ask(simulator: Simulator, *, key: str = "sk-faults", model: str = "gpt-6-luna") -> tuple[int, str, str]:
    """Status, content type and body of one request."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{simulator.base_urls['openai']}/responses",
            json=BODY | {"model": model},
            headers={"Authorization": f"Bearer {key}"},
        ) as response,
    ):
        return response.status, response.content_type, await response.text()


async def test_a_truncated_answer_says_so_and_is_billed(simulator: Simulator, client: openai.AsyncOpenAI) -> None:
    simulator.add_fault(FaultRule(kind=Injection.TRUNCATED))

    response = await client.responses.create(**BODY)  # type: ignore[call-overload]  # one dict for all tests
    completion = await client.chat.completions.create(model="gpt-4.1-mini", messages=[{"role": "user", "content": "x"}])

    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert completion.choices[0].finish_reason == "length"
    with pytest.raises(ValueError, match=r"delimiter|Unterminated|Expecting"):
        json.loads(response.output_text)
    assert simulator.books().served == 2


async def test_a_refusal_comes_as_the_vendor_sends_it(simulator: Simulator, client: openai.AsyncOpenAI) -> None:
    simulator.add_fault(FaultRule(kind=Injection.REFUSAL))

    response = await client.responses.create(**BODY)  # type: ignore[call-overload]  # one dict for all tests
    completion = await client.chat.completions.create(model="gpt-4.1-mini", messages=[{"role": "user", "content": "x"}])

    assert response.output[0].content[0].type == "refusal"
    assert completion.choices[0].message.refusal
    assert completion.choices[0].message.content is None


@pytest.mark.parametrize("kind", [Injection.MALFORMED, Injection.EMPTY, Injection.WRONG_SCHEMA])
async def test_an_unusable_answer_claims_to_be_complete_and_is_billed(
    simulator: Simulator, client: openai.AsyncOpenAI, kind: Injection
) -> None:
    simulator.add_fault(FaultRule(kind=kind))

    response = await client.responses.create(**BODY)  # type: ignore[call-overload]  # one dict for all tests

    assert response.status == "completed"
    if kind is Injection.WRONG_SCHEMA:
        assert "entities" not in json.loads(response.output_text)
    else:
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(response.output_text)
    assert simulator.books().billed.output == response.usage.output_tokens
    assert simulator.books().billed.input > 0


async def test_html_with_status_200_is_not_billed_unless_asked(options: Options) -> None:
    async with Simulator(options) as simulator:
        simulator.add_fault(FaultRule(kind=Injection.HTML, count=1))
        simulator.add_fault(FaultRule(kind=Injection.HTML, billed=True))

        status, kind, text = await ask(simulator)
        assert (status, kind) == (200, "text/html")
        assert text.startswith("<html>")
        assert simulator.books().billed == Usage()

        await ask(simulator)
        assert simulator.books().billed.input > 0


@pytest.mark.parametrize("billed", [False, True])
async def test_a_reset_connection_leaves_the_caller_without_an_answer(options: Options, *, billed: bool) -> None:
    async with Simulator(options) as simulator:
        simulator.add_fault(FaultRule(kind=Injection.RESET, billed=billed))

        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(simulator)

        (entry,) = simulator.books().entries
        assert (entry.status, entry.served, entry.delivered) == (None, billed, False)
        assert (entry.usage.total > 0) == billed


async def test_a_hanging_request_ends_when_the_caller_gives_up() -> None:
    hanging, ended = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Simulator(Options(latency=Latency.fixed(0)), sleep=sleep) as simulator:
        simulator.add_fault(FaultRule(kind=Injection.HANG))
        call = asyncio.create_task(ask(simulator))
        await hanging.wait()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await ended.wait()

        (entry,) = simulator.books().entries
        assert (entry.status, entry.served, entry.fault) == (None, False, "hang")


async def test_who_hangs_up_while_the_model_writes_is_billed_and_gets_nothing() -> None:
    writing, ended = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        writing.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Simulator(Options(latency=Latency.fixed(1)), sleep=sleep) as simulator:
        call = asyncio.create_task(ask(simulator))
        await writing.wait()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await ended.wait()

        report = simulator.books()
        assert report.billed.total > 0
        assert report.received == Usage()


async def test_slowness_adds_to_the_latency() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with Simulator(Options(latency=Latency.fixed(0.5)), sleep=sleep) as simulator:
        await ask(simulator)
        simulator.add_fault(FaultRule(kind=Injection.SLOW, seconds=3))
        await ask(simulator)

    assert slept == [0.5, 3.5]


async def test_a_rule_strikes_only_what_it_matches_and_only_as_often_as_it_says(options: Options) -> None:
    async with Simulator(options) as simulator:
        simulator.add_fault(
            FaultRule(
                kind=Injection.STATUS,
                status=503,
                key=fingerprint("sk-a"),
                model="gpt-6-luna",
                prefix="/openai/",
                count=2,
            )
        )

        others = [(await ask(simulator, key="sk-b"))[0], (await ask(simulator, key="sk-a", model="gpt-5.6-luna"))[0]]
        struck = [(await ask(simulator, key="sk-a"))[0] for _ in range(3)]

    assert others == [200, 200]
    assert struck == [503, 503, 200]


async def test_a_probability_is_kept_and_repeats_with_the_seed(options: Options) -> None:
    runs: list[list[int]] = []
    for _ in range(2):
        async with Simulator(options) as simulator:
            simulator.add_fault(FaultRule(kind=Injection.STATUS, status=500, probability=0.5))
            runs.append([(await ask(simulator))[0] for _ in range(60)])

    assert runs[0] == runs[1]
    assert 15 <= Counter(runs[0])[500] <= 45


async def test_a_rule_holds_until_it_is_cleared(options: Options) -> None:
    async with Simulator(options) as simulator:
        first = simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503))
        simulator.add_fault(FaultRule(kind=Injection.STATUS, status=500))

        assert (await ask(simulator))[0] == 503
        simulator.clear_faults(first)
        assert (await ask(simulator))[0] == 500
        simulator.clear_faults()
        assert (await ask(simulator))[0] == 200


async def test_keys_expire_and_are_revoked_while_running(options: Options) -> None:
    async with Simulator(options) as simulator:
        assert (await ask(simulator, key="sk-old"))[0] == 200
        simulator.put_account(Account(key=SecretStr("sk-old"), state=KeyState.REVOKED))
        status, _, text = await ask(simulator, key="sk-old")

    assert status == 401
    assert json.loads(text)["error"]["code"] == "invalid_api_key"


async def test_books_equal_what_the_callers_saw_under_faults(options: Options) -> None:
    seen = Usage()
    statuses: Counter[int] = Counter()
    async with Simulator(options) as simulator, aiohttp.ClientSession() as session:
        for rule in (
            FaultRule(kind=Injection.STATUS, status=503, probability=0.2),
            FaultRule(kind=Injection.STATUS, reason=Reason.RATE_LIMITED, retry_after=1, probability=0.2),
            FaultRule(kind=Injection.RESET, billed=True, probability=0.2),
            FaultRule(kind=Injection.TRUNCATED, probability=0.2),
            FaultRule(kind=Injection.MALFORMED, probability=0.2),
        ):
            simulator.add_fault(rule)

        async def call(number: int) -> None:
            nonlocal seen
            body = BODY | {"input": f"Ada Byron lives in London {number}. " * 60, "reasoning": {"effort": "low"}}
            url = f"{simulator.base_urls['openai']}/responses"
            try:
                async with session.post(url, json=body, headers=HEADERS) as response:
                    statuses[response.status] += 1
                    usage = (await response.json()).get("usage")
            except aiohttp.ClientConnectionError:
                statuses[0] += 1
                return
            if usage is not None:
                details = usage["input_tokens_details"]
                cached, written = details["cached_tokens"], details["cache_write_tokens"]
                seen += Usage(
                    input=usage["input_tokens"] - cached - written,
                    cached_input=cached,
                    cache_write=written,
                    output=usage["output_tokens"],
                    reasoning=usage["output_tokens_details"]["reasoning_tokens"],
                )

        await asyncio.gather(*(call(number % 50) for number in range(200)))
        report = simulator.books()

    assert statuses[0] > 0 < statuses[503]
    assert report.received == seen
    assert report.billed.total > seen.total
    assert report.statuses == statuses
    assert report.requests == 200 == len(report.entries)
    assert sum((entry.usage for entry in report.entries if entry.served), Usage()) == report.billed


RULES: list[tuple[dict[str, object], str]] = [
    ({"kind": "status"}, "needs one of them"),
    ({"kind": "slow"}, "needs seconds"),
    ({"kind": "hang", "status": 500}, "belong to kind 'status'"),
    ({"kind": "status", "status": 200}, "greater than or equal to 400"),
    ({"kind": "status", "status": 500, "key": "sk-not-a-fingerprint"}, "pattern"),
]


@pytest.mark.parametrize(("rule", "words"), RULES, ids=str)
def test_rules_that_make_no_sense_are_refused_without_repeating_them(rule: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        FaultRule.model_validate(rule)

    assert "sk-not" not in str(caught.value)


async def test_a_torn_answer_breaks_off_in_its_middle_and_is_billed_without_being_delivered(
    simulator: Simulator, account: Account
) -> None:
    simulator.add_fault(FaultRule(kind=Injection.TORN, count=1))

    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(simulator, key=account.key.get_secret_value())
    assert (await ask(simulator, key=account.key.get_secret_value()))[0] == 200
    books = simulator.books()
    assert [(entry.fault, entry.served, entry.delivered) for entry in books.entries] == [
        ("torn", True, False),
        (None, True, True),
    ]
    assert books.billed.total > books.received.total > 0
