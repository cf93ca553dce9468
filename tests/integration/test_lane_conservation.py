"""Whatever happens in whatever order, each job is in exactly one place, and what the lanes keep of it agrees."""

from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from tests.integration.support.lanes import Fetched, LaneBench
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Which
from workers.lanes.emptying import Taken, empty_lanes
from workers.lanes.keys import LaneName

pytestmark = pytest.mark.integration

PROJECTS = ("a", "b", "c")
CLASSES = ("live", "backfill")
#: Two projects share a meter.
METERS = {"a": ("a/inc", "/keys/inc#m"), "b": ("a/inc", "/keys/inc#m"), "c": ("p/c", "/keys/c#m")}

projects = st.sampled_from(PROJECTS)
classes = st.sampled_from(CLASSES)
waits = st.sampled_from([0.0, 1.0, 20.0, 500.0])


class Lanes(RuleBasedStateMachine):
    """Everything that happens to jobs, and what must be true after each step."""

    held = Bundle("held")
    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.bench = LaneBench(self.client)
        self.waiting: set[str] = set()
        self.in_hand: set[str] = set()
        for project, (tenant, meter) in METERS.items():
            self.bench.limit(project, capacity=3_000, refill=100, tenant=tenant, meter=meter)

    @rule(
        project=projects, priority=classes, size=st.sampled_from([10, 1_000, 5_000]), patience=waits, more=st.booleans()
    )
    def put(self, project: str, priority: str, size: int, patience: float, more: bool) -> None:  # noqa: FBT001 - drawn
        tenant, meter = METERS[project]
        name = self.bench.put(
            project, tenant=tenant, meter=meter, priority=priority, input=size, patience=patience, fallback=more
        )
        self.waiting.add(name)

    @rule(target=held)
    def fetch(self) -> Any:
        fetched = self.bench.fetch()
        if fetched is not None:
            self.waiting.remove(fetched.name)
            self.in_hand.add(fetched.name)
        return fetched

    @rule(fetched=consumes(held))
    def acknowledge(self, fetched: Fetched | None) -> None:
        if fetched is not None:
            self.bench.ack(fetched)
            self.in_hand.remove(fetched.name)

    @rule(fetched=consumes(held), seconds=waits, reason=st.sampled_from(["tokens", "credential", "budget"]))
    def park(self, fetched: Fetched | None, seconds: float, reason: str) -> None:
        if fetched is not None:
            assert self.bench.park(fetched, seconds, reason)
            assert not self.bench.park(fetched, seconds, reason)
            self._back(fetched)

    @rule(fetched=consumes(held), end=st.sampled_from(["head", "tail"]))
    def put_back(self, fetched: Fetched | None, end: str) -> None:
        if fetched is not None:
            assert self.bench.put_back(fetched, end=end)
            assert not self.bench.put_back(fetched, end=end)
            self._back(fetched)

    @rule(project=projects, priority=classes | st.none())
    def pause(self, project: str, priority: str | None) -> None:
        self.bench.lanes.pause(project=project, priority=priority)

    @rule(project=projects, priority=classes | st.none())
    def resume(self, project: str, priority: str | None) -> None:
        self.bench.lanes.resume(project=project, priority=priority)

    @rule(project=projects | st.none(), reason=st.sampled_from([None, "tokens", "budget"]))
    def wake(self, project: str | None, reason: str | None) -> None:
        self.bench.lanes.wake(Which(project=project), reason=reason)

    @rule(seconds=waits)
    def time_passes(self, seconds: float) -> None:
        self.bench.pass_time(seconds)

    @rule(project=projects, fails=st.booleans())
    def drain(self, project: str, fails: bool) -> None:  # noqa: FBT001 - drawn
        def handle(taken: Taken) -> None:
            if fails:
                raise RuntimeError
            self.waiting.remove(taken.headers["id"])

        before = self.bench.lanes.waiting(project)
        try:
            assert empty_lanes(self.client, Which(project=project), handle, now=str(self.bench.now)) == before
        except RuntimeError:
            assert before

    @rule(project=projects, weight=st.sampled_from([0.5, 1, 3]))
    def weigh(self, project: str, weight: float) -> None:
        self.bench.lanes.weight(project, weight)

    @invariant()
    def each_job_is_in_one_place(self) -> None:
        found = [
            name
            for lane in self.bench.lanes.names()
            for entry in self.client.lrange(lane.jobs, 0, -1)
            for name in self._names(entry)
        ]
        assert sorted(found) == sorted(self.waiting)
        assert {tag.decode().replace("-", "/") for tag in self.client.hkeys("byom.unacked")} == self.in_hand
        assert self.client.zcard("byom.unacked_index") == len(self.in_hand)
        assert not self.client.exists("byom.malformed")

    @invariant()
    def the_counts_agree(self) -> None:
        lanes = self.bench.lanes
        assert lanes.jobs_in("q") == len(self.waiting)
        for project in PROJECTS:
            assert lanes.waiting(project) == len([name for name in self.waiting if name.startswith(project)])
        per_meter: dict[str, int] = {}
        for lane in lanes.names():
            per_meter[lane.meter_name] = per_meter.get(lane.meter_name, 0) + 1
            entries = [entry.partition(b"\n")[0].split() for entry in self.client.lrange(lane.jobs, 0, -1)]
            assert float(self.client.hget(lane.state, "tokens") or 0) == sum(int(label[1]) + 500 for label in entries)
            assert self.client.hget(lane.state, "head") == b" ".join(entries[-1])
        for name, count in per_meter.items():
            assert int(self.client.hget(f"byom:lanes:meter:{name}", "lanes") or 0) == count

    @invariant()
    def each_lane_goes_waits_or_is_paused(self) -> None:
        paused = {field.decode() for field in self.client.hkeys("byom:lanes:paused")}
        due = {who.decode() for who in self.client.zrange("byom:lanes:due:q", 0, -1)}
        patient = {who.decode() for who in self.client.zrange("byom:lanes:deadlines:q", 0, -1)}
        asked = {name.decode() for c in CLASSES for name in self.client.zrange(f"byom:lanes:meters:q\t{c}", 0, -1)}
        going: dict[str, bool] = {}
        known = {str(lane) for lane in self.bench.lanes.names()}
        assert known >= {who.removeprefix("lane\t") for who in due if who.startswith("lane\t")} | patient
        for lane in self.bench.lanes.names():
            goes = self.client.zscore(f"byom:lanes:ready:{lane.meter_name}", str(lane)) is not None
            held = f"lane\t{lane}" in due or f"{lane.project}\t{lane.priority}\t" in paused
            assert goes is not held
            assert (str(lane) in patient) is (self.client.hget(lane.state, "still") is None)
            going[lane.meter_name] = going.get(lane.meter_name, False) or goes
        assert asked == {name for name, goes in going.items() if goes and f"meter\t{name}" not in due}

    def teardown(self) -> None:
        """When nothing stands in the way any more, every job comes out, and nothing stays behind."""
        for project in PROJECTS:
            self.bench.lanes.resume(project=project)
        for _ in range(1_000):
            if not self.waiting and not self.bench.kept() - {"byom:lanes:weights"}:
                break
            fetched = self.bench.fetch()
            if fetched is None:
                self.bench.pass_time(10)
            else:
                self.waiting.remove(fetched.name)
                self.bench.ack(fetched)
        assert not self.waiting
        assert not self.bench.kept() - {"byom:lanes:weights"}

    def _back(self, fetched: Fetched) -> None:
        self.in_hand.remove(fetched.name)
        self.waiting.add(fetched.name)

    @staticmethod
    def _names(entry: bytes) -> list[str]:
        return [entry.partition(b"\n")[0].split()[-1].decode().replace("-", "/")]


def test_each_job_is_in_one_place_whatever_happens(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    class OnValkey(Lanes):
        client = valkey_client

    run_state_machine_as_test(
        OnValkey,
        settings=settings(
            # Making a failing example small would take minutes, on a server that is asked for real.
            phases=[Phase.generate],
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_name_in_redis_is_read_back() -> None:
    lane = LaneName("q", "live", "a/inc", "/keys/inc#m", "acme")

    assert LaneName.parse(str(lane)) == lane
