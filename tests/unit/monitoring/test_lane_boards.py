"""One suite for all lane boards, and what only the real one can show."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.integration.support.lanes import LaneBench
from workers.lanes.views import LaneView, Pause
from workers.monitoring.pool.lanes import LaneBoard, MemoryLanes
from workers.monitoring.pool.redis_lanes import RedisLanes

#: Project, priority, queue, and jobs.
WAITING = (
    ("acme", "live", "extract.openai", 2),
    ("acme", "backfill", "extract.gemini", 3),
    ("globex", "live", "extract.openai", 1),
)

Row = tuple[str, str, str, int]


def in_memory(_request: pytest.FixtureRequest) -> LaneBoard:
    return MemoryLanes(
        LaneView(
            queue=queue,
            priority=priority,
            tenant=f"p/{project}",
            meter=f"/keys/{project}#m",
            project=project,
            connection="primary",
            depth=depth,
            tokens=1_000 * depth,
            oldest_age=1.0,
            next_release=0.0,
            why=None,
            paused=False,
            weight=1.0,
        )
        for project, priority, queue, depth in sorted(WAITING)
    )


def on_redis(request: pytest.FixtureRequest) -> LaneBoard:
    client: redis.Redis = request.getfixturevalue("valkey_client")
    bench = LaneBench(client)
    bench.now = time.time()
    for project, priority, queue, depth in WAITING:
        bench.put_many(depth, project, priority=priority, queue=queue)
    return RedisLanes(client)


@pytest.fixture(params=[in_memory, on_redis], ids=["memory", "redis"])
def board(request: pytest.FixtureRequest) -> LaneBoard:
    make: Callable[[pytest.FixtureRequest], LaneBoard] = request.param
    return make(request)


def seen(board: LaneBoard, what: Callable[[LaneView], Any]) -> dict[Row, Any]:
    return {(lane.project, lane.priority, lane.queue, lane.depth): what(lane) for lane in board.lanes()}


def paused(board: LaneBoard) -> set[Row]:
    return {row for row, is_paused in seen(board, lambda lane: lane.paused).items() if is_paused}


def test_all_lanes_are_there_with_what_waits_in_them(board: LaneBoard) -> None:
    assert set(seen(board, lambda _: None)) == set(WAITING)
    assert set(seen(board, lambda lane: (lane.tokens // lane.depth, lane.weight, lane.why)).values()) == {
        (1_000, 1.0, None)
    }


def test_a_project_is_paused_on_one_queue_in_one_class_or_everywhere(board: LaneBoard) -> None:
    board.pause(project="acme", priority="live", queue="extract.openai")
    assert paused(board) == {WAITING[0]}
    assert board.pauses() == [Pause(project="acme", priority="live", queue="extract.openai")]

    board.pause(project="acme")
    assert paused(board) == {WAITING[0], WAITING[1]}
    assert {lane.why for lane in board.lanes() if lane.paused} == {"paused"}

    board.resume(project="acme")
    assert paused(board) == set()
    assert list(board.pauses()) == []


def test_resuming_one_class_leaves_the_other_paused(board: LaneBoard) -> None:
    board.pause(project="acme")
    board.pause(project="globex", priority="live")

    board.resume(project="acme", priority="live")

    assert paused(board) == {WAITING[1], WAITING[2]}
    assert sorted(board.pauses(), key=str) == [
        Pause(project="acme", priority="backfill", queue=None),
        Pause(project="globex", priority="live", queue=None),
    ]


def test_pausing_twice_is_pausing_once(board: LaneBoard) -> None:
    board.pause(project="acme", priority="live")
    board.pause(project="acme", priority="live")
    assert len(board.pauses()) == 1

    board.resume(project="acme", priority="live")
    assert list(board.pauses()) == []


def test_what_is_paused_need_not_exist_yet(board: LaneBoard) -> None:
    board.pause(project="tomorrow", priority="live")

    assert paused(board) == set()
    assert [pause.project for pause in board.pauses()] == ["tomorrow"]


def test_a_weight_is_a_projects(board: LaneBoard) -> None:
    board.weight("acme", 2.5)

    assert {(lane.project, lane.weight) for lane in board.lanes()} == {("acme", 2.5), ("globex", 1.0)}


@pytest.mark.parametrize("weight", [0, -1, 1_001, float("nan"), float("inf")])
def test_a_weight_has_bounds(board: LaneBoard, weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        board.weight("acme", weight)


def test_waking_what_does_not_wait_ends_nothing(board: LaneBoard) -> None:
    assert board.wake(project="acme") == 0


def test_a_lane_that_waits_says_why_and_for_how_long_until_it_is_woken(valkey_client: redis.Redis) -> None:
    bench = LaneBench(valkey_client)
    bench.now = time.time()
    bench.put("acme")
    assert bench.park(bench.take(), 600, reason="retry_after")
    board = RedisLanes(valkey_client)

    (lane,) = board.lanes()
    ended = board.wake(project="acme")
    (woken,) = board.lanes()

    assert lane.why == "retry_after"
    assert lane.next_release is not None
    assert 500 < lane.next_release <= 600
    assert ended >= 1
    assert (woken.why, woken.next_release) == (None, 0)
