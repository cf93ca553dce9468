"""What a connection's address says that its provider and settings contradict. Pure.

Whether an address may be called at all is judged elsewhere; here it is about addresses that were meant for another
vendor, another region, or for one call instead of all.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from config.kinds import KINDS, Kind, kind_of
from tasks.contract import ProviderKind

#: What ends the address of one call, in the vendors' own samples.
_CALL = re.compile(
    r"/(?:v\d[a-z0-9]*/)?(?:chat/completions|completions|responses|messages|embeddings|models/[^/]+:\w+|model/[^/]+/[a-z-]+)/?$"
)
_VERSION = re.compile(r"/v\d[a-z0-9]*$")


def base_url_problem(
    url: str, *, provider: ProviderKind, region: str | None = None, location: str | None = None
) -> str | None:
    """Why an address does not fit its provider, with the mend; None when nothing speaks against it.

    Args:
        url: the connection's `base_url`.
        provider: its provider.
        region: its region, for `bedrock`; None stands for the default.
        location: its location, for `vertex`; None stands for the default.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return "base_url is not a URL; give the base URL alone, such as https://api.example.com/v1"
    places = {"region": region, "location": location}
    return next(_problems(url, host, parts.path, kind_of(provider), places=places), None)


def _problems(url: str, host: str, path: str, kind: Kind, *, places: Mapping[str, str | None]) -> Iterator[str]:
    if kind.endpoint is not None:
        return  # It knows more about these.
    owner = next((other for other in KINDS.values() if other.hosts and other.hosts.fullmatch(host)), None)
    if owner is not None and owner is not kind and not kind.any_host:
        yield (
            f"base_url is {owner.provider.value}'s, where the credential of {kind.provider.value} would be sent; leave "
            f"base_url out, or set provider to {owner.provider.value}"
        )
    if call := _CALL.search(path):
        yield f"base_url is the address of one call; paste {_base(url, call[0], kind)} instead"
    if owner is kind and kind.public_url and not kind.versioned_url and path.rstrip("/"):
        yield f"base_url must end before the version; leave it out, or paste {kind.public_url} instead"
    if kind.place and (problem := kind.place.host_problem(host, places.get(kind.place.setting) or kind.place.default)):
        yield problem


def _base(url: str, call: str, kind: Kind) -> str:
    """The address without what is added for a call; the version stays where the provider's base URL has it."""
    version = re.match(r"/v\d[a-z0-9]*(?=/)", call)
    keeps = kind.versioned_url
    base = url.rstrip("/").removesuffix(call.rstrip("/")) + (version[0] if version and keeps else "")
    return base if keeps else _VERSION.sub("", base)
