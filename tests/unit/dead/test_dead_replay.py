"""Replays, with a crash at any point: whatever was published how often, each job runs once and is paid for once."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import pytest
import redis
import redis.asyncio
from celery.backends.redis import RedisBackend
from kombu import messaging

from config.store import MemoryStore
from tasks.contract import ExtractionResult, Failure, FailureCode, JobStatus, Priority
from tests.integration.support.inbox import connected
from tests.unit.dead.conftest import configure
from tests.unit.dead.pool import Pool
from tests.unit.engine.conftest import Bench as EngineBench
from tests.unit.engine.conftest import bench as engine_bench
from tests.unit.engine.conftest import fault, make_job, reply
from workers.app import create_app
from workers.broker.crashes import crashes_of
from workers.dead import replay
from workers.dead.replay import Fate, Outcome
from workers.dead.shelf import Shelf
from workers.embedded.valkey import EmbeddedValkey
from workers.engine.routing import first_route
from workers.enqueue.intake import Duplicate, Intake
from workers.jobs import Ended, Ending
from workers.lanes.control import Which
from workers.lanes.emptying import Taken, empty_lanes
from workers.lanes.ending import cancel
from workers.providers.base import FaultKind

__all__ = ["engine_bench"]
pytestmark = [
    pytest.mark.integration,
    # Celery's result store uses it.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]


@pytest.fixture
async def pool(valkey: EmbeddedValkey, engine_bench: EngineBench) -> AsyncIterator[Pool]:
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        pool = Pool(valkey, client, engine_bench)
        yield pool
        pool.close()


def fates(outcomes: Sequence[Outcome]) -> list[Fate]:
    return [outcome.fate for outcome in outcomes]


async def test_a_replayed_job_runs_under_its_id_and_key_and_succeeds(pool: Pool) -> None:
    await pool.fail("j1", "j2")
    assert pool.results("j1", "j2") == ["FAILURE", "FAILURE"]

    assert fates(pool.replayer().replay(pool.letters())) == [Fate.REPLAYED, Fate.REPLAYED]

    assert pool.results("j1", "j2") == ["PENDING", "PENDING"]
    assert [letter.replayed_at is not None for letter in pool.letters()] == [True, True]
    assert await pool.deliver() == ["j1", "j2"]
    assert pool.results("j1", "j2") == ["SUCCESS", "SUCCESS"]
    assert pool.letters() == []
    result = ExtractionResult.model_validate(pool.app.AsyncResult("j1").result)
    assert [attempt.attempt for attempt in result.attempts] == ["1.1.1", "2.1.1", "1.1.2"]
    assert len({attempt.id for attempt in result.attempts}) == 3
    # The key leads to the same job, as before.
    again = pool.intake().accept(make_job(idempotency_key="key-j1"), job_id="other")
    assert again == Duplicate(job_id="j1")


async def test_what_was_paid_for_is_not_paid_for_again_even_when_the_working_state_is_long_gone(pool: Pool) -> None:
    texts = [f"Ada moved to Lisbon in May 2026. {number}" for number in range(3)]
    for name in ("primary", "backup"):
        pool.model.then(name, reply())
        pool.model.always[name] = fault(FaultKind.PERMISSION_DENIED)
    job = make_job(*texts)
    ending = await pool.run(job, "j", first_route(await pool.bench.directory.chain("acme")))
    assert ending.result is not None
    assert ending.result.status is JobStatus.PARTIAL
    pool.model.always.clear()
    pool.model.script.clear()
    calls = len(pool.model.calls)
    pool.sync.delete("byom:job:{j}")

    [letter] = pool.letters()
    assert (letter.about.status, len(letter.about.failed_episodes)) == ("partial", 1)
    assert fates(pool.replayer().replay([letter])) == [Fate.REPLAYED]
    assert pool.results("j") == ["PENDING"]
    await pool.deliver()

    result = ExtractionResult.model_validate(pool.app.AsyncResult("j").result)
    assert result.status is JobStatus.SUCCEEDED
    assert len(pool.model.calls) == calls + 1
    assert len(result.attempts) == calls + 1
    assert len({attempt.attempt for attempt in result.attempts}) == calls + 1
    assert [bool(episode.facts) for episode in result.episodes] == [True, True, True]
    assert pool.letters() == []


async def test_a_job_that_fails_again_is_dead_again_and_can_be_replayed_again(pool: Pool) -> None:
    await pool.fail("j")
    for replays in (1, 2):
        pool.replayer().replay(pool.letters())
        for name in ("primary", "backup"):
            pool.model.always[name] = fault(FaultKind.MODEL_NOT_FOUND)
        await pool.deliver()
        pool.model.always.clear()
        [letter] = pool.letters()
        assert (letter.replays, letter.about.code, letter.replayed_at) == (replays, FailureCode.MODEL_NOT_FOUND, None)
        assert letter.about.attempts == 2 + 2 * replays

    pool.replayer().replay(pool.letters())
    await pool.deliver()
    assert pool.results("j") == ["SUCCESS"]
    assert pool.letters() == []


class Crash(BaseException):
    """The operator's machine is gone."""


#: What a replay does, in order: where each step is found, and its name there.
POINTS: list[tuple[Any, str]] = [
    (Shelf, "claim"),
    (Shelf, "contents"),
    (Intake, "accept"),
    (replay, "reopen_now"),
    (RedisBackend, "forget"),
    (replay, "attempt_signature"),
    (vars(messaging)["_ProducerBatch"], "__exit__"),
    (Shelf, "replayed"),
]


def dying(step: Callable[..., Any], *, after: bool, at: int) -> Callable[..., Any]:
    """A step that is the last thing to happen, or does not happen any more, when it comes for the `at`-th time."""
    times = itertools.count(1)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        now = next(times) == at
        if now and not after:
            raise Crash
        found = step(*args, **kwargs)
        if now:
            raise Crash
        return found

    return wrapped


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point[1].strip("_"))
async def test_a_crash_at_any_point_costs_nothing_but_another_replay(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, point: tuple[Any, str], *, after: bool
) -> None:
    await pool.fail("j1", "j2")
    calls = len(pool.model.calls)
    # Of what is done for each letter, in the middle of the batch.
    at = 1 if point[1] in {"claim", "__exit__"} else 2
    with monkeypatch.context() as patch, create_app(pool.settings) as app:
        patch.setattr(*point, dying(getattr(*point), after=after, at=at))
        with pytest.raises(Crash):
            pool.replayer(app).replay(pool.letters())
        cast("Any", app.backend).client.connection_pool.disconnect()

    pool.clock.seconds = 61
    letters = pool.letters()
    pool.replayer().replay(letters)
    delivered = Counter(await pool.deliver())

    assert set(delivered) == {"j1", "j2"}
    assert len(pool.model.calls) == calls + 2
    assert pool.results("j1", "j2") == ["SUCCESS", "SUCCESS"]
    assert pool.letters() == []
    # Nobody finds anything more to do.
    assert set(fates(pool.replayer().replay(letters))) == {Fate.OVER}
    assert await pool.deliver() == []


async def test_jobs_that_run_before_the_replay_is_noted_are_let_go_all_the_same(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.fail("j1", "j2")
    before = pool.letters()
    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "replayed", dying(Shelf.replayed, after=False, at=1))
        with pytest.raises(Crash):
            pool.replayer().replay(before)
    await pool.deliver()

    pool.clock.seconds = 61
    assert fates(pool.replayer().replay(before)) == [Fate.OVER, Fate.OVER]
    assert await pool.deliver() == []
    assert pool.letters() == []


async def test_two_operators_at_once_replay_each_job_once(pool: Pool) -> None:
    ids = [f"j{number}" for number in range(20)]
    await pool.fail(*ids)
    letters = pool.letters()
    calls = len(pool.model.calls)

    both = await asyncio.gather(*(asyncio.to_thread(pool.replayer().replay, letters) for _ in range(2)))

    counted = Counter(fate for outcomes in both for fate in fates(outcomes))
    assert counted == {Fate.REPLAYED: 20, Fate.UNDER_WAY: 20}
    assert sorted(await pool.deliver()) == sorted(ids)
    assert len(pool.model.calls) == calls + 20


async def test_a_replay_whose_message_was_lost_can_be_made_again(pool: Pool) -> None:
    await pool.fail("j")
    pool.replayer().replay(pool.letters())
    for name in pool.sync.keys("byom:lanes:*"):
        pool.sync.delete(name)
    assert await pool.deliver() == []

    assert fates(pool.replayer().replay(pool.letters())) == [Fate.UNDER_WAY]
    assert fates(pool.replayer().replay(pool.letters(), again=True)) == [Fate.REPLAYED]
    assert await pool.deliver() == ["j"]
    assert pool.letters() == []


async def test_an_old_message_of_a_replayed_job_runs_it_once_like_the_new_one(pool: Pool) -> None:
    await pool.fail("j")
    calls = len(pool.model.calls)
    pool.replayer().replay(pool.letters())
    job = make_job(idempotency_key="key-j")

    await pool.run(job, "j", first_route(await pool.bench.directory.chain("acme")))
    await pool.deliver()

    assert len(pool.model.calls) == calls + 1
    assert pool.letters() == []


async def test_a_job_that_cannot_go_stays_and_says_why(pool: Pool) -> None:
    await pool.fail("j", "k")
    store = pool.bench.store
    assert isinstance(store, MemoryStore)
    lone = make_job(project="globex")
    ending = Ending(failure=Failure(code=FailureCode.UNKNOWN_PROJECT, message="no such project"))
    await pool.writer.job_ended(lone, "g", ending)

    outcomes = {outcome.letter.id: outcome for outcome in pool.replayer().replay(pool.letters())}
    assert {job_id: one.fate for job_id, one in outcomes.items()} == {
        "j": Fate.REPLAYED,
        "k": Fate.REPLAYED,
        "g": Fate.LEFT,
    }
    assert "globex" in (outcomes["g"].message or "")
    assert [letter.id for letter in pool.letters() if letter.replayed_at is None] == ["g"]

    configure(store, "globex")
    assert fates(pool.replayer().replay(pool.shelf.some(["g"]))) == [Fate.REPLAYED]


async def test_a_key_that_another_job_took_meanwhile_is_not_run_twice(pool: Pool) -> None:
    await pool.fail("j")
    for key in pool.sync.keys("byom:key:*"):
        pool.sync.delete(key)
    pool.intake().accept(make_job(idempotency_key="key-j"), job_id="newer")

    [outcome] = pool.replayer().replay(pool.letters())

    assert outcome.fate is Fate.LEFT
    assert "held by job newer" in (outcome.message or "")
    assert await pool.deliver() == []


async def test_a_key_that_was_forgotten_is_held_again(pool: Pool) -> None:
    await pool.fail("j")
    for key in pool.sync.keys("byom:key:*"):
        pool.sync.delete(key)

    pool.replayer().replay(pool.letters())

    again = pool.intake().accept(make_job(idempotency_key="key-j"), job_id="other")
    assert again == Duplicate(job_id="j")


async def test_a_job_that_was_quarantined_is_tried_alone_when_it_is_replayed(pool: Pool) -> None:
    route = first_route(await pool.bench.directory.chain("acme"))
    await pool.bench.engine.quarantine(make_job(), job_id="j", route=route, crashes=3)
    await pool.fail("k")
    pool.replayer().replay(pool.letters())

    crashes = {}
    with connected(pool.valkey) as connection:
        channel = cast("Any", connection.channel())
        while (message := channel.basic_get("extract.openai")) is not None:
            crashes[message.headers["id"]] = crashes_of(message.headers)
            message.ack()
    assert crashes == {"j": 2, "k": 0}


async def test_a_replay_may_wait_in_the_other_class(pool: Pool) -> None:
    await pool.fail("j")
    pool.replayer().replay(pool.letters(), priority=Priority.BACKFILL)

    [lane] = pool.lanes()
    assert lane.priority == "backfill"
    await pool.deliver()
    result = ExtractionResult.model_validate(pool.app.AsyncResult("j").result)
    assert [attempt.priority for attempt in result.attempts] == ["live", "live", "backfill"]


async def test_a_replay_that_an_operator_ends_while_it_waits_is_dead_again_and_can_be_replayed(pool: Pool) -> None:
    await pool.fail("j")
    pool.replayer().replay(pool.letters())

    def handle(taken: Taken) -> None:
        cancel(pool.app, taken, client=pool.sync, state_ttl=60)

    assert empty_lanes(pool.sync, Which(project="acme"), handle) == 1
    claim = await pool.jobs.claim("j", hop=1, owner="late", lease=5)
    assert isinstance(claim, Ended)
    assert claim.ending.replays == 1
    [letter] = pool.letters()
    assert (letter.replayed_at, letter.about.code) == (None, FailureCode.PERMISSION_DENIED)

    assert fates(pool.replayer().replay([letter])) == [Fate.REPLAYED]
    assert await pool.deliver() == ["j"]
    assert pool.results("j") == ["SUCCESS"]
    assert pool.letters() == []
