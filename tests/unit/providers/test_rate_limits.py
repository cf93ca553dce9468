"""Rate-limit headers of every vendor in one form: from recorded spellings, hostile ones, and the simulator's meter."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.contract import ProviderKind
from tests.providers import CANARY, Serve, make_call
from workers.embedded.simulator import Account, Latency, Options, Simulator
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.delays import MAX_DELAY, vendor_delay
from workers.providers.rate_limits import Allowance, RateLimits, parse_rate_limits
from workers.providers.registry import build_providers, dialect_of
from workers.providers.transport import Transport

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
OPENAI_LIKE = (ProviderKind.OPENAI, ProviderKind.AZURE_OPENAI, ProviderKind.OPENAI_COMPATIBLE)
SILENT = (ProviderKind.GEMINI, ProviderKind.VERTEX, ProviderKind.BEDROCK)


def limits_of(kind: ProviderKind, headers: Mapping[str, str]) -> RateLimits | None:
    return parse_rate_limits(dialect_of(kind).limit_headers, headers)


def allowance(limit: int | None, remaining: int | None) -> Allowance:
    return Allowance(limit=limit, remaining=remaining)


def openai(figure: str, limit: str | None, remaining: str | None, reset: str | None) -> dict[str, str]:
    parts = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{part}-{figure}": value for part, value in parts.items() if value is not None}


def anthropic(figure: str, limit: str | None, remaining: str | None, reset: str | None) -> dict[str, str]:
    parts = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"anthropic-ratelimit-{figure}-{part}": value for part, value in parts.items() if value is not None}


OPENAI_HEADERS = openai("requests", "30000", "29999", "2ms") | openai("tokens", "150000000", "149998742", "6m0s")
OPENAI_LIMITS = RateLimits(requests=allowance(30_000, 29_999), tokens=allowance(150_000_000, 149_998_742))
ANTHROPIC_HEADERS = (
    anthropic("requests", "50", "49", "2026-11-23T12:00:01Z")
    | anthropic("tokens", "60000", "59000", "2026-11-23T12:00:02Z")
    | anthropic("input-tokens", "50000", "49000", "2026-11-23T12:00:03Z")
    | anthropic("output-tokens", "10000", "0", "2026-11-23T12:01:00Z")
)
ANTHROPIC_LIMITS = RateLimits(
    requests=allowance(50, 49),
    tokens=allowance(60_000, 59_000),
    input_tokens=allowance(50_000, 49_000),
    output_tokens=allowance(10_000, 0),
)


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_openais_headers_are_read_of_all_who_speak_its_language(kind: ProviderKind) -> None:
    assert limits_of(kind, OPENAI_HEADERS) == OPENAI_LIMITS


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        # The Responses API knows no token limits.
        (
            openai("requests", "600", "599", "1") | openai("tokens", "-1", "0", "0"),
            RateLimits(requests=allowance(600, 599)),
        ),
        (
            openai("requests", "600", "599", None) | openai("tokens", "0", "-1", None),
            RateLimits(requests=allowance(600, 599)),
        ),
        (openai("tokens", "-1", "-1", "30"), None),
        (openai("tokens", None, "0", "30"), None),
        # Older deployments name no limit, only what is left of it.
        (openai("tokens", None, "118", None), RateLimits(tokens=allowance(None, 118))),
        # An empty bucket is one all the same.
        (openai("tokens", "1000", "0", "42"), RateLimits(tokens=allowance(1_000, 0))),
    ],
)
def test_what_azure_says_where_it_has_nothing_to_say_is_absent(
    headers: dict[str, str], limits: RateLimits | None
) -> None:
    assert limits_of(ProviderKind.AZURE_OPENAI, headers) == limits


def test_anthropics_pools_stay_apart() -> None:
    assert limits_of(ProviderKind.ANTHROPIC, ANTHROPIC_HEADERS) == ANTHROPIC_LIMITS


@pytest.mark.parametrize("kind", ProviderKind)
def test_headers_of_other_vendors_say_nothing(kind: ProviderKind) -> None:
    by_openai = {} if kind in OPENAI_LIKE else OPENAI_HEADERS
    by_anthropic = {} if kind is ProviderKind.ANTHROPIC else ANTHROPIC_HEADERS
    foreign = by_openai | by_anthropic
    assert limits_of(kind, foreign) is None
    assert limits_of(kind, {}) is None


@pytest.mark.parametrize(
    "nonsense",
    ["", " ", "NaN", "inf", "-inf", "-7", "1e400", "9" * 400, "many", "4_0", "\uff14\uff12", "0x1f", "1.5.2", "\x00"],
)
def test_nonsense_is_absent_and_does_not_spoil_what_stands_beside_it(nonsense: str) -> None:
    def tokens(limit: str, remaining: str, reset: str) -> Allowance | None:
        limits = limits_of(ProviderKind.OPENAI, openai("tokens", limit, remaining, reset))
        return limits.tokens if limits else None

    assert tokens(nonsense, "40", "1s") == allowance(None, 40)
    assert tokens("100", nonsense, "1s") == allowance(100, None)
    assert tokens(nonsense, nonsense, "1s") is None


_HOSTILE = st.one_of(
    st.text(max_size=40),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
    st.from_regex(r"-?[0-9]{1,400}(\.[0-9]+)?(h|m|s|ms|us|ns)?", fullmatch=True),
)
_NAMES = sorted({*ANTHROPIC_HEADERS, *OPENAI_HEADERS, "date"})


@given(st.sampled_from(ProviderKind), st.dictionaries(st.sampled_from(_NAMES), _HOSTILE))
def test_no_header_makes_it_raise_or_say_what_cannot_be(kind: ProviderKind, headers: dict[str, str]) -> None:
    for now in (NOW, None):
        delay = vendor_delay(headers, used_up=dialect_of(kind).limit_headers, now=now)
        assert delay is None or 0 < delay <= MAX_DELAY
    limits = limits_of(kind, headers)
    if limits is None:
        return
    assert kind not in SILENT
    found = [limits.requests, limits.tokens, limits.input_tokens, limits.output_tokens]
    assert any(found)
    for one in filter(None, found):
        assert one.limit is None or one.limit > 0
        assert one.remaining is None or one.remaining >= 0
        assert (one.limit, one.remaining) != (None, None)


async def test_replies_and_faults_carry_the_limits_and_broken_connections_none(
    serve: Serve, transport: Transport
) -> None:
    body = {"content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn"}
    headers = ANTHROPIC_HEADERS | {"date": "Mon, 23 Nov 2026 12:00:00 GMT"}
    responses = iter(
        [
            web.json_response(body, headers=headers),
            web.json_response({}, status=429, headers=headers),
            web.json_response(body),
        ]
    )

    async def handler(request: web.Request) -> web.Response:
        response = next(responses, None)
        if response is None:
            assert request.transport is not None
            request.transport.abort()
        return response or web.Response()

    provider = build_providers()[ProviderKind.ANTHROPIC]
    call = make_call(provider=ProviderKind.ANTHROPIC, model="claude-haiku-5-5", base_url=await serve(handler))
    answers = [(await transport.send(provider, call, timeout=5)).answer for _ in range(4)]

    assert [answer.kind if isinstance(answer, Fault) else None for answer in answers] == [
        None,
        FaultKind.RATE_LIMITED,
        None,
        FaultKind.READ,
    ]
    assert [answer.limits for answer in answers] == [ANTHROPIC_LIMITS, ANTHROPIC_LIMITS, None, None]


SIMULATED: Mapping[ProviderKind, tuple[str, str]] = {
    ProviderKind.OPENAI: ("openai", "gpt-6-luna"),
    ProviderKind.AZURE_OPENAI: ("azure", "gpt-6-luna"),
    ProviderKind.ANTHROPIC: ("anthropic", "claude-haiku-5-5"),
}
METERED = Account(key=SecretStr(CANARY), rpm=7, tpm=6_000)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Its clock stands still."""
    options = Options(accounts=(METERED,), permissive=False, latency=Latency.fixed(0), seed=1)
    async with Simulator(options, clock=NOW.timestamp) as running:
        yield running


def call_of(simulator: Simulator, kind: ProviderKind) -> Call:
    mount, model = SIMULATED[kind]
    return make_call(provider=kind, model=model, base_url=simulator.base_urls[mount])


@pytest.mark.parametrize("kind", SIMULATED)
async def test_the_simulators_headers_are_its_meters_state(
    simulator: Simulator, transport: Transport, kind: ProviderKind
) -> None:
    call = call_of(simulator, kind)
    wire = await build_providers()[kind].prepare(call)
    assert isinstance(wire, WireRequest)
    seen = []
    for _ in range(3):
        response = await transport.fetch(wire, name=kind.value, timeout=5)
        assert isinstance(response, WireResponse)
        assert response.status == 200
        limits = limits_of(kind, response.headers)
        state = simulator.core._meter.read(METERED, call.connection.model)
        requests, tokens = (allowance(gauge.limit, gauge.remaining) for gauge in (state.requests, state.tokens))
        expected = {
            ProviderKind.OPENAI: RateLimits(requests=requests, tokens=tokens),
            ProviderKind.AZURE_OPENAI: RateLimits(requests=requests),
            ProviderKind.ANTHROPIC: RateLimits(
                requests=requests, tokens=tokens, input_tokens=tokens, output_tokens=tokens
            ),
        }
        assert limits == expected[kind]
        seen.append((state.requests.remaining, state.tokens.remaining))
    assert [requests for requests, _ in seen] == [6, 5, 4]
    assert 6_000 > seen[0][1] > seen[1][1] > seen[2][1] > 0


@pytest.mark.parametrize("kind", SIMULATED)
async def test_the_meters_refusal_shows_the_empty_bucket(
    simulator: Simulator, transport: Transport, kind: ProviderKind
) -> None:
    simulator.put_account(METERED.model_copy(update={"rpm": 1}))
    provider, call = build_providers()[kind], call_of(simulator, kind)
    first, second = [(await transport.send(provider, call, timeout=5)).answer for _ in range(2)]

    assert isinstance(first, Reply)
    assert isinstance(second, Fault)
    assert second.kind is FaultKind.RATE_LIMITED
    assert second.limits is not None
    assert second.limits.requests is not None
    assert (second.limits.requests.limit, second.limits.requests.remaining) == (1, 0)
