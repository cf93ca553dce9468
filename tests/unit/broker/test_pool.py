"""The pool: a task that begins by itself needs no thread, and no task holds its place for ever."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Reject

from config.celeryconfig import celery_config
from config.settings import Settings
from workers.broker import pool as pools
from workers.broker.pool import Done, Succeeded, TaskPool

TASK: tuple[Any, ...] = ("extract.openai", "job-1", {"id": "job-1"}, ([], {}, {}))


def outcome(target: Callable[..., Any], *args: Any) -> Any:
    """What Celery is told of a task that ran in the pool."""
    told: list[Any] = []
    pool = TaskPool(limit=1)
    pool.apply_async(target, args, callback=told.append).get(timeout=10)
    pool.stop()
    return told[0]


def test_what_a_task_comes_to_is_told_as_it_is() -> None:
    assert outcome(lambda *numbers: (0, sum(numbers), 0.5), 1, 2) == (0, 3, 0.5)


@pytest.mark.parametrize("error", [RuntimeError("says what a customer said"), Reject("gone", requeue=False)])
def test_an_error_that_leaves_the_task_puts_it_back(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pools, "_PAUSE", 0.0)

    def breaks() -> None:
        raise error

    failed, why, _ = outcome(breaks)

    assert failed == 1
    assert isinstance(why.exception.exc, Reject)
    assert vars(why.exception.exc)["requeue"] is True
    assert "customer" not in str(why.exception.exc) + str(why.traceback) + capsys.readouterr().out


def test_workers_run_it() -> None:
    module, _, name = celery_config(Settings())["worker_pool"].partition(":")

    assert (module, name) == (TaskPool.__module__, TaskPool.__name__)


class Scene:
    """A pool whose one task begins by itself, if it wants to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, limit: int = 2, begins: bool = True) -> None:
        monkeypatch.setattr(pools, "_PAUSE", 0.0)
        monkeypatch.setattr(pools, "_TRACERS", (self.trace,))
        self.begins = begins
        self.dones: list[Done] = []
        self.happened: list[Any] = []
        self.told = threading.Event()
        app = SimpleNamespace(tasks={"extract.openai": SimpleNamespace(begin=self.begin), "byom.verify": object()})
        self.pool = TaskPool(limit=limit, app=app)

    def begin(self, request: dict[str, Any], body: Any, done: Done) -> bool:
        assert (request, body) == TASK[2:]
        if self.begins:
            self.dones.append(done)
        return self.begins

    def trace(self, *args: Any) -> Any:
        self.happened.append(("in a thread", threading.current_thread() is not threading.main_thread()))
        return (0, args[0], 0.5)

    def tell(self, what: Any) -> None:
        self.happened.append(what)
        self.told.set()

    def apply(self, name: str = "extract.openai") -> None:
        self.pool.apply_async(
            self.trace,
            (name, *TASK[1:]),
            callback=self.tell,
            accept_callback=lambda *_: self.happened.append("accepted"),
        )


def test_a_task_that_began_by_itself_and_succeeded_gets_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.apply()
    assert scene.happened == ["accepted"]

    scene.dones[0](Succeeded(shown="{'tokens': 7}", seconds=0.5))
    scene.pool.stop()

    assert scene.happened == ["accepted", (0, "{'tokens': 7}", 0.5)]


def test_one_that_is_to_be_concluded_gets_a_thread_then(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.apply()

    scene.dones[0](None)
    scene.pool.stop()

    assert scene.happened == ["accepted", ("in a thread", True), (0, "extract.openai", 0.5)]


def test_one_whose_end_cannot_be_stored_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.apply()

    scene.dones[0](RuntimeError("says what a customer said"))
    scene.pool.stop()

    accepted, (failed, why, _) = scene.happened
    assert (accepted, failed) == ("accepted", 1)
    assert isinstance(why.exception.exc, Reject)
    assert vars(why.exception.exc)["requeue"] is True
    assert "customer" not in str(why.exception.exc) + str(why.traceback)


@pytest.mark.parametrize("name", ["extract.openai", "byom.verify"])
def test_a_task_that_does_not_begin_by_itself_gets_a_thread_from_the_start(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(monkeypatch, begins=False)
    scene.apply(name)
    scene.pool.stop()

    assert scene.happened == ["accepted", ("in a thread", True), (0, name, 0.5)]


def test_no_more_begin_by_themselves_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, limit=1)
    scene.apply()
    scene.apply()
    assert scene.told.wait(10)
    scene.dones[0](None)
    scene.pool.stop()

    assert len(scene.dones) == 1
    assert [what for what in scene.happened if isinstance(what, tuple)].count((0, "extract.openai", 0.5)) == 2


def test_a_pool_that_stops_waits_for_what_began_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.apply()
    stopping = threading.Thread(target=scene.pool.stop)
    stopping.start()
    stopping.join(0.05)
    assert stopping.is_alive()

    scene.dones[0](None)
    stopping.join(10)

    assert not stopping.is_alive()
    assert scene.happened[-1] == (0, "extract.openai", 0.5)
