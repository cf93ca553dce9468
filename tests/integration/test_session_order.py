"""Jobs of one session go one after another, whatever happens to them, and nobody else waits for them."""

import json
from collections import deque
from typing import Any, cast

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from tests.integration.support.lanes import QUEUE, Fetched, LaneBench
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Which
from workers.lanes.emptying import Taken, empty_lanes
from workers.lanes.header import HEADER
from workers.lanes.sessions import empty_behind, rewrite_behind
from workers.lanes.views import list_lanes

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(valkey_client: redis.Redis) -> LaneBench:
    return LaneBench(valkey_client)


def left(bench: LaneBench) -> set[str]:
    """What is kept when nothing waits."""
    assert bench.fetch() is None
    return bench.kept()


def waiting_behind(client: Any, project: str = "a") -> int:
    return sum(lane.behind for lane in list_lanes(client) if lane.project == project)


def test_the_next_job_of_a_session_goes_when_the_one_before_it_is_done_with(bench: LaneBench) -> None:
    first, second, third = [bench.put("a", session="s") for _ in range(3)]

    fetched = bench.take()
    assert (fetched.name, bench.fetch()) == (first, None)
    bench.ack(fetched)
    assert [one.name for one in bench.served(2)] == [second, third]
    assert not left(bench)


def test_jobs_without_a_session_and_those_of_others_do_not_wait(bench: LaneBench) -> None:
    jobs = [
        bench.put("a", session="s"),
        bench.put("a", session="t"),
        bench.put("a"),
        bench.put("b", session="s"),
    ]
    bench.put("a", session="s")

    assert {bench.take().name for _ in jobs} == set(jobs)
    assert bench.fetch() is None


def test_a_job_behind_waits_for_its_project_and_is_shown(bench: LaneBench) -> None:
    bench.put("a", session="s")
    bench.put("a", session="s")
    bench.put("a", session="s", priority="backfill")

    assert bench.lanes.waiting("a") == 3
    assert [(lane.priority, lane.depth, lane.behind, lane.why) for lane in list_lanes(bench.client)] == [
        ("backfill", 0, 1, "session"),
        ("live", 1, 1, None),
    ]
    fetched = bench.take()
    assert [(lane.priority, lane.depth, lane.behind) for lane in list_lanes(bench.client)] == [
        ("backfill", 0, 1),
        ("live", 0, 1),
    ]
    bench.ack(fetched)
    bench.served(2)
    assert (bench.lanes.waiting("a"), list_lanes(bench.client)) == (0, [])


def test_a_job_that_is_parked_or_put_back_is_still_before_those_behind_it(bench: LaneBench) -> None:
    first = bench.put("a", session="s")
    bench.put("a", session="s")

    assert bench.park(bench.take(), 5)
    bench.pass_time(6)
    fetched = bench.take()
    assert bench.put_back(fetched)
    bench.pass_time(2)
    fetched = bench.take()

    assert (fetched.name, bench.fetch()) == (first, None)


def test_a_job_that_goes_on_to_another_connection_is_still_before_those_behind_it(bench: LaneBench) -> None:
    first = bench.put("a", session="s")
    second = bench.put("a", session="s")
    fetched = bench.take()

    bench.put("a", session="s", name=first, connection="fallback", queue="other")
    bench.ack(fetched)
    assert bench.fetch() is None
    onward = bench.take("other")
    assert onward.name == first
    bench.ack(onward)
    assert bench.take().name == second


def test_an_acknowledgement_that_comes_late_lets_nobody_pass(bench: LaneBench) -> None:
    first = bench.put("a", session="s")
    second = bench.put("a", session="s")
    fetched = bench.take()
    # Its worker was taken for dead, and then spoke.
    bench.put_back(fetched)
    bench.ack(fetched)

    bench.pass_time(2)
    again = bench.take()
    assert (again.name, bench.fetch()) == (first, None)
    bench.ack(again)
    bench.ack(again)
    assert bench.take().name == second
    assert bench.fetch() is None


def test_the_patience_of_a_job_begins_when_its_turn_in_the_session_has_come(bench: LaneBench) -> None:
    bench.put("a", session="s")
    bench.put("a", session="s", patience=10)
    fetched = bench.take()
    bench.pass_time(1_000)
    bench.ack(fetched)
    bench.pass_time(9)

    told = bench.take().told
    assert told is not None
    assert (told["impatient"], bench.now - told["since"]) == (False, 9)


def test_a_message_that_cannot_be_read_does_not_hold_its_session(bench: LaneBench) -> None:
    bench.put("a", session="s")
    second = bench.put("a", session="s")
    fetched = bench.take()

    bench.unacked.quarantine(fetched.tag, json.dumps(fetched.message).encode())

    assert bench.take().name == second
    assert bench.client.llen("byom.malformed") == 1
    assert [tag.decode() for tag in bench.client.hkeys("byom.unacked")] != [fetched.tag]


def test_a_queue_that_is_purged_is_purged_of_those_behind_too(bench: LaneBench) -> None:
    for _ in range(3):
        bench.put("a", session="s")
        bench.put("a", session="s", priority="backfill")
    bench.put("a")

    assert bench.lanes.clear(QUEUE) == 7
    assert not left(bench)


def test_all_of_a_session_can_be_ended_while_it_waits(bench: LaneBench) -> None:
    names = [bench.put("a", session="s") for _ in range(3)]
    kept = bench.put("b", session="s")
    ended: list[str] = []

    def handle(taken: Taken) -> None:
        ended.append(taken.job_id)

    which = Which(project="a")
    assert empty_behind(bench.client, which, handle) + empty_lanes(bench.client, which, handle) == 3
    assert sorted(ended) == sorted(names)
    assert [one.name for one in bench.served(1)] == [kept]
    assert not left(bench)


def test_those_behind_are_ended_only_where_they_would_go(bench: LaneBench) -> None:
    live, _, last = [bench.put("a", session="s", priority=word) for word in ("live", "backfill", "live")]

    assert empty_behind(bench.client, Which(priority="backfill"), lambda _: None) == 1
    assert [one.name for one in bench.served(2)] == [live, last]


def test_those_behind_keep_their_order_when_they_are_sent_elsewhere(bench: LaneBench) -> None:
    names = [bench.put("a", session="s", priority=word) for word in ("live", "live", "backfill", "live")]

    def elsewhere(taken: Taken) -> tuple[str, dict[str, Any]]:
        headers = taken.headers | {HEADER: taken.headers[HEADER] | {"connection": "fallback"}}
        return "other", taken.message | {"headers": headers}

    moved = rewrite_behind(bench.client, Which(priority="live"), elsewhere)

    assert moved == 2
    assert [(lane.queue, lane.priority, lane.behind) for lane in list_lanes(bench.client)] == [
        ("other", "live", 2),
        (QUEUE, "backfill", 1),
        (QUEUE, "live", 0),
    ]
    served = []
    for _ in names:
        fetched = bench.take(QUEUE, "other")
        served.append((fetched.name, fetched.queue, fetched.message["headers"][HEADER]["connection"]))
        bench.ack(fetched)
    assert served == [
        (names[0], QUEUE, "primary"),
        (names[1], "other", "fallback"),
        (names[2], QUEUE, "primary"),
        (names[3], "other", "fallback"),
    ]


def test_a_job_that_went_to_its_lane_meanwhile_is_not_written_anew_behind(bench: LaneBench) -> None:
    bench.put("a", session="s")
    second = bench.put("a", session="s")
    bench.put("a", session="s")
    first = bench.take()

    def elsewhere(taken: Taken) -> tuple[str, dict[str, Any]]:
        if taken.job_id == second:
            bench.ack(first)
        return "other", taken.message

    assert rewrite_behind(bench.client, Which(project="a"), elsewhere) == 1
    assert (bench.take().name, bench.lanes.waiting("a")) == (second, 1)


def test_an_id_of_any_kind_is_kept_in_order(bench: LaneBench) -> None:
    names = [bench.put("a", session="s", name=name) for name in ("a/line\nline", "a/ tab\t", "a/é")]

    assert [one.name for one in bench.served(3)] == names
    assert not left(bench)


class Sessions(RuleBasedStateMachine):
    """Everything that happens to jobs of sessions, and what must be true after each step."""

    held = Bundle("held")
    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.bench = LaneBench(self.client)
        #: Session → names of its jobs that are not done with, in order.
        self.expected: dict[tuple[str, str], deque[str]] = {}
        self.loose: set[str] = set()
        self.in_hand: list[Fetched] = []
        #: Name → messages of it that are with the broker.
        self.messages: dict[str, int] = {}

    @rule(
        project=st.sampled_from("ab"),
        session=st.sampled_from([None, "s", "t"]),
        priority=st.sampled_from(["live", "backfill"]),
        patience=st.sampled_from([0.0, 100.0]),
    )
    def put(self, project: str, session: str | None, priority: str, patience: float) -> None:
        fields = {} if session is None else {"session": session}
        name = self.bench.put(project, priority=priority, patience=patience, **fields)
        self.messages[name] = 1
        if session is None:
            self.loose.add(name)
        else:
            self.expected.setdefault((project, session), deque()).append(name)

    @rule(target=held)
    def fetch(self) -> Any:
        fetched = self.bench.fetch()
        if fetched is not None:
            self.in_hand.append(fetched)
        return fetched

    @rule(fetched=consumes(held))
    def acknowledge(self, fetched: Fetched | None) -> None:
        if fetched is not None:
            self.bench.ack(fetched)
            # As a worker does whose first acknowledgement got no answer.
            self.bench.ack(fetched)
            self._done_with(fetched)

    @rule(fetched=consumes(held))
    def set_aside(self, fetched: Fetched | None) -> None:
        if fetched is not None:
            self.bench.unacked.quarantine(fetched.tag, b"{}")
            self._done_with(fetched)

    @rule(fetched=consumes(held), priority=st.sampled_from(["live", "backfill"]))
    def hand_over(self, fetched: Fetched | None, priority: str) -> None:
        if fetched is not None:
            header = fetched.message["headers"][HEADER]
            fields = {"session": header["session"]} if "session" in header else {}
            self.bench.put(fetched.project, name=fetched.name, priority=priority, **fields)
            self.messages[fetched.name] += 1
            self.bench.ack(fetched)
            self._done_with(fetched)

    @rule(fetched=consumes(held), seconds=st.sampled_from([1.0, 20.0]))
    def park(self, fetched: Fetched | None, seconds: float) -> None:
        if fetched is not None:
            assert self.bench.park(fetched, seconds)
            self.in_hand.remove(fetched)

    @rule(fetched=consumes(held), end=st.sampled_from(["head", "tail"]), late=st.booleans())
    def put_back(self, fetched: Fetched | None, end: str, late: bool) -> None:  # noqa: FBT001 - drawn
        if fetched is not None:
            assert self.bench.put_back(fetched, end=end)
            self.in_hand.remove(fetched)
            if late:
                self.bench.ack(fetched)

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.pass_time(seconds)

    @rule(project=st.sampled_from("ab"), priority=st.sampled_from([None, "live", "backfill"]))
    def end_those_behind(self, project: str, priority: str | None) -> None:
        def handle(taken: Taken) -> None:
            self.expected[(project, taken.headers[HEADER]["session"])].remove(taken.job_id)
            del self.messages[taken.job_id]

        empty_behind(self.client, Which(project=project, priority=priority), handle)

    @invariant()
    def one_of_each_session_goes_and_it_is_the_first(self) -> None:
        out: dict[tuple[str, str], set[str]] = {}
        for message in [*self._in_lanes(), *(fetched.message for fetched in self.in_hand)]:
            header = message["headers"][HEADER]
            if "session" in header:
                out.setdefault((header["project"], header["session"]), set()).add(message["headers"]["id"])
        assert out == {session: {names[0]} for session, names in self.expected.items() if names}

    @invariant()
    def the_counts_agree(self) -> None:
        in_lanes = self._in_lanes()
        for project in "ab":
            behind = sum(max(0, len(names) - 1) for (whose, _), names in self.expected.items() if whose == project)
            there = sum(message["headers"][HEADER]["project"] == project for message in in_lanes)
            assert self.bench.lanes.waiting(project) == there + behind
            assert waiting_behind(self.client, project) == behind

    def teardown(self) -> None:
        """When everything is done with, nothing stays behind."""
        for fetched in self.in_hand:
            self.bench.put_back(fetched)
        self.in_hand.clear()
        for _ in range(2_000):
            if not self.bench.kept():
                break
            fetched_now = self.bench.fetch()
            if fetched_now is None:
                self.bench.pass_time(30)
            else:
                self.in_hand.append(fetched_now)
                self.bench.ack(fetched_now)
                self._done_with(fetched_now)
        assert (self.bench.kept(), self.loose, [names for names in self.expected.values() if names]) == (
            set(),
            set(),
            [],
        )

    def _done_with(self, fetched: Fetched) -> None:
        self.in_hand.remove(fetched)
        self.messages[fetched.name] -= 1
        if not self.messages[fetched.name]:
            del self.messages[fetched.name]
            self.loose.discard(fetched.name)
            for names in self.expected.values():
                if fetched.name in names:
                    names.remove(fetched.name)

    def _in_lanes(self) -> list[dict[str, Any]]:
        return [
            json.loads(entry.split(b"\n", 1)[1])
            for lane in self.bench.lanes.names()
            for entry in cast("list[bytes]", self.client.lrange(lane.jobs, 0, -1))
        ]


def test_the_order_holds_whatever_happens(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    class OnValkey(Sessions):
        client = valkey_client

    run_state_machine_as_test(
        OnValkey,
        settings=settings(
            # Making a failing example small would take minutes, on a server that is asked for real.
            phases=[Phase.generate],
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
