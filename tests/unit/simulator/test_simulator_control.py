"""The control endpoints, as curl would use them."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from workers.embedded.simulator import Latency, Options, Simulator, fingerprint
from workers.embedded.simulator.control import Control, is_loopback
from workers.embedded.simulator.core import Core
from workers.embedded.simulator.exchange import Incoming
from workers.embedded.simulator.wire import MOUNTS

KEY = "sk-control-0123456789"
BODY = {"model": "gpt-6-luna", "input": "Ada lives in London.", "reasoning": {"effort": "none"}}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(Options(latency=Latency.fixed(0))) as running:
        yield running


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.url) as session:
        yield session


async def control(http: aiohttp.ClientSession, method: str, path: str, **request: Any) -> tuple[int, Any]:
    async with http.request(method, f"/_sim{path}", **request) as response:
        return response.status, await response.json()


async def ask(http: aiohttp.ClientSession) -> int:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with http.post("/openai/v1/responses", json=BODY, headers=headers) as response:
        return response.status


async def test_the_index_says_what_to_configure(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    status, index = await control(http, "GET", "")

    assert (status, index["simulator"]) == (200, True)
    assert index["base_urls"] == simulator.base_urls
    assert index["base_urls"]["openai"] == f"{simulator.url}/openai/v1"
    assert index["base_urls"]["compatible"] == f"{simulator.url}/compatible/v1"


async def test_books_hold_totals_entries_and_no_key(http: aiohttp.ClientSession) -> None:
    for _ in range(3):
        await ask(http)

    status, books = await control(http, "GET", "/books?entries=2")

    assert status == 200
    (total,) = books["totals"]
    assert (total["key"], total["model"]) == (fingerprint(KEY), "gpt-6-luna")
    assert (total["requests"], total["served"], total["delivered"]) == (3, 3, 3)
    assert total["statuses"] == {"200": 3}
    assert total["billed"] == total["received"]
    assert [entry["status"] for entry in books["entries"]] == [200, 200]
    assert books["meters"][0]["offered_tokens"]["excess"] == 0
    assert KEY not in str(books)
    assert "London" not in str(books)


async def test_books_start_anew(http: aiohttp.ClientSession) -> None:
    await ask(http)

    assert (await control(http, "DELETE", "/books"))[0] == 200
    assert (await control(http, "GET", "/books"))[1] == {"totals": [], "meters": [], "entries": []}


async def test_faults_are_added_listed_and_cleared(http: aiohttp.ClientSession) -> None:
    _, first = await control(http, "POST", "/faults", json={"kind": "status", "status": 503, "count": 5})
    _, second = await control(http, "POST", "/faults", json={"kind": "slow", "seconds": 2})

    assert await ask(http) == 503
    _, listed = await control(http, "GET", "/faults")
    assert [(rule["id"], rule["kind"], rule["struck"]) for rule in listed["faults"]] == [
        (first["id"], "status", 1),
        (second["id"], "slow", 0),
    ]
    assert (await control(http, "DELETE", f"/faults/{second['id']}"))[0] == 200
    assert (await control(http, "DELETE", f"/faults/{second['id']}"))[0] == 404
    assert await control(http, "DELETE", "/faults") == (200, {"cleared": True})
    assert await ask(http) == 200


async def test_a_rule_that_does_not_fit_is_refused_with_the_reason(http: aiohttp.ClientSession) -> None:
    status, answer = await control(http, "POST", "/faults", json={"kind": "status", "key": "sk-secret"})

    assert status == 400
    assert {tuple(detail["loc"]) for detail in answer["details"]} == {("key",)}
    assert "sk-secret" not in str(answer)


async def test_accounts_are_opened_and_never_show_their_key(http: aiohttp.ClientSession) -> None:
    status, opened = await control(http, "POST", "/accounts", json={"key": KEY, "rpm": 1, "state": "active"})
    statuses = [await ask(http), await ask(http)]
    _, listed = await control(http, "GET", "/accounts")

    assert (status, opened) == (200, {"key": fingerprint(KEY)})
    assert statuses == [200, 429]
    assert [(account["key"], account["rpm"]) for account in listed["accounts"]] == [(fingerprint(KEY), 1)]
    assert KEY not in str(listed)


async def test_latency_is_set(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    assert (await control(http, "PUT", "/latency", json={"low": 0, "high": 0.001}))[0] == 200
    assert simulator.core.latency == Latency(low=0, high=0.001)


async def test_pages_in_a_browser_have_no_access(http: aiohttp.ClientSession) -> None:
    status, _ = await control(http, "DELETE", "/books", headers={"Origin": "https://example.com"})

    assert status == 403


async def test_there_is_nothing_elsewhere(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    assert (await control(http, "GET", "/nothing"))[0] == 404
    async with http.get("/") as response:
        assert response.status == 404
        assert simulator.base_urls["openai"] in await response.text()


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.0.0.5", False),
        ("fe80::1%eth0", False),
        (None, False),
    ],
)
def test_control_answers_this_machine_only(peer: str | None, *, allowed: bool) -> None:
    answer = Control(Core(Options()), MOUNTS).serve(Incoming(method="GET", path="/_sim/books"), peer)

    assert is_loopback(peer) is allowed
    assert answer.status == (200 if allowed else 403)
