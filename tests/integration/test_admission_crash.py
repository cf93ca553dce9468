"""A worker dies with leases in its hands: what it had set aside comes back, and nothing is lost or paid for at will."""

import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks.ground import Ground, ground, jobs, wait_for
from config.connections import effective_chain
from tasks.contract import JobStatus
from workers.admission import MeterState
from workers.admission.control import Meters
from workers.embedded.simulator import Latency

pytestmark = pytest.mark.integration

#: Seconds of the longest call, and those that the lease of a call lasts.
CALL = 2
LEASE = CALL + 10


@pytest.fixture
def own_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    short = {"BYOM_CALL_TIMEOUT": str(CALL), "BYOM_VISIBILITY_TIMEOUT": "10", "BYOM_CONCURRENCY": "8"}
    with ground(tmp_path_factory.mktemp("crash"), latency=Latency.fixed(1), extra=short) as place:
        yield place


def meter(place: Ground, project: str) -> MeterState:
    """What stands of the only connection of a project."""
    [state] = Meters(place.client).read(effective_chain(place.store, project))
    return state


def test_a_killed_workers_reservations_run_out_and_only_what_was_in_flight_is_called_again(own_ground: Ground) -> None:
    key = own_ground.configure("killed", tpm_capacity=1_000_000, max_concurrency=20)
    first = own_ground.start_worker()
    with own_ground.producer() as producer:
        handles = list(producer.enqueue_many(jobs("killed", 30)))
        wait_for(lambda: own_ground.served(key) >= 8, every=0.01)
        # Nobody takes up anything while it is watched how the leases run out.
        own_ground.lanes.pause(project="killed")
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=10)
        killed = time.monotonic()
        held = meter(own_ground, "killed")
        own_ground.start_worker()

        wait_for(lambda: meter(own_ground, "killed").in_flight == 0, seconds=60, every=0.2)
        freed_after = time.monotonic() - killed
        freed = meter(own_ground, "killed")
        own_ground.lanes.resume(project="killed")
        results = [handle.result(timeout=60) for handle in handles]

    assert held.in_flight > 0
    assert held.reserved_tokens > 0
    assert (freed.in_flight, freed.reserved_tokens, freed.reserved_requests) == (0, 0, 0)
    assert freed_after <= LEASE + 2
    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    times_called = Counter(call.tags["job"] for call in own_ground.calls("killed"))
    assert times_called.keys() == {handle.id for handle in handles}
    again = [job for job, times in times_called.items() if times > 1]
    assert set(times_called.values()) <= {1, 2}
    assert len(again) <= 8
