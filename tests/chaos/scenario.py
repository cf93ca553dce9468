"""One run: traffic flows, the plan is carried out, and then everybody comes to rest."""

import heapq
import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import redis

from benchmarks.ground import Ground
from tests.chaos.plan import BROKER, WORKER, Plan, Step, What
from tests.chaos.stage import Broker, Death, Link, Store, Worker, configure
from tests.chaos.traffic import Traffic, Wanted
from workers.embedded.valkey import _free_port

#: Settings of the workers: what takes minutes in production takes seconds here.
SETTINGS: Final = {
    "BYOM_CONCURRENCY": "16",
    "BYOM_CALL_TIMEOUT": "3",
    "BYOM_VISIBILITY_TIMEOUT": "10",
    "BYOM_SHUTDOWN_TIMEOUT": "1",
    "BYOM_FALLBACK_PATIENCE": "3",
    "BYOM_JOB_STATE_TTL": "86400",
    "BYOM_USAGE_RECORDS": "1000000",
    "BYOM_EVENTS_KEPT": "1000000",
    "BYOM_CONFIG_CACHE_TTL": "1",
    "BYOM_LOG_LEVEL": "DEBUG",
}
#: Seconds between looks at the pool.
_TICK: Final = 0.1
#: Results that are asked for at once.
_AT_ONCE: Final = 500
#: Seconds without an ended job after which the next step comes anyway, and after which the run is given up.
_STALLED: Final = 6.0
_GIVEN_UP: Final = 180.0
#: Seconds that workers may take to start, on a machine that is busy.
_READY: Final = 120.0


@dataclass(slots=True, kw_only=True)
class Run:
    """A run as it goes."""

    place: Ground
    plan: Plan
    links: dict[str, Link]
    workers: Sequence[Worker]
    traffic: Traffic
    broker: Broker
    store: Store
    #: With a socket timeout, so that a frozen broker holds nobody up here.
    client: redis.Redis
    told: Callable[[str], None]
    #: Ids of jobs that have ended.
    ended: set[str] = field(default_factory=set)
    #: Steps that were carried out.
    done: list[Step] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    #: Workers that are still to be replaced by an update under way, the next one first.
    rolling: list[Worker] = field(default_factory=list)
    #: What is to be done later: time, number, what.
    later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _progress_at: float = 0.0
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def interruptions(self) -> list[Death]:
        """How workers were torn from their work."""
        return [death for worker in self.workers for death in worker.deaths]

    def play(self, progress: Callable[[int, int], None] = lambda _ended, _steps: None) -> None:
        """Let everything happen; returns when all jobs have ended and nothing is disturbed any more."""
        steps = list(self.plan.steps)
        self._progress_at = time.monotonic()
        self.traffic.start()
        while steps or self.later or self.rolling or not self._is_over():
            self._look()
            self._do_what_is_due()
            self._look_after_workers()
            self._roll()
            if steps and self._is_time(steps[0]) and self._may(steps[0]):
                self._carry_out(steps.pop(0))
            progress(len(self.ended), len(self.done))
            if time.monotonic() - self._progress_at > _GIVEN_UP:
                self.surprises.append(f"no job ended in {_GIVEN_UP:.0f} s; {self._pending()} were still to end")
                break
            time.sleep(_TICK)
        self._calm()
        if self.traffic.error is not None:
            self.surprises.append(f"the producer failed: {self.traffic.error!r}")

    def _is_over(self) -> bool:
        return self.traffic.is_done and not self._pending()

    def _pending(self) -> int:
        return len(self._waiting()) + len(self.traffic.jobs) - len(self.traffic.ids)

    def _waiting(self) -> list[str]:
        return [name for ids in list(self.traffic.ids.values()) for name in list(ids) if name not in self.ended]

    def _look(self) -> None:
        """See which jobs have ended since."""
        waiting = self._waiting()[:_AT_ONCE]
        if self.broker.away or not waiting:
            return
        try:
            found = self.client.mget([f"celery-task-meta-{name}" for name in waiting])
        except redis.RedisError:
            return
        ended = {
            name
            for name, text in zip(waiting, found, strict=True)
            if text and (b'"status": "SUCCESS"' in text or b'"status": "FAILURE"' in text)
        }
        if ended:
            self.ended |= ended
            self._progress_at = time.monotonic()

    def _is_time(self, step: Step) -> bool:
        stalled = time.monotonic() - self._progress_at > _STALLED
        return stalled or len(self.ended) >= step.at * len(self.traffic.jobs)

    def _may(self, step: Step) -> bool:
        """Whether what is to be disturbed is there to be disturbed."""
        if step.what in WORKER:
            worker = self.workers[step.worker]
            return worker.is_ready and not worker.stopped
        if step.what is What.ROLL:
            return not self.rolling
        if step.what is What.STORE:
            return not self.store.is_away
        return step.what not in BROKER or (self.broker.away is None and not self.broker.full)

    def _carry_out(self, step: Step) -> None:
        self.done.append(step)
        self.told(str(step))
        self._progress_at = time.monotonic()
        match step.what:
            case what if what in WORKER:
                self._disturb(self.workers[step.worker], step)
            case what if what in BROKER:
                self._disturb_broker(step)
            case What.ROLL:
                self.rolling = list(self.workers)
            case What.STORE:
                self.store.hide()
                self._in(step.seconds, self.store.show)
            case What.PROVIDER:
                rule = self.place.simulator.add_fault(step.rule)
                self._in(step.seconds, lambda: self.place.simulator.clear_faults(rule))

    def _disturb(self, worker: Worker, step: Step) -> None:
        match step.what:
            case What.KILL:
                worker.kill()
                self._in(step.seconds, lambda: self._start(worker))
            case What.TERM:
                worker.signal(signal.SIGTERM)
                worker.terminating = True
            case What.STOP:
                worker.signal(signal.SIGSTOP)
                self._in(step.seconds, _going_on(worker))
            case What.CLOCK:
                worker.clock.set(step.ahead)

    def _disturb_broker(self, step: Step) -> None:
        begin, end = {
            What.RESTART: (self.broker.stop, self.broker.start),
            What.CRASH: (self.broker.crash, self.broker.start),
            What.FREEZE: (self.broker.freeze, self.broker.thaw),
            What.FULL: (self.broker.fill, self.broker.empty),
        }[step.what]
        begin()
        self._in(step.seconds, end)

    def _in(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self._numbers), what))

    def _do_what_is_due(self) -> None:
        while self.later and self.later[0][0] <= time.monotonic():
            heapq.heappop(self.later)[2]()

    def _start(self, worker: Worker) -> None:
        worker.start(self.plan.sentence(worker.number, worker.starts))

    def _roll(self) -> None:
        """Replace the next worker of an update, once all are well that it is to leave behind."""
        if self.rolling and all(worker.is_ready and not worker.terminating for worker in self.workers):
            worker = self.rolling.pop(0)
            worker.signal(signal.SIGTERM)
            worker.terminating = True

    def _look_after_workers(self) -> None:
        for worker in self.workers:
            if worker.process is None:
                continue
            if worker.terminating:
                if worker.ended_well():
                    self._start(worker)
                continue
            if worker.stopped_itself() and worker.sentence is not None:
                self._in(worker.sentence.seconds, _going_on(worker))
                worker.sentence = None
            died = len(worker.deaths)
            if surprise := worker.reap():
                self.surprises.append(surprise)
            if surprise or len(worker.deaths) > died:
                self._start(worker)

    def _calm(self) -> None:
        """End all disturbances; all workers are ready afterwards, and none has a death before it."""
        self.traffic.stop()
        while self.later:
            heapq.heappop(self.later)[2]()
        self.place.simulator.clear_faults()
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
            while worker.terminating and not worker.ended_well():
                time.sleep(_TICK)
            if worker.sentence is not None or not worker.is_up:
                worker.kill()
                worker.start()
        wait_until_ready(self.workers)


def _going_on(worker: Worker) -> Callable[[], None]:
    """Lets the process of now go on, and no later one."""
    process = worker.process

    def go_on() -> None:
        if worker.process is process:
            worker.signal(signal.SIGCONT)

    return go_on


def wait_until_ready(workers: Sequence[Worker]) -> None:
    """Wait until all take jobs.

    Raises:
        RuntimeError: one ended instead.
        TimeoutError: one did not get ready.
    """
    deadline = time.monotonic() + _READY
    while not all(worker.is_ready for worker in workers):
        for worker in workers:
            if surprise := worker.reap():
                raise RuntimeError(surprise)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the workers did not get ready in {_READY:.0f} s")
        time.sleep(_TICK)


@contextmanager
def prepared(
    place: Ground,
    plan: Plan,
    jobs: Sequence[Wanted],
    *,
    workers: int = 2,
    window: int = 200,
    told: Callable[[str], None] = lambda _line: None,
) -> Iterator[Run]:
    """Everything that a run needs, with its workers ready."""
    links = configure(place, workers=workers)
    slots = [Worker(place=place, number=number, metrics_port=_free_port()) for number in range(workers)]
    with redis.Redis.from_url(place.valkey.url, socket_timeout=2, socket_connect_timeout=2) as client:
        run = Run(
            place=place,
            plan=plan,
            links=links,
            workers=slots,
            traffic=Traffic(settings=place.settings, jobs=jobs, ended=lambda: len(run.ended), window=window),
            broker=Broker(place),
            store=Store(place),
            client=client,
            told=told,
        )
        try:
            for worker in slots:
                worker.start()
            wait_until_ready(slots)
            yield run
        finally:
            run.traffic.stop()
            if run.broker.away == "freeze":
                run.broker.thaw()
            for worker in slots:
                worker.stop()
