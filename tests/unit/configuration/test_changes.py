"""Notices of changes, on a real Valkey: they come at once, and whatever may have been missed counts as a change."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from workers.configuration.changes import _KEPT, CHANGES_KEY, Announcer, Change, Follower
from workers.embedded.valkey import EmbeddedValkey

ACME = Change(scope="/byom/projects/acme")
CORP = Change(scope="/byom/accounts/corp", trust=True)


@dataclass
class Heard:
    """What a follower passed on; `None` for not knowing what changed."""

    news: list[Change | None] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, change: Change | None = None) -> None:
        self.news.append(change)
        self.more.set()

    async def wait(self, condition: Callable[[list[Change | None]], bool]) -> None:
        """Until it is so."""
        async with asyncio.timeout(20):
            while not condition(self.news):
                self.more.clear()
                await self.more.wait()


async def following(url: str, heard: Heard) -> AsyncIterator[Heard]:
    follower = Follower.at(url, changed=heard.hear, unknown=heard.hear)
    task = asyncio.create_task(follower.follow_forever())
    await heard.wait(lambda news: news == [None])
    yield heard
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
async def heard(valkey: EmbeddedValkey) -> AsyncIterator[Heard]:
    async for one in following(valkey.url, Heard()):
        yield one


@pytest.fixture
def announcer(valkey_client: redis.Redis) -> Announcer:
    return Announcer(valkey_client)


async def test_notices_come_in_their_order(heard: Heard, announcer: Announcer) -> None:
    assert [announcer.announce(change) for change in (ACME, CORP, ACME)] == [True] * 3

    await heard.wait(lambda news: news == [None, ACME, CORP, ACME])


async def test_at_the_start_everything_counts_as_changed_and_old_notices_are_not_repeated(
    valkey: EmbeddedValkey, announcer: Announcer
) -> None:
    announcer.announce(ACME)

    async for heard in following(valkey.url, Heard()):
        announcer.announce(CORP)
        await heard.wait(lambda news: news == [None, CORP])


async def test_what_is_not_understood_counts_as_anything(heard: Heard, valkey_client: redis.Redis) -> None:
    fields: list[dict[Any, Any]] = [{"scope": "nonsense"}, {"later": "1"}, {"scope": "/byom/../x"}]
    for one in fields:
        valkey_client.xadd(CHANGES_KEY, one)

    await heard.wait(lambda news: news == [None] * 4)


async def test_more_notices_than_are_kept_count_as_anything(heard: Heard, valkey_client: redis.Redis) -> None:
    with valkey_client.pipeline(transaction=True) as pipeline:
        for _ in range(_KEPT + 1):
            pipeline.xadd(CHANGES_KEY, {"scope": ACME.scope})
        pipeline.execute()
    Announcer(valkey_client).announce(CORP)

    await heard.wait(lambda news: news == [None, None, CORP])


def test_the_stream_is_capped(announcer: Announcer, valkey_client: redis.Redis) -> None:
    for _ in range(3 * _KEPT):
        announcer.announce(ACME)

    assert _KEPT <= valkey_client.xlen(CHANGES_KEY) < 2 * _KEPT


async def test_a_stream_that_is_gone_is_noticed_although_the_connection_stands(
    heard: Heard, valkey_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.configuration.changes._BLOCK", 20)
    # The numbers of this server are far ahead, as those of a clock that went wrong.
    valkey_client.xadd(CHANGES_KEY, {"scope": ACME.scope}, id="99999999999999-0")
    await heard.wait(lambda news: news == [None, ACME])
    # The read that is under way still waits for long; this ends it.
    valkey_client.xadd(CHANGES_KEY, {"scope": ACME.scope}, id="99999999999999-1")
    await heard.wait(lambda news: news == [None, ACME, ACME])

    valkey_client.delete(CHANGES_KEY)
    await heard.wait(lambda news: news == [None, ACME, ACME, None])
    Announcer(valkey_client).announce(CORP)

    await heard.wait(lambda news: news == [None, ACME, ACME, None, CORP])


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


async def test_a_restart_of_redis_counts_as_a_change_of_everything_and_notices_come_again(
    own_valkey: EmbeddedValkey,
) -> None:
    async for heard in following(own_valkey.url, Heard()):
        with redis.Redis.from_url(own_valkey.url) as client:
            Announcer(client).announce(ACME)
        await heard.wait(lambda news: news == [None, ACME])

        await asyncio.to_thread(own_valkey.kill)
        await asyncio.to_thread(own_valkey.start)

        await heard.wait(lambda news: news[2:] == [None])
        with redis.Redis.from_url(own_valkey.url) as client:
            Announcer(client).announce(CORP)
        await heard.wait(lambda news: news[2:] == [None, CORP])


async def test_a_follower_starts_before_its_redis_does(own_valkey: EmbeddedValkey) -> None:
    own_valkey.stop()
    heard = Heard()
    follower = Follower.at(own_valkey.url, changed=heard.hear, unknown=heard.hear)
    task = asyncio.create_task(follower.follow_forever())
    await asyncio.sleep(0)
    assert heard.news == []

    await asyncio.to_thread(own_valkey.start)

    await heard.wait(lambda news: news == [None])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_fault_of_what_hears_it_ends_no_following(valkey: EmbeddedValkey, announcer: Announcer) -> None:
    heard = Heard()

    def fail_once(change: Change) -> None:
        heard.hear(change)
        if len(heard.news) == 2:
            raise ZeroDivisionError

    follower = Follower.at(valkey.url, changed=fail_once, unknown=heard.hear)
    task = asyncio.create_task(follower.follow_forever())
    await heard.wait(lambda news: news == [None])
    announcer.announce(ACME)
    await heard.wait(lambda news: news == [None, ACME, None])
    announcer.announce(CORP)

    await heard.wait(lambda news: news == [None, ACME, None, CORP])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_who_cannot_reach_redis_is_told(own_valkey: EmbeddedValkey) -> None:
    own_valkey.stop()

    with redis.Redis.from_url(own_valkey.url, socket_connect_timeout=1) as client:
        assert not Announcer(client).announce(ACME)
