"""Sends one call: prepare, exchange, read. The only place that does I/O to providers."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlsplit

import aiohttp

from config.settings import Settings
from workers.clock import Clock, SystemClock
from workers.providers.base import Call, Fault, FaultKind, Provider, Reply, WireRequest, WireResponse
from workers.providers.client import Client, HttpClient, Unreadable
from workers.providers.endpoints import EndpointRefused, address_problem
from workers.providers.rate_limits import parse_rate_limits
from workers.providers.registry import dialect_of
from workers.providers.tiers import without_room
from workers.tracing import Server

#: Bytes of a response, decompressed. The largest answer is some 100,000 tokens; more than this is an attack or a bug.
MAX_RESPONSE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of a call, and how long it took."""

    answer: Reply | Fault
    #: Seconds from the first byte out to the last byte in; 0 when nothing was sent.
    latency: float
    #: Whom it was sent to; None when nothing was sent.
    server: Server | None = None


class Transport:
    """One per process. Bound to the event loop of its first call; closed at the end with `aclose`."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        allow_private: bool = False,
        max_response: int = MAX_RESPONSE,
    ) -> None:
        """`max_response` in bytes."""
        self._client = client
        self._clock = clock
        self._allow_private = allow_private
        self._max_response = max_response

    async def send(self, provider: Provider, call: Call, *, timeout: float) -> Sent:  # noqa: ASYNC109 - bounds I/O here
        """Make one call. What goes wrong on the way is a fault, never an exception.

        Args:
            provider: translates to and from the wire.
            call: what to ask.
            timeout: seconds for the whole call.
        """
        name = provider.kind.value
        try:
            async with asyncio.timeout(timeout):
                prepared = await provider.prepare(call)
        except TimeoutError:
            prepared = Fault(kind=FaultKind.CONNECT, message=f"Nothing was sent to {name}: no token for it in time.")
        if isinstance(prepared, Fault):
            return Sent(answer=prepared, latency=0)
        if problem := address_problem(prepared.url, allow_private=self._allow_private):
            refused = Fault(kind=FaultKind.ENDPOINT_INVALID, message=f"Nothing was sent to {name}: {problem}.")
            return Sent(answer=refused, latency=0)
        server = _server(prepared.url)
        started = self._clock.monotonic()
        response = await self.fetch(prepared, name=name, timeout=timeout)
        latency = self._clock.monotonic() - started
        if isinstance(response, Fault):
            return Sent(answer=response, latency=latency, server=server)
        dialect = dialect_of(provider.kind)
        answer = without_room(provider.read(call, response), call, shared=dialect.shares_capacity)
        limits = parse_rate_limits(dialect.limit_headers, response.headers)
        return Sent(answer=replace(answer, limits=limits) if limits else answer, latency=latency, server=server)

    async def fetch(self, request: WireRequest, *, name: str, timeout: float) -> WireResponse | Fault:  # noqa: ASYNC109 - as above
        """Make one HTTP request to an address that no user chose, such as a vendor's token endpoint.

        Args:
            request: what to send.
            name: whom messages speak of.
            timeout: seconds for the whole exchange.
        """
        return await self._fetch(request, name=name, timeout=timeout, most=self._max_response)

    async def _fetch(self, request: WireRequest, *, name: str, timeout: float, most: int) -> WireResponse | Fault:  # noqa: ASYNC109 - as above
        try:
            async with asyncio.timeout(timeout):
                return await self._client.exchange(request, most=most)
        except (aiohttp.ClientError, OSError, Unreadable) as error:
            return fault_of(error, name)

    async def ask(
        self,
        request: WireRequest,
        *,
        name: str,
        timeout: float,  # noqa: ASYNC109 - as above
        most: int | None = None,
    ) -> WireResponse | Fault:
        """Make one HTTP request that is no call of a model, to the address of a connection.

        Args:
            request: what to send.
            name: whom messages speak of.
            timeout: seconds for the whole exchange.
            most: bytes of the response, where more than of a call's answer are to be expected.
        """
        if problem := address_problem(request.url, allow_private=self._allow_private):
            return Fault(kind=FaultKind.ENDPOINT_INVALID, message=f"Nothing was sent to {name}: {problem}.")
        return await self._fetch(request, name=name, timeout=timeout, most=most or self._max_response)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


@lru_cache(maxsize=1_024)  # as many as there are connections, and more
def _server(url: str) -> Server:
    parts = urlsplit(url)
    return Server(address=parts.hostname or "", port=parts.port)


def build_transport(settings: Settings, *, clock: Clock | None = None) -> Transport:
    """The transport of a process. Nothing is opened before the first call."""
    return Transport(
        HttpClient(settings, connections=settings.max_calls),
        clock=clock or SystemClock(),
        allow_private=settings.allow_private_endpoints,
    )


#: Exception → the fault behind it and the rest of its message; the first match wins.
_FAULTS: tuple[tuple[type[BaseException], FaultKind, str], ...] = (
    (EndpointRefused, FaultKind.ENDPOINT_INVALID, "Nothing was sent to {name}: {error}."),
    (aiohttp.InvalidURL, FaultKind.ENDPOINT_INVALID, "Nothing was sent to {name}: its address cannot be called."),
    (aiohttp.ClientConnectorDNSError, FaultKind.CONNECT, "Nothing was sent to {name}: its host name does not resolve."),
    (aiohttp.ClientSSLError, FaultKind.CONNECT, "Nothing was sent to {name}: TLS failed, or its certificate is bad."),
    (aiohttp.ClientConnectorError, FaultKind.CONNECT, "Nothing was sent to {name}: it refused the connection."),
    (aiohttp.ConnectionTimeoutError, FaultKind.CONNECT, "Nothing was sent to {name}: no connection in time."),
    (aiohttp.ServerTimeoutError, FaultKind.TIMEOUT, "{name} gave no answer in time."),
    (aiohttp.ClientError, FaultKind.READ, "The connection to {name} broke before the answer was complete."),
    (Unreadable, FaultKind.MALFORMED, "The answer of {name} {error}."),
    (TimeoutError, FaultKind.TIMEOUT, "{name} gave no answer in time."),
    (Exception, FaultKind.READ, "The connection to {name} broke before the answer was complete."),
)
#: Why no connection came about, as a code of ours.
_CODES: dict[type[BaseException], str] = {
    aiohttp.ClientConnectorDNSError: "(dns)",
    aiohttp.ClientSSLError: "(tls)",
    aiohttp.ClientConnectorError: "(refused)",
    aiohttp.ConnectionTimeoutError: "(no answer)",
}


def fault_of(error: BaseException, name: str) -> Fault:
    """What went wrong on the way to a server that messages call `name`."""
    causes = tuple(_chain(error))
    for known, kind, message in _FAULTS:
        for cause in causes:
            if isinstance(cause, known):
                return Fault(kind=kind, message=message.format(name=name, error=cause), code=_CODES.get(known))
    raise AssertionError("the last row matches every exception")  # pragma: no cover


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
