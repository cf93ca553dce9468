import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from config.errors import InvalidConnection
from workers.providers.endpoints import EndpointRefused, GuardedResolver, address_problem, check_base_url


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://eu.api.openai.com/v1/", "https://eu.api.openai.com/v1"),
        ("https://gateway.example.com:8443/openai/v1", "https://gateway.example.com:8443/openai/v1"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1"),
        ("https://[2606:4700::1111]/v1", "https://[2606:4700::1111]/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_these_may_be_called(url: str, kept: str) -> None:
    assert check_base_url(url, allow_private=False) == kept


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://api.openai.com/v1", "use https"),
        ("ftp://api.openai.com/v1", "not an https URL"),
        ("api.openai.com/v1", "not an https URL"),
        ("", "not an https URL"),
        ("https://", "not an https URL"),
        ("https://user:secret@api.openai.com/v1", "user name or password"),
        ("https://api.openai.com@evil.example/v1", "user name or password"),
        ("https://api.openai.com/v1?api-version=1", "before '?'"),
        ("https://api.openai.com/v1#x", "before '?'"),
        ("https://api.openai.com\\.evil.example/v1", "not an https URL"),
        ("https://api.openai.com/v1\nhost: x", "spaces"),
        ("https://api.open ai.com/v1", "spaces"),
        ("https://äpi.example/v1", "ASCII"),
        ("https://10.0.0.5/v1", "BYOM_ALLOW_PRIVATE_ENDPOINTS"),
        ("https://172.16.0.1/v1", "private"),
        ("https://192.168.1.1/v1", "private"),
        ("https://100.64.0.1/v1", "private"),
        ("https://169.254.169.254/latest", "link-local"),
        ("https://[fe80::1]/v1", "private"),
        ("https://[fd00::1]/v1", "private"),
        ("https://[::ffff:10.0.0.1]/v1", "private"),
        ("https://[::ffff:169.254.169.254]/v1", "private"),
        ("https://[64:ff9b::a00:1]/v1", "private"),
        ("https://[2002:a00:1::]/v1", "private"),
        ("https://0.0.0.0/v1", "no address of a server"),
        ("https://[::]/v1", "no address of a server"),
        ("https://224.0.0.1/v1", "no address of a server"),
        ("https://2130706433/v1", "four decimal numbers"),
        ("https://127.1/v1", "four decimal numbers"),
        ("https://0x7f.0.0.0x1/v1", "four decimal numbers"),
        ("https://0177.0.0.1/v1", "four decimal numbers"),
        ("https://10.0.0.5./v1", "not an https URL"),
        ("http://localhost.evil.example/v1", "use https"),
    ],
)
def test_these_are_refused_with_what_to_give_instead(url: str, says: str) -> None:
    with pytest.raises(InvalidConnection, match="base_url") as refused:
        check_base_url(url, allow_private=False)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.5/v1",
        "http://10.0.0.5:8000/v1",
        "http://vllm:8000/v1",
        "http://vllm.models.svc:8000/v1",
        "http://vllm.models.svc.cluster.local:8000/v1",
        "http://gateway.corp.internal/v1",
        "https://[fd00::1]/v1",
    ],
)
def test_an_operator_can_allow_private_endpoints(url: str) -> None:
    assert check_base_url(url, allow_private=True) == url
    assert address_problem(url, allow_private=True) is None


@pytest.mark.parametrize("url", ["http://api.openai.com/v1", "http://8.8.8.8/v1", "https://0.0.0.0/v1"])
def test_private_endpoints_allowed_is_not_everything_allowed(url: str) -> None:
    with pytest.raises(InvalidConnection):
        check_base_url(url, allow_private=True)


class _Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("host", "addresses"),
    [("api.example.com", ("93.184.216.34",)), ("localhost", ("127.0.0.1", "::1")), ("a.localhost", ("127.0.0.1",))],
)
async def test_names_of_public_hosts_and_of_this_machine_resolve(host: str, addresses: tuple[str, ...]) -> None:
    found = await GuardedResolver(_Names(*addresses), allow_private=False).resolve(host, 443)
    assert tuple(result["host"] for result in found) == addresses


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.1.2.3",),
        ("169.254.169.254",),
        ("fe80::1%eth0",),
        ("93.184.216.34", "10.1.2.3"),
        ("::ffff:10.1.2.3",),
        ("0.0.0.0",),
        ("not an address",),
    ],
)
async def test_a_name_that_points_into_the_private_network_is_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(EndpointRefused, match=r"rebound\.example"):
        await GuardedResolver(_Names(*addresses), allow_private=False).resolve("rebound.example", 443)


async def test_localhost_that_points_elsewhere_is_refused() -> None:
    with pytest.raises(EndpointRefused):
        await GuardedResolver(_Names("10.0.0.1"), allow_private=False).resolve("localhost", 80)


async def test_private_names_resolve_where_they_are_allowed() -> None:
    names = _Names("10.1.2.3", "127.0.0.1")
    resolver = GuardedResolver(names, allow_private=True)
    assert len(await resolver.resolve("vllm", 8000)) == 2
    await resolver.close()
    assert names.closed


async def test_where_this_machine_may_not_be_called_its_names_are_refused() -> None:
    names = _Names("127.0.0.1", "::1")
    for host in ("localhost", "a.localhost"):
        with pytest.raises(EndpointRefused):
            await GuardedResolver(names, allow_private=False, loopback=False).resolve(host, 443)
        assert await GuardedResolver(names, allow_private=True, loopback=False).resolve(host, 443)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://[::1]/x", "https://localhost/x", "http://a.localhost/x"]
)
def test_where_this_machine_may_not_be_called_its_addresses_are_refused(url: str) -> None:
    assert address_problem(url, allow_private=False, loopback=False) is not None
    assert address_problem(url, allow_private=True, loopback=False) is None
