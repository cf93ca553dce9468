"""Who is let in when limits are scarce: real workers, and the simulated vendor's own meter as the judge."""

import logging

import pytest

from benchmarks import scenes
from benchmarks.ground import Ground, jobs, wait_for

pytestmark = pytest.mark.integration

#: `--log-cli-level=INFO` shows what was measured.
_log = logging.getLogger(__name__)


def test_two_workers_use_up_what_one_credential_grants_and_never_more(two_workers: Ground) -> None:
    found = scenes.saturate(two_workers, "saturated", seconds=8, capacity=20_000, refill=15_000)

    _log.info("%s", found)
    # `python -m benchmarks run --only quota` asks for 97 %; here other tests take the processors.
    assert found.used > 0.5
    assert (found.refused, found.offered_excess, found.served_excess) == (0, 0, 0)


def test_equal_weights_get_equal_shares_of_one_credential_and_weight_three_gets_three_times_as_much(
    two_workers: Ground,
) -> None:
    found = scenes.shares(two_workers, "sharing", {"one": 1, "other": 1, "heavy": 3}, calls=600, refill=60_000)

    # What two busy workers have in hand when the last call is counted is a handful either way.
    assert found == {
        "one": pytest.approx(0.2, rel=0.08),
        "other": pytest.approx(0.2, rel=0.08),
        "heavy": pytest.approx(0.6, rel=0.05),
    }


def test_a_quiet_project_hardly_waits_beside_the_flood_of_another(two_workers: Ground) -> None:
    found = scenes.beside_flood(two_workers, "flood", flood=5_000, quiet=25)

    assert found["left"] > 4_000, "a flood that is over says nothing"
    assert found["own"] < 2
    assert found["same"] < 2


def test_a_backlog_of_a_slow_credential_slows_nobody_and_sits_in_no_worker(two_workers: Ground) -> None:
    found = scenes.slow_credential(two_workers, "requests", backlog=2_000)

    # On a machine that is busy with other things it may take longer in any case.
    assert found.beside < max(2, 2 * found.alone)
    assert found.in_workers == 0
    # Ten at once, and one more every six seconds.
    assert found.called <= 20
    assert found.waiting == 2_000 - found.called


def test_live_jobs_go_before_backfill_which_keeps_its_floor(two_workers: Ground) -> None:
    two_workers.configure("classes", tpm_capacity=20_000, tpm_refill_per_second=40_000)
    two_workers.warm_up("classes", 10)
    two_workers.lanes.pause(project="classes")
    with two_workers.producer() as producer:
        for priority, count in (("backfill", 150), ("live", 120)):
            job_fields = {"priority": priority, "labels": {"class": priority}}
            for _ in producer.enqueue_many(jobs("classes", count, **job_fields)):
                pass
    two_workers.fresh_books()
    two_workers.lanes.resume(project="classes")

    wait_for(lambda: two_workers.books().served >= 200)

    two_workers.drain()
    classes = [call.tags["class"] for call in two_workers.calls("classes")]
    # One in twenty; what the two workers fetch at the same moment arrives in any order.
    assert 3 <= classes[:100].count("backfill") <= 8
    # Live jobs are done soon, and backfill has it all.
    assert classes[140:200].count("live") == 0
