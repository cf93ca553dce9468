"""Jobs that are tried alone: who is, in what, and what the death of a child, or of all around it, says."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import fakeredis
import pytest

from config.errors import StoreError
from tasks.contract import Failure, FailureCode, ProviderKind, Role, parse_job
from tests.integration.support.pool import wait_until
from workers.admission import Reason
from workers.engine.delivery import Delivery
from workers.engine.engine import Collect, HandOff, Outcome, Park
from workers.engine.routing import Route
from workers.jobs import Ending
from workers.lanes.header import LaneHeader
from workers.solitary.cells import Cells, ChildDied, NoChild
from workers.solitary.frames import Answer, Errand
from workers.solitary.trial import FailedAlone, Trials

ROUTE = Route(connection="primary", provider=ProviderKind.OPENAI, model="m", role=Role.PRIMARY, replays=1)
JOB = parse_job({"project": "acme", "episodes": [{"id": "e", "content": "said"}]})
ENDED = Ending(failure=Failure(code=FailureCode.INTERNAL, message="it ended"))
LANE = LaneHeader(meter="m", tenant="t", project="acme", priority="live", input=1, calls=1, patience=5.0)

#: A child that speaks as the real one does, without all that the real one needs. What it does is the job's id.
CHILD = textwrap.dedent("""
    import json, os, struct, sys
    from pathlib import Path

    def say(**document):
        text = json.dumps(document).encode()
        os.write(1, struct.pack(">I", len(text)) + text)

    if sys.argv[2:] == ["broken"]:
        sys.exit("cannot start")
    Path(sys.argv[1], f"started-{os.getpid()}").touch()
    say()
    while len(head := sys.stdin.buffer.read(4)) == 4:
        errand = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
        what = errand["job_id"]
        if what == "not taken":
            os._exit(1)
        say(begun=True)
        if what == "poison":
            os._exit(0)
        while what == "slow" and not Path(sys.argv[1], "go").exists():
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
        self.cells = Cells(modules=lambda: modules, command=(sys.executable, str(script), str(folder)))

    def started(self) -> int:
        return len(list(self.folder.glob("started-*")))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.cells.stop()


def test_a_job_runs_in_a_child_that_ends_with_it(place: Place) -> None:
    assert place.cells.run(errand()).ending == ENDED
    assert place.cells.run(errand()).ending == ENDED

    assert place.started() == 2


def test_a_child_that_dies_with_the_job_in_hand_has_died_of_it_whatever_it_says_at_its_end(place: Place) -> None:
    with pytest.raises(ChildDied, match="ended with 0"):
        place.cells.run(errand("poison"))

    assert place.cells.run(errand()).ending == ENDED


def test_a_child_that_never_had_the_job_has_not_died_of_it(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NoChild, match="before it had the job"):
        place.cells.run(errand("not taken"))
    with pytest.raises(NoChild, match="before it had begun"):
        Place(tmp_path, "broken").cells.run(errand())
    with pytest.raises(NoChild, match="no process can be started"):
        Cells(modules=lambda: (), command=(str(tmp_path / "nothing"),)).run(errand())


def test_jobs_that_wait_take_over_the_children_of_those_before_them(place: Place) -> None:
    with ThreadPoolExecutor(10) as threads:
        running = [threads.submit(place.cells.run, errand("slow")) for _ in range(10)]
        wait_until(lambda: place.started() == 2)
        wait_until(lambda: place.cells._waiting == 8)
        (place.folder / "go").touch()
        assert [one.result(timeout=60).ending for one in running] == [ENDED] * 10

    assert place.started() == 2
    assert place.cells._idle == []


def test_a_worker_that_stops_takes_its_children_along_and_blames_nobody(place: Place) -> None:
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(place.cells.run, errand("slow")) for _ in range(4)]
        wait_until(lambda: place.started() == 2 and place.cells._waiting == 2)
        place.cells.stop()
        for one in running:
            with pytest.raises(CancelledError):
                one.result(timeout=60)
    with pytest.raises(CancelledError):
        place.cells.run(errand())


class Script:
    """Cells that answer as told."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Errand] = []

    def run(self, errand: Errand) -> Answer:
        self.asked.append(errand)
        answer = self.answers.pop(0)
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
    [ENDED, Park(reason=Reason.TOKENS, seconds=2.5), HandOff(route=ROUTE, address=LANE), Collect(connection="primary")],
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


def test_a_job_with_which_whole_workers_vanish_while_it_is_alone_is_tried_twice_and_then_judged() -> None:
    client = fakeredis.FakeRedis()

    for _ in range(2):
        # As when the machine goes: what the trial would have cleared away stays.
        tried = trials(Answer(ending=ENDED), client=client)
        client_delete, client.delete = client.delete, lambda *_: 0  # type: ignore[method-assign]
        assert attempt(tried) == ENDED
        client.delete = client_delete  # type: ignore[method-assign]
    assert attempt(trials(client=client)) is None
    assert all(int(client.ttl(key)) > 0 for key in client.scan_iter())
