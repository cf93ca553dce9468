"""Handles: where a job is, how it ended, and waiting for many."""

import pytest
import redis

from tasks.contract import ExtractionFailed, FailureCode, JobRefused
from tests.unit.handles.conftest import Scripted, names
from workers.handles import JobHandle, as_completed, wait, watch
from workers.handles.watch import Watch
from workers.task.extraction_body import BUDGET_PAUSED, WAITING


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        ("RECEIVED", "queued"),
        ("STARTED", "running"),
        (WAITING, "waiting"),
        (BUDGET_PAUSED, "budget_paused"),
        ("SOMETHING_NEW", "something_new"),
    ],
)
def test_a_job_that_has_not_ended_says_where_it_is(results: Scripted, stored: str, state: str) -> None:
    results.store("j", stored, {})
    [handle] = results.handles("j")

    assert (handle.state(), handle.done()) == (state, False)


def test_a_job_of_which_nothing_is_known_is_pending(results: Scripted) -> None:
    [handle] = results.handles("j")

    assert (handle.state(), handle.done()) == ("pending", False)


def test_a_job_that_ended_well_has_a_typed_result_and_is_not_asked_for_again(results: Scripted) -> None:
    results.succeed("j")
    [handle] = results.handles("j")

    assert (handle.result(timeout=0).job_id, handle.state(), handle.done()) == ("j", "succeeded", True)
    assert handle.exception() is None
    assert results.looks == 1


def test_a_job_that_failed_raises_why(results: Scripted) -> None:
    results.fail("j")
    [handle] = results.handles("j")

    with pytest.raises(ExtractionFailed, match="it failed") as failed:
        handle.result(timeout=5)
    assert failed.value.code is FailureCode.PROVIDER_UNAVAILABLE
    assert (handle.state(), handle.exception()) == ("failed", failed.value)


def test_a_job_that_was_refused_raises_why(results: Scripted) -> None:
    results.fail("j", "JobRefused")

    with pytest.raises(JobRefused, match="it failed"):
        results.handles("j")[0].result(timeout=5)


def test_an_end_that_is_none_of_ours_is_an_internal_failure(results: Scripted) -> None:
    results.store(
        "j", "REVOKED", {"exc_type": "TaskRevokedError", "exc_module": "celery.exceptions", "exc_message": []}
    )
    [handle] = results.handles("j")

    with pytest.raises(ExtractionFailed, match="job j ended with TaskRevokedError") as failed:
        handle.result(timeout=5)
    assert (failed.value.code, handle.state()) == (FailureCode.INTERNAL, "failed")


def test_a_job_that_does_not_end_in_time_says_how_to_ask_again(results: Scripted) -> None:
    with pytest.raises(TimeoutError, match=r"job j has not ended after 0\.01 s; .*byom result j"):
        results.handles("j")[0].result(timeout=0.01)


def test_jobs_come_in_the_order_in_which_they_end(results: Scripted) -> None:
    results.script = [
        lambda: None,
        lambda: results.store("c", "STARTED", {}),
        lambda: results.succeed("c"),
        lambda: results.fail("a"),
        lambda: results.succeed("b"),
    ]

    assert names(list(as_completed(results.handles("a", "b", "c"), timeout=60))) == ["c", "a", "b"]
    # Nobody is asked for after the end.
    assert dict(results.asked) == {"a": 4, "b": 5, "c": 3}


def test_those_that_have_ended_already_come_at_once_and_unasked(results: Scripted) -> None:
    results.succeed("a")
    [known, open_] = results.handles("a", "b")
    known.result(timeout=5)
    looks = results.looks

    assert next(as_completed([known, open_], timeout=0)) is known
    assert results.asked["a"] == looks


def test_waiting_says_what_has_ended_and_what_has_not(results: Scripted) -> None:
    results.script = [lambda: results.succeed("b")]
    handles = results.handles("a", "b", "c")

    done, not_done = wait(handles, timeout=0.05)

    assert (done, not_done) == ([handles[1]], [handles[0], handles[2]])


def test_a_timeout_of_nothing_looks_once(results: Scripted) -> None:
    results.succeed("a")

    assert names(wait(results.handles("a", "b"), timeout=0).done) == ["a"]
    assert results.looks == 1


def test_running_out_of_time_says_how_many_are_left(results: Scripted) -> None:
    results.succeed("b")
    handles = as_completed(results.handles("a", "b", "c"), timeout=0.02)

    assert next(handles).id == "b"
    with pytest.raises(TimeoutError, match=r"2 jobs have not ended after 0\.02 s"):
        next(handles)


def test_several_handles_of_one_job_end_together(results: Scripted) -> None:
    results.succeed("a")

    assert names(wait(results.handles("a", "a"), timeout=5).done) == ["a", "a"]


def test_thousands_of_jobs_are_asked_for_by_a_few_commands(results: Scripted) -> None:
    commands: list[int] = []
    asked = results.server.mget

    def mget(keys: list[bytes]) -> object:
        commands.append(len(keys))
        return asked(keys)

    results.server.mget = mget  # type: ignore[method-assign, assignment]
    results.succeed(*(f"j{number}" for number in range(1_200)))

    assert len(wait(results.handles(*(f"j{number}" for number in range(1_200))), timeout=60).done) == 1_200
    assert commands == [500, 500, 200]


def test_jobs_of_two_result_stores_are_waited_for_together(results: Scripted) -> None:
    other = Scripted()
    results.succeed("a")
    other.script = [lambda: None, lambda: other.succeed("a")]

    handles = [*results.handles("a"), *other.handles("a")]

    assert list(as_completed(handles, timeout=60)) == handles


def test_looks_grow_apart_while_nothing_ends_and_come_close_again(results: Scripted) -> None:
    look = Watch(results.handles("a", "b"))
    pauses = []
    for _ in range(12):
        look.look()
        pauses.append(look.pause)
    results.succeed("a")

    assert [handle.id for handle in look.look()] == ["a"]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= watch._LONGEST
    assert look.pause < pauses[-1]


def away() -> None:
    raise redis.ConnectionError("away")


def test_a_result_store_that_is_away_for_a_while_is_waited_for(results: Scripted) -> None:
    results.script = [away, away, lambda: results.succeed("a")]

    assert names(list(as_completed(results.handles("a"), timeout=60))) == ["a"]


def test_a_result_store_that_stays_away_is_an_error(results: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_OUTAGE", 0.0)
    results.script = [away] * 100

    with pytest.raises(redis.ConnectionError):
        wait(results.handles("a"), timeout=60)


def test_nothing_to_wait_for_takes_no_time(results: Scripted) -> None:
    assert (wait([]), list(as_completed([]))) == (([], []), [])
    assert results.looks == 0


def test_a_handle_shows_its_id_only(results: Scripted) -> None:
    assert repr(JobHandle("j", results)) == "<JobHandle j>"
