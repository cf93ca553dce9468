"""What a driver does step by step, with a world of its own making."""

from dataclasses import replace

from tasks.contract import EpisodeResult, ExtractionJob, Failure, FailureCode, JobStatus, Role
from tests.backfill import attempt, entry, failure, success, text_of
from tests.unit.backfill.scene import DAY, Scene, entries, until_idle
from workers.backfill.driver import LET_GO, LOOK, ROOM
from workers.backfill.entries import BadLine, Entry
from workers.backfill.ports import NoRoom, Refused
from workers.backfill.state import Phase
from workers.jobs import Ending


def test_no_more_is_in_flight_than_the_window_allows() -> None:
    scene = Scene(entries(30), window=7)
    driver = scene.driver()

    until_idle(driver)
    assert (driver.in_flight, len(scene.broker.sent)) == (7, 7)

    scene.end(1, 5)
    until_idle(driver)
    assert (driver.in_flight, len(scene.broker.sent)) == (7, 9)
    assert scene.written() == [1, 5]

    scene.state.change(Phase.RUNNING, after=[Phase.RUNNING], window=20)
    until_idle(driver)
    assert driver.in_flight == 20


def test_all_is_told_once_when_all_is_done() -> None:
    scene = Scene([*entries(3), entry(4, "line 1"), BadLine(number=5, problems=["not JSON"])])
    driver = scene.driver()
    until_idle(driver)
    assert not scene.told

    scene.end(3, 1)
    scene.end(2, ending=failure(scene.job(2)))
    assert until_idle(driver).over

    [told] = scene.told
    assert told.in_flight == 0
    snapshot = scene.state.load()
    assert snapshot.over
    assert snapshot.sums == {
        "lines": 5,
        "duplicates": 1,
        "invalid": 1,
        "jobs": 3,
        "succeeded": 2,
        "failed": 1,
        "code:content_refused": 1,
        "attempts": 3,
        "input": 300,
        "cached_input": 60,
        "output": 90,
        "pico": 3 * 10**9,
    } | {name: 0 for name in snapshot.sums if not snapshot.sums[name]}
    assert scene.sink.finished == 1
    assert driver.step().over
    assert len(scene.told) == 1


def test_what_could_not_be_done_says_why_in_the_sink() -> None:
    scene = Scene([entry(1), BadLine(number=2, problems=["content: is empty"]), entry(3)])
    refused = Refused(Failure(code=FailureCode.INVALID_JOB, message="callback_url: is private"))
    scene.broker.answers[scene.job(3)] = refused
    driver = scene.driver()
    until_idle(driver)
    scene.end(1, ending=failure(scene.job(1)))
    assert until_idle(driver).over

    rows = {row["line"]: row for row in scene.sink.rows}
    assert rows[1]["status"] == "failed"
    assert rows[1]["failure"]["code"] == "content_refused"
    assert (rows[2]["status"], rows[2]["id"], rows[2]["episode_ids"]) == ("invalid", None, [])
    assert "content: is empty" in rows[2]["failure"]["message"]
    assert rows[3]["failure"]["message"] == "callback_url: is private"


def test_on_request_the_sink_has_the_order_of_the_file() -> None:
    scene = Scene([*entries(3), BadLine(number=4, problems=["x"]), entry(5)], fields={"ordered": True})
    driver = scene.driver()
    until_idle(driver)
    scene.end(5, 3, 2)
    until_idle(driver)
    assert scene.written() == []

    scene.end(1)
    assert until_idle(driver).over
    assert scene.written() == [1, 2, 3, 4, 5]


def test_what_an_operator_ended_past_the_inbox_is_found_in_the_result_backend() -> None:
    scene = Scene(entries(2))
    driver = scene.driver()
    until_idle(driver)
    revoked = Ending(failure=Failure(code=FailureCode.CANCELLED, message="revoked"))
    scene.results.known = {scene.job(1): text_of(revoked), scene.job(2): None}
    until_idle(driver)
    assert scene.written() == []

    scene.clock.seconds += LOOK
    driver.step()

    assert scene.written() == [1]
    assert scene.state.load().sums["cancelled"] == 1


def test_a_job_of_which_nothing_is_known_any_more_runs_again_and_that_is_said() -> None:
    scene = Scene(entries(2))
    until_idle(scene.driver())
    scene.clock.seconds += DAY + 1
    scene.results.known = {scene.job(2): None}

    driver = scene.driver("you")
    driver.step()

    assert scene.broker.sent == [scene.job(1), scene.job(2), scene.job(1)]
    assert scene.state.load().sums["rerun"] == 1
    scene.clock.seconds += LOOK
    until_idle(driver)
    assert scene.state.load().sums["rerun"] == 1


def test_what_runs_again_is_not_read_again() -> None:
    scene = Scene(entries(3))
    driver = scene.driver()
    until_idle(driver)
    scene.end(2, 3)
    until_idle(driver)
    scene.clock.seconds += DAY + 1
    driver.step()
    assert scene.broker.sent.count(scene.job(1)) == 2

    scene.clock.seconds += 20
    following = scene.driver("you")
    scene.end(1)
    assert until_idle(following).over
    sums = scene.state.load().sums
    assert (sums["lines"], sums["succeeded"], sums.get("duplicates", 0)) == (3, 3, 0)


def test_results_are_let_go_of_once_they_are_in_the_sink_and_their_worker_is_done() -> None:
    scene = Scene(entries(4), fields={"out": "/data/out.jsonl"})
    driver = scene.driver()
    until_idle(driver)
    scene.end(1)
    # What may be replayed is needed for that.
    scene.end(2, ending=failure(scene.job(2)))
    scene.end(4, ending=success(scene.job(4), status=JobStatus.PARTIAL))
    until_idle(driver)
    assert scene.results.forgotten == []

    scene.clock.seconds += LET_GO
    driver.step()
    assert scene.results.forgotten == [scene.job(1)]

    scene.end(3)
    assert until_idle(driver).over
    assert scene.results.forgotten == [scene.job(1), scene.job(3)]


def test_results_stay_where_they_are_without_a_sink() -> None:
    scene = Scene(entries(1))
    driver = scene.driver()
    until_idle(driver)
    scene.end(1)
    assert until_idle(driver).over

    assert scene.results.forgotten == []


def test_a_job_that_may_be_there_twice_keeps_its_result() -> None:
    scene = Scene(entries(2), fields={"out": "/data/out.jsonl"})
    until_idle(scene.driver())
    kept = scene.backfills._kept["archive"]
    kept.flights[scene.job(1)] = replace(kept.flights[scene.job(1)], published=False)
    scene.clock.seconds += 20
    driver = scene.driver("you")
    until_idle(driver)
    assert scene.broker.sent.count(scene.job(1)) == 2

    scene.end(1, 2)
    assert until_idle(driver).over
    assert scene.results.forgotten == [scene.job(2)]


def test_a_job_that_shows_a_sign_of_life_is_not_published_again() -> None:
    scene = Scene(entries(3))
    until_idle(scene.driver())
    kept = scene.backfills._kept["archive"]
    kept.flights = {job: replace(flight, published=False) for job, flight in kept.flights.items()}
    scene.results.known = {scene.job(1): None}
    scene.end(2)
    scene.clock.seconds += 20

    until_idle(scene.driver("you"))

    assert [scene.broker.sent.count(scene.job(number)) for number in (1, 2, 3)] == [1, 1, 2]


def test_jobs_without_room_are_sent_again_later() -> None:
    scene = Scene(entries(2))
    scene.broker.answers[scene.job(2)] = NoRoom()
    driver = scene.driver()
    until_idle(driver)
    scene.broker.answers.clear()
    driver.step()
    assert scene.broker.sent == [scene.job(1)]

    scene.clock.seconds += ROOM
    driver.step()
    assert scene.broker.sent == [scene.job(1), scene.job(2)]


def packed(number: int, text: str) -> Entry:
    line = entry(number, text)
    return replace(line, job=ExtractionJob.model_validate({**line.job.model_dump(), "pack_tokens": 200}))


def test_small_neighbours_share_a_job_and_each_line_gets_what_is_its_own() -> None:
    scene = Scene([packed(1, "one"), packed(2, "two"), BadLine(number=3, problems=["x"]), packed(4, "four")])
    scene.lines = [*scene.lines, packed(5, "one"), packed(6, "six")]
    driver = scene.driver()
    until_idle(driver)
    assert [[episode.id for episode in scene.broker.jobs[job].episodes] for job in scene.broker.sent] == [
        ["e1", "e2"],
        ["e4", "e6"],
    ]
    assert driver.in_flight == 4
    shared, other = scene.broker.sent
    refusal = Failure(code=FailureCode.CONTENT_REFUSED, message="no", episode_id="e2")
    result = success(shared, attempt(shared, role=Role.FALLBACK), status=JobStatus.PARTIAL).result
    assert result is not None
    episodes = [EpisodeResult(episode_id="e1"), EpisodeResult(episode_id="e2", failure=refusal)]
    scene.state.put(shared, text_of(Ending(result=result.model_copy(update={"episodes": episodes}))))
    scene.state.put(other, text_of(failure(other)))
    assert until_idle(driver).over

    rows = {row["line"]: row for row in scene.sink.rows}
    assert {number: row["status"] for number, row in rows.items()} == {
        1: "succeeded",
        2: "failed",
        3: "invalid",
        4: "failed",
        6: "failed",
    }
    assert [episode["episode_id"] for episode in rows[1]["result"]["episodes"]] == ["e1"]
    assert rows[1]["result"]["usage"]["attempts"] == 1
    assert rows[2]["failure"]["code"] == "content_refused"
    assert [len(rows[number]["failure"]["attempts"]) for number in (2, 4, 6)] == [0, 1, 0]
    sums = scene.state.load().sums
    assert (sums["jobs"], sums["attempts"], sums["fallbacks"], sums["pico"]) == (2, 2, 1, 2 * 10**9)
    assert (sums["succeeded"], sums["failed"], sums["duplicates"], sums["code:content_refused"]) == (1, 3, 1, 3)


def test_a_shared_job_is_the_same_when_it_is_published_again() -> None:
    scene = Scene([packed(number, f"text {number}") for number in range(1, 6)], batch=3)
    driver = scene.driver()
    until_idle(driver)
    before = {job: scene.broker.jobs[job] for job in scene.broker.sent}
    kept = scene.backfills._kept["archive"]
    kept.flights = {job: replace(flight, published=False) for job, flight in kept.flights.items()}
    scene.broker.sent.clear()
    scene.broker.jobs.clear()
    scene.clock.seconds += 20

    until_idle(scene.driver("you"))

    assert len(before) == 2
    assert scene.broker.jobs == before
