"""The vendor's own SDK must raise for the simulator what it raises for the vendor."""

from typing import Any

import openai
import pytest

from workers.embedded.simulator import Account, FaultRule, Injection, Reason, Simulator, Usage


async def test_too_many_tokens_are_refused_with_the_time_to_wait(
    client: openai.AsyncOpenAI, simulator: Simulator, account: Account
) -> None:
    simulator.put_account(account.model_copy(update={"tpm": 1_000}))
    await client.responses.create(model="gpt-6-luna", input="x" * 3_600, reasoning={"effort": "none"})

    with pytest.raises(openai.RateLimitError) as caught:
        await client.responses.create(model="gpt-6-luna", input="x" * 3_600, reasoning={"effort": "none"})

    error = caught.value
    assert error.type == "tokens"
    assert error.code == "rate_limit_exceeded"
    assert "Limit 1000, Used 907, Requested 907. Please try again in 48.84s." in error.message
    assert error.response.headers["retry-after-ms"] == "48840"
    assert error.response.headers["retry-after"] == "49"


async def test_too_many_requests_are_refused(
    client: openai.AsyncOpenAI, simulator: Simulator, account: Account
) -> None:
    simulator.put_account(account.model_copy(update={"rpm": 1}))
    await client.responses.create(model="gpt-6-luna", input="x", reasoning={"effort": "none"})

    with pytest.raises(openai.RateLimitError) as caught:
        await client.responses.create(model="gpt-6-luna", input="x", reasoning={"effort": "none"})

    assert caught.value.type == "requests"
    assert "requests per min (RPM): Limit 1, Used 1, Requested 1. Please try again in 1m0s." in caught.value.message


async def test_a_wrong_key_gets_the_vendors_words(simulator: Simulator) -> None:
    base_url = simulator.base_urls["openai"]
    async with openai.AsyncOpenAI(api_key="sk-wrong-0123456789abcd", base_url=base_url, max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            await stranger.responses.create(model="gpt-6-luna", input="x")

    assert caught.value.body == {
        "message": "Incorrect API key provided: sk-wrong***********abcd. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }


FAULTS: list[tuple[dict[str, Any], type[openai.APIStatusError], int, str | None]] = [
    ({"status": 500}, openai.InternalServerError, 500, "server_error"),
    ({"status": 503}, openai.InternalServerError, 503, "server_is_overloaded"),
    ({"status": 529}, openai.InternalServerError, 529, "server_error"),
    ({"status": 429, "retry_after": 7}, openai.RateLimitError, 429, "rate_limit_exceeded"),
    ({"status": 429, "code": "slow_down"}, openai.RateLimitError, 429, "slow_down"),
    ({"reason": Reason.QUOTA_EXHAUSTED}, openai.RateLimitError, 429, "insufficient_quota"),
    ({"status": 401}, openai.AuthenticationError, 401, "invalid_api_key"),
    ({"reason": Reason.EXPIRED_KEY}, openai.AuthenticationError, 401, "invalid_api_key"),
    ({"reason": Reason.FORBIDDEN}, openai.AuthenticationError, 401, None),
    ({"status": 403}, openai.PermissionDeniedError, 403, "unsupported_country_region_territory"),
    ({"status": 404}, openai.NotFoundError, 404, "model_not_found"),
    ({"status": 400}, openai.BadRequestError, 400, None),
    ({"reason": Reason.CONTEXT_TOO_LONG}, openai.BadRequestError, 400, "context_length_exceeded"),
]


@pytest.mark.parametrize(("rule", "error", "status", "code"), FAULTS, ids=lambda value: str(value)[:40])
async def test_injected_statuses_raise_the_sdks_error_classes(
    client: openai.AsyncOpenAI,
    simulator: Simulator,
    rule: dict[str, Any],
    error: type[openai.APIStatusError],
    status: int,
    code: str | None,
) -> None:
    simulator.add_fault(FaultRule(kind=Injection.STATUS, **rule))

    with pytest.raises(error) as caught:
        await client.responses.create(model="gpt-6-luna", input="x")

    assert caught.value.status_code == status
    assert caught.value.code == code
    assert caught.value.response.headers.get("retry-after") == ("7" if "retry_after" in rule else None)
    assert simulator.books().billed == Usage()


async def test_billing_errors_share_their_type(client: openai.AsyncOpenAI, simulator: Simulator) -> None:
    simulator.add_fault(FaultRule(kind=Injection.STATUS, status=429, code="project_spend_limit_exceeded"))

    with pytest.raises(openai.RateLimitError) as caught:
        await client.responses.create(model="gpt-6-luna", input="x")

    assert (caught.value.type, caught.value.code) == ("insufficient_quota", "project_spend_limit_exceeded")


async def test_a_path_that_the_vendor_does_not_have_is_not_found(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.embeddings.create(model="text-embedding-3-small", input="x")

    assert caught.value.message == "Error code: 404 - Invalid URL (POST /v1/embeddings)"
