"""A usage record tells how long its job waited, and how urgent the job was."""

from tests.unit.engine.conftest import Bench
from workers.engine.delivery import Delivery


async def test_the_wait_in_the_lane_and_the_priority_are_recorded(bench: Bench) -> None:
    await bench.run(delivery=Delivery(waited=1.2345))

    assert [(record.queue_wait_ms, record.priority) for record in bench.jobs.records] == [(1_234, "live")]
