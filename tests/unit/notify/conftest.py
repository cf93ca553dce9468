import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import fakeredis
import pytest
import redis
import redis.asyncio
from aiohttp import web

from tests.notify import Bench, Receiver, Server, make_bench
from workers.embedded.valkey import EmbeddedValkey

#: Starts a receiver on this machine.
Receive = Callable[..., Awaitable[Receiver]]


@pytest.fixture(params=["fake", pytest.param("valkey", marks=pytest.mark.integration)])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """The stand-in, and the real thing: what scripts do must be the same on both."""
    if request.param == "fake":
        fake = fakeredis.FakeServer()
        async with fakeredis.FakeAsyncRedis(server=fake) as client:
            yield Server(client=client, sync=fakeredis.FakeRedis(server=fake))
        return
    real: EmbeddedValkey = request.getfixturevalue("valkey")
    async with redis.asyncio.Redis.from_url(real.url) as client:
        with redis.Redis.from_url(real.url) as sync:
            yield Server(client=client, sync=sync)


@pytest.fixture
async def fake() -> AsyncIterator[Server]:
    """The stand-in alone, where scripts are not what is tested."""
    server = fakeredis.FakeServer()
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        yield Server(client=client, sync=fakeredis.FakeRedis(server=server))


@pytest.fixture
async def bench(fake: Server) -> AsyncIterator[Bench]:
    """Events, outbox and deliverer; private addresses may be called, since receivers are on this machine."""
    made = make_bench(fake)
    yield made
    await made.poster.aclose()


@pytest.fixture
async def receive() -> AsyncIterator[Receive]:
    """Starts receivers."""
    runners: list[web.AppRunner] = []

    async def start(answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None) -> Receiver:
        receiver = Receiver(answer=answer)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", receiver.handle)
        runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True, access_log=None)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        return receiver

    yield start
    await asyncio.gather(*(runner.cleanup() for runner in runners))
