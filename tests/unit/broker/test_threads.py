"""A task whose end cannot be stored goes back to its queue, instead of holding its place for ever."""

from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import Reject

from config.celeryconfig import celery_config
from config.settings import Settings
from workers.broker import threads
from workers.broker.threads import TaskPool


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
    monkeypatch.setattr(threads, "_PAUSE", 0.0)

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
