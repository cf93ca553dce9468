from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from config.settings import Settings
from tests.providers import Handler, Serve
from workers.providers.transport import Transport, build_transport


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server on this machine and says its address."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """As a worker builds it."""
    transport = build_transport(Settings(connect_timeout=2))
    yield transport
    await transport.aclose()
