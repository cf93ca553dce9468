"""Jobs that are tried alone: who is, in what, and what the death of a child, or of all around it, says."""

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import cast

import fakeredis
import pytest
import redis

from config.errors import StoreError
from tasks.contract import ExtractionJob, Failure, FailureCode, ProviderKind, Role, parse_job
from tests.integration.support.pool import wait_until
from workers.admission import Reason
from workers.engine.delivery import Delivery
from workers.engine.engine import Collect, HandOff, Outcome, Park
from workers.engine.routing import Route
from workers.jobs import Ending
from workers.lanes.header import LaneHeader
from workers.monitoring.metrics.series import Counted
from workers.runtime import Runtime
from workers.solitary import child
from workers.solitary.cells import Cells, ChildDied, NoChild
from workers.solitary.frames import Answer, Errand, receive, send
from workers.solitary.marks import Marks
from workers.solitary.trial import FailedAlone, Trials
from workers.tracing import NO_TRACING

ROUTE = Route(connection="primary", provider=ProviderKind.OPENAI, model="m", role=Role.PRIMARY, replays=1)
JOB = parse_job({"project": "acme", "episodes": [{"id": "e", "content": "said"}]})
ENDED = Ending(failure=Failure(code=FailureCode.INTERNAL, message="it ended"))
PARK = Park(reason=Reason.TOKENS, seconds=2.5)
LANE = LaneHeader(meter="m", tenant="t", project="acme", priority="live", input=1, calls=1, patience=5.0)

#: A child that speaks as the real one does, without all that the real one needs. What it does is the job's id.
CHILD = textwrap.dedent("""
    import json, os, struct, sys
    from pathlib import Path

    def say(**document):
        text = json.dumps(document).encode()
        os.write(1, struct.pack(">I", len(text)) + text)

    COUNTED = {"metric": "byom_jobs_total", "labels": ["failed", "internal"], "value": 1}
    if sys.argv[2:] == ["broken"]:
        sys.exit("cannot start")
    Path(sys.argv[1], f"started-{os.getpid()}").touch()
    say(counted=COUNTED)
    say()
    spoilt = False
    while len(head := sys.stdin.buffer.read(4)) == 4:
        errand = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
        what = errand["job_id"]
        if what == "not taken":
            os._exit(1)
        say(begun=True)
        say(counted=COUNTED)
        if what == "poison":
            os._exit(0)
        if spoilt:
            os._exit(0)
        spoilt = what == "spoils"
        while what in {"slow", "spoils"} and not Path(sys.argv[1], "go").exists():
            pass
        say(ending={"failure": {"code": "internal", "message": "it ended"}})
""")


def errand(job_id: str = "j", *, crashes: int = 2) -> Errand:
    return Errand(job=JOB, job_id=job_id, route=ROUTE, delivery=Delivery(crashes=crashes))


class Place:
    """Cells whose children leave a trace."""

    def __init__(self, folder: Path, *modules: str) -> None:
        self.folder = folder
        script = folder / "child.py"
        script.write_text(CHILD, encoding="utf-8")
        self.counted: list[Counted] = []
        self.command = (sys.executable, str(script), str(folder))
        self.cells = Cells(modules=lambda: modules, counted=self.counted.append, command=self.command)

    def started(self) -> int:
        return len(list(self.folder.glob("started-*")))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.cells.stop()


def nothing() -> None:
    """Nobody marks the beginning of a trial."""


def test_a_job_runs_in_a_child_that_ends_with_it(place: Place) -> None:
    assert place.cells.run(errand(), begins=nothing).ending == ENDED
    assert place.cells.run(errand(), begins=nothing).ending == ENDED

    assert place.started() == 2


def test_a_child_that_dies_with_the_job_in_hand_has_died_of_it_whatever_it_says_at_its_end(place: Place) -> None:
    with pytest.raises(ChildDied, match="ended with 0"):
        place.cells.run(errand("poison"), begins=nothing)

    assert place.cells.run(errand(), begins=nothing).ending == ENDED


def test_what_a_child_measures_is_handed_on_at_once_even_if_it_dies_then(place: Place) -> None:
    with pytest.raises(ChildDied):
        place.cells.run(errand("poison"), begins=nothing)

    # Once before it was ready, and once with the job in hand.
    assert place.counted == [Counted(metric="byom_jobs_total", labels=("failed", "internal"), value=1)] * 2


def test_a_child_whose_worker_is_gone_goes_on_although_nobody_counts() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with suppress(BrokenPipeError), os.fdopen(writer, "wb") as answers:
        voice = child.Voice(answers)
        voice.count("byom_jobs_total", ("failed", "internal"), 1)
        with pytest.raises(BrokenPipeError):
            voice.say(Answer(begun=True))


def test_a_child_that_never_had_the_job_has_not_died_of_it(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NoChild, match="before it had the job"):
        place.cells.run(errand("not taken"), begins=nothing)
    with pytest.raises(NoChild, match="before it had begun"):
        Place(tmp_path, "broken").cells.run(errand(), begins=nothing)
    with pytest.raises(NoChild, match="no process can be started"):
        Cells(modules=tuple, counted=print, command=(str(tmp_path / "nothing"),)).run(errand(), begins=nothing)


def test_jobs_that_wait_take_over_the_children_of_those_before_them(place: Place) -> None:
    with ThreadPoolExecutor(10) as threads:
        running = [threads.submit(place.cells.run, errand("slow"), begins=nothing) for _ in range(10)]
        wait_until(lambda: place.started() == 2)
        wait_until(lambda: place.cells._waiting == 8)
        (place.folder / "go").touch()
        assert [one.result(timeout=60).ending for one in running] == [ENDED] * 10

    assert place.started() == 2
    assert place.cells._idle == []


def test_a_job_is_not_blamed_for_what_another_one_left_behind_in_its_process(place: Place) -> None:
    begun: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        cells = Cells(modules=tuple, counted=place.counted.append, command=place.command, cells=1)
        first = threads.submit(cells.run, errand("spoils"), begins=nothing)
        wait_until(lambda: place.started() == 1)
        second = threads.submit(cells.run, errand("innocent"), begins=lambda: begun.append("innocent"))
        wait_until(lambda: cells._waiting == 1)
        (place.folder / "go").touch()

        assert first.result(timeout=60).ending == second.result(timeout=60).ending == ENDED
    # It began once, and a process that is fresh says so of itself.
    assert begun == ["innocent"]
    assert place.started() == 2
    with pytest.raises(ChildDied):
        cells.run(errand("poison"), begins=nothing)


def test_a_worker_that_stops_takes_its_children_along_and_blames_nobody(place: Place) -> None:
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(place.cells.run, errand("slow"), begins=nothing) for _ in range(4)]
        wait_until(lambda: place.started() == 2 and place.cells._waiting == 2)
        place.cells.stop()
        for one in running:
            with pytest.raises(CancelledError):
                one.result(timeout=60)
    with pytest.raises(CancelledError):
        place.cells.run(errand(), begins=nothing)


class Script:
    """Cells that answer as told."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Errand] = []

    def run(self, errand: Errand, *, begins: Callable[[], None]) -> Answer:
        self.asked.append(errand)
        answer = self.answers.pop(0)
        if not isinstance(answer, NoChild | CancelledError):
            begins()
        if isinstance(answer, Exception):
            raise answer
        return answer


Try = Callable[..., Outcome | None]


def trials(*answers: Answer | Exception, client: fakeredis.FakeRedis | None = None) -> Trials:
    cells = Script(*answers)
    return Trials(cells, client or fakeredis.FakeRedis(), max_crashes=3, settle=0)  # type: ignore[arg-type]  # by shape


def attempt(tried: Trials) -> Outcome | None:
    return tried.attempt(JOB, "j", ROUTE, Delivery(crashes=2))


@pytest.mark.parametrize(("crashes", "due"), [(0, False), (1, False), (2, True), (3, True), (9, True)])
def test_the_last_crash_must_be_alone(crashes: int, *, due: bool) -> None:
    assert trials().are_due(Delivery(crashes=crashes)) is due


@pytest.mark.parametrize(
    "outcome",
    [ENDED, PARK, HandOff(route=ROUTE, address=LANE), Collect(connection="primary")],
    ids=["ending", "park", "hand-off", "collect"],
)
def test_what_comes_of_a_trial_is_what_would_have_come_of_the_job(outcome: Outcome) -> None:
    by_kind = {Ending: "ending", Park: "park", HandOff: "hand_off", Collect: "collect"}
    answer = Answer.model_validate({by_kind[type(outcome)]: outcome})
    read = Answer.model_validate_json(answer.model_dump_json(exclude_unset=True))

    assert attempt(trials(read)) == outcome


def test_an_errand_is_read_as_it_was_written() -> None:
    sent = errand()

    assert Errand.model_validate_json(sent.model_dump_json(exclude_unset=True)) == sent


def test_a_job_whose_process_died_is_judged_and_nothing_is_left_of_its_trial() -> None:
    client = fakeredis.FakeRedis()

    assert attempt(trials(ChildDied("ended with -9"), client=client)) is None
    assert client.keys() == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(away="ConnectionError"), StoreError),
        (Answer(unforeseen="ZeroDivisionError"), FailedAlone),
        (NoChild("none"), NoChild),
        (CancelledError(), CancelledError),
    ],
)
def test_what_is_no_fault_of_the_job_judges_nobody(answer: Answer | Exception, error: type[Exception]) -> None:
    client = fakeredis.FakeRedis()

    with pytest.raises(error):
        attempt(trials(answer, client=client))
    assert client.keys() == []


def vanish(client: fakeredis.FakeRedis) -> None:
    """A trial begins, and the machine goes: nothing that it would have cleared away is."""
    client_delete, client.delete = client.delete, lambda *_: 0  # type: ignore[method-assign]
    assert attempt(trials(Answer(ending=ENDED), client=client)) == ENDED
    client.delete = client_delete  # type: ignore[method-assign]


def test_a_job_with_which_whole_machines_vanish_while_it_is_alone_is_not_tried_for_ever() -> None:
    client = fakeredis.FakeRedis()

    for _ in range(5):
        vanish(client)
    assert all(int(client.ttl(key)) > 0 for key in client.scan_iter())
    assert attempt(trials(client=client)) is None
    # A replay is tried again.
    assert attempt(trials(Answer(ending=ENDED), client=client)) == ENDED


def test_a_trial_that_somebody_outlives_clears_the_job_of_those_that_nobody_did() -> None:
    client = fakeredis.FakeRedis()

    for _ in range(3):
        for _ in range(4):
            vanish(client)
        assert attempt(trials(Answer(park=PARK), client=client)) == PARK
    assert client.keys() == []


@pytest.mark.parametrize("ended", [CancelledError(), NoChild("none")])
def test_a_job_that_waited_for_its_trial_in_vain_is_neither_blamed_nor_cleared(ended: Exception) -> None:
    client = fakeredis.FakeRedis()
    marks = Marks(client)

    for _ in range(9):
        with pytest.raises(type(ended)):
            attempt(trials(ended, client=client))
        assert marks.unheard_of("j") == 0
    vanish(client)
    with pytest.raises(type(ended)):
        attempt(trials(ended, client=client))
    assert marks.unheard_of("j") == 1


def test_a_job_that_waits_for_its_trial_when_its_worker_is_killed_is_not_blamed(place: Place) -> None:
    begun: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        for name in "abcd":
            threads.submit(place.cells.run, errand("slow"), begins=partial(begun.append, name))
        wait_until(lambda: place.cells._waiting == 2 and len(begun) == 2)
        place.cells.stop()

    assert len(begun) == 2


def test_what_comes_of_a_trial_stands_although_redis_has_gone_meanwhile() -> None:
    client = fakeredis.FakeRedis()

    def gone(*_: object) -> int:
        raise redis.ConnectionError

    client.delete = gone  # type: ignore[method-assign]
    assert attempt(trials(Answer(ending=ENDED), client=client)) == ENDED


def test_a_child_says_itself_that_it_has_outlived_its_job_whether_or_not_its_worker_does() -> None:
    client = fakeredis.FakeRedis()
    marks = Marks(client)
    errands, answers = BytesIO(), BytesIO()
    for job_id in ("ends", "fails"):
        send(errands, errand(job_id))
        marks.begins(job_id)
    errands.seek(0)

    child._serve(cast("Runtime", Inside()), marks, errands, child.Voice(answers))

    assert client.keys() == []
    answers.seek(0)
    said = [Answer.model_validate_json(receive(answers) or b"") for _ in range(4)]
    assert said == [
        Answer(begun=True),
        Answer(ending=ENDED),
        Answer(begun=True),
        Answer(unforeseen="ZeroDivisionError"),
    ]


class Inside:
    """The runtime of a child, by shape."""

    tracing = NO_TRACING

    def attempt_here(self, _job: ExtractionJob, job_id: str, *_: object) -> Outcome:
        if job_id == "fails":
            raise ZeroDivisionError
        return ENDED
