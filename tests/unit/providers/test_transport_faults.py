"""What goes wrong on the way, over real sockets and, where sockets cannot be scripted, over scripted exchanges."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tasks.contract import ProviderKind
from tests.providers import CANARY, Echo, ScriptedClient, Serve, make_call
from tests.support import ManualClock
from workers.providers.base import Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.client import Unreadable
from workers.providers.transport import Transport

_CALL = make_call(provider=ProviderKind.OPENAI_COMPATIBLE, base_url="http://127.0.0.1/v1")


def _fault(answer: Reply | Fault) -> Fault:
    assert isinstance(answer, Fault)
    assert CANARY not in repr(answer)
    return answer


async def test_a_refused_connection_sent_nothing(transport: Transport, unused_tcp_port: int) -> None:
    sent = await transport.send(Echo(f"http://127.0.0.1:{unused_tcp_port}/v1"), _CALL, timeout=5)
    assert _fault(sent.answer).kind is FaultKind.CONNECT


async def test_a_name_that_does_not_resolve_sent_nothing(transport: Transport) -> None:
    sent = await transport.send(Echo("https://no-such-host.invalid/v1"), _CALL, timeout=5)
    assert _fault(sent.answer).kind is FaultKind.CONNECT
    assert "resolve" in _fault(sent.answer).message


async def test_a_server_without_tls_behind_https_is_a_connection_fault(serve: Serve, transport: Transport) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="plain")

    address = (await serve(handler)).replace("http:", "https:")
    fault = _fault((await transport.send(Echo(address), _CALL, timeout=5)).answer)
    assert fault.kind is FaultKind.CONNECT
    assert "TLS" in fault.message


async def test_a_connection_dropped_after_the_request_may_have_been_billed(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    sent = await transport.send(Echo(await serve(handler)), _CALL, timeout=5)
    assert _fault(sent.answer).kind is FaultKind.READ


async def test_an_answer_cut_off_half_way_is_a_broken_connection(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"half":')
        assert request.transport is not None
        request.transport.close()
        return response

    sent = await transport.send(Echo(await serve(handler)), _CALL, timeout=5)
    assert _fault(sent.answer).kind is FaultKind.READ


@pytest.mark.parametrize("started", [False, True])
async def test_a_server_that_does_not_finish_times_out(
    serve: Serve,
    transport: Transport,
    started: bool,  # noqa: FBT001 - pytest passes parameters by name
) -> None:
    forever = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if started:
            await response.prepare(request)
            await response.write(b" ")
        await forever.wait()
        return response

    sent = await transport.send(Echo(await serve(handler)), _CALL, timeout=0.1)
    forever.set()
    assert _fault(sent.answer).kind is FaultKind.TIMEOUT


@pytest.mark.parametrize(
    "url", ["https://10.0.0.5/v1", "http://api.openai.com/v1", "https://169.254.169.254/v1?x=1", "https://2130706433/"]
)
async def test_addresses_that_may_not_be_called_are_not(transport: Transport, url: str) -> None:
    sent = await transport.send(Echo(url), _CALL, timeout=5)
    assert _fault(sent.answer).kind is FaultKind.ENDPOINT_INVALID
    assert sent.latency == 0


async def test_a_name_that_points_at_this_machine_is_not_called(
    serve: Serve, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name is public, its address is not."""
    reached: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response(text="ok")

    async def resolve(*_: object) -> list[dict[str, object]]:
        return [{"hostname": "x", "host": "127.0.0.1", "port": 443, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    port = (await serve(handler)).rsplit(":", 1)[1]
    fault = _fault((await transport.send(Echo(f"https://rebound.example:{port}/v1"), _CALL, timeout=5)).answer)
    assert fault.kind is FaultKind.ENDPOINT_INVALID
    assert "rebound.example" in fault.message
    assert not reached


async def test_a_provider_that_cannot_prepare_sends_nothing(transport: Transport) -> None:
    refused = Fault(kind=FaultKind.CREDENTIAL_REJECTED, message="No.")
    assert (await transport.send(Echo("https://x.example", fault=refused), _CALL, timeout=5)).answer is refused


async def test_a_provider_that_takes_too_long_to_prepare_sent_nothing(transport: Transport) -> None:
    provider = Echo("https://x.example")
    provider.ready.clear()
    sent = await transport.send(provider, _CALL, timeout=0.01)
    assert _fault(sent.answer).kind is FaultKind.CONNECT


async def test_a_drip_of_whitespace_does_not_outlast_the_timeout(serve: Serve, transport: Transport) -> None:
    """Never silent, never done: what a gateway sends to keep a connection open."""
    over = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not over.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.001)
        return response

    sent = await transport.send(Echo(await serve(drip)), _CALL, timeout=0.1)
    over.set()
    assert _fault(sent.answer).kind is FaultKind.TIMEOUT


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(), FaultKind.READ),
        (TimeoutError(), FaultKind.TIMEOUT),
        (aiohttp.ClientPayloadError(), FaultKind.READ),
        (aiohttp.ServerDisconnectedError(), FaultKind.READ),
        (aiohttp.ClientOSError(), FaultKind.READ),
        (aiohttp.ConnectionTimeoutError(), FaultKind.CONNECT),
        (aiohttp.SocketTimeoutError(), FaultKind.TIMEOUT),
        (aiohttp.InvalidURL("https://["), FaultKind.ENDPOINT_INVALID),
        (Unreadable("is odd"), FaultKind.MALFORMED),
    ],
)
async def test_an_exception_becomes_the_fault_that_it_is(error: Exception, kind: FaultKind) -> None:
    def fail(_: WireRequest) -> WireResponse:
        raise error

    transport = Transport(ScriptedClient(fail), clock=ManualClock())
    sent = await transport.send(Echo("https://api.example.com/v1"), _CALL, timeout=5)
    assert _fault(sent.answer).kind is kind
