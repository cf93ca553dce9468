"""Work ahead of a task: a plain success needs no task any more; all else is concluded by it, and nothing is lost."""

import asyncio
import json
import os
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from celery import signals
from celery.exceptions import Reject

from tasks.contract import ExtractionFailed, ExtractionResult, Failure, FailureCode, JobStatus
from tests.support import ManualClock
from tests.unit.engine.conftest import make_job
from workers.admission import Reason
from workers.broker.pool import Succeeded
from workers.broker.results import Results
from workers.engine.delivery import Delivery
from workers.engine.engine import Outcome, Park
from workers.jobs import Ending
from workers.task.ahead import HANDLED, Ahead
from workers.task.extraction_body import conclude
from workers.task.receipt import Receipt
from workers.tracing import NO_TRACING

RESULT = ExtractionResult(job_id="job-1", project="acme", status=JobStatus.SUCCEEDED)
ROUTE = {"connection": "primary", "provider": "openai", "model": "luna", "role": "primary"}
JOB = make_job().model_dump(mode="json", exclude_unset=True)


class Stored:
    """Keeps what is stored, or fails to."""

    def __init__(self, *, away: str | None = None) -> None:
        self._away = away
        self.states: list[str] = []
        self.results: list[str] = []

    async def store(self, _backend: Any, task_id: str, result: str, state: str, _request: Any) -> None:
        assert task_id == "job-1"
        if state == self._away:
            raise redis.ConnectionError
        self.states.append(state)
        self.results.append(result)


class Scene:
    """One delivery of one job."""

    def __init__(self, outcome: Outcome | BaseException, *, away: str | None = None) -> None:
        self.outcome = outcome
        self.request: dict[str, Any] = {"id": "job-1", "hostname": "w@here", "delivery_info": {}, "byom": None}
        self.body: list[Any] = [[], {"job": JOB, "route": ROUTE}, {"callbacks": None, "chain": None, "chord": None}]
        self.stored = Stored(away=away)
        self.told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.is_trial = False
        self.ahead = Ahead(
            asyncio.get_running_loop(),
            work=self.work,
            results=cast("Results", self.stored),
            tracing=NO_TRACING,
            clock=ManualClock(),
            is_for_a_thread=lambda _delivery: self.is_trial,
        )
        self.happened: list[str] = []
        self.working = asyncio.Event()
        self.blocked: asyncio.Event | None = None

    async def work(self, *_args: Any, delivery: Delivery, **_options: Any) -> Outcome:
        assert delivery == Delivery()
        self.working.set()
        if self.blocked:
            await self.blocked.wait()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def begin(self) -> bool:
        task = SimpleNamespace(name="extract.openai", backend=None)
        return self.ahead.begin(task, self.request, self.body, self.told.set_result)

    async def done(self) -> Any:
        assert self.begin()
        return await self.told

    def conclude(self) -> Receipt:
        """What the task does with what was done ahead of it."""
        task: Any = SimpleNamespace(
            name="extract.openai",
            request=SimpleNamespace(id="job-1"),
            update_state=lambda **told: self.happened.append(told["state"]),
        )
        return conclude(
            task,
            JOB,
            self.request[HANDLED],
            pause=lambda: self.happened.append("paused"),
            failed=lambda *_: self.happened.append("told of a failure"),
        )


async def test_a_success_is_stored_and_needs_no_task() -> None:
    scene = Scene(Ending(result=RESULT))

    done = await scene.done()

    assert isinstance(done, Succeeded)
    assert done.shown == repr(Receipt(RESULT))
    assert scene.stored.states == ["STARTED", "SUCCESS"]
    started, succeeded = map(json.loads, scene.stored.results)
    assert started == {"pid": os.getpid(), "hostname": "w@here"}
    assert succeeded == Receipt(RESULT).__json__()
    assert HANDLED not in scene.request


@pytest.mark.parametrize("after", ["callbacks", "chain", "chord"])
async def test_a_success_after_which_more_is_to_happen_is_concluded_by_its_task(after: str) -> None:
    scene = Scene(Ending(result=RESULT))
    scene.body[2] = {**scene.body[2], after: [{"task": "x"}]}

    assert await scene.done() is None

    assert scene.stored.states == ["STARTED"]
    assert scene.conclude().__json__() == Receipt(RESULT).__json__()


async def test_a_success_that_nobody_wants_to_read_is_not_stored() -> None:
    scene = Scene(Ending(result=RESULT))
    scene.request["ignore_result"] = True

    assert await scene.done() is None
    assert "SUCCESS" not in scene.stored.states


async def test_a_failure_is_raised_by_its_task() -> None:
    scene = Scene(Ending(failure=Failure(code=FailureCode.RATE_LIMITED, message="full")))

    assert await scene.done() is None

    with pytest.raises(ExtractionFailed, match="full"):
        scene.conclude()


async def test_a_job_that_has_to_wait_goes_back_to_its_lane() -> None:
    scene = Scene(Park(reason=Reason.TOKENS, seconds=1))

    assert await scene.done() is None

    with pytest.raises(Reject):
        scene.conclude()
    assert scene.happened == ["WAITING"]


@pytest.mark.parametrize("error", [redis.ConnectionError(), redis.TimeoutError()], ids=lambda error: str(type(error)))
async def test_a_job_goes_back_while_a_server_is_away(error: Exception) -> None:
    scene = Scene(error)

    assert await scene.done() is None

    with pytest.raises(Reject) as caught:
        scene.conclude()
    assert vars(caught.value)["requeue"] is True
    assert scene.happened == ["paused"]


@pytest.mark.parametrize("state", ["STARTED", "SUCCESS"])
async def test_what_cannot_be_stored_is_an_error_for_the_pool(state: str) -> None:
    scene = Scene(Ending(result=RESULT), away=state)

    assert isinstance(await scene.done(), redis.ConnectionError)
    assert scene.working.is_set() == (state == "SUCCESS")


async def test_an_unforeseen_error_fails_the_job_and_is_told() -> None:
    scene = Scene(RuntimeError("says what a customer said"))

    assert await scene.done() is None

    with pytest.raises(ExtractionFailed, match="RuntimeError"):
        scene.conclude()
    assert scene.happened == ["told of a failure"]


async def test_a_payload_that_is_no_job_is_refused() -> None:
    scene = Scene(AssertionError("must not run"))
    scene.body[1] = {"job": {"project": "acme"}, "route": ROUTE}

    assert await scene.done() is None

    with pytest.raises(Exception, match="episodes"):
        scene.conclude()


async def test_a_job_that_is_given_up_goes_back() -> None:
    scene = Scene(Ending(result=RESULT))
    scene.blocked = asyncio.Event()
    assert scene.begin()
    await scene.working.wait()
    scene.ahead.abandon()

    assert await scene.told is None
    with pytest.raises(Reject, match="the worker stops"):
        scene.conclude()


async def test_a_job_that_is_given_up_before_it_has_begun_is_told_of_too() -> None:
    scene = Scene(Ending(result=RESULT))
    assert scene.begin()
    # Run what was handed over, and no more.
    asyncio.get_running_loop().call_soon(scene.ahead.abandon)

    assert isinstance(await scene.told, CancelledError)
    assert scene.stored.states == []
    assert not scene.working.is_set()


async def test_jobs_that_need_their_task_first_do_not_begin_without_it() -> None:
    redelivered, trial, strange, positional = (Scene(Ending(result=RESULT)) for _ in range(4))
    redelivered.request["delivery_info"] = {"redelivered": True}
    trial.is_trial = True
    strange.body[1] = {"job": JOB}
    positional.body[0] = [JOB, ROUTE]

    assert [scene.begin() for scene in (redelivered, trial, strange, positional)] == [False] * 4


@pytest.mark.parametrize(
    "signal", [signals.task_prerun, signals.task_postrun, signals.task_success], ids=lambda signal: str(signal.name)
)
async def test_none_begins_without_its_task_while_somebody_listens_to_tasks(signal: Any) -> None:
    def hear(**_: Any) -> None:
        return

    signal.connect(hear)
    try:
        assert not Scene(Ending(result=RESULT)).begin()
    finally:
        signal.disconnect(hear)
