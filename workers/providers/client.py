"""One HTTP request to an address that a customer chose, and its response. Knows nothing of models.

aiohttp directly: httpx over it costs twice as much CPU per request, and httpx's own pool is linear in its connections
and collapses above about a hundred of them.
"""

import zlib
from typing import Protocol

import aiohttp
import httpx
from aiohttp.resolver import ThreadedResolver

from config.settings import Settings
from workers.providers.base import WireRequest, WireResponse
from workers.providers.endpoints import GuardedResolver

#: Seconds that an idle connection is kept; vendors' load balancers close theirs after a minute or more.
_KEEPALIVE = 30
#: Seconds that a resolved name is trusted.
_DNS_TTL = 30

#: Encodings that are read although none was asked for → window bits of zlib.
_ENCODINGS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}

_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "byom-workers"}


class Unreadable(Exception):
    """The response cannot be taken; the text completes 'the answer of X …'."""


class Client(Protocol):
    """Makes HTTP requests; `HttpClient` does. What is to bound the whole exchange is around it."""

    async def exchange(self, request: WireRequest, *, most: int) -> WireResponse:
        """The response, which may have at most so many bytes."""

    async def status(self, request: WireRequest) -> int:
        """The status of the response, whose body is not read."""

    async def aclose(self) -> None:
        """Close all connections."""


class HttpClient:
    """Keeps connections. Bound to the event loop of its first request; closed at the end with `aclose`."""

    def __init__(self, settings: Settings, *, connections: int, loopback: bool = True) -> None:
        """Prepare; nothing is opened before the first request.

        Args:
            settings: of the process.
            connections: how many at once.
            loopback: whether this machine may be called where private addresses may not.
        """
        self._connections = connections
        self._allow_private = settings.allow_private_endpoints
        self._loopback = loopback
        # Honours SSL_CERT_FILE, for servers behind a certificate authority of one's own.
        self._context = httpx.create_ssl_context()
        # From asking for a connection to having one, the wait for a free place included.
        connect = settings.connect_timeout
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect)
        self._session: aiohttp.ClientSession | None = None

    async def exchange(self, request: WireRequest, *, most: int) -> WireResponse:
        """Make one request and read its response. Redirects are not followed.

        Args:
            request: what to send.
            most: bytes of the response, decompressed; what is longer is not read to its end.

        Raises:
            aiohttp.ClientError: it came to no response, or to none that is complete.
            OSError: likewise.
            Unreadable: the response is too long, or in an encoding that was not asked for.
        """
        async with self._send(request) as response:
            headers = _headers(response)
            content = await _content(response, headers.get("content-encoding", "identity").lower(), most)
        return WireResponse(status=response.status, headers=headers, content=content)

    async def status(self, request: WireRequest) -> int:
        """As `exchange`; what the response says is of no interest, and may be without an end."""
        async with self._send(request) as response:
            return response.status

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _send(self, request: WireRequest) -> "aiohttp.client._RequestContextManager":
        if self._session is None:
            self._session = self._open()
        return self._session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.content or None,
            allow_redirects=False,
            timeout=self._timeout,
        )

    def _open(self) -> aiohttp.ClientSession:
        resolver = GuardedResolver(ThreadedResolver(), allow_private=self._allow_private, loopback=self._loopback)
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            limit_per_host=0,
            resolver=resolver,
            ssl=self._context,
            ttl_dns_cache=_DNS_TTL,
            keepalive_timeout=_KEEPALIVE,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS,
            # Projects share this client: what a server sets for one must not travel with the next.
            cookie_jar=aiohttp.DummyCookieJar(),
            # Proxies and .netrc of the environment would see the customers' keys, and would resolve names behind the
            # guard's back.
            trust_env=False,
            # A chunk could become gigabytes before it can be counted.
            auto_decompress=False,
        )


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    """By lower-case names; what comes several times is joined by commas."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return headers


async def _content(response: aiohttp.ClientResponse, encoding: str, most: int) -> bytes:
    if encoding != "identity" and encoding not in _ENCODINGS:
        raise Unreadable("is in an encoding that was not asked for")
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > most:
            raise Unreadable(f"is larger than {most} bytes")
    return bytes(content) if encoding == "identity" else _decompressed(bytes(content), encoding, most)


def _decompressed(content: bytes, encoding: str, most: int) -> bytes:
    """No more than `most` bytes are ever unpacked, whatever they were packed into."""
    if not content:
        return content
    bits = _ENCODINGS[encoding]
    if encoding == "deflate" and not _is_zlib(content):
        # What some servers call deflate has no header.
        bits = -zlib.MAX_WBITS
    unpacking = zlib.decompressobj(bits)
    try:
        unpacked = unpacking.decompress(content, most + 1)
    except zlib.error:
        raise Unreadable("cannot be decompressed") from None
    if len(unpacked) > most:
        raise Unreadable(f"is larger than {most} bytes")
    if not unpacking.eof:
        raise Unreadable("cannot be decompressed")
    return unpacked


def _is_zlib(content: bytes) -> bool:
    """Whether it begins as zlib's own format does (RFC 1950): method 8, and a header that 31 divides."""
    return content[0] & 0x0F == zlib.DEFLATED and int.from_bytes(content[:2]) % 31 == 0
