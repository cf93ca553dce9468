"""Check of Flower: whoever reaches it can read what jobs are about and steer the workers."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from .base import Check, fail, ok, warn

_OPEN_API = "FLOWER_UNAUTHENTICATED_API"


def check_flower(client: httpx.Client, url: str, *, environ: Mapping[str, str] = os.environ) -> Check:
    """Whether Flower asks for a login where others can reach it."""
    name, mend = "flower", "start it with --basic-auth or OAuth (FLOWER_BASIC_AUTH), behind TLS"
    try:
        response = client.get(url)
    except httpx.TransportError:
        return ok(name, f"nothing listens at {url}; say where Flower is with --flower-url")
    local = _is_loopback(urlsplit(url).hostname or "")
    if environ.get(_OPEN_API, "").lower() in {"1", "true", "yes"}:
        check = warn if local else fail
        return check(name, f"{_OPEN_API} is set: its API takes commands without a login", f"unset {_OPEN_API}")
    if response.status_code in {401, 403} or response.is_redirect:
        return ok(name, f"{url} asks for a login")
    if local:
        return ok(name, f"{url} is open, to this machine only as far as can be seen from here")
    return fail(name, f"{url} is open to everybody who can reach it", mend)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
