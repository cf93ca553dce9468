"""All seven kinds of provider, simulated, and the means to verify a connection to them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from config.catalogue import load_catalogue
from config.settings import Settings
from tasks.contract import ProviderKind
from tests.support import ManualClock
from tests.verification import KINDS, connected, secret_of
from workers.embedded.simulator import Latency, Options, Simulator
from workers.providers.registry import build_providers
from workers.providers.transport import Transport, build_transport
from workers.verification import Verification, verify

Verify = Callable[..., Awaitable[Verification]]


@pytest.fixture
async def vendors() -> AsyncIterator[Simulator]:
    async with Simulator(Options(latency=Latency.fixed(0), seed=1)) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """As a worker builds it."""
    transport = build_transport(Settings(connect_timeout=2))
    yield transport
    await transport.aclose()


@pytest.fixture
def verify_kind(vendors: Simulator, transport: Transport) -> Verify:
    """Verifies a connection of a kind; `secret` replaces its usual one, other arguments are settings."""
    providers = build_providers(fetch=transport.fetch, token_url=vendors.base_urls["google_oauth"])

    async def run(
        kind: ProviderKind, *, secret: str | None = None, seconds: float = 10, **settings: Any
    ) -> Verification:
        settings.setdefault("base_url", vendors.base_urls[KINDS[kind][0]])
        link = connected(kind, **settings)
        return await verify(
            link,
            secret_of(kind, secret) if link.connection.credential else None,
            providers=providers,
            transport=transport,
            catalogue=load_catalogue(),
            # The day on which the catalogue was written; signatures and tokens go by the machine's time.
            clock=ManualClock(),
            timeout=seconds,
        )

    return run
