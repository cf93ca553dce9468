"""One HTTP request to a receiver: what is sent, and whether it counts as delivered."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import aiohttp

from config.settings import Settings
from workers.providers.base import FaultKind, WireRequest
from workers.providers.client import Client, HttpClient
from workers.providers.endpoints import address_problem
from workers.providers.transport import fault_of

_NAME = "the receiver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What came of one request."""

    #: None when no answer came.
    status: int | None = None
    #: Why it does not count as delivered; None when it does. Never quotes an answer or the path of an address.
    problem: str | None = None
    #: Whether another try can only come to the same.
    final: bool = False

    @property
    def gone(self) -> bool:
        """Whether the receiver says that nothing is to be sent to it any more."""
        return self.status == HTTPStatus.GONE


class Posting(Protocol):
    """Posts messages; `Poster` does."""

    async def post(self, url: str, *, body: str, headers: Mapping[str, str]) -> Posted:
        """Make one request. What goes wrong is told, never raised."""

    async def aclose(self) -> None:
        """Close all connections."""


class Poster:
    """Posts messages. One per process; closed at the end with `aclose`."""

    def __init__(self, client: Client, *, seconds: float, allow_private: bool) -> None:
        """`seconds` is how long a receiver may take for its answer."""
        self._client = client
        self._seconds = seconds
        self._allow_private = allow_private

    async def post(self, url: str, *, body: str, headers: Mapping[str, str]) -> Posted:
        """Make one request. What goes wrong is told, never raised."""
        if problem := webhook_address_problem(url, allow_private=self._allow_private):
            return Posted(problem=f"nothing was sent: {problem}", final=True)
        request = WireRequest(
            method="POST", url=url, headers={**headers, "content-type": "application/json"}, content=body.encode()
        )
        try:
            async with asyncio.timeout(self._seconds):
                status = await self._client.status(request)
        except TimeoutError:
            return Posted(problem=f"no answer within {self._seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            fault = fault_of(error, _NAME)
            return Posted(problem=fault.message, final=fault.kind is FaultKind.ENDPOINT_INVALID)
        return Posted(status=status, problem=_problem(status))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def build_poster(settings: Settings) -> Poster:
    """The poster of a process. Nothing is opened before the first request."""
    return Poster(
        HttpClient(settings, connections=settings.webhook_concurrency, loopback=False),
        seconds=settings.webhook_timeout,
        allow_private=settings.allow_private_endpoints,
    )


def webhook_address_problem(url: str, *, allow_private: bool) -> str | None:
    """Why nothing may be posted to an address, with the mend; None if it may.

    Unlike a model's, a receiver's address may not even be on this machine unless private addresses are allowed.
    """
    return address_problem(url, allow_private=allow_private, loopback=False, carries="what the event holds")


def _problem(status: int) -> str | None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"answered {status}; redirects are not followed: give the address that it leads to"
    return f"answered {status}"
