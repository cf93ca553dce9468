"""The prompt cache, as it shows in usage: explicit breakpoints, implicit ones, and time."""

from typing import Any

import openai
import pytest

from workers.embedded.simulator import Simulator

SYSTEM = "Extract the facts. " * 300
SYSTEM_TOKENS = len(SYSTEM) // 4


def body(*, marked: bool = True, mode: str | None = "explicit", text: str = "Ada lives in London.") -> dict[str, Any]:
    part: dict[str, Any] = {"type": "input_text", "text": SYSTEM}
    if marked:
        part["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return {
        "model": "gpt-6-luna",
        "reasoning": {"effort": "none"},
        "input": [
            {"role": "developer", "content": [part]},
            {"role": "user", "content": [{"type": "input_text", "text": text}]},
        ],
        **({"prompt_cache_options": {"mode": mode}} if mode else {}),
    }


async def cached_and_written(client: openai.AsyncOpenAI, **request: Any) -> tuple[int, int]:
    usage = (await client.responses.create(**request)).usage
    assert usage is not None
    return usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens


async def test_an_explicit_breakpoint_is_written_once_and_then_read(client: openai.AsyncOpenAI) -> None:
    assert await cached_and_written(client, **body()) == (0, SYSTEM_TOKENS)
    assert await cached_and_written(client, **body(text="Something else.")) == (SYSTEM_TOKENS, 0)


async def test_explicit_without_a_breakpoint_caches_nothing(client: openai.AsyncOpenAI) -> None:
    for _ in range(2):
        assert await cached_and_written(client, **body(marked=False)) == (0, 0)


async def test_implicit_mode_writes_the_unique_part_of_each_prompt(client: openai.AsyncOpenAI) -> None:
    assert await cached_and_written(client, **body(marked=False, mode=None, text="a" * 40)) == (0, SYSTEM_TOKENS + 10)
    assert await cached_and_written(client, **body(marked=False, mode=None, text="b" * 40)) == (SYSTEM_TOKENS, 10)


async def test_models_before_5_6_read_for_less_and_write_for_nothing(client: openai.AsyncOpenAI) -> None:
    request = body(marked=False, mode=None) | {"model": "gpt-5.4-nano"}

    assert await cached_and_written(client, **request) == (0, 0)
    assert await cached_and_written(client, **request) == (SYSTEM_TOKENS + 5, 0)


async def test_short_prompts_are_not_cached(client: openai.AsyncOpenAI) -> None:
    request = body(marked=False, mode=None)
    request["input"][0]["content"][0]["text"] = "x" * 4 * 1_000

    for _ in range(2):
        assert await cached_and_written(client, **request) == (0, 0)


async def test_prefixes_expire(client: openai.AsyncOpenAI, fake_time: Any) -> None:
    await cached_and_written(client, **body())
    fake_time.now += 1_799
    assert (await cached_and_written(client, **body()))[0] == SYSTEM_TOKENS
    fake_time.now += 1_801
    assert (await cached_and_written(client, **body()))[0] == 0


async def test_a_request_that_is_refused_for_its_rate_writes_nothing(
    client: openai.AsyncOpenAI, simulator: Simulator, fake_time: Any
) -> None:
    (account,) = simulator.core.accounts
    simulator.put_account(account.model_copy(update={"tpm": 100}))
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(**body())

    simulator.put_account(account)
    fake_time.now += 60
    assert await cached_and_written(client, **body()) == (0, SYSTEM_TOKENS)
