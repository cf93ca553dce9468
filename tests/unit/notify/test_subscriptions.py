"""The cached view of webhooks: cheap where nobody subscribes, and without secrets that are not in use."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from config.connections import project_path, save_project
from config.errors import StoreError
from config.store import MemoryStore, Parameter
from config.webhooks import save_webhook
from tests.notify import Bench, make_job, success
from tests.support import ManualClock
from workers.notify import Subscriptions

SCOPE = project_path("acme")


class Counting(MemoryStore):
    """Counts reads, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.away = False

    def get(self, path: str) -> Parameter | None:
        self._read()
        return super().get(path)

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        self._read()
        return super().list(prefix, secure=secure)

    def _read(self) -> None:
        self.reads += 1
        if self.away:
            raise StoreError("away")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> Counting:
    made = Counting()
    save_project(made, "acme")
    made.reads = 0
    return made


@pytest.fixture
def subscriptions(store: Counting, clock: ManualClock) -> Subscriptions:
    return Subscriptions(store, clock=clock, ttl=5)


async def takers(subscriptions: Subscriptions) -> list[str]:
    found = await subscriptions.takers(project="acme", account=None, kind="job.failed")
    return [webhook.name for webhook in found]


async def test_that_nobody_subscribes_is_read_once_in_a_while(
    subscriptions: Subscriptions, store: Counting, clock: ManualClock
) -> None:
    assert await asyncio.gather(*(takers(subscriptions) for _ in range(50))) == [[]] * 50
    once = store.reads
    assert once <= 3

    clock.seconds = 4.9
    await takers(subscriptions)
    assert store.reads == once
    clock.seconds = 5
    await takers(subscriptions)
    assert store.reads == 2 * once


async def test_a_change_is_seen_when_the_read_is_too_old_or_is_forgotten(
    subscriptions: Subscriptions, store: Counting, clock: ManualClock
) -> None:
    await takers(subscriptions)
    save_webhook(store, SCOPE, "a", url="https://h.example.com/a", kinds=("*",), now=clock.now())
    assert await takers(subscriptions) == []
    subscriptions.drop_everything()
    assert await takers(subscriptions) == ["a"]

    save_webhook(store, SCOPE, "b", url="https://h.example.com/b", kinds=("*",), now=clock.now())
    clock.seconds = 5
    assert await takers(subscriptions) == ["a", "b"]


@pytest.mark.parametrize(
    ("scope", "fresh"),
    [(SCOPE, True), ("/byom/accounts/any", True), ("/byom/projects/other", False), ("/byom/projects/acm", False)],
)
async def test_a_notice_drops_what_it_is_about(
    subscriptions: Subscriptions, store: Counting, clock: ManualClock, scope: str, *, fresh: bool
) -> None:
    await takers(subscriptions)
    await subscriptions.signed(SCOPE, "a")
    await subscriptions.signer("acme")
    save_webhook(store, SCOPE, "a", url="https://h.example.com/a", kinds=("*",), now=clock.now())
    save_webhook(store, SCOPE, "callback", url=None, kinds=(), now=clock.now())
    subscriptions.drop(scope)

    assert (await takers(subscriptions) == ["a"]) is fresh
    assert (await subscriptions.signed(SCOPE, "a") is not None) is fresh
    assert (await subscriptions.signer("acme") is not None) is fresh


async def test_a_read_that_a_change_overtakes_is_not_kept(
    subscriptions: Subscriptions, store: Counting, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    read = store.list

    def slow(prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        found = list(read(prefix, secure=secure))
        begun.set()
        assert go_on.wait(10)
        return iter(found)

    monkeypatch.setattr(store, "list", slow)
    reading = asyncio.create_task(takers(subscriptions))
    await asyncio.to_thread(begun.wait, 10)
    monkeypatch.setattr(store, "list", read)
    save_webhook(store, SCOPE, "a", url="https://h.example.com/a", kinds=("*",), now=clock.now())
    subscriptions.drop(SCOPE)
    assert await takers(subscriptions) == ["a"]
    go_on.set()
    await reading

    assert await takers(subscriptions) == ["a"]


async def test_what_was_read_serves_on_while_the_store_is_away_but_not_for_ever(
    subscriptions: Subscriptions, store: Counting, clock: ManualClock
) -> None:
    save_webhook(store, SCOPE, "a", url="https://h.example.com/a", kinds=("*",), now=clock.now())
    assert await takers(subscriptions) == ["a"]
    store.away = True
    clock.seconds = 300
    assert await takers(subscriptions) == ["a"]

    clock.seconds = 306
    with pytest.raises(StoreError):
        await takers(subscriptions)
    store.away = False
    assert await takers(subscriptions) == ["a"]


async def test_no_secret_stays_in_memory_that_is_not_in_use(
    subscriptions: Subscriptions, store: Counting, clock: ManualClock
) -> None:
    save_webhook(store, SCOPE, "a", url="https://h.example.com/a", now=clock.now())
    signed = await subscriptions.signed(SCOPE, "a")
    assert signed is not None
    assert len(signed.secrets) == 1

    clock.seconds = 306
    subscriptions.sweep()
    assert not subscriptions._cache


async def test_a_webhook_that_is_stored_damaged_does_not_keep_a_job_from_ending(bench: Bench) -> None:
    bench.store.put(f"{SCOPE}/webhooks/bad", SecretStr("{"), secure=False)

    await bench.events.job_ended(make_job(), "j", success())


async def test_where_nobody_subscribes_a_good_job_costs_redis_nothing(bench: Bench) -> None:
    await bench.events.job_ended(make_job(), "j", success())

    assert [key async for key in bench.client.scan_iter()] == []
