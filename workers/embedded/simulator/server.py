"""The simulator as a server on an asyncio loop."""

import asyncio
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.batches import Result
from workers.embedded.simulator.books import BooksReport, Entry
from workers.embedded.simulator.control import ENTRIES, ROOT, Control, base_urls
from workers.embedded.simulator.core import Broken, Core, Options
from workers.embedded.simulator.exchange import Incoming, Outgoing, Reason, Rejection
from workers.embedded.simulator.faults import FaultRule, Injection
from workers.embedded.simulator.wire import MOUNTS, Mount, Route

#: Bytes of the largest request body: about a million tokens, and room for JSON's escapes.
LARGEST_BODY = 64 * 1024 * 1024
#: Connections that may wait to be accepted; a worker opens hundreds at once.
BACKLOG = 4_096
#: Seconds that closing waits for requests under way, hanging ones included.
GRACE = 0.2
#: Makes `close` send a reset instead of an orderly end.
_LINGER_NOT = struct.pack("ii", 1, 0)


class Router:
    """Method and path → wire format and route."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._mounts = mounts
        self._exact: dict[tuple[str, str], tuple[Mount, Route]] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Mount, Route]] = []
        for mount in mounts:
            for route in mount.wire.routes:
                path = mount.prefix + route.path
                if "{" in path:
                    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(path))
                    self._patterns.append((route.method, re.compile(pattern), mount, route))
                else:
                    self._exact[route.method, path] = (mount, route)

    def find(self, method: str, path: str) -> tuple[Mount, Route, dict[str, str]] | None:
        """The route of a request and what its path holds."""
        found = self._exact.get((method, path))
        if found is not None:
            return *found, {}
        for wanted, pattern, mount, route in self._patterns:
            if wanted == method and (match := pattern.fullmatch(path)):
                return mount, route, match.groupdict()
        return None

    def owner(self, path: str) -> Mount | None:
        """The vendor below whose prefix a path lies."""
        return next((mount for mount in self._mounts if path.startswith(f"{mount.prefix}/")), None)


class Simulator:
    """One server that speaks all vendors' wire formats; an async context manager on the running loop.

    Args:
        options: accounts, latency and seed.
        host: address to bind; control endpoints answer loopback callers only, whatever it is.
        port: 0 takes any free one.
        mounts: wire formats and their prefixes.
        clock: Unix time in seconds; meters, books and prompt cache follow it.
        sleep: waits out latencies and slow faults.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        mounts: Sequence[Mount] = MOUNTS,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.core = Core(options or Options(), clock=clock, sleep=sleep)
        self._host = host
        self._port = port
        self._mounts = mounts
        self._router = Router(mounts)
        self._control = Control(self.core, mounts)
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        server = web.Server(self._handle, handler_cancellation=True, request_factory=_make_request, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=GRACE)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Where the server listens, such as `http://127.0.0.1:40001`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def base_urls(self) -> dict[str, str]:
        """What to configure as a connection's base URL, by vendor."""
        return base_urls(self._mounts, self.url)

    def books(self, *, entries: int = ENTRIES) -> BooksReport:
        """What was served so far."""
        return self.core.report(entries=entries)

    def reset(self) -> None:
        """New books, full buckets, an empty prompt cache; accounts and faults stay."""
        self.core.reset()

    def add_fault(self, rule: FaultRule) -> int:
        """Put a rule in force; its id."""
        return self.core.faults.add(rule)

    def clear_faults(self, number: int | None = None) -> None:
        """Take one rule out of force, or all."""
        self.core.faults.clear(number)

    def put_account(self, account: Account) -> None:
        """Open an account, or replace the one that has this key: new limits, an expired or revoked key."""
        self.core.accounts.put(account)

    def set_batch_seconds(self, seconds: float) -> None:
        """From now on batches take this long, those that are under way too."""
        self.core.batches.seconds = seconds

    def end_batches(self, *, done: int | None = None, rest: str = "expired") -> int:
        """End all batches that are under way; how many. The first `done` of each are answered, the others `rest`."""
        return self.core.batches.end(done=done, rest=Result(rest))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming = Incoming(
            method=request.method,
            path=request.path,
            raw_path=request.rel_url.raw_path,
            query=request.rel_url.raw_query_string,
            headers=request.headers,
            body=await request.read(),
        )
        if incoming.path.startswith(ROOT):
            return _response(self._control.serve(incoming, request.remote))
        found = self._router.find(incoming.method, incoming.path)
        if found is None:
            return _response(self._lost(incoming))
        mount, route, params = found
        if params:
            incoming = replace(incoming, params=params)
        try:
            outgoing, entry = await self.core.serve(mount, route, incoming)
        except Broken as broken:
            return _break(request, broken.kind)
        return await self._deliver(request, outgoing, entry)

    async def _deliver(self, request: web.BaseRequest, outgoing: Outgoing, entry: Entry) -> web.StreamResponse:
        """Send the response here rather than by returning it, to know that it went out."""
        if entry.fault == Injection.TORN:
            return await _tear(request, outgoing)
        response = _response(outgoing)
        await response.prepare(request)
        await response.write_eof()
        self.core.books.deliver(entry)
        return response

    def _lost(self, incoming: Incoming) -> Outgoing:
        """The answer to a path that no wire format has."""
        mount = self._router.owner(incoming.path)
        if mount is not None:
            inner = Incoming(method=incoming.method, path=incoming.path.removeprefix(mount.prefix))
            return mount.wire.reject(Rejection(Reason.PATH_NOT_FOUND), inner)
        body = f"This is a simulator of LLM providers. Base URLs: {', '.join(self.base_urls.values())}\n"
        return Outgoing(status=HTTPStatus.NOT_FOUND, body=body.encode(), content_type="text/plain")


def _make_request(
    message: RawRequestMessage, payload: StreamReader, protocol: Any, writer: Any, task: "asyncio.Task[None]"
) -> web.BaseRequest:
    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=LARGEST_BODY
    )


def _response(outgoing: Outgoing) -> web.Response:
    return web.Response(
        status=outgoing.status, body=outgoing.body, headers=outgoing.headers, content_type=outgoing.content_type
    )


async def _tear(request: web.BaseRequest, outgoing: Outgoing) -> web.StreamResponse:
    """Send half of a response and end the connection."""
    response = web.StreamResponse(status=outgoing.status, headers=outgoing.headers)
    response.content_type, response.content_length = outgoing.content_type, len(outgoing.body)
    await response.prepare(request)
    await response.write(outgoing.body[: len(outgoing.body) // 2])
    return _break(request, Injection.TORN)


def _break(request: web.BaseRequest, kind: Injection) -> web.StreamResponse:
    """End the connection without a response."""
    transport = request.transport
    if transport is not None:
        peer: socket.socket | None = transport.get_extra_info("socket")
        if kind is Injection.RESET and peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    return web.Response()
