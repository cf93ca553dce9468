"""`byom economy`: what waits for a batch, what is under way, and how it is ended; on a real Valkey."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.unit.cli.conftest import Byom
from workers.economy.base import Batch, State
from workers.economy.keys import CLOSED, LINES, Line, batch_key, open_key, waiting_key
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.integration

LINE = Line("acme", "main")


@pytest.fixture
def client(valkey: EmbeddedValkey, home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    monkeypatch.setenv("BYOM_BROKER_URL", valkey.url)
    with redis.Redis.from_url(valkey.url) as client:
        client.flushdb()
        yield client


def put(client: redis.Redis, batch_id: str, *, line: Line = LINE, age: float = 60, **changes: Any) -> None:
    """A batch as keepers write it down."""
    fields = {
        "id": batch_id,
        "project": line.project,
        "connection": line.connection,
        "provider": "anthropic",
        "model": "claude-haiku-5-5",
        "prompt_version": "1",
        "jobs": 3,
        "items": 5,
        "created_at": client.time()[0] - age,
        "state": "open",
        **changes,
    }
    batch = Batch.model_validate(fields)
    client.sadd(LINES, str(line))
    client.hset(batch_key(batch_id), mapping={"batch": batch.model_dump_json(), "revision": 1})
    if batch.state is State.CLOSED:
        client.zadd(CLOSED, {batch_id: client.time()[0]})
    else:
        client.sadd(open_key(line), batch_id)


def documents(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_without_any_it_says_how_to_make_some(byom: Byom, client: redis.Redis) -> None:
    result = byom("economy", "list")

    assert result.exit_code == 0
    assert "byom enqueue --economy" in result.stdout
    assert documents(byom("economy", "list", "--json")) == {"waiting": [], "batches": []}


def test_the_list_has_what_waits_and_what_is_under_way(byom: Byom, client: redis.Redis) -> None:
    put(client, "aaaa1111", trouble="the vendor is down")
    put(client, "bbbb2222", line=Line("bell", "main"))
    put(client, "cccc3333", state="closed", outcome={"succeeded": 5}, ended_at=client.time()[0] - 30)
    client.zadd(waiting_key(LINE), {"j1": client.time()[0] - 12, "j2": client.time()[0]})

    listed = documents(byom("economy", "list", "--json"))
    (waiting,) = listed["waiting"]
    assert (waiting["project"], waiting["connection"], waiting["jobs"]) == ("acme", "main", 2)
    assert waiting["oldest_age"] == pytest.approx(12, abs=5)
    assert {batch["id"] for batch in listed["batches"]} == {"aaaa1111", "bbbb2222"}
    mine = documents(byom("economy", "list", "--project", "acme", "--all", "--json"))["batches"]
    assert {batch["id"] for batch in mine} == {"aaaa1111", "cccc3333"}
    shown = byom("economy", "list", "--all").stdout
    for text in ("aaaa1111", "bell", "claude-haiku-5-5", "succeeded:5", "trouble"):
        assert text in shown


def test_one_batch_is_found_by_how_its_id_begins(byom: Byom, client: redis.Redis) -> None:
    put(client, "aaaa1111", vendor_id="msgbatch_1", reserved=2_000_000)
    put(client, "aabb2222")

    shown = documents(byom("economy", "show", "aaa", "--json"))
    assert (shown["id"], shown["vendor_id"], shown["reserved"], shown["cancel"]) == (
        "aaaa1111",
        "msgbatch_1",
        2_000_000,
        False,
    )
    text = byom("economy", "show", "aaaa1111").stdout
    assert "msgbatch_1" in text
    assert "0.000002 USD" in text


@pytest.mark.parametrize("name", ["x", "aa"])
def test_an_id_that_fits_none_or_several_is_refused(byom: Byom, client: redis.Redis, name: str) -> None:
    put(client, "aaaa1111")
    put(client, "aabb2222")

    for command in ("show", "cancel"):
        result = byom("economy", command, name)
        assert result.exit_code == 2
        assert "byom economy list --all" in result.stderr


def test_ending_a_batch_is_asked_for_once_or_more(byom: Byom, client: redis.Redis) -> None:
    put(client, "aaaa1111")

    for _ in range(2):
        assert documents(byom("economy", "cancel", "aaaa", "--json")) == {"batch": "aaaa1111", "cancel": True}

    assert client.hget(batch_key("aaaa1111"), "cancel") == b"1"
    assert "to be ended" in byom("economy", "show", "aaaa").stdout


def test_one_that_is_over_stays_as_it_is(byom: Byom, client: redis.Redis) -> None:
    put(client, "aaaa1111", state="closed", ended_at=1.0)

    result = byom("economy", "cancel", "aaaa")

    assert result.exit_code == 0
    assert "over already" in result.stdout
    assert client.hget(batch_key("aaaa1111"), "cancel") is None
