"""Which addresses may be called: a customer's base URL must not reach into the operator's own network.

Three gates, since each alone has a hole: `check_base_url` when a connection is saved, `address_problem` on each
request, and `GuardedResolver` on what a name resolves to at the moment of connecting (a name may point elsewhere by
then).
"""

import ipaddress
import re
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from config.errors import InvalidConnection

_URL = re.compile(
    r"https?://"
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)"
    r"(?::\d{1,5})?"
    r"(?:/[A-Za-z0-9._~%:-]*)*"
)

#: Names that never belong to a public host (RFC 6762, RFC 8375, ICANN's `.internal`), and Kubernetes' own.
_PRIVATE_SUFFIXES = (".local", ".internal", ".home.arpa", ".svc")

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_ALLOW = "an operator can allow such addresses with BYOM_ALLOW_PRIVATE_ENDPOINTS=true"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class EndpointRefused(OSError):
    """A name resolves to an address that may not be called; an `OSError`, as resolvers raise."""


def check_base_url(url: str, *, allow_private: bool) -> str:
    """The base URL without a trailing slash.

    Args:
        url: as the user gave it.
        allow_private: whether private and link-local addresses may be called.

    Raises:
        InvalidConnection: it is not a URL that may be called; says what to give instead.
    """
    if problem := _form_problem(url):
        raise InvalidConnection(f"base_url {problem}; give the base URL alone, such as https://api.example.com/v1")
    if problem := address_problem(url, allow_private=allow_private):
        raise InvalidConnection(f"base_url: {problem}")
    return url.rstrip("/")


@lru_cache(maxsize=1_024)  # connections are few, and each is asked about before every call
def address_problem(url: str, *, allow_private: bool, loopback: bool = True, carries: str = "the key") -> str | None:
    """Why the scheme and host of a URL may not be called, with the mend; None if they may.

    Names are judged by what they resolve to, which is `GuardedResolver`'s part.

    Args:
        url: what is to be called.
        allow_private: whether private and link-local addresses may be called.
        loopback: whether this machine may be called all the same, as a model that runs on it.
        carries: what the request holds that others must not read.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    address = _literal(host)
    if address is None and _ends_in_number(host):
        return f"'{host}' is neither a host name nor a plain IP address; write the address as four decimal numbers"
    if address is not None:
        allowed = allow_private or (loopback and address.is_loopback)
        if problem := _ip_problem(address, allow_private=allowed):
            return problem
    if not loopback and _is_localhost(host) and not allow_private:
        return f"'{host}' is this machine; {_ALLOW}"
    if parts.scheme != "https" and not _plain_http(host, address, allow_private=allow_private):
        return f"http would send {carries} in the clear to '{host}'; use https"
    return None


class GuardedResolver(AbstractResolver):
    """Resolves names and refuses those that point at addresses that may not be called.

    Raises:
        EndpointRefused: at least one address of the name may not be called.
    """

    def __init__(self, resolver: AbstractResolver, *, allow_private: bool, loopback: bool = True) -> None:
        """`loopback` says whether `localhost` may be called where private addresses may not."""
        self._resolver = resolver
        self._allow_private = allow_private
        self._loopback = loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of a host name."""
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            address = _literal(result["host"])
            if address is None:
                raise EndpointRefused(f"'{host}' resolves to something that is not an IP address")
            local = self._loopback and _is_localhost(host) and address.is_loopback
            allowed = self._allow_private or local
            if problem := _ip_problem(address, allow_private=allowed):
                raise EndpointRefused(f"'{host}' resolves to a refused address: {problem}")
        return found

    async def close(self) -> None:
        """Close the resolver that does the work."""
        await self._resolver.close()


def _form_problem(url: str) -> str | None:
    if not url.isascii() or any(ord(character) <= ord(" ") for character in url):
        return "holds spaces or characters outside ASCII"
    if "@" in url:
        return "must not hold a user name or password (credentials are kept apart)"
    if "?" in url or "#" in url:
        return "must end before '?' and '#'"
    return None if _URL.fullmatch(url) else "is not an https URL"


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return None


def _ends_in_number(host: str) -> bool:
    """Whether resolvers read a name as an address in an odd spelling, such as `2130706433`, `127.1` or `0x7f.1`."""
    return re.fullmatch(r"\d+|0[xX][0-9A-Fa-f]*", host.rsplit(".", 1)[-1]) is not None


def _ip_problem(address: _Address, *, allow_private: bool) -> str | None:
    for candidate in (address, _embedded(address)):
        if candidate is None:
            continue
        if candidate.is_multicast or candidate.is_unspecified:
            return f"{candidate} is no address of a server"
        if not candidate.is_global and not allow_private:
            return f"{candidate} is a private, loopback or link-local address; {_ALLOW}"
    return None


def _embedded(address: _Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if any: through it, private hosts would be reached."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _plain_http(host: str, address: _Address | None, *, allow_private: bool) -> bool:
    """Whether http is good enough: on this machine always, in a private network where those are allowed."""
    if address is not None:
        return address.is_loopback or (allow_private and not address.is_global)
    private_name = "." not in host or host.endswith(_PRIVATE_SUFFIXES) or ".svc." in host
    return _is_localhost(host) or (allow_private and private_name)
