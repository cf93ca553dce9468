"""What goes out and what comes back, over real sockets on this machine."""

import asyncio
import gzip
import os
import zlib
from collections.abc import Callable

import pytest
from aiohttp import web

from config.settings import Settings
from tasks.contract import ProviderKind, TokenUsage
from tests.providers import CANARY, Echo, Serve, make_call
from tests.support import ManualClock
from workers.providers.base import Fault, FaultKind, Reply
from workers.providers.transport import MAX_RESPONSE, Transport, build_transport

_CALL = make_call(provider=ProviderKind.OPENAI_COMPATIBLE, base_url="http://127.0.0.1/v1")


def _fault(answer: Reply | Fault) -> Fault:
    assert isinstance(answer, Fault)
    assert CANARY not in repr(answer)
    return answer


async def test_a_call_goes_out_as_prepared_and_comes_back_as_read(serve: Serve) -> None:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []
    clock = ManualClock()

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, dict(request.headers), await request.read()))
        clock.seconds += 1.5
        return web.json_response({"ok": True}, status=503, headers={"X-Request-Id": "r-1"})

    provider = Echo(f"{await serve(handler)}/v1/responses")
    transport = build_transport(Settings(), clock=clock)
    sent = await transport.send(provider, _CALL, timeout=5)
    await transport.aclose()

    ((method, path, headers, content),) = seen
    assert (method, path, content) == ("POST", "/v1/responses", b"Ada lives in Paris.")
    assert headers["Authorization"] == f"Bearer {CANARY}"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"] == "byom-workers"
    assert sent.answer == Reply(text='{"ok": true}', usage=TokenUsage(input=1))
    assert sent.latency == 1.5
    (response,) = provider.read_responses
    assert (response.status, response.headers["x-request-id"]) == (503, "r-1")


async def test_two_hundred_calls_are_in_flight_at_once(serve: Serve, transport: Transport) -> None:
    """aiohttp stops at 100 unless told otherwise. Nobody is answered before all have arrived."""
    calls = 200
    everybody = asyncio.Barrier(calls)

    async def handler(request: web.Request) -> web.Response:
        async with asyncio.timeout(10):
            await everybody.wait()
        return web.Response(text=(await request.read()).decode())

    provider = Echo(await serve(handler))
    sent = await asyncio.gather(*(transport.send(provider, _CALL, timeout=20) for _ in range(calls)))
    assert [one.answer for one in sent] == [Reply(text="Ada lives in Paris.", usage=TokenUsage(input=1))] * calls


async def test_the_number_of_connections_is_the_setting(serve: Serve) -> None:
    in_flight, most = 0, 0
    full = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        if in_flight == 3:
            full.set()
        async with asyncio.timeout(10):
            await full.wait()
        await asyncio.sleep(0)
        in_flight -= 1
        return web.Response(text="ok")

    provider = Echo(await serve(handler))
    transport = build_transport(Settings(max_calls=3))
    await asyncio.gather(*(transport.send(provider, _CALL, timeout=20) for _ in range(12)))
    await transport.aclose()
    assert most == 3


async def test_connections_are_used_again(serve: Serve, transport: Transport) -> None:
    peers: set[object] = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="ok")

    provider = Echo(await serve(handler))
    for _ in range(5):
        await transport.send(provider, _CALL, timeout=5)
    assert len(peers) == 1


async def test_redirects_are_answers_and_are_not_followed(serve: Serve, transport: Transport) -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    provider = Echo(f"{await serve(handler)}/v1")
    await transport.send(provider, _CALL, timeout=5)
    assert paths == ["/v1"]
    assert provider.read_responses[0].status == 307


async def test_a_cookie_of_one_project_never_travels_with_the_next(serve: Serve, transport: Transport) -> None:
    cookies: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(text="ok", headers={"Set-Cookie": "tenant=acme; Path=/"})

    # By name: aiohttp's own jar keeps nothing of bare addresses.
    provider = Echo((await serve(handler)).replace("127.0.0.1", "localhost"))
    await transport.send(provider, _CALL, timeout=5)
    await transport.send(provider, _CALL, timeout=5)
    assert cookies == [None, None]


async def test_proxies_of_the_environment_are_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="direct")

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    provider = Echo(await serve(handler))
    transport = build_transport(Settings())
    sent = await transport.send(provider, _CALL, timeout=5)
    await transport.aclose()
    assert isinstance(sent.answer, Reply)


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_too_large_to_be_one_is_not_read_to_its_end(
    serve: Serve,
    transport: Transport,
    compressed: bool,  # noqa: FBT001 - as above
) -> None:
    body = b" " * (MAX_RESPONSE + 1)

    async def handler(_: web.Request) -> web.Response:
        if compressed:
            return web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})
        return web.Response(body=body)

    fault = _fault((await transport.send(Echo(await serve(handler)), _CALL, timeout=10)).answer)
    assert fault.kind is FaultKind.MALFORMED
    assert "4194304 bytes" in fault.message


async def test_the_largest_answer_is_read_whole(serve: Serve, transport: Transport) -> None:
    body = os.urandom(MAX_RESPONSE // 2).hex()

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=body)

    sent = await transport.send(Echo(await serve(handler)), _CALL, timeout=10)
    assert sent.answer == Reply(text=body, usage=TokenUsage(input=1))


@pytest.mark.parametrize(
    ("encoding", "encode", "read"),
    [
        ("gzip", gzip.compress, True),
        ("GZIP", gzip.compress, True),
        ("deflate", zlib.compress, True),
        ("deflate", lambda body: zlib.compress(body, wbits=-zlib.MAX_WBITS), True),
        ("gzip", lambda body: gzip.compress(body)[:-9], False),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body)), False),
        ("br", bytes, False),
        ("gzip", bytes, False),
    ],
)
async def test_encodings_that_were_not_asked_for(
    serve: Serve,
    transport: Transport,
    encoding: str,
    encode: Callable[[bytes], bytes],
    read: bool,  # noqa: FBT001 - as above
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=encode(b"answer"), headers={"Content-Encoding": encoding})

    answer = (await transport.send(Echo(await serve(handler)), _CALL, timeout=5)).answer
    if read:
        assert answer == Reply(text="answer", usage=TokenUsage(input=1))
    else:
        assert _fault(answer).kind is FaultKind.MALFORMED


async def test_closing_a_transport_that_was_never_used_is_quiet() -> None:
    await build_transport(Settings()).aclose()
