"""One request to a receiver, over real sockets on this machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from config.settings import Settings
from tests.unit.notify.conftest import Receive
from workers.notify.posting import Poster, build_poster, webhook_address_problem

HEADERS = {"webhook-id": "m1"}


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    made = build_poster(Settings(allow_private_endpoints=True, webhook_timeout=5, connect_timeout=2))
    yield made
    await made.aclose()


async def test_what_is_posted_arrives_as_it_is(receive: Receive, poster: Poster) -> None:
    receiver = await receive()

    posted = await poster.post(receiver.url, body='{"ü": 1}', headers=HEADERS)

    ((headers, body),) = receiver.got
    assert (posted.status, posted.problem) == (204, None)
    assert body == '{"ü": 1}'
    assert (headers["webhook-id"], headers["Content-Type"]) == ("m1", "application/json")
    assert headers["User-Agent"] == "byom-workers"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_counts_as_delivered(receive: Receive, poster: Poster, status: int) -> None:
    receiver = await receive()
    receiver.then(status)

    assert (await poster.post(receiver.url, body="{}", headers=HEADERS)).problem is None


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 503])
async def test_all_else_does_not(receive: Receive, poster: Poster, status: int) -> None:
    receiver = await receive()
    receiver.then(status)

    posted = await poster.post(receiver.url, body="{}", headers=HEADERS)
    assert (posted.problem, posted.final, posted.gone) == (f"answered {status}", False, False)


async def test_410_says_that_nothing_more_is_wanted(receive: Receive, poster: Poster) -> None:
    receiver = await receive()
    receiver.then(410)

    assert (await poster.post(receiver.url, body="{}", headers=HEADERS)).gone


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(receive: Receive, poster: Poster, status: int) -> None:
    inside = await receive()
    outside = await receive()
    outside.then(status, headers={"Location": inside.url})

    posted = await poster.post(outside.url, body="{}", headers=HEADERS)

    assert f"answered {status}" in str(posted.problem)
    assert (len(outside.got), len(inside.got)) == (1, 0)


async def test_an_answer_without_an_end_is_not_read(receive: Receive, poster: Poster) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
                sent += 65_536
        except (ConnectionError, asyncio.CancelledError):
            pass
        return response

    receiver = await receive(pour)

    posted = await poster.post(receiver.url, body="{}", headers=HEADERS)

    assert (posted.status, posted.problem) == (200, None)
    # What fits into the buffers between the two, and no more.
    assert sent < 16 * 1024 * 1024


async def test_a_receiver_that_takes_too_long_has_not_got_it(receive: Receive) -> None:
    never = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    receiver = await receive(wait)
    poster = build_poster(Settings(allow_private_endpoints=True, webhook_timeout=0.1))
    posted = await poster.post(receiver.url, body="{}", headers=HEADERS)
    never.set()
    await poster.aclose()

    assert posted.problem == "no answer within 0.1 s"
    assert not posted.final


async def test_a_receiver_that_is_down_has_not_got_it(poster: Poster) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    posted = await poster.post(f"http://127.0.0.1:{port}/secret-path", body="{}", headers=HEADERS)

    assert "refused the connection" in str(posted.problem)
    assert "secret-path" not in str(posted.problem)
    assert not posted.final


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> Iterator[None]:
    """All names resolve to these."""

    class Resolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            return [
                {"hostname": host, "host": one, "port": port, "family": family, "proto": 0, "flags": 0}
                for one in addresses
            ]

        async def close(self) -> None:
            """Nothing is open."""

    with monkeypatch.context() as patch:
        patch.setattr("workers.providers.client.ThreadedResolver", Resolver)
        yield


async def test_private_addresses_are_refused_before_anything_is_sent(receive: Receive) -> None:
    receiver = await receive()
    poster = build_poster(Settings())
    local = receiver.url.replace("127.0.0.1", "localhost")
    refused = [await poster.post(url, body="{}", headers=HEADERS) for url in (receiver.url, local)]
    await poster.aclose()

    assert receiver.got == []
    for posted in refused:
        assert posted.final
        assert "BYOM_ALLOW_PRIVATE_ENDPOINTS" in str(posted.problem)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
async def test_a_name_that_leads_inside_by_the_time_of_posting_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    poster = build_poster(Settings())
    with names(monkeypatch, address):
        posted = await poster.post("https://hooks.example.com/x", body="{}", headers=HEADERS)
    await poster.aclose()

    assert posted.final
    assert "hooks.example.com" in str(posted.problem)
    assert "private, loopback or link-local" in str(posted.problem)


async def test_this_machine_is_refused_by_name_when_that_is_resolved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.notify.posting.webhook_address_problem", lambda _url, **_: None)
    poster = build_poster(Settings())
    posted = await poster.post("https://localhost:1/x", body="{}", headers=HEADERS)
    await poster.aclose()

    assert "resolves to a refused address" in str(posted.problem)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://a.localhost/x",
        "https://10.0.0.7/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:192.168.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
    ],
)
def test_these_addresses_are_refused_when_they_are_given(url: str) -> None:
    assert webhook_address_problem(url, allow_private=False) is not None


@pytest.mark.parametrize("url", ["https://hooks.example.com/x?token=1", "https://8.8.8.8:8443/x"])
def test_these_are_taken(url: str) -> None:
    assert webhook_address_problem(url, allow_private=False) is None
