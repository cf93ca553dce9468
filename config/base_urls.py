"""What a connection's address says that its provider and settings contradict. Pure.

Whether an address may be called at all is judged elsewhere; here it is about addresses that were meant for another
vendor, another region, or for one call instead of all.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from tasks.contract import ProviderKind

#: Vendors' public hosts → the provider that calls them.
_HOSTS: tuple[tuple[re.Pattern[str], ProviderKind], ...] = (
    (re.compile(r"(?:[a-z0-9-]+\.)?api\.openai\.com"), ProviderKind.OPENAI),
    (
        re.compile(r"[a-z0-9-]+\.(?:openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)"),
        ProviderKind.AZURE_OPENAI,
    ),
    (re.compile(r"generativelanguage\.googleapis\.com"), ProviderKind.GEMINI),
    (re.compile(r"(?:[a-z0-9-]+-)?aiplatform(?:\.[a-z]+\.rep)?\.googleapis\.com"), ProviderKind.VERTEX),
    (re.compile(r"api\.anthropic\.com"), ProviderKind.ANTHROPIC),
    (re.compile(r"bedrock(?:-[a-z]+)*\.[a-z0-9-]+\.amazonaws\.com"), ProviderKind.BEDROCK),
)
#: Vendor's own host → the base URL that is to be given there, which mostly is the default anyway.
_OWN: dict[ProviderKind, str] = {
    ProviderKind.GEMINI: "https://generativelanguage.googleapis.com",
    ProviderKind.ANTHROPIC: "https://api.anthropic.com",
}
#: What ends the address of one call, in the vendors' own samples.
_CALL = re.compile(
    r"/(?:v\d[a-z0-9]*/)?(?:chat/completions|completions|responses|messages|embeddings|models/[^/]+:\w+|model/[^/]+/[a-z-]+)/?$"
)
_VERSION = re.compile(r"/v\d[a-z0-9]*$")
_BEDROCK = re.compile(r"bedrock(?P<plane>(?:-[a-z]+)*)\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_VERTEX = re.compile(r"(?P<location>[a-z0-9-]+)-aiplatform\.googleapis\.com")


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
    return next(_problems(url, host, parts.path, provider, region=region, location=location), None)


def _problems(
    url: str, host: str, path: str, provider: ProviderKind, *, region: str | None, location: str | None
) -> Iterator[str]:
    if provider is ProviderKind.AZURE_OPENAI:
        return  # `config.azure` knows more about these.
    owner = next((kind for pattern, kind in _HOSTS if pattern.fullmatch(host)), None)
    # A vendor's own answer to OpenAI's format is called as a compatible server.
    if owner is not None and provider not in {owner, ProviderKind.OPENAI_COMPATIBLE}:
        yield (
            f"base_url is {owner.value}'s, where the credential of {provider.value} would be sent; leave base_url "
            f"out, or set provider to {owner.value}"
        )
    if call := _CALL.search(path):
        yield f"base_url is the address of one call; paste {_base(url, call[0], provider)} instead"
    if owner is provider and (own := _OWN.get(provider)) and path.rstrip("/"):
        yield f"base_url must end before the version; leave it out, or paste {own} instead"
    if provider is ProviderKind.BEDROCK and (problem := _bedrock_problem(host, region or "us-east-1")):
        yield problem
    if provider is ProviderKind.VERTEX and (problem := _vertex_problem(host, location or "us-central1")):
        yield problem


def _base(url: str, call: str, provider: ProviderKind) -> str:
    """The address without what is added for a call; the version stays where the provider's base URL has it."""
    version = re.match(r"/v\d[a-z0-9]*(?=/)", call)
    keeps = provider in {ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE}
    base = url.rstrip("/").removesuffix(call.rstrip("/")) + (version[0] if version and keeps else "")
    return base if keeps else _VERSION.sub("", base)


def _bedrock_problem(host: str, region: str) -> str | None:
    match = _BEDROCK.fullmatch(host)
    if match is None:
        return None
    if match["plane"] not in {"-runtime", "-runtime-fips"}:
        right = f"https://bedrock-runtime.{match['region']}.amazonaws.com"
        return f"base_url is Bedrock's address for administration; leave it out, or paste {right} instead"
    if match["region"] != region:
        return (
            f"base_url is in {match['region']}, and the connection's region is {region}; leave base_url out and set "
            f"region to {match['region']}"
        )
    return None


def _vertex_problem(host: str, location: str) -> str | None:
    match = _VERTEX.fullmatch(host)
    if match and match["location"] != location:
        return (
            f"base_url is in {match['location']}, and the connection's location is {location}; leave base_url out and "
            f"set location to {match['location']}"
        )
    return None
