"""One suite for the state of backfills: what the Lua does, the memory twin must do, and the other way round."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis

from tests.backfill import definition, entry, failure, flight, success, text_of
from tests.support import START, ManualClock
from workers.backfill.state import (
    Backfills,
    BackfillState,
    Fenced,
    Flight,
    Held,
    Lease,
    MemoryBackfills,
    NameTaken,
    Orders,
    Phase,
    RedisBackfills,
    Rewound,
    UnknownBackfill,
)

ORDERS = Orders(phase=Phase.RUNNING, window=10, budget=Decimal("2.50"))


@dataclass
class Subject:
    backfills: Backfills
    clock: ManualClock

    def created(self, name: str = "archive", **changes: Any) -> BackfillState:
        return self.backfills.create(definition(name, **changes), orders=ORDERS)

    def driven(self) -> tuple[BackfillState, Lease]:
        """A backfill, and the lease of a driver that has loaded it."""
        state = self.created()
        lease = state.acquire("me", seconds=15)
        state.load()
        return state, lease


@pytest.fixture(params=["memory", "redis"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    clock = ManualClock()
    if request.param == "memory":
        yield Subject(backfills=MemoryBackfills(clock=clock), clock=clock)
        return
    client: redis.Redis = request.getfixturevalue("valkey_client")
    now = lambda: round(clock.now().timestamp() * 1000)  # noqa: E731 - the clock as the scripts take it
    yield Subject(backfills=RedisBackfills(client, now=now), clock=clock)


def in_flight(*numbers: int) -> list[Flight]:
    return [flight(number) for number in numbers]


def test_a_new_backfill_is_as_it_was_defined(subject: Subject) -> None:
    state = subject.created(ordered=True, out="/data/out.jsonl", labels={"team": "search"})

    snapshot = state.load()

    assert snapshot.definition == definition(ordered=True, out="/data/out.jsonl", labels={"team": "search"})
    assert snapshot.orders == ORDERS
    assert (snapshot.read, snapshot.in_flight, snapshot.waiting, snapshot.sums, snapshot.sink) == (0, 0, 0, {}, "")
    assert (snapshot.driver, snapshot.changed_at, snapshot.ended_at) == (None, START, None)


def test_a_name_is_taken_once(subject: Subject) -> None:
    subject.created()

    with pytest.raises(NameTaken, match="archive"):
        subject.created(project="globex")
    assert subject.backfills.open("archive").load().definition.project == "acme"


def test_the_newest_is_listed_first(subject: Subject) -> None:
    subject.created("one")
    subject.created("two", created_at=START + timedelta(seconds=5))

    assert [one.definition.name for one in subject.backfills.all()] == ["two", "one"]


def test_an_unknown_backfill_is_said_to_be(subject: Subject) -> None:
    state = subject.backfills.open("nothing")

    for ask in (
        state.load,
        lambda: state.acquire("me", seconds=15),
        lambda: state.change(Phase.PAUSED, after=[Phase.RUNNING]),
    ):
        with pytest.raises(UnknownBackfill, match="'nothing'"):
            ask()


def test_one_drives_at_a_time_until_its_lease_lapses(subject: Subject) -> None:
    state = subject.created()
    first = state.acquire("me", seconds=15)
    state.load()
    subject.clock.seconds = 5

    with pytest.raises(Held, match="driven by me") as held:
        state.acquire("you", seconds=15)
    assert held.value.seconds == pytest.approx(10)
    assert state.load().driver == "me"

    state.renew(first)
    subject.clock.seconds = 19
    with pytest.raises(Held):
        state.acquire("you", seconds=15)

    subject.clock.seconds = 21
    assert state.load().driver is None
    assert state.acquire("you", seconds=15).token > first.token


def test_a_driver_that_lets_go_is_followed_at_once(subject: Subject) -> None:
    state, lease = subject.driven()

    state.release(lease)

    assert state.acquire("you", seconds=15).token == lease.token + 1


def test_who_was_followed_can_change_nothing(subject: Subject) -> None:
    state, old = subject.driven()
    state.reserve(old, in_flight(1), read=1, sums={"lines": 1})
    subject.clock.seconds = 20
    new = state.acquire("you", seconds=15)
    before = state.load()

    for write in (
        lambda: state.renew(old),
        lambda: state.reserve(old, in_flight(2), read=2, sums={"lines": 1}),
        lambda: state.published(old, ["job-1"]),
        lambda: state.commit(old, ["job-1"], sink="9", sums={"jobs": 1}),
        lambda: state.finish(old, sink="9"),
    ):
        with pytest.raises(Fenced, match="'archive'"):
            write()
    state.release(old)

    assert state.load() == before
    assert state.renew(new) == ORDERS


def test_who_knows_an_older_state_can_change_nothing(subject: Subject) -> None:
    """As after a crash in which the broker lost its last second: here the other way round, which is the same to it."""
    state, lease = subject.driven()
    state.reserve(lease, in_flight(1), read=1, sums={"lines": 1})
    other = subject.backfills.open("archive")
    before = other.load()
    other.published(lease, ["job-1"])

    for write in (
        lambda: state.renew(lease),
        lambda: state.reserve(lease, in_flight(2), read=2, sums={"lines": 1}),
        lambda: state.published(lease, ["job-1"]),
        lambda: state.commit(lease, ["job-1"], sink="9", sums={"jobs": 1}),
        lambda: state.finish(lease, sink="9"),
    ):
        with pytest.raises(Rewound, match="'archive'"):
            write()

    assert other.load() == before
    state.load()
    state.commit(lease, ["job-1"], sink="9", sums={"jobs": 1})


def test_what_is_wanted_is_changed_from_anywhere_and_heard_when_driving(subject: Subject) -> None:
    state, lease = subject.driven()
    subject.clock.seconds = 3

    assert state.change(Phase.PAUSED, why="lunch", after=[Phase.RUNNING]) is Phase.RUNNING
    assert state.renew(lease) == replace(ORDERS, phase=Phase.PAUSED, why="lunch")
    assert state.load().changed_at == START + timedelta(seconds=3)

    assert state.change(Phase.PAUSED, why="again", after=[Phase.RUNNING]) is Phase.PAUSED
    assert state.renew(lease).why == "lunch"

    state.change(Phase.RUNNING, after=[Phase.PAUSED], budget=Decimal(9), window=77, cluster=True)
    assert state.renew(lease) == Orders(phase=Phase.RUNNING, budget=Decimal(9), window=77, cluster=True)

    state.change(Phase.RUNNING, after=[Phase.RUNNING], no_budget=True)
    assert state.renew(lease) == Orders(phase=Phase.RUNNING, window=77, cluster=True)


def test_lines_are_in_flight_once_they_are_reserved(subject: Subject) -> None:
    state, lease = subject.driven()

    state.reserve(lease, in_flight(3, 1, 2), read=4, sums={"lines": 4, "duplicates": 1})
    state.published(lease, ["job-3", "job-2", "of another"])

    assert state.flights() == [
        flight(1),
        replace(flight(2), published=True),
        replace(flight(3), published=True),
    ]
    snapshot = state.load()
    assert (snapshot.read, snapshot.in_flight, snapshot.sums) == (4, 3, {"lines": 4, "duplicates": 1})


def test_a_line_without_a_job_is_in_flight_too(subject: Subject) -> None:
    state, lease = subject.driven()
    bad = replace(flight(1), lines=(replace(flight(1).lines[0], id="", episode_ids=()),))

    state.reserve(lease, [bad], read=1, sums={})

    assert state.flights() == [bad]


def test_entries_are_known_again(subject: Subject) -> None:
    state, lease = subject.driven()
    ids = [entry(number).id for number in range(600)]
    state.reserve(lease, [flight(number) for number in range(0, 600, 2)], read=600, sums={})

    assert state.unseen(ids) == [number % 2 == 1 for number in range(600)]


def test_an_id_is_not_taken_for_the_end_of_one_and_the_beginning_of_the_next(subject: Subject) -> None:
    state, lease = subject.driven()
    # All three begin alike, so that they are kept together.
    one, two = "abc1" + "00" * 6 + "abc2" + "11" * 6, "abc3" + "22" * 14
    lines = [replace(flight(number).lines[0], id=entry_id) for number, entry_id in ((1, one), (2, two))]
    state.reserve(
        lease,
        [replace(flight(line.number), lines=(line,)) for line in lines],
        read=2,
        sums={},
    )

    straddling = (one + two)[16:48]

    assert state.unseen([one, two, straddling]) == [False, False, True]


def test_the_inbox_takes_the_first_ending_of_what_is_in_flight(subject: Subject) -> None:
    state, lease = subject.driven()
    state.reserve(lease, in_flight(1, 2, 3), read=3, sums={})

    assert state.put("job-3", "three") is True
    assert state.put("job-1", "one") is True
    assert state.put("job-3", "another") is False
    assert state.put("of another", "x") is False

    assert state.ended(10) == [("job-3", "three"), ("job-1", "one")]
    assert state.ended(1) == [("job-3", "three")]
    assert state.endings_of(["job-1", "job-2", "job-3"]) == ["one", None, "three"]
    assert state.endings_of([]) == []
    assert state.load().waiting == 2


def test_what_is_committed_is_done(subject: Subject) -> None:
    state, lease = subject.driven()
    state.reserve(lease, in_flight(1, 2, 3), read=3, sums={"lines": 3})
    for job in ("job-2", "job-1", "job-3"):
        state.put(job, text_of(success(job)))

    state.commit(lease, ["job-1", "job-2"], sink="120", sums={"jobs": 2, "pico": 10**16 + 1})
    state.commit(lease, [], sink="120", sums={"pico": 10**16 + 1})

    assert state.flights() == in_flight(3)
    assert state.ended(10) == [("job-3", text_of(success("job-3")))]
    snapshot = state.load()
    assert snapshot.sums == {"lines": 3, "jobs": 2, "pico": 2 * 10**16 + 2}
    assert (snapshot.sink, snapshot.waiting) == ("120", 1)
    assert state.put("job-1", "late") is False
    assert state.unseen([entry(1).id]) == [False]


def test_reserving_once_more_lets_a_job_run_again(subject: Subject) -> None:
    state, lease = subject.driven()
    state.reserve(lease, in_flight(1), read=1, sums={})
    state.published(lease, ["job-1"])

    state.reserve(lease, [flight(1, since=50.0)], read=1, sums={"rerun": 1})

    assert state.flights() == [flight(1, since=50.0)]


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.CANCELLED])
def test_what_is_wound_up_is_over_and_keeps_its_report(subject: Subject, phase: Phase) -> None:
    state, lease = subject.driven()
    state.reserve(lease, in_flight(1), read=1, sums={"lines": 1})
    state.put("job-1", text_of(failure("job-1")))
    state.commit(lease, ["job-1"], sink="7", sums={"failed": 1})
    state.change(phase, why="why", after=[Phase.RUNNING])
    subject.clock.seconds = 60

    state.finish(lease, sink="8")

    snapshot = state.load()
    assert snapshot.over
    assert snapshot.orders.phase is (Phase.CANCELLED if phase is Phase.CANCELLED else Phase.COMPLETED)
    assert (snapshot.ended_at, snapshot.driver, snapshot.sink) == (START + timedelta(seconds=60), None, "8")
    assert snapshot.sums == {"lines": 1, "failed": 1}
    assert state.flights() == []


def test_only_what_is_over_is_forgotten_in_time(valkey_client: redis.Redis) -> None:
    backfills = RedisBackfills(valkey_client)
    for name in ("old", "present"):
        state = backfills.create(definition(name), orders=ORDERS)
        lease = state.acquire("me", seconds=15)
        state.load()
        state.reserve(lease, in_flight(1), read=1, sums={"lines": 1})
    backfills.open("old").change(Phase.CANCELLED, after=[Phase.RUNNING])
    old = backfills.open("old")
    old.load()
    old.finish(Lease(token=1, seconds=15), sink="")

    assert list(valkey_client.scan_iter("byom:backfill:old*")) == [b"byom:backfill:old"]
    assert valkey_client.ttl("byom:backfill:old") > 0
    assert {valkey_client.ttl(key) for key in valkey_client.scan_iter("byom:backfill:present*")} == {-1}

    valkey_client.delete("byom:backfill:old")
    assert [one.definition.name for one in backfills.all()] == ["present"]
    assert valkey_client.zrange("byom:backfills", 0, -1) == [b"present"]
