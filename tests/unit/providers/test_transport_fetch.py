"""Single requests beside the calls, such as those for access tokens."""

import asyncio

from aiohttp import web

from tests.providers import Serve
from workers.providers.base import Fault, FaultKind, WireRequest, WireResponse
from workers.providers.transport import MAX_RESPONSE, Transport


def post(url: str, content: bytes = b"a=b") -> WireRequest:
    return WireRequest(method="POST", url=url, headers={"content-type": "text/plain"}, content=content)


async def test_a_response_of_any_status_is_returned_as_it_came(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.content_type == "text/plain"
        return web.Response(status=418, body=b"<" + await request.read() + b">", headers={"X-Kind": "tea"})

    response = await transport.fetch(post(await serve(handler)), name="the pot", timeout=5)

    assert isinstance(response, WireResponse)
    assert (response.status, response.content, response.headers["x-kind"]) == (418, b"<a=b>", "tea")


async def test_redirects_are_not_followed(serve: Serve, transport: Transport) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    response = await transport.fetch(post(await serve(handler)), name="x", timeout=5)

    assert isinstance(response, WireResponse)
    assert response.status == 307


async def test_what_goes_wrong_is_a_fault_that_names_who_was_asked(serve: Serve, transport: Transport) -> None:
    async def reset(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (MAX_RESPONSE + 1))

    forever = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await forever.wait()
        return web.Response()

    kinds = {}
    for name, url, timeout in (
        ("nobody", "http://127.0.0.1:1/", 5),
        ("reset", await serve(reset), 5),
        ("large", await serve(large), 5),
        ("silent", await serve(silent), 0.05),
    ):
        fault = await transport.fetch(post(url), name=name, timeout=timeout)
        assert isinstance(fault, Fault)
        assert name in fault.message
        kinds[name] = fault.kind
    forever.set()

    assert kinds == {
        "nobody": FaultKind.CONNECT,
        "reset": FaultKind.READ,
        "large": FaultKind.MALFORMED,
        "silent": FaultKind.TIMEOUT,
    }


async def test_what_is_no_call_may_have_a_larger_answer(serve: Serve, transport: Transport) -> None:
    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (MAX_RESPONSE + 1))

    url = await serve(large)

    taken = await transport.ask(post(url), name="x", timeout=5, most=MAX_RESPONSE + 1)
    refused = await transport.ask(post(url), name="x", timeout=5)

    assert isinstance(taken, WireResponse)
    assert isinstance(refused, Fault)
    assert refused.kind is FaultKind.MALFORMED


async def test_what_is_no_call_goes_to_no_private_address_either(transport: Transport) -> None:
    fault = await transport.ask(post("http://169.254.169.254/latest"), name="x", timeout=5)

    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.ENDPOINT_INVALID
