"""The pool of jobs that wait for a batch: one suite for both of its forms, and what its scripts do to the lanes."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pytest
import redis
import redis.asyncio

from tasks.contract import ProviderKind
from tests.integration.support.lanes import QUEUE, LaneBench
from tests.support import ManualClock
from workers.broker.parked import Collected
from workers.broker.unacked import KEYS, Place
from workers.economy.base import Batch, Item, Moved, Pool, State
from workers.economy.keys import CLOSED, STATE_KEPT, Line, batch_key
from workers.economy.memory import MemoryPool
from workers.economy.redis import RedisPool
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.integration

LINE, OTHER = Line("acme", "primary"), Line("bell", "primary")


class Subject(Protocol):
    """One of the two forms, with what surrounds it."""

    pool: Pool

    def collect(self, job_id: str, line: Line = LINE) -> None: ...

    def pass_time(self, seconds: float) -> None: ...

    def given_back(self) -> list[str]: ...

    def cancel(self, batch_id: str) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.memory = MemoryPool(clock=self.clock)
        self.pool: Pool = self.memory

    def collect(self, job_id: str, line: Line = LINE) -> None:
        self.memory.collect(line, job_id, {"headers": {"id": job_id}})

    def pass_time(self, seconds: float) -> None:
        self.clock.seconds += seconds

    def given_back(self) -> list[str]:
        return [given.job_id for given in self.memory.given_back]

    def cancel(self, batch_id: str) -> None:
        self.memory.cancel(batch_id)


class OnRedis:
    def __init__(self, lanes: LaneBench, client: "redis.asyncio.Redis") -> None:
        self.lanes = lanes
        self.pool: Pool = RedisPool(client, clock=lambda: str(lanes.now))
        self.count = 0

    def collect(self, job_id: str, line: Line = LINE) -> None:
        """A job is published, fetched and collected."""
        self.count += 1
        name = self.lanes.put(line.project, body=job_id)
        fetched = self.lanes.fetch()
        assert fetched is not None
        assert fetched.name == name
        assert self.move(fetched, job_id, line)

    def move(self, fetched: Any, job_id: str, line: Line = LINE) -> bool:
        place = Place.of(fetched.message, queue=QUEUE)
        collected = Collected(job_id=job_id, project=line.project, connection=line.connection)
        return self.lanes.unacked.collect(fetched.tag, collected, place, queue=QUEUE, now=str(self.lanes.now))

    def pass_time(self, seconds: float) -> None:
        self.lanes.now += seconds

    def given_back(self) -> list[str]:
        """Bodies of all that is in lanes, in the order in which it is fetched."""
        found = []
        while (fetched := self.lanes.fetch()) is not None:
            found.append(str(fetched.message["body"]))
        return found

    def cancel(self, batch_id: str) -> None:
        self.lanes.client.hset(batch_key(batch_id), "cancel", 1)


@pytest.fixture(scope="module")
def valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as running:
        yield running


@pytest.fixture
def lanes(valkey: EmbeddedValkey) -> Iterator[LaneBench]:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushdb()
        yield LaneBench(client)


@pytest.fixture
async def on_redis(lanes: LaneBench, valkey: EmbeddedValkey) -> Any:
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        yield OnRedis(lanes, client)


@pytest.fixture(params=["memory", "redis"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        return InMemory()
    found: Subject = request.getfixturevalue("on_redis")
    return found


def batch_of(batch_id: str = "b", *, line: Line = LINE, **changes: Any) -> Batch:
    fields = {
        "id": batch_id,
        "project": line.project,
        "connection": line.connection,
        "provider": ProviderKind.ANTHROPIC,
        "model": "m",
        "prompt_version": "1",
        "jobs": 1,
        "items": 1,
        "created_at": 1.0,
    }
    return Batch.model_validate(fields | changes)


def items_of(*jobs: str, batch_id: str = "b") -> list[Item]:
    return [Item(id=f"{batch_id}-{place}", job_id=job, units=(1, 2), attempt="1.1.1") for place, job in enumerate(jobs)]


async def ids(subject: Subject, line: Line = LINE) -> Sequence[str]:
    return [job.job_id for job in await subject.pool.waiting(line, most=10)]


async def test_jobs_wait_in_their_order_by_line(subject: Subject) -> None:
    subject.collect("j1")
    subject.pass_time(2)
    subject.collect("j2")
    subject.collect("k1", OTHER)

    assert await ids(subject) == ["j1", "j2"]
    assert await ids(subject, OTHER) == ["k1"]
    assert await subject.pool.lines() == [LINE, OTHER]
    number, since = await subject.pool.count(LINE)
    assert number == 2
    assert since == pytest.approx(await subject.pool.now() - 2)
    assert await subject.pool.count(Line("nobody", "x")) == (0, None)


async def test_a_batch_takes_its_jobs_out_of_those_that_wait(subject: Subject) -> None:
    for job in ("j1", "j2", "j3"):
        subject.collect(job)
    items = items_of("j1", "j1", "j3")

    held = await subject.pool.begin(batch_of(), items)

    assert held is not None
    assert await ids(subject) == ["j2"]
    assert await subject.pool.items("b") == items
    assert [one.batch for one in await subject.pool.batches(LINE)] == [batch_of()]
    assert (await subject.pool.job("j1", batch_id="b")) is not None
    assert (await subject.pool.job("j1", batch_id="c")) is None
    assert (await subject.pool.job("j2", batch_id="b")) is None


@pytest.mark.parametrize("wrong", ["gone", "k1", "j1"])
async def test_a_batch_takes_all_of_its_jobs_or_none(subject: Subject, wrong: str) -> None:
    subject.collect("j1")
    subject.collect("j2")
    subject.collect("k1", OTHER)
    assert await subject.pool.begin(batch_of("a"), items_of("j1", batch_id="a")) is not None

    assert await subject.pool.begin(batch_of(), items_of("j2", wrong)) is None

    assert await ids(subject) == ["j2"]
    assert [one.batch.id for one in await subject.pool.batches(LINE)] == ["a"]


async def test_a_change_of_a_batch_that_somebody_else_changed_is_refused(subject: Subject) -> None:
    subject.collect("j1")
    held = await subject.pool.begin(batch_of(), items_of("j1"))
    assert held is not None
    sending = batch_of(state=State.SENDING)

    newer = await subject.pool.update(held, sending)
    with pytest.raises(Moved):
        await subject.pool.update(held, batch_of(state=State.OPEN))

    assert [one.batch for one in await subject.pool.batches(LINE)] == [sending]
    opened = await subject.pool.update(newer, batch_of(state=State.OPEN))
    assert opened.batch.state is State.OPEN


async def test_that_an_operator_asked_for_its_end_shows_in_the_batch(subject: Subject) -> None:
    subject.collect("j1")
    held = await subject.pool.begin(batch_of(), items_of("j1"))
    assert held is not None
    subject.cancel("b")

    assert [one.cancel for one in await subject.pool.batches(LINE)] == [True]
    # It is no change of the batch by a keeper.
    await subject.pool.update(held, batch_of(state=State.OPEN))
    assert [one.cancel for one in await subject.pool.batches(LINE)] == [True]


async def test_a_batch_that_is_over_is_no_more_under_way(subject: Subject) -> None:
    subject.collect("j1")
    held = await subject.pool.begin(batch_of(), items_of("j1"))
    assert held is not None
    await subject.pool.give_back("j1", batch_id="b", done=True)

    await subject.pool.update(held, batch_of(state=State.CLOSED))

    assert await subject.pool.batches(LINE) == []
    assert await subject.pool.items("b") == []
    assert await subject.pool.lines() == []


async def test_a_job_is_given_back_once_by_the_batch_that_has_it(subject: Subject) -> None:
    subject.collect("j1")
    subject.collect("j2")
    await subject.pool.begin(batch_of(), items_of("j1"))

    assert not await subject.pool.give_back("j1", batch_id=None, done=False)
    assert not await subject.pool.give_back("j1", batch_id="other", done=False)
    assert not await subject.pool.give_back("j2", batch_id="b", done=False)
    assert await subject.pool.give_back("j1", batch_id="b", done=False)
    assert not await subject.pool.give_back("j1", batch_id="b", done=False)
    assert await subject.pool.give_back("j2", batch_id=None, done=False)

    assert sorted(subject.given_back()) == ["j1", "j2"]
    assert await ids(subject) == []


async def test_all_messages_of_a_job_wait_with_it_and_go_back_with_it(subject: Subject) -> None:
    subject.collect("j1")
    await subject.pool.begin(batch_of(), items_of("j1"))
    subject.collect("j1")

    assert await ids(subject) == []
    await subject.pool.give_back("j1", batch_id="b", done=True)

    assert subject.given_back() == ["j1", "j1"]


async def test_one_keeper_at_a_time_looks_after_a_line(subject: Subject) -> None:
    assert await subject.pool.hold(LINE, owner="a", seconds=600)
    assert await subject.pool.hold(LINE, owner="a", seconds=600)
    assert not await subject.pool.hold(LINE, owner="b", seconds=600)
    assert await subject.pool.hold(OTHER, owner="b", seconds=600)

    await subject.pool.let_go(LINE, owner="b")
    assert not await subject.pool.hold(LINE, owner="b", seconds=600)
    await subject.pool.let_go(LINE, owner="a")
    assert await subject.pool.hold(LINE, owner="b", seconds=600)


async def test_a_message_is_in_one_place_at_any_time(on_redis: OnRedis, lanes: LaneBench) -> None:
    client = lanes.client
    lanes.put("acme", body="j1")
    fetched = lanes.fetch()
    assert client.hlen(KEYS.unacked) == 1

    assert on_redis.move(fetched, "j1")
    assert (client.hlen(KEYS.unacked), client.zcard(KEYS.index)) == (0, 0)
    # Acknowledged, restored or collected once more, it stays where it is.
    assert not on_redis.move(fetched, "j1")
    assert await ids(on_redis) == ["j1"]


async def test_a_message_of_another_queue_is_not_collected(on_redis: OnRedis, lanes: LaneBench) -> None:
    lanes.put("acme", body="j1")
    fetched = lanes.fetch()
    assert fetched is not None
    collected = Collected(job_id="j1", project="acme", connection="primary")

    assert not lanes.unacked.collect(fetched.tag, collected, None, queue="other")

    assert lanes.client.hlen(KEYS.unacked) == 1


async def test_jobs_that_wait_for_a_batch_count_among_those_of_their_project(
    on_redis: OnRedis, lanes: LaneBench
) -> None:
    on_redis.collect("j1")
    on_redis.collect("j2")
    assert lanes.lanes.waiting("acme") == 2

    await on_redis.pool.give_back("j1", batch_id=None, done=True)
    assert lanes.lanes.waiting("acme") == 2

    assert on_redis.given_back() == ["j1"]
    assert lanes.lanes.waiting("acme") == 1


async def test_a_job_whose_calls_are_made_needs_nothing_of_its_meter(on_redis: OnRedis, lanes: LaneBench) -> None:
    on_redis.collect("done")
    on_redis.collect("left")
    await on_redis.pool.give_back("left", batch_id=None, done=False)
    await on_redis.pool.give_back("done", batch_id=None, done=True)

    (entry, other) = lanes.client.lrange(f"byom:lanes:jobs:{QUEUE}\tlive\tp/acme\t/keys/acme#m\tacme", 0, -1)[::-1]

    # Each at the head of its lane: the last to come back goes first.
    assert entry.split(b"\n")[0].split(b" ")[1:4] == [b"0", b"0", b"0"]
    assert other.split(b"\n")[0].split(b" ")[1:4] == [b"500", b"0", b"1"]


async def test_patience_begins_anew_when_a_job_comes_back(on_redis: OnRedis, lanes: LaneBench) -> None:
    on_redis.collect("j1")
    on_redis.pass_time(50_000)
    await on_redis.pool.give_back("j1", batch_id=None, done=False)

    fetched = lanes.fetch()

    assert fetched is not None
    assert fetched.told is not None
    assert fetched.told["impatient"] is False
    assert fetched.told["since"] == pytest.approx(lanes.now)


async def test_a_project_does_not_pay_its_share_for_calls_that_a_batch_made(
    on_redis: OnRedis, lanes: LaneBench
) -> None:
    for number in range(3):
        on_redis.collect(f"j{number}")
    for number in range(3):
        await on_redis.pool.give_back(f"j{number}", batch_id=None, done=True)
    lanes.put("bell", meter="/keys/acme#m", tenant="p/acme")
    order = [fetched.project for _ in range(4) if (fetched := lanes.fetch()) is not None]

    # Had they paid, the newcomer would go before them.
    assert order[0] == "acme"


async def test_the_working_state_of_a_job_outlasts_its_batch(on_redis: OnRedis, lanes: LaneBench) -> None:
    lanes.client.hset("byom:job:{j1}", "unit:1", "x")
    lanes.client.expire("byom:job:{j1}", 60)

    on_redis.collect("j1")

    assert lanes.client.ttl("byom:job:{j1}") > STATE_KEPT - 60


async def test_batches_that_are_over_are_kept_for_a_while_and_no_more_than_so_many(
    on_redis: OnRedis, lanes: LaneBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.economy.redis.CLOSED_MOST", 2)
    for number in range(4):
        on_redis.collect(f"j{number}")
        batch = batch_of(f"b{number}")
        held = await on_redis.pool.begin(batch, items_of(f"j{number}", batch_id=batch.id))
        assert held is not None
        on_redis.pass_time(1)
        await on_redis.pool.update(held, batch.model_copy(update={"state": State.CLOSED}))

    assert lanes.client.zrange(CLOSED, 0, -1) == [b"b2", b"b3"]
    assert not lanes.client.exists(batch_key("b1"))
    assert lanes.client.ttl(batch_key("b3")) > 0
    assert json.loads(lanes.client.hget(batch_key("b3"), "batch"))["state"] == "closed"
