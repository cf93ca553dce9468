"""What changes while jobs wait: limits, providers that fail and come back, budgets. On real workers."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterable
from decimal import Decimal

import pytest

from benchmarks import scenes
from benchmarks.ground import ROOT, Ground, jobs, wait_for
from config.connections import effective_chain
from tasks.contract import ExtractionFailed, ExtractionResult, FailureCode
from workers.admission import MeterState, Reason
from workers.admission.control import Meters
from workers.alerts import AlertKind
from workers.embedded.simulator import FaultRule, Injection, fingerprint
from workers.notify.reading import EventReader

pytestmark = pytest.mark.integration

#: `--log-cli-level=INFO` shows what was measured.
_log = logging.getLogger(__name__)


def byom(ground: Ground, *arguments: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments],
        cwd=ROOT,
        env=ground.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts(ground: Ground, project: str) -> list[str]:
    """Kinds of the alerts about a project, oldest first."""
    kept = [event for event in EventReader(ground.client).kept() if event.project == project]
    return [str(event.type) for event in kept if str(event.type) in set(AlertKind)]


def meter(ground: Ground, project: str) -> MeterState:
    """What stands of the only connection of a project."""
    [state] = Meters(ground.client).read(effective_chain(ground.store, project))
    return state


def cost(results: Iterable[ExtractionResult]) -> Decimal:
    """USD of all of them."""
    return sum((Decimal(result.usage.cost_usd or 0) for result in results), Decimal(0))


def calls_of_worker(ground: Ground, number: int, project: str, *, since: float, until: float) -> int:
    """Calls that one worker made for a project in a span of time, by its log."""
    lines = [json.loads(line) for line in ground.log(number).read_text().splitlines() if line.startswith("{")]
    attempts = [line for line in lines if line["event"] == "attempt" and line["project"] == project]
    return sum(since <= scenes.moment(line["started_at"]) < until for line in attempts)


def test_a_limit_that_is_raised_or_lowered_holds_on_both_workers_within_a_second(two_workers: Ground) -> None:
    def calls(since: float, seconds: float) -> list[int]:
        wait_for(lambda: time.time() > since + seconds + 0.5)
        return [
            calls_of_worker(two_workers, number, "adjusted", since=since, until=since + seconds) for number in (0, 1)
        ]

    two_workers.configure("adjusted", rpm_capacity=20, tpm_capacity=1_000_000)
    two_workers.warm_up("adjusted", 6)
    with two_workers.producer() as producer:
        for _ in producer.enqueue_many(jobs("adjusted", 800)):
            pass
    # All that could be taken at once was taken, and is answered: from now on calls come as the bucket fills.
    wait_for(
        lambda: (
            sum(calls_of_worker(two_workers, number, "adjusted", since=0, until=time.time()) for number in (0, 1)) >= 20
        )
    )
    began = time.time()
    slow = calls(began, 2)

    byom(two_workers, "limits", "set", "-p", "adjusted", "-c", "primary", "--rpm", "600")
    raised = calls(time.time() + 1, 2)

    byom(two_workers, "limits", "set", "-p", "adjusted", "-c", "primary", "--rpm", "60")
    lowered = calls(time.time() + 1, 2)

    assert two_workers.lanes.waiting("adjusted") > 0
    two_workers.drain()
    assert sum(slow) <= 2
    # Ten a second, on both.
    assert sum(raised) >= 12
    assert min(raised) > 0
    assert sum(lowered) <= 4


def test_jobs_get_to_the_fallback_fast_when_the_primary_fails(two_workers: Ground) -> None:
    found = scenes.fail_over(two_workers, "failing", count=20)

    _log.info("%s", found)
    assert found.first_success <= 2
    # The benchmark shows what a machine of its own takes; two busy cores add to that.
    assert found.handed_over_p50 <= 0.1


def test_a_breaker_opens_tries_once_closes_and_ramps_up(two_workers: Ground) -> None:
    key = two_workers.configure("broken", tpm_capacity=60_000, tpm_refill_per_second=1_000)
    two_workers.warm_up("broken", 3)
    rule = two_workers.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503, key=fingerprint(key)))
    with two_workers.producer() as producer:
        handles = list(producer.enqueue_many(jobs("broken", 10)))
        wait_for(lambda: "byom.breaker_opened" in alerts(two_workers, "broken"))
        two_workers.simulator.clear_faults(rule)
        opened = meter(two_workers, "broken")
        wait_for(lambda: "byom.breaker_closed" in alerts(two_workers, "broken"), every=0.01)
        closed = meter(two_workers, "broken")
        results = [handle.result(timeout=30) for handle in handles]

    assert (opened.breaker, opened.blocked_by) == ("open", Reason.BREAKER)
    assert closed.breaker == "closed"
    assert closed.tokens is not None
    assert 0 < closed.tokens.learned_per_minute < 60_000
    assert len(results) == 10
    calls = two_workers.calls("broken")[3:]
    failed = [call.time for call in calls if not call.served]
    probe, second, *_ = [call.time for call in calls if call.served]
    assert len(failed) <= 30
    assert probe - max(failed) >= 4.5, "nothing is called while the breaker is open"
    # The simulated model takes 0.2 s at least.
    assert second - probe >= 0.2, "one call alone tries the connection"
    assert alerts(two_workers, "broken") == ["byom.breaker_opened", "byom.breaker_closed"]


def test_a_spend_cap_pauses_jobs_until_it_is_raised(two_workers: Ground) -> None:
    two_workers.configure("thrifty", tpm_capacity=1_000_000)
    with two_workers.producer() as producer:
        first = [handle.result(timeout=30) for handle in list(producer.enqueue_many(jobs("thrifty", 8)))]
        spent = cost(first)
        cap = round(spent * Decimal("1.6"), 6)
        byom(two_workers, "project", "set", "--project", "thrifty", "--spend-cap-day", f"{cap:f}")
        handles = list(producer.enqueue_many(jobs("thrifty", 12)))

        wait_for(lambda: "budget_paused" in [handle.state() for handle in handles])
        wait_for(lambda: not two_workers.client.exists("byom.unacked"))
        states = [handle.state() for handle in handles]
        waiting = two_workers.lanes.waiting("thrifty")
        byom(two_workers, "project", "set", "--project", "thrifty", "--spend-cap-day", "100")
        results = [handle.result(timeout=30) for handle in handles]

    assert 0 < waiting == 12 - states.count("succeeded") < 12
    assert len(results) == 12
    done = [result for result, state in zip(results, states, strict=True) if state == "succeeded"]
    assert spent + cost(done) <= cap
    assert alerts(two_workers, "thrifty")[-1] == "byom.budget_paused"


def test_a_spend_cap_fails_jobs_where_the_project_wants_that(two_workers: Ground) -> None:
    two_workers.configure("strict", profile={"spend_cap_day_usd": "0.000001", "on_spend_cap": "fail"})

    with two_workers.producer() as producer, pytest.raises(ExtractionFailed, match="a spend cap is reached") as failed:
        producer.enqueue(next(jobs("strict", 1))).result(timeout=30)

    assert failed.value.code is FailureCode.BUDGET_EXCEEDED
    assert two_workers.calls("strict") == []
